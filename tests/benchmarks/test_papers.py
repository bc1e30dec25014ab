"""The studies of the papers' ideas: recipes, order, measures, changed networks and tables."""

import keras
import numpy as np
import pytest

from benchmarks.papers import networks, object_crops, report
from benchmarks.papers.__main__ import rounds
from benchmarks.papers.measuring import EXTRA, METRICS, foreground_rand_score
from benchmarks.papers.studies import STUDIES
from benchmarks.papers.training import Place, recipe_of, trainings_of
from keras_seg import models

HOURS = 12


def mask(*rows):
    return np.array([[each == "#" for each in row] for row in rows])


TWO_CELLS = mask("##.##", "##.##")


def test_rand_score_of_merged_cells_by_hand():
    # one segment of 8 true pixels, which are two cells of 4: 2 * (16 + 16) / (64 + 32)
    assert foreground_rand_score(TWO_CELLS, np.ones((2, 5), bool)) == pytest.approx(64 / 96)


def test_rand_score_of_a_split_cell_by_hand():
    # a cell of 10 pixels; the predicted membrane of 2 goes to a nearest segment: 6 and 4 pixels
    score = foreground_rand_score(np.ones((2, 5), bool), TWO_CELLS)
    assert score == pytest.approx(2 * (36 + 16) / (36 + 16 + 100))


def test_rand_score_ignores_the_width_of_the_membrane():
    narrow, wide = mask("###.###"), mask("#.....#")
    assert foreground_rand_score(narrow, wide) == 1


@pytest.mark.parametrize("name", STUDIES)
def test_recipes_of_a_study_can_be_read(name, tmp_path):
    study = STUDIES[name]
    todo = trainings_of(name, study, 1)
    keys = {each.variant.name: each.key for each in todo}
    for each in todo:
        recipe = recipe_of(each, study, Place(tmp_path, tmp_path), keys)
        assert recipe.seed == 1 and recipe.steps_per_epoch
        assert each.variant.network is None or hasattr(networks, each.variant.network)
        assert set(each.variant.extra) <= set(EXTRA)
    assert set(study.metrics) <= set(METRICS)


@pytest.mark.parametrize("name", STUDIES)
def test_variants_of_a_study_have_as_many_steps(name):
    study = STUDIES[name]
    todo = {each.variant.name: each for each in trainings_of(name, study, 0)}

    def steps(each):
        first = 0 if each.variant.initial is None else steps(todo[each.variant.initial])
        return first + each.record["epochs"] * each.record["steps_per_epoch"]

    assert len({steps(each) for each in todo.values() if not each.variant.only_a_step}) == 1


def test_all_studies_take_at_most_half_a_day():
    assert sum(study.seeds * study.minutes for study in STUDIES.values()) <= 60 * HOURS


def test_equal_recipes_are_trained_once_and_others_are_not():
    nuclei = trainings_of("unetplusplus", STUDIES["unetplusplus"], 0)
    roads = trainings_of("resunet", STUDIES["resunet"], 0)
    assert nuclei[0].key == roads[1].key
    assert len({each.key for each in nuclei}) == len(nuclei)
    assert trainings_of("resunet", STUDIES["resunet"], 1)[0].key != roads[0].key


def test_first_seeds_of_all_studies_come_before_second_ones(tmp_path):
    (tmp_path / "camvid").mkdir()
    order = rounds(["segnet", "isbi", "icnn"], 2, Place(tmp_path, tmp_path))
    assert order == [("segnet", 0), ("icnn", 0), ("segnet", 1), ("icnn", 1)]


def test_segnet_without_places_keeps_its_weights():
    model = models.segnet_basic((16, 16, 3), 2, widths=(4, 4), kernel=3)
    changed = networks.bilinear_upsampling(model)
    image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype("float32")
    assert changed.count_params() == model.count_params()
    difference = np.asarray(changed(image)) - np.asarray(model(image))
    assert np.abs(difference).max() > 1e-3


def test_icnn_without_interlinks_ignores_its_neighbours():
    model = models.icnn((16, 16, 3), 3, widths=(4, 8), interlinks=1)
    changed = networks.without_interlinks(model)
    names = ["row0_inter0.tanh", "row0_in.tanh", "row1_in.tanh"]
    probe = keras.Model(changed.input, [changed.get_layer(name).output for name in names])
    image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype("float32")
    before = np.asarray(probe(image)[0])
    for weight in changed.get_layer("row1_in").weights:
        weight.assign(np.zeros(weight.shape))
    after = probe(image)
    assert np.abs(np.asarray(after[2])).max() == 0
    np.testing.assert_array_equal(np.asarray(after[0]), before)


@pytest.mark.parametrize(
    ("head", "outputs"), [("plain_head", 1), ("aspp_head", 1), ("ocr_head", 2)]
)
def test_heads_score_every_pixel(head, outputs):
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(64, 3, strides=4, padding="same")(image)
    encoder = keras.Model(image, {"stride_32": x})
    model = models.danet(num_classes=3, backbone=encoder, multi_grid=None, preprocessing=None)
    changed = getattr(networks, head)(model)
    assert len(changed.outputs) == outputs
    assert all(tuple(each.shape) == (None, 32, 32, 3) for each in changed.outputs)


def test_crop_of_an_object_shows_it_alone_and_in_the_middle():
    image, chosen = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), bool)
    chosen[0:10, 50:60] = True  # in the corner
    image[chosen] = 255
    small, label = object_crops.crop_of(image, chosen)
    assert small.shape == (64, 64, 3) and label.shape == (64, 64)
    rows, columns = np.nonzero(label)
    assert abs(rows.mean() - 31.5) < 3 and abs(columns.mean() - 31.5) < 3
    assert label.mean() == pytest.approx(1 / object_crops.MARGIN**2, abs=0.05)
    assert (
        object_crops.crop_of(image, chosen & (np.arange(60) > 56) & (np.arange(40) < 3)[:, None])
        is None
    )


def test_tables_have_spread_and_say_what_was_not_run():
    study = STUDIES["segnet"]
    trainings = {}
    for seed, better in enumerate((0.02, 0.04)):
        for each, gain in zip(trainings_of("segnet", study, seed), (0, better), strict=True):
            scores = dict.fromkeys(study.metrics, 0.4 + gain)
            trainings[each.key] = {
                "seed": seed,
                "parameters": 1000,
                "steps": 10,
                "batch_size": 4,
                "minutes": 1.0,
                "processor_minutes": 2.0,
                "scores": scores,
                "images": {"best": "a", "worst": "b"},
            }
    machine = {"processor": "p", "cores": 1, "threads": 1, "load_average": 0, "python": "3"}
    text = report.markdown({"machine": machine, "versions": {}, "trainings": trainings})
    assert "43.0 ± 1.4 against 40.0 ± 0.0" in text
    assert "+3.0 ± 1.4 (better)" in text
    assert f"Not run yet: `resunetplusplus` ({STUDIES['resunetplusplus'].idea})" in text
    assert text.count("\n## ") == 1


def test_smaller_errors_are_better():
    assert report.signed([-0.01], "pixel_error") == "-0.0100 (better)"
    assert report.signed([-0.01], "miou") == "-1.0 (worse)"
