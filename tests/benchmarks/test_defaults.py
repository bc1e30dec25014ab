"""The benchmark of the chosen recipe: its data, its hand-made recipes, and its verdict."""

import pytest

from benchmarks.measure.defaults import CHOSEN, SETS, markdown, recipe_of, source_of, verdict


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (0.81, "+1.00 points against b, within 2 points"),
        (0.77, "-3.00 points against b, not within 2 points"),
    ],
)
def test_verdict_compares_with_the_best_of_the_others(chosen, text):
    runs = {CHOSEN: {"miou": chosen}, "a": {"miou": 0.5}, "b": {"miou": 0.8}}
    assert verdict(runs) == text


def test_table_has_a_row_per_training():
    run = {"model": "unet", "crop": [8, 8], "batch_size": 2, "steps": 3, "minutes": 1, "miou": 0.5}
    machine = {"processor": "p", "cores": 1, "threads": 1, "load_average": 0, "python": "3"}
    record = {"machine": machine, "versions": {}, "sets": {"cells": {CHOSEN: run, "a": run}}}
    assert markdown(record).count("| cells |") == 2


def test_folders_that_are_not_given_are_left_out(tmp_path):
    (tmp_path / "camvid").mkdir()
    assert source_of(SETS["camvid"], None) is None
    assert source_of(SETS["isbi"], tmp_path) is None
    assert source_of(SETS["camvid"], tmp_path) == str(tmp_path / "camvid")
    assert source_of(SETS["cells"], None) == "builtin:cells"


@pytest.mark.parametrize("name", sorted({name for each in SETS.values() for name in each.recipes}))
def test_hand_made_recipes_can_be_read(name):
    recipe = recipe_of("builtin:cells", name, "run")
    assert recipe.chosen is None and recipe.schedule == "poly"
