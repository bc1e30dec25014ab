"""Multi-label networks, and thresholds other than 0.5, from file to file."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers as kl
from PIL import Image

from keras_seg import cli, export, inference, models
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.mask_colors import overlay
from keras_seg.data.reading.rows import ArrayRows
from keras_seg.export.aware.soft_labels import soft_labels
from keras_seg.inference.bands import predict_in_bands
from keras_seg.inference.files.label_masks import mask_endings
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.predict import predict_files
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.inference.scores import class_map
from keras_seg.report.page import write_report
from keras_seg.web.describe import describe

pytestmark = [
    pytest.mark.xdist_group("multi-label"),  # one worker, so that fixtures are made once
    pytest.mark.filterwarnings("error:.*sigmoid of several channels"),
]

SIZE = (32, 48)
SHAPE = (*SIZE, 3)
FORMATS = (".keras", ".tflite", ".onnx")
LABELS = ClassTable(("roof", "left wall", "a/b_c"), ((250, 0, 0), (0, 250, 0), (0, 0, 250)))
KERNEL = np.array([[8.01, 0, -4], [0, 8.02, -4], [0, 0.5, 3.3]], "float32")
BIAS = np.array([-4, -4, 2], "float32")
BINARY = np.array([[8.01], [0], [0]], "float32")


def network(last=None, kernel=KERNEL, bias=BIAS):
    image = keras.Input(SHAPE)
    layer = kl.Conv2D(len(bias), 1, activation=last)
    model = keras.Model(image, layer(kl.Rescaling(1 / 255)(image)))
    layer.set_weights([kernel[None, None], bias])
    return model


def two_classes(last=None):
    """The same probabilities by one channel, or by two."""
    kernel = BINARY if last != "softmax" else np.concatenate([-BINARY / 2, BINARY / 2], 1)
    bias = np.array([-4.0]) if last != "softmax" else np.array([2.0, -2.0])
    return network(last, kernel, bias)


def sigmoid(image, kernel=KERNEL, bias=BIAS):
    return 1 / (1 + np.exp(-((image / 255.0) @ kernel + bias)))


def picture(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), "uint8")


def card(**words):
    return ModelCard(LABELS, multi_label=True, **words)


class Truth(SegmentationDataset):
    """What the network says, but for a square of the second label, and an unknown corner."""

    channels, name, split, classes, multi_label = 3, "truth", "val", LABELS, True

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(index)
        image = picture(index)
        mask = (sigmoid(image) > 0.5).astype(np.uint8)
        mask[:16, :24, 1] = 1 - mask[:16, :24, 1]
        mask[:4, :4, 2] = 255
        return Sample(str(index), image, mask)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(suffix, words of export) → a multi-label file, made once."""
    folder, made = tmp_path_factory.mktemp("labels"), {}

    def file(suffix, **words):
        key = (suffix, *sorted(words.items()))
        if key not in made:
            path = folder / f"{len(made)}{suffix}"
            if suffix == ".keras":
                models.save(network(), path, card())
            else:
                data = Truth()
                export.export(
                    file(".keras"), path, calibration=data, evaluation=data, max_drop=3, **words
                )
            made[key] = path
        return made[key]

    return file


class TestMultiLabelRunner:
    @pytest.mark.parametrize("suffix", FORMATS)
    @pytest.mark.parametrize("head", ["logits", "probabilities"])
    def test_each_label_is_cut_by_itself(self, files, suffix, head):
        words = {} if suffix == ".keras" else {"head": head}
        runner, image = inference.load(files(suffix, **words)), picture(3)
        assert runner.card.multi_label
        assert (runner.num_classes, runner.card.classes) == (3, LABELS)
        mask = runner.predict(image)
        assert (mask.shape, mask.dtype) == ((*SIZE, 3), np.uint8)
        np.testing.assert_array_equal(mask, sigmoid(image) > 0.5)
        found = runner.predict(image, probabilities=True)
        np.testing.assert_allclose(found, sigmoid(image), atol=1e-5)
        mask = runner.predict(image, threshold=0.8)
        np.testing.assert_array_equal(mask, sigmoid(image) > 0.8)

    @pytest.mark.parametrize("words", [{}, {"input": "uint8"}, {"head": "probabilities"}], ids=str)
    def test_integer_files(self, files, words):
        runner, image = inference.load(files(".tflite", quantize="int8", **words)), picture(3)
        found = runner.predict(image, probabilities=True)
        np.testing.assert_allclose(found, sigmoid(image), atol=0.05)
        assert (runner.predict(image) == (sigmoid(image) > 0.5)).mean() > 0.97

    @pytest.mark.parametrize("quantize", ["fp16", "dynamic", "mixed", "int16x8"])
    def test_other_precisions(self, files, quantize):
        runner, image = inference.load(files(".tflite", quantize=quantize)), picture(3)
        assert (runner.predict(image) == (sigmoid(image) > 0.5)).mean() > 0.97

    def test_integer_onnx(self, files):
        runner, image = inference.load(files(".onnx", quantize="int8")), picture(3)
        assert (runner.predict(image) == (sigmoid(image) > 0.5)).mean() > 0.97

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_tiles_flips_and_bands(self, files, suffix):
        runner, image = inference.load(files(suffix)), picture(4, (50, 70))
        expected = sigmoid(image)
        words = {"sizing": "tile", "tta": inference.TestTimeAugmentation("both")}
        found = runner.predict(image, probabilities=True, **words)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        mask = runner.predict(image, threshold=0.3, **words)
        np.testing.assert_array_equal(mask, expected > 0.3)
        bands = list(predict_in_bands(runner, ArrayRows(image), sizing="tile", threshold=0.3))
        mask = np.concatenate([band.mask for band in bands])
        np.testing.assert_array_equal(mask, expected > 0.3)

    def test_lists_and_batches(self, files):
        runner = inference.load(files(".keras"))
        images = np.stack([picture(1), picture(2)])
        assert runner.predict(images).shape == (2, *SIZE, 3)
        assert [mask.shape for mask in runner.predict(list(images))] == 2 * [(*SIZE, 3)]
        assert runner.predict(images[:0]).shape == (0, *SIZE, 3)

    def test_foreign_sigmoids_by_one_word(self):
        image = picture(1)
        runner = KerasRunner(network("sigmoid"), multi_label=True)
        assert runner.card.classes.names == ("label 0", "label 1", "label 2")
        np.testing.assert_array_equal(runner.predict(image), sigmoid(image) > 0.5)
        runner = KerasRunner(network("sigmoid"), multi_label=False)
        np.testing.assert_array_equal(runner.predict(image), sigmoid(image).argmax(-1))
        found = runner.predict(image, probabilities=True)
        np.testing.assert_allclose(found, sigmoid(image), atol=1e-5)  # not made to have the sum 1

    def test_one_label(self):
        image = picture(1)
        runner = KerasRunner(two_classes(), multi_label=True)
        mask = runner.predict(image)
        assert mask.shape == (*SIZE, 1)
        np.testing.assert_array_equal(mask, sigmoid(image, BINARY, [-4]) > 0.5)

    def test_soft_labels(self):
        image = picture(1)
        labels = soft_labels(network(), multi_label=True)(image[None])[1]
        np.testing.assert_allclose(labels[0], sigmoid(image), atol=1e-5)


class TestMultiLabelEvaluation:
    @pytest.mark.parametrize("suffix", FORMATS)
    def test_iou_of_each_label(self, files, suffix):
        data = Truth()
        result = inference.evaluate(inference.load(files(suffix)), data)
        hits, unions, right, known = np.zeros(3), np.zeros(3), 0, 0
        for sample in data:
            mask, seen = sigmoid(sample.image) > 0.5, sample.mask != 255
            hits += (mask & (sample.mask == 1)).sum((0, 1))
            unions += ((mask | (sample.mask == 1)) & seen).sum((0, 1))
            right += ((mask == sample.mask) & seen).sum()
            known += seen.sum()
        expected = dict(zip(LABELS.names, hits / unions, strict=True))
        assert result.per_class_iou == pytest.approx(expected)
        assert 0.5 < result.per_class_iou["left wall"] < 0.99
        assert result.miou == pytest.approx(np.mean(hits / unions))
        assert result.pixel_accuracy == pytest.approx(right / known)
        assert result.confusion.shape == (3, 2, 2)
        json.dumps(result.to_dict())

    def test_absent_label_does_not_count(self, files):
        class Without(Truth):
            def __getitem__(self, index):
                sample = super().__getitem__(index)
                sample.mask[..., 0] = 255
                return sample

        result = inference.evaluate(inference.load(files(".keras")), Without())
        assert result.per_class_iou["roof"] is None
        others = [value for value in result.per_class_iou.values() if value is not None]
        assert result.miou == pytest.approx(np.mean(others))

    def test_threshold(self, files):
        runner = inference.load(files(".keras"))
        strict, usual = (
            inference.evaluate(runner, Truth(), threshold=t).confusion for t in (0.9, 0.5)
        )
        assert (strict[:, :, 1].sum(1) < usual[:, :, 1].sum(1)).all()

    def test_arrays(self, files):
        samples = list(Truth())
        images, masks = (
            np.stack([getattr(s, part) for s in samples]) for part in ("image", "mask")
        )
        runner = inference.load(files(".keras"))
        found = inference.evaluate(runner, (images, masks))
        assert found.per_class_iou == inference.evaluate(runner, Truth()).per_class_iou

    def test_data_of_another_kind_are_refused(self, files):
        class Exclusive(Truth):
            multi_label = False

        runner = inference.load(files(".keras"))
        with pytest.raises(ValueError, match="predicts labels of which a pixel may have several"):
            inference.evaluate(runner, Exclusive())
        other = KerasRunner(network(), ModelCard(LABELS))
        with pytest.raises(ValueError, match=r"predicts one class per pixel.*multi_label=True"):
            inference.evaluate(other, Truth())

    def test_other_values_are_refused(self, files):
        class Wrong(Truth):
            def __getitem__(self, index):
                sample = super().__getitem__(index)
                return sample._replace(mask=sample.mask * 3)

        with pytest.raises(ValueError, match="of 0 and 1, or 255 for unknown"):
            inference.evaluate(inference.load(files(".keras")), Wrong())


class TestMultiLabelExport:
    def test_gate_counts_every_label(self, tmp_path):
        report = export.export(
            network(), tmp_path / "m.tflite", card=card(), evaluation=Truth(), head="logits"
        )
        assert report.gate.agreement == 1
        assert report.gate.comparison.evaluations["keras"].confusion.shape == (3, 2, 2)

    @pytest.mark.parametrize("head", ["argmax", "fused_argmax"])
    def test_class_maps_are_refused(self, tmp_path, head):
        with pytest.raises(export.ExportError, match="whose pixels may have several labels"):
            export.export(network(), tmp_path / "m.tflite", card=card(), head=head)

    def test_foreign_model_by_one_word(self, tmp_path):
        path = tmp_path / "m.tflite"
        export.export(network("sigmoid"), path, multi_label=True)
        runner, image = inference.load(path), picture(2)
        assert (runner.card.multi_label, runner.card.head) == (True, "probabilities")
        np.testing.assert_array_equal(runner.predict(image), sigmoid(image) > 0.5)

    @pytest.mark.parametrize("head", ["logits", "probabilities"])
    def test_mediapipe_shows_each_label(self, files, head):
        mediapipe = pytest.importorskip("mediapipe")
        from mediapipe.tasks import python as tasks

        image = picture(3)
        options = tasks.vision.ImageSegmenterOptions(
            tasks.BaseOptions(model_asset_path=str(files(".tflite", head=head))),
            output_confidence_masks=True,
        )
        with tasks.vision.ImageSegmenter.create_from_options(options) as segmenter:
            result = segmenter.segment(mediapipe.Image(mediapipe.ImageFormat.SRGB, image))
            masks = [mask.numpy_view().squeeze().copy() for mask in result.confidence_masks]
            assert list(segmenter.labels) == ["roof", "left wall", "a/b_c"]
        np.testing.assert_allclose(np.stack(masks, -1), sigmoid(image), atol=1e-4)

    def test_page_and_report_show_every_label(self, files, tmp_path):
        facts = describe(files(".tflite"))
        assert facts["multi_label"] and facts["threshold"] == 0.5
        assert facts["file_names"] == ["roof", "left-wall", "a-b-c"]
        runner, truth = inference.load(files(".keras")), Truth()
        write_report(tmp_path, tmp_path / "r.html", runner, truth)
        page = (tmp_path / "r.html").read_text()
        assert "<th>label</th>" in page and "Confusion" not in page
        predicted = np.stack([runner.predict(sample.image) for sample in truth])
        masks = np.stack([sample.mask for sample in truth])
        known = masks[..., 1] != 255
        hits = ((masks[..., 1] == 1) & (predicted[..., 1] == 1)).sum()
        recall = 100 * hits / (masks[..., 1] == 1).sum()
        precision = 100 * hits / (predicted[..., 1][known] == 1).sum()
        row = page.partition("left wall</th>")[2].partition("</tr>")[0]
        assert f"{precision:.1f} %" in row and f"{recall:.1f} %" in row

    def test_proposals_are_refused(self, files):
        with pytest.raises(ValueError, match="whose classes exclude each other"):
            inference.predict_by_proposals(inference.load(files(".keras")), picture())


class TestMultiLabelFiles:
    ENDINGS = ("_roof_mask.png", "_left-wall_mask.png", "_a-b-c_mask.png")

    def test_names_are_safe_and_different(self):
        table = ClassTable(("a b", "a_b", "A/B", "..", "x" * 90, "日本"))
        names = [ending[1:-9] for ending in mask_endings(table, True)]
        assert names == ["a-b", "a-b-2", "A-B-3", "label", "x" * 60, "日本"]
        assert mask_endings(table, False) == ["_mask.png"]

    def test_one_mask_for_each_label(self, files, tmp_path):
        image = picture(3)
        Image.fromarray(image).save(tmp_path / "photo.png")
        runner, out = inference.load(files(".tflite")), tmp_path / "out"
        outputs = OutputOptions(overlay=True, probabilities=True, polygons="geojson")
        result = predict_files(runner, [tmp_path / "photo.png"], out, outputs=outputs)
        assert (result.done, result.failed) == (1, [])
        expected = sigmoid(image) > 0.5
        for channel, ending in enumerate(self.ENDINGS):
            picture_file = Image.open(out / f"photo{ending}")
            assert picture_file.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture_file), expected[..., channel])
            assert picture_file.getpalette()[:6] == [0, 0, 0, *LABELS.colors[channel]]
        assert not (out / "photo_mask.png").exists()
        saved = np.load(out / "photo_probabilities.npz")["probabilities"]
        np.testing.assert_allclose(saved, sigmoid(image), atol=1e-3)
        shown = np.asarray(Image.open(out / "photo_overlay.png"))
        np.testing.assert_array_equal(shown, overlay(image, expected.astype("uint8"), LABELS))
        features = json.loads((out / "photo.geojson").read_text())["features"]
        areas = dict.fromkeys(LABELS.names, 0)
        for feature in features:
            areas[feature["properties"]["name"]] += feature["properties"]["area"]
        assert list(areas.values()) == expected.sum((0, 1)).tolist()

    def test_coco(self, files, tmp_path):
        image = picture(3)
        Image.fromarray(image).save(tmp_path / "photo.png")
        runner, out = inference.load(files(".tflite")), tmp_path / "out"
        predict_files(runner, [tmp_path / "photo.png"], out, outputs=OutputOptions(polygons="coco"))
        record = json.loads((out / "coco.json").read_text())
        assert len(record["images"]) == 1
        areas = np.zeros(3, int)
        for annotation in record["annotations"]:
            areas[annotation["category_id"]] += annotation["area"]
        np.testing.assert_array_equal(areas, (sigmoid(image) > 0.5).sum((0, 1)))

    def test_masks_are_no_images_of_the_next_run(self, files, tmp_path):
        Image.fromarray(picture(3)).save(tmp_path / "photo.png")
        runner = inference.load(files(".tflite"))
        for skipped in (0, 1):
            result = predict_files(runner, [tmp_path], tmp_path)
            assert (result.done, result.skipped) == (1 - skipped, skipped)

    def test_colours_are_the_mean_of_the_labels(self):
        image = np.full((1, 3, 3), 100, np.uint8)
        mask = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0]]], np.uint8)
        shown = overlay(image, mask, LABELS, outline=0)[0].tolist()
        assert shown == [[100, 100, 100], [175, 50, 50], [112, 112, 50]]

    def test_videos(self, files, tmp_path):
        cv2 = pytest.importorskip("cv2")
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(tmp_path / "film.mp4"), code, 5, SIZE[::-1])
        for _ in range(2):
            writer.write(np.full(SHAPE, 90, np.uint8))
        writer.release()
        out = tmp_path / "out"
        predict_files(
            inference.load(files(".tflite")),
            [tmp_path / "film.mp4"],
            out,
            outputs=OutputOptions(overlay=True, polygons="coco"),
        )
        assert (out / "film_overlay.mp4").exists()
        for ending in self.ENDINGS:
            assert np.asarray(Image.open(out / "film" / f"000002{ending}")).shape == SIZE
        assert len(json.loads((out / "coco.json").read_text())["images"]) == 2


class TestThreshold:
    @pytest.mark.parametrize("last", [None, "sigmoid", "softmax"])
    def test_of_two_classes(self, last):
        runner, image = KerasRunner(two_classes(last)), picture(1)
        probability = sigmoid(image, BINARY, [-4])[..., 0]
        for threshold in (0.1, 0.5, 0.8):
            for words in ({}, {"tta": inference.TestTimeAugmentation("both")}):
                mask = runner.predict(image, threshold=threshold, **words)
                np.testing.assert_array_equal(mask, probability > threshold)
            mask = inference.predict(runner, image, threshold=threshold)
            np.testing.assert_array_equal(mask, probability > threshold)

    def test_of_two_logits(self):
        kernel = np.concatenate([-BINARY / 2, BINARY / 2], 1)
        runner, image = KerasRunner(network(None, kernel, np.array([2.0, -2.0]))), picture(1)
        probability = sigmoid(image, BINARY, [-4])[..., 0]
        mask = runner.predict(image, threshold=0.3)
        np.testing.assert_array_equal(mask, probability > 0.3)

    @pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
    def test_of_exported_files(self, tmp_path, suffix):
        export.export(two_classes(), tmp_path / f"m{suffix}", head="logits")
        runner, image = inference.load(tmp_path / f"m{suffix}"), picture(2)
        probability = sigmoid(image, BINARY, [-4])[..., 0]
        mask = runner.predict(image, threshold=0.2)
        np.testing.assert_array_equal(mask, probability > 0.2)

    @pytest.mark.parametrize("threshold", [0, 1, -0.1, 30, float("nan")])
    def test_must_be_a_probability(self, threshold):
        with pytest.raises(ValueError, match="threshold is a probability between 0 and 1"):
            KerasRunner(two_classes()).predict(picture(), threshold=threshold)

    def test_is_refused_for_more_classes(self):
        with pytest.raises(ValueError, match="has 3 mutually exclusive classes"):
            KerasRunner(network()).predict(picture(), threshold=0.3)

    def test_is_refused_for_files_of_classes(self):
        runner = KerasRunner(two_classes(), head="argmax")
        with pytest.raises(ValueError, match="were decided at the threshold 0.5"):
            runner.predict(picture(), threshold=0.3)

    def test_is_refused_for_two_sigmoids(self):
        model = network("sigmoid", KERNEL[:, :2], BIAS[:2])
        runner = KerasRunner(model, multi_label=False)
        with pytest.raises(ValueError, match="whose two channels add up to as much as 1"):
            runner.predict(picture(), threshold=0.3)

    def test_scores_at_the_limit(self):
        scores = np.array([[[0.0], [np.log(0.25)], [2.0]]], np.float32)
        assert class_map(scores, "logits").tolist() == [[0, 0, 1]]
        assert class_map(scores, "logits", threshold=0.1).tolist() == [[1, 1, 1]]
        assert class_map(scores, "logits", threshold=0.6).tolist() == [[0, 0, 1]]


class TestCommandLine:
    @pytest.fixture
    def place(self, tmp_path):
        """m.keras of another's model with a sigmoid, photo.png."""
        two_classes("sigmoid").save(tmp_path / "m.keras")
        Image.fromarray(picture(1)).save(tmp_path / "photo.png")
        return tmp_path

    def predicted(self, place, *words, model="m.keras"):
        line = ["predict", str(place / model), str(place / "photo.png"), "--output"]
        assert cli.main([*line, str(place / "out"), *words]) == 0
        return np.asarray(Image.open(place / "out" / "photo_mask.png"))

    def test_threshold_is_part_of_what_masks_depend_on(self, place):
        probability = sigmoid(picture(1), BINARY, [-4])[..., 0]
        for threshold in (0.5, 0.3, 0.9):
            mask = self.predicted(place, "--threshold", str(threshold))
            np.testing.assert_array_equal(mask, probability > threshold)
        both = self.predicted(place, "--threshold", "0.3", "--probabilities")
        np.testing.assert_array_equal(both, probability > 0.3)

    def test_masks_of_a_version_that_took_probabilities_for_logits_are_made_anew(self, place):
        expected = self.predicted(place)
        log = place / "out" / "predictions.jsonl"
        record = json.loads(log.read_text())
        del record["settings"]["head"]
        log.write_text(json.dumps(record) + "\n")
        Image.fromarray(np.ones(SIZE, np.uint8)).save(place / "out" / "photo_mask.png")
        np.testing.assert_array_equal(self.predicted(place), expected)

    def test_scores_are_asked_for(self, place, capsys):
        image = keras.Input(SHAPE)
        keras.Model(image, 1 - two_classes("sigmoid")(image)).save(place / "odd.keras")
        line = ["predict", str(place / "odd.keras"), str(place / "photo.png")]
        assert cli.main([*line, "--output", str(place / "out")]) == 2
        assert "--scores probabilities or logits" in capsys.readouterr().err
        mask = self.predicted(place, "--scores", "probabilities", model="odd.keras")
        probability = 1 - sigmoid(picture(1), BINARY, [-4])[..., 0]
        np.testing.assert_array_equal(mask, probability > 0.5)
        assert cli.main(["export", str(place / "odd.keras"), "--scores", "probabilities"]) == 0
        assert inference.load(place / "odd.tflite").card.head == "probabilities"

    def test_several_sigmoids_are_told_in_one_line(self, place, capsys):
        network("sigmoid").save(place / "several.keras")
        with pytest.warns(UserWarning):  # pytest collects what would be on the terminal
            self.predicted(place, model="several.keras")
        line = ["predict", str(place / "several.keras"), str(place / "photo.png")]
        words = ["--multi_label", "true", "--output", str(place / "labels")]
        assert cli.main([*line, *words]) == 0
        names = sorted(path.name for path in (place / "labels").glob("*.png"))
        assert names == [f"photo_label-{i}_mask.png" for i in range(3)]

    def test_evaluate_takes_the_words(self, place):
        folder = place / "data"
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
        mask = sigmoid(picture(1), BINARY, [-4])[..., 0] > 0.3
        Image.fromarray(picture(1)).save(folder / "images" / "a.png")
        Image.fromarray(mask.astype(np.uint8)).save(folder / "masks" / "a.png")
        (folder / "classes.json").write_text('{"names": ["a", "b"]}')
        (folder / "splits.json").write_text('{"train": ["a"], "val": ["a"]}')
        found = {}
        for threshold in ("0.3", "0.5"):
            words = ["--threshold", threshold, "--json_file", str(place / "found.json")]
            assert (
                cli.main(["evaluate", str(place / "m.keras"), "--data", str(folder), *words]) == 0
            )
            found[threshold] = json.loads((place / "found.json").read_text())["miou"]
        assert found["0.3"] == 1
        assert found["0.5"] < 0.95


def test_labels_of_left_and_right_are_exchanged_in_a_mirror():
    table = ClassTable(("left eye", "right eye"))
    model = network("sigmoid", KERNEL[:, :2], BIAS[:2])
    runner = KerasRunner(model, replace(card(), classes=table))
    image = picture(6)
    plain, mirrored = sigmoid(image)[..., :2], sigmoid(image)[..., 1::-1]
    found = runner.predict(image, probabilities=True, tta=inference.TestTimeAugmentation())
    np.testing.assert_allclose(found, (plain + mirrored) / 2, atol=1e-5)
