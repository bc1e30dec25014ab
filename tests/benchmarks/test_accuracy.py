"""The accuracy benchmark: its batches, the stream of them, and its verdict."""

import io
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.accuracy.__main__ import OURS, RECIPE, SMP, verdict
from benchmarks.accuracy.batches import batches, send
from keras_seg.training.recipe import Recipe
from keras_seg.training.recipe_io import from_record, read_yaml


def small_recipe():
    record = read_yaml(RECIPE) | {"data": "builtin:cells", "output": "run"}
    return replace(
        from_record(record, Recipe), crop=(16, 16), batch_size=2, epochs=1, steps_per_epoch=2
    )


def test_stream_gives_back_the_batches_of_the_training():
    stream = io.BytesIO()
    made = list(batches(small_recipe()))
    for arrays in made:
        send(stream, *arrays)
    stream.seek(0)
    assert len(made) == 2
    for arrays in made:
        for array in arrays:
            np.testing.assert_array_equal(np.lib.format.read_array(stream), array)


def test_batches_resume_in_the_middle():
    (_, second), (rest,) = list(batches(small_recipe())), list(batches(small_recipe(), 1))
    np.testing.assert_array_equal(second[0], rest[0])
    np.testing.assert_array_equal(second[1], rest[1])


@pytest.mark.parametrize(
    ("sides", "text"),
    [
        ({OURS: 0.66}, f"Goal of 65 mIoU: reached. {SMP} was not run."),
        ({OURS: 0.6, SMP: 0.58}, f"Goal of 65 mIoU: not reached. +2.00 points against {SMP}."),
    ],
)
def test_verdict(sides, text):
    assert verdict({name: {"miou": miou} for name, miou in sides.items()}) == text
