"""From the folder to the int8 file and its masks: several labels per pixel, and one sigmoid."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from keras_seg import cli, data, inference, models
from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import overlay
from keras_seg.training import Recipe, train
from keras_seg.training.checks import check_with_data
from keras_seg.training.pictures import DrawOverlays
from tests.helpers.label_squares import LABELS, SIZE, draw, write_labels

pytestmark = pytest.mark.xdist_group("labels")

OPTIONS = {
    "model_options": {"widths": [8, 16]},
    "crop": (16, 16),
    "batch_size": 4,
    "epochs": 8,
    "steps_per_epoch": 4,
    "learning_rate": 0.02,
    "schedule": "constant",
    "overlays": 2,
}


def counts(truth, predicted):
    """IoU, precision and recall of a binary mask in plain NumPy."""
    hits = (truth & predicted).sum()
    return hits / (truth | predicted).sum(), hits / predicted.sum(), hits / truth.sum()


def run(*words):
    assert cli.main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A run on three labels that overlap, with weights counted from the data."""
    folder = tmp_path_factory.mktemp("labelled")
    root = write_labels(folder / "data", 10)
    recipe = Recipe(
        data=str(root),
        output=str(folder / "run"),
        loss=[{"name": "cross_entropy", "class_weights": "balanced"}, "dice"],
        balance=True,
        augmentation=data.Augmentation(rotation=10, cut_mix=0.2, mask_morphology=1),
        **OPTIONS,
    )
    return recipe, train(recipe)


@pytest.fixture(scope="module")
def one_channel(tmp_path_factory):
    """A run with one sigmoid for two classes."""
    folder = tmp_path_factory.mktemp("binary")
    root = write_labels(folder / "data", 10, multi_label=False)
    recipe = Recipe(data=str(root), output=str(folder / "run"), num_classes=1, **OPTIONS)
    return recipe, train(recipe)


class TestSeveralLabels:
    def test_training(self, labelled):
        recipe, result = labelled
        card = models.read_card(result.model_path)
        assert card.multi_label and card.classes.names == LABELS
        model = models.load(result.model_path)
        assert model.output.shape[-1] == 3
        weights = json.loads((result.model_path.parent / "class_weights.json").read_text())
        pixels = sum(s.mask.sum((0, 1)) for s in data.open_dataset(recipe.data, "train"))
        expected = pixels.sum() / (3 * pixels)
        found = list(weights[0]["class_weights"].values())
        np.testing.assert_allclose(found, expected, atol=1e-6)
        sheets = sorted((result.model_path.parent / "overlays").glob("*.png"))
        assert len(sheets) >= 1 and result.best_miou > 0.25

    @pytest.mark.usefixtures("without_tracing")
    def test_resumes(self, labelled):
        recipe, _ = labelled
        again = train(replace(recipe, epochs=9))
        assert again.new_steps == 4 and again.epochs == 9

    def test_from_the_file_to_the_masks(self, labelled, tmp_path):
        recipe, result = labelled
        model = tmp_path / "model.keras"
        model.write_bytes(result.model_path.read_bytes())
        (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
        run("evaluate", model, "--search_threshold", "iou", "--write_threshold")
        thresholds = models.read_card(model).threshold
        assert len(thresholds) == 3
        file = tmp_path / "m.tflite"
        words = ["--input_shape", f"[{SIZE[0]},{SIZE[1]}]", "--max_drop", "20"]
        run("export", model, "--output", file, "--quantize", "int8", "--input", "uint8", *words)
        run("evaluate", file, "--data", recipe.data, "--json_file", tmp_path / "e.json")
        runner = inference.load(file)
        assert runner.card.threshold == thresholds
        dataset = data.open_dataset(recipe.data, "val")
        probabilities = [runner.predict(s.image, probabilities=True) for s in dataset]
        predicted = np.stack([p > np.float32(thresholds) for p in probabilities])
        truth = np.stack([s.mask == 1 for s in dataset])
        record = json.loads((tmp_path / "e.json").read_text())
        for place, name in enumerate(LABELS):
            iou, precision, recall = counts(truth[..., place], predicted[..., place])
            scores = record["per_class"][name]
            assert scores["iou"] == pytest.approx(iou)
            assert scores["precision"] == pytest.approx(precision)
            assert scores["recall"] == pytest.approx(recall)
            assert scores["pixels"] == truth[..., place].sum()
        image = dataset[0].image
        Image.fromarray(image).save(tmp_path / "photo.png")
        run("predict", file, tmp_path / "photo.png", "--output", tmp_path / "out", "--overlay")
        for place, name in enumerate(LABELS):
            mask = np.asarray(Image.open(tmp_path / "out" / f"photo_{name}_mask.png"))
            np.testing.assert_array_equal(mask, predicted[0, ..., place])
        words = ["--threshold", "[0.2,0.9,0.5]", "--polygons", "geojson"]
        run("predict", file, tmp_path / "photo.png", "--output", tmp_path / "other", *words)
        other = probabilities[0] > np.float32([0.2, 0.9, 0.5])
        features = json.loads((tmp_path / "other" / "photo.geojson").read_text())["features"]
        for place, name in enumerate(LABELS):
            mask = np.asarray(Image.open(tmp_path / "other" / f"photo_{name}_mask.png"))
            np.testing.assert_array_equal(mask, other[..., place])
            areas = [f["properties"]["area"] for f in features if f["properties"]["name"] == name]
            assert sum(areas) == other[..., place].sum()
        shown = np.asarray(Image.open(tmp_path / "out" / "photo_overlay.png"))
        mask = predicted[0].astype(np.uint8)
        np.testing.assert_array_equal(shown, overlay(image, mask, runner.card.classes))

    @pytest.mark.slow  # export/test_export.py has tiles of one class per pixel
    def test_a_tile_of_calibration_images(self, labelled, tmp_path):
        """Images larger than the file: a window of each is cut out of image and labels."""
        _, result = labelled
        folder = result.model_path.parent
        run("export", result.model_path, "--quantize", "int8", "--input_shape", "[16,16]")
        record = json.loads((folder / "model_int8.tflite.json").read_text())
        assert record["calibration_images"] > 0

    def test_report_and_pictures(self, labelled):
        _, result = labelled
        run("report", result.model_path.parent)
        page = (result.model_path.parent / "report.html").read_text()
        assert "Scores of each label" in page and "Worst images" in page


class TestOneChannel:
    def test_training(self, one_channel):
        recipe, result = one_channel
        card = models.read_card(result.model_path)
        assert card.classes.names == ("background", "roof") and not card.multi_label
        model = models.load(result.model_path)
        assert model.output.shape[-1] == 1 and result.best_miou > 0.5
        runner = inference.load(result.model_path)
        score = inference.evaluate(runner, data.open_dataset(recipe.data, "val")).miou
        assert score == pytest.approx(result.best_miou, abs=0.02)

    def test_from_the_file_to_the_masks(self, one_channel, tmp_path):
        recipe, result = one_channel
        file = tmp_path / "m.tflite"
        words = ["--input_shape", f"[{SIZE[0]},{SIZE[1]}]", "--max_drop", "20"]
        words += ["--quantize", "int8", "--input", "uint8", "--head", "argmax"]
        run("export", result.model_path, "--output", file, "--threshold", "0.7", *words)
        run("evaluate", file, "--data", recipe.data, "--json_file", tmp_path / "e.json")
        runner, dataset = inference.load(file), data.open_dataset(recipe.data, "val")
        assert runner.card.threshold == 0.7
        own = inference.load(result.model_path)
        probabilities = [own.predict(s.image, probabilities=True)[..., 1] for s in dataset]
        same = [
            (runner.predict(s.image) == (p > np.float32(0.7))).mean()
            for s, p in zip(dataset, probabilities, strict=True)
        ]
        assert np.mean(same) > 0.97
        truth = np.stack([s.mask == 1 for s in dataset])
        predicted = np.stack([runner.predict(s.image) == 1 for s in dataset])
        iou, precision, recall = counts(truth, predicted)
        scores = json.loads((tmp_path / "e.json").read_text())["per_class"]["roof"]
        assert (scores["iou"], scores["precision"], scores["recall"]) == (
            pytest.approx(iou),
            pytest.approx(precision),
            pytest.approx(recall),
        )
        Image.fromarray(dataset[0].image).save(tmp_path / "photo.png")
        run("predict", file, tmp_path / "photo.png", "--output", tmp_path / "out")
        mask = np.asarray(Image.open(tmp_path / "out" / "photo_mask.png"))
        np.testing.assert_array_equal(mask, predicted[0])

    @pytest.mark.usefixtures("without_tracing")
    def test_a_network_that_ends_in_a_sigmoid(self, one_channel, tmp_path):
        recipe, _ = one_channel
        recipe = replace(
            recipe,
            output=str(tmp_path),
            model_options={"widths": [8, 16], "activation": "sigmoid"},
            loss=[{"name": "dice", "from_logits": False}],
            epochs=1,
        )
        result = train(recipe)
        card = models.read_card(result.model_path)
        assert card.head == "probabilities"
        score = inference.evaluate(result.model_path, data.open_dataset(recipe.data, "val")).miou
        assert score == pytest.approx(result.best_miou, abs=0.02)


class Half:
    classes, multi_label = ClassTable(("background", "roof")), False
    channels, split, name = 3, "val", "half"

    def __len__(self):
        return 1

    def __getitem__(self, index):
        image, labels = draw(0)
        return data.Sample("0", image, labels[..., 0].astype(np.int32))


@pytest.mark.parametrize("last", [None, "sigmoid"])
def test_pictures_cut_probabilities_at_a_half(tmp_path, last):
    image = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(1, 1, activation=last)
    model = keras.Model(image, layer(keras.layers.Rescaling(1 / 255)(image)))
    layer.set_weights([np.array([8.0, 0, 0]).reshape(1, 1, 3, 1), np.array([-4.0])])
    callback = DrawOverlays(tmp_path, Half(), 1, model, None)
    pixels = draw(0)[0]
    np.testing.assert_array_equal(callback._predict(pixels), pixels[..., 0] > 127)


class TestContradictions:
    LABELLED = ClassTable.of_labels(LABELS)

    def check(self, words, multi_label=True, classes=LABELLED, **entries):
        recipe = Recipe(data="d", output="o", **entries)
        with pytest.raises(ValueError, match=words):
            check_with_data(recipe, classes, multi_label=multi_label)

    def test_losses(self):
        self.check("'lovasz_softmax' contradicts.*'lovasz_hinge'", loss="lovasz_softmax")
        loss = {"name": "dice", "multi_label": False}
        self.check("multi_label=False.*contradicts the data, in which a pixel may", loss=loss)
        loss = {"name": "dice", "multi_label": True}
        self.check("multi_label=True.*one class per pixel", multi_label=False, loss=loss)

    def test_class_weights_are_one_per_label(self):
        loss = {"name": "focal", "class_weights": [1, 2]}
        self.check("has 2 numbers.*Give 3 numbers", loss=loss)
        one = ClassTable.of_labels(["roof"])
        recipe = Recipe(data="d", output="o", loss={"name": "focal", "class_weights": [2.0]})
        check_with_data(recipe, one, multi_label=True)

    def test_softmax(self):
        options = {"activation": "softmax"}
        self.check("activation='softmax' contradicts the data", model_options=options)

    def test_one_channel_is_for_two_classes(self):
        self.check("num_classes=1 contradicts the data", num_classes=1)
        two = ClassTable(("background", "roof"))
        check_with_data(Recipe(data="d", output="o", num_classes=1), two)
        three = ClassTable(("a", "b", "c"))
        self.check("num_classes=1", multi_label=False, classes=three, num_classes=1)
