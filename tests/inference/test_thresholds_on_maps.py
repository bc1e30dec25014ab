"""Thresholds on maps: 16-bit GeoTIFF with a range per band and pixels without data."""

import csv
import json
import re
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from keras_seg import data, export, inference, models
from keras_seg.cli import main
from keras_seg.data.as_dataset import as_dataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import overlay
from keras_seg.data.verify import verify_dataset
from keras_seg.training import Recipe
from keras_seg.training.data_sets import open_data
from keras_seg.training.pictures import DrawOverlays
from keras_seg.web import site

tifffile = pytest.importorskip("tifffile")

KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
PLACE = [
    (33550, "d", 3, (0.5, 0.5, 0.0)),
    (33922, "d", 6, (0, 0, 0, 5e5, 52e5, 0)),
    (34735, "H", len(KEYS), KEYS),
]
RANGE = ((100.0, 1120.0), (1000.0, 52000.0), (10.0, 520.0), (20.0, 4100.0))
GAP = (slice(0, 8), slice(0, 12))
NODATA = 7
CELLS = ClassTable(("background", "cell"))
LABELS = ClassTable.of_labels(("roof", "panel"))


def drawn(index):
    """Scores 0..255 (32, 48, 4) and the truth (32, 48, 2): squares with soft surroundings."""
    random = np.random.default_rng(index)
    values = random.integers(0, 90, (32, 48, 4))
    truth = np.zeros((32, 48, 2), np.uint8)
    for label in range(2):
        top, left = random.integers(9, 18), random.integers(1, 34)
        truth[top : top + 10, left : left + 10, label] = 1
        values[top - 1 : top + 11, left - 1 : left + 11, label] += 60
        values[top : top + 10, left : left + 10, label] += 60
    return values, truth


def stored(values):
    """The values as uint16 in the range of each band, without data in the gap."""
    low, high = np.array(RANGE).T
    pixels = np.rint(low + values / 255 * (high - low)).astype(np.uint16)
    pixels[GAP] = NODATA
    return pixels


def write(root, multi_label, *, place=(), table=()):
    """A folder of six images of four bands; returns the paths of the images."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(6):
        values, truth = drawn(index)
        path = root / "images" / f"{index}.tif"
        words = {"photometric": "minisblack", "planarconfig": "contig", "extratags": place}
        tifffile.imwrite(path, stored(values), **words)
        truth[GAP] = 1  # the gap looks like an object to whoever forgets it
        if multi_label:
            np.save(root / "masks" / f"{index}.npy", truth)
        else:
            Image.fromarray(truth[..., 0]).save(root / "masks" / f"{index}.png")
    names = LABELS.names if multi_label else CELLS.names
    content = {"names": names, "multi_label": multi_label} | dict(table)
    (root / "classes.json").write_text(json.dumps(content))
    return sorted((root / "images").iterdir())


def save(path, multi_label, threshold=None):
    """A network whose logits are (band - 128) / 32, and its file."""
    outputs = 2 if multi_label else 1
    image = keras.Input((None, None, 4))
    layer = keras.layers.Conv2D(outputs, 1)
    model = keras.Model(image, layer(image))
    layer.set_weights([np.eye(4, outputs).reshape(1, 1, 4, outputs) / 32, np.full(outputs, -4.0)])
    classes = LABELS if multi_label else CELLS
    card = models.ModelCard(classes, value_range=RANGE, nodata=NODATA, multi_label=multi_label)
    models.save(model, path, replace(card, threshold=threshold))
    return model


def expected(index, limits, labels=1):
    """The mask by plain NumPy: 255 in the gap."""
    values = drawn(index)[0][..., :labels]
    chance = 1 / (1 + np.exp(-(values - 128) / 32))
    mask = (chance > limits).astype(np.uint8)
    mask[GAP] = 255
    return mask if labels > 1 else mask[..., 0]


@pytest.fixture(scope="module", params=[False, True], ids=["one channel", "labels"])
def maps(request, tmp_path_factory):
    """(folder, whether pixels have labels, images): data, and a file of the network."""
    folder = tmp_path_factory.mktemp("maps")
    table = {"range": RANGE, "nodata": NODATA}
    images = write(folder / "data", request.param, place=PLACE, table=table)
    save(folder / "model.keras", request.param)
    return folder, request.param, images


def run(*words):
    assert main([str(word) for word in words]) == 0


def test_from_the_search_to_the_masks_of_exported_files(maps, tmp_path):
    folder, multi_label, images = maps
    model, root = tmp_path / "model.keras", folder / "data"
    model.write_bytes((folder / "model.keras").read_bytes())
    search = ["--search_threshold", "iou", "--write_threshold"]
    run("evaluate", model, "--data", root, "--split", "train", *search)
    threshold = models.read_card(model).threshold
    limits = np.float32(threshold)
    assert (limits != 0.5).all() and limits.size == (2 if multi_label else 1)
    files = [model]
    exports = [("onnx", "probabilities", [])]
    exports.append(("tflite", "logits", ["--quantize", "int8", "--input", "uint8"]))
    if not multi_label:
        exports.append(("tflite", "argmax", []))
    for number, (kind, head, more) in enumerate(exports):
        files.append(tmp_path / f"{number}.{kind}")
        words = ["--output", files[-1], "--head", head, "--input_shape", "[32,48]", *more]
        run("export", model, "--data", root, *words)
    labels = 2 if multi_label else 1
    for file in files:
        card = inference.load(file).card
        assert (card.threshold, card.value_range, card.nodata) == (threshold, RANGE, NODATA)
        mask = inference.predict(file, images[0])
        right = (mask == expected(0, limits, labels)).mean()
        assert right == 1 if ".keras" in file.name else right > 0.98
        unknown = (mask == 255) if mask.ndim == 2 else (mask == 255).all(-1)
        assert unknown[GAP].all() and unknown.sum() == unknown[GAP].size
        out = tmp_path / f"of {file.name}"
        run("predict", file, images[0], "--output", out, "--polygons", "geojson", "--overlay")
        planes = [mask] if mask.ndim == 2 else np.moveaxis(mask, -1, 0)
        endings = [f"_{name}_mask" for name in LABELS.names] if multi_label else ["_mask"]
        for plane, ending in zip(planes, endings, strict=True):
            for suffix in (".png", ".tif"):
                written = np.asarray(Image.open(out / f"0{ending}{suffix}"))
                np.testing.assert_array_equal(written, plane)
        collection = json.loads((out / "0.geojson").read_text())
        assert collection["crs"]["properties"]["name"].endswith("32633")


def test_evaluation_leaves_the_gap_out(maps, tmp_path):
    folder, multi_label, _ = maps
    words = ["--data", folder / "data", "--split", "train", "--threshold", "0.6"]
    record = tmp_path / "result.json"
    run("evaluate", folder / "model.keras", *words, "--json_file", record)
    result = json.loads(record.read_text())
    dataset = data.open_dataset(str(folder / "data"), "train", channels=4)
    pixels = len(dataset) * (32 * 48 - 8 * 12)
    names = LABELS.names if multi_label else CELLS.names[1:]
    for label, name in enumerate(names):
        counts = np.zeros(3)
        for sample in dataset:
            index = int(sample.name)
            known = expected(index, 0.6) != 255
            found = expected(index, 0.6, 2)[..., label][known] == 1
            true = drawn(index)[1][..., label][known] == 1
            counts += (found & true).sum(), (found | true).sum(), true.sum()
            assert known.sum() * len(dataset) == pixels
        assert result["per_class"][name]["iou"] == pytest.approx(counts[0] / counts[1])
        assert result["per_class"][name]["pixels"] == counts[2]


def test_a_search_in_files_knows_the_nodata_value_of_the_card(maps):
    folder, multi_label, images = maps
    masks = [data.FolderDataset(folder / "data", "train", channels=4).root / "masks"]
    suffix = "npy" if multi_label else "png"
    masks = [masks[0] / f"{path.stem}.{suffix}" for path in images]
    pairs = list(zip(images, masks, strict=True))
    for measure in ("iou", "dice"):
        found = inference.search_threshold(folder / "model.keras", pairs, measure=measure)
        indices = range(len(images))
        for label, after in enumerate(found.after):
            limit = found.thresholds[label]
            scores = []
            for index in indices:
                mask = expected(index, limit, 2)[..., label]
                true = drawn(index)[1][..., label] == 1
                both = ((mask == 1) & true)[mask != 255].sum()
                scores.append((both, (mask == 1).sum(), true[mask != 255].sum()))
            both, found_pixels, true_pixels = np.transpose(scores)
            if measure == "iou":
                union = found_pixels + true_pixels - both
                assert after == pytest.approx(both.sum() / union.sum())
            else:
                assert after == pytest.approx(np.mean(2 * both / (found_pixels + true_pixels)))


def test_objects_at_a_threshold(maps, tmp_path, capsys):
    folder, multi_label, images = maps
    model, root = folder / "model.keras", folder / "data"
    words = ["--data", root, "--split", "train", "--instances", "--threshold", "0.6"]
    if multi_label:
        assert main([str(word) for word in ("evaluate", model, *words)]) != 0
        assert "one class per pixel" in capsys.readouterr().err
        return
    precisions = []
    for threshold in ("0.2", "0.6"):
        words[-1] = threshold
        run("evaluate", model, *words, "--min_area", "4", "--json_file", tmp_path / "ap.json")
        precisions.append(json.loads((tmp_path / "ap.json").read_text())["instance_ap"])
    assert precisions[1] > precisions[0]
    options = ["--instances", "--min_area", "4", "--threshold", "0.6", "--probabilities"]
    run("predict", model, images[0], "--output", tmp_path, *options)
    mask = expected(0, 0.6)
    objects = inference.instances(mask, CELLS, min_area=4)
    for name in ("0_instances.png", "0_instances.tif"):
        numbers = tifffile.imread(tmp_path / name) if name.endswith("tif") else None
        numbers = np.asarray(Image.open(tmp_path / name)) if numbers is None else numbers
        np.testing.assert_array_equal(numbers, objects.labels)
    chance = 1 / (1 + np.exp(-(drawn(0)[0][..., 0] - 128) / 32))
    with (tmp_path / "0_instances.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(objects)
    for row in rows:
        mean = chance[objects.labels == int(row["id"])].mean()
        assert float(row["score"]) == pytest.approx(mean, abs=1e-3)
    assert np.isnan(np.load(tmp_path / "0_probabilities.npz")["probabilities"][GAP]).all()


def test_data_in_memory_get_range_nodata_and_labels_of_the_recipe(maps):
    folder, multi_label, images = maps
    suffix = "npy" if multi_label else "png"
    masks = [folder / "data" / "masks" / f"{path.stem}.{suffix}" for path in images]
    entries = {"channels": 4, "value_range": [list(pair) for pair in RANGE], "nodata": NODATA}
    recipe = Recipe(data="files", output="o", multi_label=multi_label, **entries)
    classes = LABELS if multi_label else CELLS
    pairs = list(zip(images, masks, strict=True))
    given = open_data(recipe, "train", pairs, classes)
    assert (given.value_range, given.nodata, given.multi_label) == (RANGE, NODATA, multi_label)
    for sample, opened in zip(given, map(drawn, range(6)), strict=True):
        known = np.ones((32, 48), bool)
        known[GAP] = False
        np.testing.assert_allclose(sample.image[known], opened[0][known], atol=1)
        assert (sample.mask[GAP] == 255).all() and (sample.mask[known] != 255).all()
    chosen = data.open_dataset(str(folder / "data"), "train", channels=4)
    with pytest.raises(ValueError, match=r"has multi_label=.*Set multi_label to"):
        open_data(replace(recipe, multi_label=not multi_label), "train", chosen, classes)
    with pytest.raises(ValueError, match='"auto" is measured.*State which values'):
        open_data(replace(recipe, value_range="auto"), "train", pairs, classes)
    if multi_label:
        report = verify_dataset(
            [(drawn(0)[0][..., :3].astype(np.uint8), drawn(0)[1])] * 2,
            classes=LABELS,
            multi_label=True,
        )
        assert report.multi_label and not report.errors


def test_an_unstated_nodata_value_is_suspected(tmp_path):
    for multi_label in (False, True):
        root = tmp_path / str(multi_label)
        write(root, multi_label, table={"range": RANGE})
        report = verify_dataset(str(root), channels=4)
        assert f'"nodata": {NODATA}' in " ".join(problem.message for problem in report.warnings)


def test_advice_after_a_search_can_be_followed(maps, tmp_path, capsys):
    folder, multi_label, _ = maps
    file, root = tmp_path / "m.tflite", folder / "data"
    words = ["--head", "probabilities", "--input_shape", "[32,48]"]
    run("export", folder / "model.keras", "--output", file, *words)
    evaluate = ["evaluate", file, "--data", root, "--split", "train"]
    capsys.readouterr()
    run(*evaluate, "--search_threshold", "iou")
    told = capsys.readouterr().out
    assert "--write_threshold" not in told
    threshold = re.search(r"evaluate: --threshold '?(\S+?)'?\. To have", told).group(1)
    run(*evaluate, "--threshold", threshold, "--json_file", tmp_path / "e.json")
    found = json.loads((tmp_path / "e.json").read_text())["threshold"]
    assert np.size(found) == (2 if multi_label else 1) and found == json.loads(threshold)


def test_another_number_of_bands_is_told_before_the_range(maps, tmp_path, capsys):
    folder, _, _ = maps
    tifffile.imwrite(tmp_path / "rgb.tif", stored(drawn(0)[0])[..., :3], photometric="rgb")
    words = ["predict", folder / "model.keras", tmp_path / "rgb.tif", "--output", tmp_path / "o"]
    assert main([str(word) for word in words]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "(32, 48, 3), and (height, width, 4) is expected" in told and "range" not in told


def test_overlays_show_unknown_pixels_alike_for_classes_and_labels():
    image = np.full((1, 4, 3), 100, np.uint8)
    labels = np.uint8([[[255, 255], [255, 255], [0, 0], [1, 0]]])
    shown = overlay(image, labels, LABELS)[0]
    classes = overlay(image, np.array([[255, 255, 0, 0]]), CELLS)[0]
    assert (shown[:2] == classes[:2]).all()
    assert shown[0].tolist() == [100, 100, 100] and shown[1].tolist() == [255, 255, 255]
    assert shown[2].tolist() == [100, 100, 100] and shown[3].tolist() == [*LABELS.colors[0]]


def test_the_sample_of_a_page_is_mapped_as_the_training_was(tmp_path, monkeypatch):
    image = keras.Input((32, 48, 3))
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(image))
    card = models.ModelCard(CELLS, value_range=RANGE[:3])
    export.export(model, tmp_path / "m.tflite", card=card)
    values = drawn(0)[0][..., :3]
    tifffile.imwrite(tmp_path / "scene.tif", stored(drawn(0)[0])[..., :3], photometric="rgb")
    monkeypatch.setattr(site, "copy_runtime", lambda *_: None)
    with pytest.warns(UserWarning, match="8 bits: 100 to 1120, 1000 to 52000, 10 to 520 became"):
        site.write_site(tmp_path / "m.tflite", tmp_path / "page", samples=tmp_path / "scene.tif")
    shown = np.asarray(Image.open(tmp_path / "page" / "samples" / "1.png"))
    np.testing.assert_allclose(shown[8:], values[8:], atol=1)


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_pictures_of_a_training_show_any_number_of_bands(tmp_path, bands):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 24, bands), dtype=np.uint8)
    masks = (pixels[..., 0] > 99).astype(np.int32)
    dataset = as_dataset((pixels, masks), what="data", channels=bands, classes=CELLS)
    image = keras.Input((None, None, bands))
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(image))

    class FirstIsBest:
        best = (0.5, 1)

    callback = DrawOverlays(tmp_path, dataset, 2, model, FirstIsBest())
    callback.set_model(model)
    model.compile("sgd", "mse")
    callback.on_epoch_end(0)
    sheet = np.asarray(Image.open(tmp_path / "epoch_001.png"))
    shown = pixels[0, ..., :3] if bands == 4 else pixels[0, ..., :1]
    np.testing.assert_array_equal(sheet[:16, :24], np.broadcast_to(shown, (16, 24, 3)))
