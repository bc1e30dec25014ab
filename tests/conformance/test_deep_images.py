"""Images of 16 bits and of floating-point numbers, from training to the mask."""

import json

import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg import inference
from keras_seg.cli import main
from keras_seg.data import open_dataset
from keras_seg.data.reading.ranges import measured_range, range_of_window, stretched
from keras_seg.data.verify import verify_dataset

SHORT = (
    *("--epochs", "1", "--steps_per_epoch", "1", "--batch_size", "2", "--crop", "[32,32]"),
    *("--model", "unet", "--model_options.widths", "[4,8]", "--overlays", "0"),
)
KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
PLACE = [
    (33550, "d", 3, (0.5, 0.5, 0.0)),
    (33922, "d", 6, (0, 0, 0, 5e5, 52e5, 0)),
    (34735, "H", len(KEYS), KEYS),
]
SCALES, OFFSETS = np.array([16, 4, 120, 1]), np.array([300, 7, 1000, 20])
"""Bands of a satellite have different ranges."""


def bands_of(sample):
    """(H, W, 4) uint16 from an RGB image."""
    image = np.concatenate([sample.image, sample.image[..., :1]], -1)
    return (image * SCALES + OFFSETS).astype(np.uint16)


def make(root, convert, table=(), suffix="tif", **words):
    """A folder of six cells as .tif or .npy files, and the images."""
    cells = keras_seg.data.BuiltinDataset("cells", "train", length=6, size=(32, 32))
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    images = [convert(sample) for sample in cells]
    for i, (image, sample) in enumerate(zip(images, cells, strict=True)):
        path = root / "images" / f"{i}.{suffix}"
        if suffix == "npy":
            np.save(path, image)
        else:
            tifffile = pytest.importorskip("tifffile")
            tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig", **words)
        Image.fromarray(sample.mask.astype(np.uint8)).save(root / "masks" / f"{i}.png")
    content = {"names": list(cells.classes.names)} | dict(table)
    (root / "classes.json").write_text(json.dumps(content))
    return images


def test_a_16_bit_set_with_a_range_per_band(tmp_path, capsys):
    tifffile = pytest.importorskip("tifffile")

    def with_gap(sample):
        image = bands_of(sample)
        image[:6, :9] = 0
        return image

    data, run = tmp_path / "data", tmp_path / "run"
    tags = [*PLACE, (42113, "s", 0, "0")]
    images = make(data, with_gap, {"range": "auto"}, extratags=tags)
    words = ["--data", str(data), "--channels", "4", "--output", str(run)]
    assert main(["train", *words, *SHORT]) == 0
    told = capsys.readouterr().err
    assert "become 0 to 255 in the order of the bands (measured in the training images)" in told
    model = run / "model.keras"
    card = inference.load(model).card
    chosen = [open_dataset(str(data), split, channels=4) for split in ("train", "val")]
    assert chosen[0].value_range == chosen[1].value_range == card.value_range
    training = [images[int(pair.image.stem)].reshape(-1, 4) for pair in chosen[0].pairs]
    assert card.value_range == measured_range([each[(each > 0).all(-1)] for each in training])
    for low, high in np.array(card.value_range) * 1.0 - [[0, 0]]:
        assert low > 0 and high > low
    assert (chosen[0][0].mask[:6, :9] == 255).all() and not (chosen[0][0].mask[6:] == 255).any()
    for suffix in (".tflite", ".onnx"):
        assert main(["export", str(model), "--output", str(run / f"m{suffix}")]) == 0
    # the files know it by themselves
    (data / "classes.json").write_text(json.dumps({"names": ["background", "cell"]}))
    mapped = stretched(images[0], card.value_range)
    mapped[:6, :9] = 0
    for file in (model, run / "m.tflite", run / "m.onnx"):
        runner = inference.load(file)
        assert runner.card.value_range == card.value_range
        expected = runner.predict(mapped)
        expected[:6, :9] = 255
        np.testing.assert_array_equal(runner.predict(data / "images" / "0.tif"), expected)
        out = tmp_path / f"masks{file.suffix}"
        words = ["predict", str(file), str(data / "images" / "0.tif"), "--output", str(out)]
        assert main(words) == 0
        np.testing.assert_array_equal(np.asarray(Image.open(out / "0_mask.png")), expected)
        with tifffile.TiffFile(out / "0_mask.tif") as mask:
            np.testing.assert_array_equal(mask.asarray(), expected)
            assert mask.pages[0].tags[33922].value == (0, 0, 0, 5e5, 52e5, 0)
            assert mask.pages[0].tags[42113].value == "255"
        assert main(["evaluate", str(file), "--data", str(data)]) == 0


@pytest.mark.slow  # 16 bits take the same way
def test_a_float_set_with_stated_ranges_and_unknown_pixels(tmp_path, capsys):
    def reflectance(sample):
        image = sample.image / np.float32(255) * np.float32([0.3, 1, 2]) - np.float32([0, 0.5, 1])
        image[2:5, 3:9] = np.nan
        image[20:22] = -9999
        return image.astype(np.float32)

    data, run = tmp_path / "data", tmp_path / "run"
    images = make(data, reflectance)
    ranges = "[[0, 0.3], [-0.5, 0.5], [-1, 1]]"
    words = ["train", "--data", str(data), "--output", str(run), "--value_range", ranges, *SHORT]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert "0 to 0.3, -0.5 to 0.5, -1 to 1 become 0 to 255 in the order of the bands" in told
    assert "holds -9999.0 in 6.2% of the pixels, far from all other values" in told
    assert "--nodata -9999.0" in told
    again = [*words, "--nodata", "-9999", "--overwrite", "true"]
    assert main(again) == 0
    assert "-9999" not in capsys.readouterr().err
    card = inference.load(run / "model.keras").card
    assert card.nodata == -9999 and card.value_range == ((0, 0.3), (-0.5, 0.5), (-1, 1))
    assert main(["evaluate", str(run / "model.keras")]) == 0
    assert main(["export", str(run / "model.keras"), "--quantize", "int8"]) == 0
    (exported,) = run.glob("*int8*.tflite")
    gap = np.isnan(images[0]).any(-1) | (images[0] == -9999).all(-1)
    filled = stretched(np.where(gap[..., None], -9, images[0]), card.value_range)
    for file in (run / "model.keras", exported):
        runner = inference.load(file)
        assert runner.card.nodata == -9999
        expected = np.where(gap, 255, runner.predict(filled))
        np.testing.assert_array_equal(runner.predict(data / "images" / "0.tif"), expected)


@pytest.mark.slow  # the window itself is tested with the ranges of data
def test_a_dicom_window_is_a_range(tmp_path):
    def hounsfield(sample):
        return sample.image[..., 1].astype(np.int16) * 8 - 1024

    data, run = tmp_path / "data", tmp_path / "run"
    images = make(data, hounsfield, {"window": [40, 400]}, "npy")
    assert range_of_window((40, 400)) == (-160, 239)
    dataset = open_dataset(str(data), channels=1)
    number = int(dataset.pairs[0].image.stem)
    expected = ((images[number] + 160.0) * (255 / 399)).clip(0, 255).round()
    np.testing.assert_allclose(dataset[0].image[..., 0], expected, atol=1)
    words = ["--data", str(data), "--channels", "1", "--output", str(run), *SHORT]
    assert main(["train", *words]) == 0
    assert inference.load(run / "model.keras").card.value_range == (-160, 239)
    (data / "classes.json").write_text('{"names": ["background", "cell"]}')
    assert main(["train", *words, "--window", "[50, 101]", "--overwrite", "true"]) == 0
    assert inference.load(run / "model.keras").card.value_range == (-0.5, 99.5)


class TestRefusals:
    def test_ranges_that_contradict_each_other(self, tmp_path, capsys):
        make(tmp_path / "data", bands_of, {"range": [0, 9]})
        words = ["train", "--data", str(tmp_path / "data"), "--channels", "4", *SHORT]
        words += ["--output", str(tmp_path / "run")]
        assert main([*words, "--value_range", "[0, 7]"]) != 0
        assert "states the range 0 to 7, and" in capsys.readouterr().err
        assert main([*words, "--value_range", "[0, 7]", "--window", "[4, 5]"]) != 0
        assert "Keep one of them" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ({"range": [[0, 1], [3, 2]]}, "the smaller value first"),
            ({"range": "largest"}, "the smaller value first"),
            ({"window": [40]}, r"A window is \[centre, width\]"),
            ({"window": [40, 1]}, r"A window is \[centre, width\]"),
            ({"window": [40, 9], "range": [0, 1]}, "Keep one of them"),
            ({"nodata": "none"}, '"nodata" is a number'),
        ],
    )
    def test_entries_of_the_class_table(self, entry, message, tmp_path):
        make(tmp_path / "data", bands_of, entry)
        with pytest.raises(ValueError, match=rf"classes\.json is not a class table: .*{message}"):
            open_dataset(str(tmp_path / "data"), channels=4)


class TestUnknownNodata:
    """A value that seems to mean "no data" is told, with the line to write."""

    def told(self, root, channels=4):
        report = verify_dataset(str(root), channels=channels)
        return [each.message for each in report.warnings if each.kind == "no data"]

    @pytest.mark.parametrize("table", [{"range": "auto"}, {}], ids=["range", "no range yet"])
    def test_along_the_border(self, table, tmp_path):
        def turned(sample):
            image = bands_of(sample)
            image[np.add(*np.mgrid[:32, :32]) < 14] = 0
            return image

        make(tmp_path / "data", turned, table)
        first, *_ = self.told(tmp_path / "data")
        assert "holds 0 in 10.3% of the pixels, in a region along the border" in first
        assert '"nodata": 0 to classes.json' in first
        content = {"names": ["background", "cell"], "nodata": 0} | table
        (tmp_path / "data" / "classes.json").write_text(json.dumps(content))
        assert self.told(tmp_path / "data") == []

    def test_usual_images_are_not_suspected(self, tmp_path):
        make(tmp_path / "data", bands_of, {"range": "auto"})
        assert self.told(tmp_path / "data") == []
        make(tmp_path / "bright", lambda sample: np.maximum(sample.image, 250), suffix="npy")
        assert self.told(tmp_path / "bright", 3) == []
