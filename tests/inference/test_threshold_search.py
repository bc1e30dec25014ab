"""The search of thresholds against trying every threshold with plain NumPy."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_seg import cli, export, inference
from keras_seg.card import ModelCard
from keras_seg.data import ArrayDataset
from keras_seg.data.classes import ClassTable
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.inference.threshold_search import GRID
from keras_seg.models import files

SIZE = (20, 24)
LABELS = ("roof", "wall")
CELLS = ClassTable(("background", "cell"))


def network(channels=1, last=None, scale=6.0, offset=2.0):
    """Scores that follow the brightness of each channel of the image."""
    image = keras.Input((*SIZE, 3))
    layer = kl.Conv2D(channels, 1, activation=last)
    model = keras.Model(image, layer(kl.Rescaling(1 / 255)(image)))
    kernel = np.zeros((1, 1, 3, channels), "float32")
    for channel in range(channels):
        kernel[0, 0, channel, channel] = scale
    layer.set_weights([kernel, np.full(channels, -offset, "float32")])
    return model


def pair_of_classes():
    """Two logits whose softmax is the sigmoid of `network(1)`."""
    image = keras.Input((*SIZE, 3))
    layer = kl.Conv2D(2, 1)
    model = keras.Model(image, layer(kl.Rescaling(1 / 255)(image)))
    kernel = np.zeros((1, 1, 3, 2), "float32")
    kernel[0, 0, 0] = -3, 3
    layer.set_weights([kernel, np.array([1, -1], "float32")])
    return model


def noisy(channels=1, count=4, unknown=True):
    """Images whose brightness says the label with errors, and (count, H, W, channels) labels."""
    random = np.random.default_rng(3)
    masks = (random.random((count, *SIZE, 3)) < [0.3, 0.1, 0.5]).astype(np.uint8)
    images = (masks * 90 + random.integers(0, 160, masks.shape)).astype(np.uint8)
    masks = masks[..., :channels]
    if unknown:
        masks[:, :2] = 255
    return images, masks


def measures(truth, positive):
    """(IoU of all pixels, mean Dice of the images) of one label, in plain NumPy."""
    known = truth != 255
    hit = (truth == 1) & positive & known
    wrong = (truth == 0) & positive & known
    missed = (truth == 1) & ~positive & known
    iou = hit.sum() / max((hit | wrong | missed).sum(), 1)
    dice = []
    for h, w, m in zip(hit, wrong, missed, strict=True):
        total = 2 * h.sum() + w.sum() + m.sum()
        dice.append(2 * h.sum() / total if total else 1.0)
    return iou, np.mean(dice)


def best_by_trial(runner, images, masks, measure):
    """Threshold, score at 0.5 and best score of each label, by predicting at every threshold."""
    results = []
    for label in range(masks.shape[-1]):
        scores = {}
        for threshold in GRID:
            predicted = runner.predict(images, threshold=threshold)
            positive = (predicted[..., label] if predicted.ndim == 4 else predicted) == 1
            place = ("iou", "dice").index(measure)
            scores[threshold] = measures(masks[..., label], positive)[place]
        top = max(scores.values())
        best = min((t for t, s in scores.items() if s == top), key=lambda t: abs(t - 0.5))
        results.append((best, scores[0.5], top))
    return tuple(zip(*results, strict=True))


def runner_of(kind):
    if kind == "labels":
        card = ModelCard(ClassTable.of_labels(LABELS), multi_label=True)
        return KerasRunner(network(2), card)
    model = {"one logit": network, "sigmoid": lambda: network(last="sigmoid")}
    return KerasRunner(model.get(kind, pair_of_classes)(), ModelCard(CELLS))


@pytest.mark.parametrize("measure", ["iou", "dice"])
@pytest.mark.parametrize("kind", ["one logit", "sigmoid", "two logits", "labels"])
def test_the_best_of_all_thresholds_is_found_in_one_pass(kind, measure):
    runner = runner_of(kind)
    images, masks = noisy(2 if kind == "labels" else 1)
    truth = masks if kind == "labels" else masks[..., 0]
    search = inference.search_threshold(runner, (images, truth), measure=measure)
    thresholds, before, after = best_by_trial(runner, images, masks, measure)
    assert search.thresholds == thresholds != (0.5,) * len(thresholds)
    np.testing.assert_allclose(search.before, before, rtol=1e-12)
    np.testing.assert_allclose(search.after, after, rtol=1e-12)
    assert search.labels == (LABELS if kind == "labels" else ("cell",))
    assert search.threshold == (thresholds if kind == "labels" else thresholds[0])
    assert json.loads(json.dumps(search.to_dict()))["images"] == 4


def test_each_image_runs_once():
    runner, runs = runner_of("one logit"), []
    images, masks = noisy()
    forward = runner._forward
    runner._forward = lambda pixels: runs.append(len(pixels)) or forward(pixels)
    inference.search_threshold(runner, (images, masks[..., 0]))
    assert sum(runs) == len(images)


def test_a_label_that_no_mask_shows_stays_at_a_half():
    images, masks = noisy(2)
    masks[..., 1] = 0
    search = inference.search_threshold(runner_of("labels"), (images, masks))
    assert search.thresholds[1] == 0.5 and search.thresholds[0] != 0.5
    assert search.before[1] is search.after[1] is None


def test_of_equally_good_thresholds_the_nearest_to_a_half_wins():
    images = np.zeros((1, *SIZE, 3), np.uint8)
    images[:, :10] = 255  # logits 4 and -2: every threshold from 0.12 to 0.98 is right
    masks = (images[..., 0] > 0).astype(np.uint8)
    assert inference.search_threshold(network(), (images, masks)).thresholds == (0.5,)


def test_a_score_at_the_threshold_is_below_it():
    """Values that are thresholds exactly: 0.25 and 0.5 in float32."""
    model = network(last="sigmoid", scale=0.0, offset=0.0)  # 0.5 everywhere
    images, masks = np.zeros((1, *SIZE, 3), np.uint8), np.ones((1, *SIZE), np.uint8)
    runner = KerasRunner(model, ModelCard(CELLS))
    assert not runner.predict(images, threshold=0.5).any()
    assert runner.predict(images, threshold=0.49).all()
    search = inference.search_threshold(runner, (images, masks))
    assert (search.thresholds, search.before, search.after) == ((0.49,), (0.0,), (1.0,))


class Doubled(ArrayDataset):
    """Masks of 0 and 2."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(mask=sample.mask * 2)


class TestRefusals:
    def test_exclusive_classes_and_class_maps(self):
        images, masks = noisy()
        data = (images, masks[..., 0])
        three = KerasRunner(network(3), ModelCard(ClassTable(("a", "b", "c"))))
        with pytest.raises(ValueError, match="3 mutually exclusive classes.*Nothing needs"):
            inference.search_threshold(three, data)
        decided = KerasRunner(network(), ModelCard(CELLS), head="argmax")
        with pytest.raises(ValueError, match="outputs classes, which were decided"):
            inference.search_threshold(decided, data)
        wrong = Doubled(images, (masks[..., 0] == 1).astype(np.uint8), classes=CELLS)
        with pytest.raises(ValueError, match="'arrays-00000': .*masks of 0 and 1.*values 0 to 2"):
            inference.search_threshold(network(), wrong)
        with pytest.raises(ValueError, match="Unknown measure 'f1'"):
            inference.search_threshold(network(), data, measure="f1")

    @pytest.mark.parametrize("count", [1, 3])
    def test_a_wrong_count_of_thresholds(self, count):
        with pytest.raises(ValueError, match=f"one number, or 2, one per label.*list of {count}"):
            runner_of("labels").predict(noisy()[0], threshold=[0.3] * count)
        with pytest.raises(ValueError, match=f"takes as threshold one number.*a list of {count}"):
            runner_of("one logit").predict(noisy()[0], threshold=[0.3] * count)
        with pytest.raises(ValueError, match="one number, or 2, one per label"):
            card = runner_of("labels").card
            export.export(network(2), "m.tflite", card=card, threshold=[0.3] * count)

    @pytest.mark.parametrize("number", [0, 1, -0.2, 1.5])
    def test_a_threshold_outside_of_probabilities(self, number):
        with pytest.raises(ValueError, match="between 0 and 1"):
            runner_of("labels").predict(noisy()[0], threshold=[0.5, number])
        with pytest.raises(ValueError, match="between 0 and 1"):
            export.export(network(), "m.tflite", threshold=number)
        text = ModelCard(CELLS, threshold=float(number)).to_json()
        with pytest.raises(ValueError, match="threshold cannot be"):
            ModelCard.from_json(text)

    def test_a_threshold_of_exclusive_classes(self):
        with pytest.raises(ValueError, match="3 mutually exclusive classes"):
            export.export(network(3), "m.tflite", threshold=0.3)

    def test_cards_of_another_count(self):
        table = ClassTable.of_labels(LABELS)
        for card in (
            ModelCard(table, threshold=(0.2,), multi_label=True),
            ModelCard(CELLS, threshold=(0.2, 0.3)),
            ModelCard(ClassTable(("a", "b", "c")), threshold=0.3),
        ):
            with pytest.raises(ValueError, match="threshold cannot be"):
                ModelCard.from_json(card.to_json())
        card = ModelCard(table, threshold=(0.2, 0.7), multi_label=True)
        assert ModelCard.from_json(card.to_json()) == card


class TestThresholdOfTheCard:
    def test_thresholds_per_label(self):
        images, _ = noisy()
        runner = runner_of("labels")
        probabilities = runner.predict(images, probabilities=True)
        mask = runner.predict(images, threshold=[0.2, 0.8])
        np.testing.assert_array_equal(mask, probabilities > np.float32([0.2, 0.8]))

    @pytest.mark.parametrize("quantize", [None, "int8"])
    @pytest.mark.parametrize("kind", ["one logit", "sigmoid", "two logits"])
    def test_class_maps_are_decided_at_it(self, tmp_path, kind, quantize):
        images, masks = noisy()
        reference = runner_of(kind)
        options = {"quantize": quantize, "card": reference.card, "head": "argmax"}
        data = {"calibration": images, "evaluation": (images, masks[..., 0])}
        suffixes = (".tflite",) if quantize else (".tflite", ".onnx")
        for suffix in suffixes:
            path = tmp_path / f"m{suffix}"
            report = export.export(reference.model, path, threshold=0.8, **data, **options)
            runner = inference.load(path)
            assert report.card.threshold == runner.card.threshold == 0.8
            expected = reference.predict(images, threshold=0.8)
            same = (runner.predict(images) == expected).mean()
            assert same == 1 if quantize is None else same > 0.97
            assert (expected != reference.predict(images)).mean() > 0.1
            assert (runner.predict(images, threshold=0.8) == runner.predict(images)).all()
            with pytest.raises(ValueError, match="at the threshold 0.8.*--threshold 0.3"):
                runner.predict(images, threshold=0.3)

    def test_two_sigmoids_have_none(self, tmp_path):
        model = network(2, last="sigmoid")
        with pytest.raises(ValueError, match="sum is 1"):
            export.export(
                model, tmp_path / "m.tflite", head="argmax", threshold=0.3, multi_label=False
            )

    def test_files_at_a_half_are_as_before(self, tmp_path):
        model = network()
        path, words = tmp_path / "m.tflite", {"head": "argmax"}
        plain, half = (
            export.export(model, path, **words, **more) for more in ({}, {"threshold": 0.5})
        )
        assert plain.audit.operators == half.audit.operators
        assert plain.size_bytes == half.size_bytes and plain.card == half.card
        assert "threshold" not in ModelCard(CELLS).to_json()

    def test_scores_carry_it_to_predict(self, tmp_path):
        images, _ = noisy()
        reference = runner_of("labels")
        words = {"card": reference.card, "threshold": [0.2, 0.8], "head": "logits"}
        export.export(reference.model, tmp_path / "m.onnx", **words)
        runner = inference.load(tmp_path / "m.onnx")
        assert runner.card.threshold == (0.2, 0.8)
        expected = reference.predict(images, threshold=(0.2, 0.8))
        np.testing.assert_array_equal(runner.predict(images), expected)
        halves = reference.predict(images, threshold=0.5)
        np.testing.assert_array_equal(runner.predict(images, threshold=0.5), halves)

    def test_a_card_is_replaced_and_the_network_stays(self, tmp_path):
        path = tmp_path / "m.keras"
        card = ModelCard(CELLS, network="unet")
        files.save(network(), path, card)
        before = files.load(path).get_weights()
        files.write_card(path, ModelCard(CELLS, network="unet", threshold=0.3))
        files.write_card(path, ModelCard(CELLS, network="unet", threshold=0.7))
        assert files.read_card(path).threshold == 0.7
        for ours, theirs in zip(before, files.load(path).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        images, _ = noisy()
        runner = inference.load(path)
        assert runner.card.threshold == 0.7
        probabilities = runner.predict(images, probabilities=True)[..., 1]
        np.testing.assert_array_equal(runner.predict(images), probabilities > np.float32(0.7))


class TestScoresPerClass:
    @pytest.mark.parametrize("kind", ["one logit", "labels"])
    def test_they_are_those_of_numpy(self, kind):
        images, masks = noisy(2 if kind == "labels" else 1)
        runner = runner_of(kind)
        data = ArrayDataset(
            images,
            masks if kind == "labels" else masks[..., 0],
            classes=runner.card.classes,
            multi_label=kind == "labels",
        )
        result = inference.evaluate(runner, data, threshold=0.4)
        predicted = runner.predict(images, threshold=0.4)
        name, channel = ("wall", 1) if kind == "labels" else ("cell", 0)
        positive = (predicted[..., channel] if kind == "labels" else predicted) == 1
        truth = masks[..., channel]
        known = truth != 255
        hits = ((truth == 1) & positive).sum()
        scores = result.per_class[name]
        assert scores["precision"] == hits / (positive & known).sum()
        assert scores["recall"] == hits / (truth == 1).sum()
        assert scores["dice"] == 2 * hits / ((positive & known).sum() + (truth == 1).sum())
        assert scores["pixels"] == (truth == 1).sum()
        assert scores["predicted"] == (positive & known).sum()
        assert scores["iou"] == result.per_class_iou[name]
        assert result.threshold == 0.4
        json.dumps(result.to_dict())


def test_write_threshold_needs_one(tmp_path, capsys):
    files.save(network(), tmp_path / "m.keras", ModelCard(CELLS))
    line = ["evaluate", str(tmp_path / "m.keras"), "--data", "builtin:cells"]
    assert cli.main([*line, "--write_threshold"]) == 2
    assert "needs --threshold or --search_threshold" in capsys.readouterr().err
    assert cli.main([*line, "--threshold", "0.3", "--search_threshold", "iou"]) == 2
    assert "contradicts threshold=0.3" in capsys.readouterr().err
    line[1] = str(tmp_path / "m.onnx")
    Path(line[1]).touch()
    assert cli.main([*line, "--threshold", "0.3", "--write_threshold"]) == 2
    assert "written into a .keras file" in capsys.readouterr().err
