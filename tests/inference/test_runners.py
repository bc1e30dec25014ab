"""One interface for three formats: scores, masks of any size, evaluation, refused files."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_seg import export, inference
from keras_seg.data.classes import ClassTable
from keras_seg.inference.keras_runner import MAX_GRAPHS, KerasRunner
from keras_seg.inference.tiles import positions, tiled_probabilities
from keras_seg.models import files
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network
from tests.helpers.stub_runner import Stub, darkness

pytestmark = pytest.mark.xdist_group("inference")  # one worker, so that fixtures are made once

SHAPE = (32, 48, 3)
SUFFIXES = [".keras", ".tflite", ".onnx"]


@pytest.fixture(scope="module")
def data():
    return ColourBlocks()


@pytest.fixture(scope="module")
def model():
    return small_network()


@pytest.fixture(scope="module")
def folder(model, data, tmp_path_factory):
    """model.keras, of free size, and model.tflite and model.onnx of one size."""
    folder = tmp_path_factory.mktemp("files")
    files.save(model, folder / "model.keras", card_of(data))
    for suffix in SUFFIXES[1:]:
        export.export(folder / "model.keras", folder / f"model{suffix}", input_shape=SHAPE)
    return folder


def runner_of(folder, suffix):
    shape = SHAPE if suffix == ".keras" else None
    return inference.load(folder / f"model{suffix}", input_shape=shape)


class TestRun:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_scores_are_those_of_the_model(self, folder, model, data, suffix):
        image = data[0].image[:32]
        expected = model(image[None].astype(np.float32), training=False)[0].numpy()
        scores = runner_of(folder, suffix).run(image)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected, atol=1e-4 * np.abs(expected).max())

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_says_what_it_is(self, folder, data, suffix):
        runner = runner_of(folder, suffix)
        assert runner.format == suffix[1:]
        assert runner.input_shape == SHAPE
        assert runner.num_classes == 3
        assert runner.card.classes == data.classes
        assert runner.size_multiple == 2
        assert runner.threads >= 1

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_refuses_what_the_network_cannot_take(self, folder, suffix):
        runner = runner_of(folder, suffix)
        with pytest.raises(ValueError, match=r"takes images of shape \(32, 48, 3\)"):
            runner.run(np.zeros((34, 48, 3), np.uint8))
        with pytest.raises(ValueError, match="must be uint8"):
            runner.run(np.zeros(SHAPE, np.float32))

    def test_free_size_is_checked_against_the_multiple(self, folder):
        runner = inference.load(folder / "model.keras")
        assert runner.run(np.zeros((18, 20, 3), np.uint8)).shape == (18, 20, 3)
        with pytest.raises(ValueError, match="in steps of 2 pixels"):
            runner.run(np.zeros((18, 21, 3), np.uint8))

    def test_ever_new_sizes_build_a_limited_number_of_graphs(self, model):
        runner = KerasRunner(model)
        for size in range(8, 8 + 2 * (MAX_GRAPHS + 2), 2):
            image = np.full((size, 8, 3), 90, np.uint8)
            expected = model(image[None].astype(np.float32), training=False)[0].numpy()
            np.testing.assert_allclose(runner.run(image), expected, atol=1e-4)
        assert len(runner._graphs) == MAX_GRAPHS

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_threads_that_share_a_runner_get_the_scores_of_one(self, folder, suffix):
        runner, rng = runner_of(folder, suffix), np.random.default_rng(0)
        images = list(rng.integers(0, 256, (40, *SHAPE)).astype(np.uint8))
        alone = [runner.run(image) for image in images]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(runner.run, images))
        np.testing.assert_array_equal(together, alone)

    @pytest.mark.parametrize("suffix", SUFFIXES[1:])
    def test_number_of_threads_is_obeyed(self, folder, suffix):
        assert inference.load(folder / f"model{suffix}", threads=1).threads == 1

    def test_exported_files_run_without_tensorflow(self, folder):
        code = (
            "import sys, numpy as np, keras_seg.inference as i\n"
            f"for s in ('.tflite', '.onnx'):\n"
            f"    r = i.load({str(folder / 'model')!r} + s)\n"
            "    i.predict(r, np.zeros((50, 60, 3), np.uint8))\n"
            "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


class TestPredict:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("sizing", inference.SIZINGS)
    @pytest.mark.parametrize("size", [(32, 48), (61, 97), (20, 70), (5, 7)])
    def test_mask_has_the_size_of_the_image(self, folder, suffix, sizing, size):
        image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
        mask = inference.predict(runner_of(folder, suffix), image, sizing=sizing)
        assert (mask.shape, mask.dtype) == (size, np.uint8)

    @pytest.mark.parametrize("suffix", SUFFIXES[1:])
    @pytest.mark.parametrize("sizing", inference.SIZINGS)
    def test_formats_agree(self, folder, data, suffix, sizing):
        masks = [
            inference.predict(runner_of(folder, s), data[1].image, sizing=sizing)
            for s in (".keras", suffix)
        ]
        assert (masks[0] == masks[1]).mean() > 0.999

    def test_free_size_pads_to_the_multiple_and_crops(self):
        seen = []

        def watch(images):
            seen.append(images.shape[1:3])
            return darkness(images)

        image = np.random.default_rng(0).integers(0, 256, (30, 33, 3)).astype(np.uint8)
        mask = inference.predict(Stub(watch, multiple=16), image)
        assert seen == [(32, 48)]
        np.testing.assert_array_equal(mask, darkness(image[None])[0].argmax(-1))

    @pytest.mark.parametrize("head", ["logits", "argmax"])
    def test_tiles_of_a_pointwise_network_are_its_mask(self, head):
        image = np.random.default_rng(0).integers(0, 256, (45, 70, 3)).astype(np.uint8)
        expected = darkness(image[None])[0].argmax(-1)

        def forward(images):
            scores = darkness(images)
            return scores.argmax(-1) if head == "argmax" else scores

        mask = inference.predict(Stub(forward, (16, 32, 3), head=head), image, sizing="tile")
        np.testing.assert_array_equal(mask, expected)

    def test_tiles_cover_evenly_and_reach_the_end(self):
        assert positions(32, 32) == [0]
        assert positions(33, 32) == [0, 1]
        starts = positions(100, 32)
        assert (starts[0], starts[-1]) == (0, 68)
        assert max(np.diff(starts)) <= 16

    def test_tiles_average_probabilities(self):
        answers = iter([np.full((1, 8, 8, 1), value, np.float32) for value in (0.2, 0.6)])
        images = np.zeros((1, 8, 12, 3), np.uint8)
        result = tiled_probabilities(lambda _: next(answers), images, (8, 8), "probabilities", 2)[0]
        assert result[4, 0, 0] == pytest.approx(0.2)
        assert result[4, -1, 0] == pytest.approx(0.6)
        assert result[4, 5, 0] < 0.4 < result[4, 6, 0]  # halfway between the windows' middles

    def test_single_logit_is_cut_at_zero(self):
        runner = Stub(lambda images: images[..., :1].astype(np.float32) - 100, classes=2)
        image = np.zeros((4, 4, 3), np.uint8)
        image[0] = 101
        np.testing.assert_array_equal(inference.predict(runner, image)[:, 0], [1, 0, 0, 0])

    def test_coarse_scores_are_brought_to_the_size_of_the_image(self):
        coarse = Stub(lambda images: darkness(images[:, ::4, ::4]), multiple=4)
        image = np.zeros((16, 24, 3), np.uint8)
        image[:, 12:] = 250
        mask = inference.predict(coarse, image)
        assert mask.shape == (16, 24)
        assert set(mask[:, 0]) == {0}
        assert set(mask[:, -1]) == {1}

    def test_grey_is_repeated_for_a_network_of_colour(self):
        grey = np.random.default_rng(0).integers(0, 256, (6, 8)).astype(np.uint8)
        colour = np.repeat(grey[..., None], 3, -1)
        expected = inference.predict(Stub(darkness), colour)
        np.testing.assert_array_equal(inference.predict(Stub(darkness), grey), expected)
        np.testing.assert_array_equal(inference.predict(Stub(darkness), grey[..., None]), expected)

    @pytest.mark.parametrize(
        ("image", "channels", "message"),
        [
            (np.zeros((6, 8, 4), np.uint8), 3, r"Received: 4 channels.*convert\('RGB'\)"),
            (np.zeros((6, 8, 3), np.uint8), 1, r"1 channels\. Received: 3.*convert\('L'\)"),
            (np.zeros((6, 8, 2), np.uint8), 5, "5 channels. Received: 2 channels"),
            (np.full((6, 8, 3), 0.5), 3, r"float64 from 0.5 to 0.5.*image \* 255"),
            (np.zeros((0, 8, 3), np.uint8), 3, r"must have the shape.*\(0, 8, 3\)"),
        ],
    )
    def test_refuses_images_that_do_not_fit(self, image, channels, message):
        with pytest.raises(ValueError, match=message):
            inference.predict(Stub(darkness, (None, None, channels)), image)

    @pytest.mark.parametrize(
        ("words", "seen"),
        [
            ({}, [(30, 40)]),  # trained at the images' own scale
            ({"trained_size": (16, 20)}, [(16, 20)]),
            ({"shape": (30, 30, 3)}, [(30, 30), (30, 30)]),  # two windows
            ({"shape": (16, 16, 3), "trained_size": (16, 16)}, [(16, 16)]),
            ({"shape": (16, 16, 3), "network": None}, [(16, 16)]),  # a foreign file
        ],
    )
    def test_auto_meets_images_as_training_did(self, words, seen):
        sizes = []

        def watch(images):
            sizes.append(images.shape[1:3])
            return darkness(images)

        image = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
        assert inference.predict(Stub(watch, **words), image).shape == (30, 40)
        assert sizes == seen

    def test_refuses_other_sizings(self):
        with pytest.raises(ValueError, match="sizing must be one of"):
            inference.predict(Stub(darkness), np.zeros((4, 4, 3), np.uint8), sizing="crop")


class TestEvaluate:
    def test_numbers_are_those_of_a_plain_count(self, data):
        runner = Stub(darkness)
        result = inference.evaluate(runner, data)
        truth = np.stack([sample.mask for sample in data])
        mask = np.stack([inference.predict(runner, sample.image) for sample in data])
        known = truth != 255
        for value, name in enumerate("abc"):
            hit = ((truth == value) & (mask == value))[known].sum()
            union = ((truth == value) | (mask == value))[known].sum()
            assert result.per_class_iou[name] == pytest.approx(hit / union)
        assert result.miou == pytest.approx(np.mean([*result.per_class_iou.values()]))
        assert result.pixel_accuracy == pytest.approx((truth == mask)[known].mean())
        assert result.confusion.dtype == np.int64
        assert result.confusion.sum() == known.sum()
        assert result.images == 12

    def test_absent_classes_do_not_count(self):
        class TwoOfThree(ColourBlocks):
            def __getitem__(self, index):
                sample = super().__getitem__(index)
                return sample._replace(mask=np.where(sample.mask == 2, 255, sample.mask))

        only_a = Stub(lambda images: np.eye(3, dtype=np.float32)[np.zeros(images.shape[:3], int)])
        result = inference.evaluate(only_a, TwoOfThree())
        assert result.per_class_iou["b"] == 0
        assert result.per_class_iou["c"] is None
        assert result.miou == pytest.approx(result.per_class_iou["a"] / 2)

    def test_first_run_at_a_size_is_not_timed(self, data):
        def slow_at_first(images, seen=[]):  # noqa: B006
            time.sleep(0.002 if seen else 0.2)
            seen.append(1)
            return darkness(images)

        result = inference.evaluate(Stub(slow_at_first), data)
        assert 2 <= result.latency_ms_median <= result.latency_ms_p90 < 100

    def test_limit_spreads_over_the_data(self, data):
        read = []

        class Watched(ColourBlocks):
            def __getitem__(self, index):
                read.append(index)
                return super().__getitem__(index)

        assert inference.evaluate(Stub(darkness), Watched(), limit=3).images == 3
        assert read == [0, 6, 11]

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_same_code_for_every_format(self, folder, data, suffix):
        result = inference.evaluate(runner_of(folder, suffix), data, sizing="tile", limit=2)
        record = json.loads(json.dumps(result.to_dict()))
        assert record["format"] == suffix[1:]
        assert record["size_bytes"] == (folder / f"model{suffix}").stat().st_size
        console = Console(width=100, record=True)
        console.print(result.table())
        assert "IoU a" in console.export_text()

    def test_refuses_data_with_other_classes(self):
        with pytest.raises(ValueError, match=r"predicts 3 classes.*with 2 \(a, b\)"):
            inference.evaluate(Stub(darkness), ColourBlocks(num_classes=2))

    def test_refuses_masks_outside_the_class_table(self):
        class Wrong(ColourBlocks):
            def __getitem__(self, index):
                sample = super().__getitem__(index)
                return sample._replace(mask=np.where(sample.mask == 2, 7, sample.mask))

        with pytest.raises(ValueError, match="Sample '0': mask values must be 0 to 2"):
            inference.evaluate(Stub(darkness), Wrong())

    def test_refuses_nothing_to_evaluate(self):
        with pytest.raises(ValueError, match="at least one image"):
            inference.evaluate(Stub(darkness), ColourBlocks(length=0))
        with pytest.raises(ValueError, match="limit must be"):
            inference.evaluate(Stub(darkness), ColourBlocks(), limit=0)


class TestCompare:
    def test_formats_beside_each_other(self, folder, data):
        runners = {suffix[1:]: runner_of(folder, suffix) for suffix in SUFFIXES}
        result = inference.compare(runners, data, limit=4)
        assert list(result.evaluations) == ["keras", "tflite", "onnx"]
        for name in ("tflite", "onnx"):
            assert result.agreement[name] > 0.999
            assert 0 < result.largest_difference[name] < 1e-3
            alone = inference.evaluate(runners[name], data, limit=4)
            np.testing.assert_array_equal(alone.confusion, result.evaluations[name].confusion)
        json.dumps(result.to_dict())

    def test_difference_is_found(self):
        def other(images):
            scores = darkness(images)
            scores[:, :, :24] = [[5, 0, 0]]
            return scores

        black = ColourBlocks(size=(40, 48), length=2)
        result = inference.compare({"one": Stub(darkness), "two": Stub(other)}, black)
        masks = [inference.predict(Stub(f), black[0].image) for f in (darkness, other)]
        more = [inference.predict(Stub(f), black[1].image) for f in (darkness, other)]
        equal = ((masks[0] == masks[1]).mean() + (more[0] == more[1]).mean()) / 2
        assert result.agreement["two"] == pytest.approx(equal)
        assert result.largest_difference["two"] > 50

    def test_class_maps_have_no_difference_of_scores(self, data):
        classes = Stub(lambda images: darkness(images).argmax(-1), head="argmax")
        result = inference.compare({"scores": Stub(darkness), "classes": classes}, data)
        assert result.agreement["classes"] == 1
        assert result.largest_difference["classes"] is None


class TestFilesThatAreNone:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_missing(self, tmp_path, suffix):
        with pytest.raises(FileNotFoundError, match="no model file"):
            inference.load(tmp_path / f"none{suffix}")

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("content", [b"", b"no model at all", b"PK\3\4 no archive", bytes(500)])
    def test_something_else(self, tmp_path, suffix, content):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"model.{suffix[1:]} is no"):
            inference.load(path)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
    def test_truncated(self, folder, tmp_path, suffix, part):
        content = (folder / f"model{suffix}").read_bytes()
        path = tmp_path / f"model{suffix}"
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(ValueError, match=str(path)):
            inference.load(path)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("real", SUFFIXES)
    def test_suffix_of_another_format(self, folder, tmp_path, suffix, real):
        if suffix == real:
            return
        path = tmp_path / f"model{suffix}"
        path.write_bytes((folder / f"model{real}").read_bytes())
        with pytest.raises(ValueError, match=str(path)):
            inference.load(path)

    def test_unknown_suffix(self, tmp_path):
        with pytest.raises(ValueError, match=r"Did you mean '\.tflite'"):
            inference.load(tmp_path / "model.tflit")

    def test_other_shape_than_the_file_has(self, folder):
        with pytest.raises(ValueError, match=r"Received: input_shape=\(64, 48, 3\)"):
            inference.load(folder / "model.onnx", input_shape=(64, 48, 3))
        with pytest.raises(ValueError, match=r"shape \(None, None, 3\).*\(64, 48, 1\)"):
            inference.load(folder / "model.keras", input_shape=(64, 48, 1))

    def test_foreign_files_get_numbered_classes(self, tmp_path):
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, keras.layers.Conv2D(4, 1)(image))
        model.save(tmp_path / "foreign.keras")
        runner = inference.load(tmp_path / "foreign.keras")
        assert runner.card.classes == ClassTable.numbered(4)

    def test_model_that_is_no_segmentation_network(self):
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, keras.layers.Flatten()(image))
        with pytest.raises(ValueError, match="outputs scores"):
            KerasRunner(model)
