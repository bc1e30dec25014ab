"""Objects of predictions: in Python, as files, and their average precision."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from keras_seg import inference, metrics
from keras_seg.cli import main
from keras_seg.data.array_dataset import ArrayDataset
from keras_seg.data.builtin import BuiltinDataset
from keras_seg.data.classes import ClassTable
from keras_seg.inference import InstanceOptions, instances
from keras_seg.inference.files.instance_files import read_objects, write_labels, write_table
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.predict import predict_files
from tests.helpers.stub_runner import Stub
from tests.masks.test_instances import disc, slow_precision

CELLS = ClassTable(("background", "cell"))
TWO = (disc(40, 40, 15) | disc(40, 65, 15)).astype(np.uint8)


def bright(images):
    """Two scores: the cell where the image is bright."""
    value = images[..., :1].astype(np.float32) / 64 - 2
    return np.concatenate([-value, value], -1)


def stub(classes=CELLS):
    runner = Stub(bright, (None, None, 3), 2)
    runner.card = replace(runner.card, classes=classes)
    return runner


class TestInPython:
    def test_objects_have_place_and_score(self):
        mask, probabilities = np.zeros((9, 12), np.uint8), np.zeros((9, 12, 3))
        mask[1:4, 2:7], mask[6:8, 8:11] = 2, 1
        probabilities[..., 2], probabilities[..., 1] = 0.75, 0.5
        found = instances(mask, ["background", "dot", "bar"], probabilities=probabilities)
        first, second = found.objects
        assert (first.number, first.label, first.name, first.score) == (1, 1, "dot", 0.5)
        assert (second.box, second.area, second.centre) == ((2, 1, 5, 3), 15, (4.5, 2.5))
        assert second.score == 0.75 and len(found) == found.labels.max() == 2

    @pytest.mark.parametrize(
        ("names", "counted"),
        [
            (None, 1),  # class 0 is the background of numbered classes
            (["road", "car"], 2),
            (["Background", "car"], 1),
        ],
    )
    def test_the_background_has_none(self, names, counted):
        assert len(instances(np.array([[0, 0, 1]]), names)) == counted

    def test_touching_objects(self):
        assert len(instances(TWO, CELLS)) == 1
        assert len(instances(TWO, CELLS, split_touching="distance")) == 2
        with_border = TWO.copy()
        with_border[:, 52:54][TWO[:, 52:54] == 1] = 2
        found = instances(with_border, ["background", "nucleus", "nucleus boundary"])
        assert [each.name for each in found.objects] == ["nucleus"] * 2
        np.testing.assert_array_equal(found.labels > 0, TWO == 1)

    def test_what_is_refused(self):
        with pytest.raises(ValueError, match="for each label"):
            instances(np.zeros((3, 4, 2), np.uint8))
        with pytest.raises(ValueError, match="split_touching must be"):
            instances(TWO, split_touching="colour")
        with pytest.raises(ValueError, match="min_area"):
            instances(TWO, min_area=-1)
        with pytest.raises(ValueError, match=r"mask is \(80, 120\)"):
            instances(TWO, probabilities=np.zeros((4, 4, 2)))


class TestFiles:
    @pytest.fixture
    def picture(self, tmp_path):
        image = np.repeat(np.uint8(200 * TWO + 20 * disc(10, 100, 6))[..., None], 3, -1)
        image[disc(10, 100, 6)] = 150
        Image.fromarray(image).save(tmp_path / "a.png")
        return tmp_path / "a.png"

    def test_label_image_table_and_polygons(self, picture, tmp_path):
        options = InstanceOptions(min_area=10, split_touching="distance")
        for polygons in ("geojson", "coco"):
            outputs = OutputOptions(polygons=polygons, instances=options)
            assert not predict_files(stub(), [picture], tmp_path / "out", outputs=outputs).failed
        labels = np.asarray(Image.open(tmp_path / "out" / "a_instances.png"))
        assert labels.dtype == np.uint16 and labels.max() == 3
        with (tmp_path / "out" / "a_instances.csv").open() as file:
            rows = list(csv.DictReader(file))
        scores = [float(row["score"]) for row in rows]
        assert [int(row["area"]) for row in rows] == np.bincount(labels.ravel())[1:].tolist()
        assert min(scores) > 0.5 and len(set(scores)) == 2  # of two brightnesses
        features = json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]
        coco = json.loads((tmp_path / "out" / "coco.json").read_text())["annotations"]
        for each, shape in zip(features, coco, strict=True):
            row = rows[each["properties"]["id"] - 1]
            assert each["properties"]["score"] == shape["score"] or shape["score"] == pytest.approx(
                each["properties"]["score"], abs=1e-6
            )
            assert shape["area"] == int(row["area"])
            assert shape["bbox"] == [int(row[x]) for x in ("left", "top", "width", "height")]

    def test_coco_masks_are_the_objects(self, picture, tmp_path):
        coco_masks = pytest.importorskip("pycocotools.mask")
        outputs = OutputOptions(polygons="coco", instances=InstanceOptions(0, "distance"))
        predict_files(stub(), [picture], tmp_path / "out", outputs=outputs)
        labels = np.asarray(Image.open(tmp_path / "out" / "a_instances.png"))
        coco = json.loads((tmp_path / "out" / "coco.json").read_text())
        assert len(coco["annotations"]) == labels.max()
        for number, each in enumerate(coco["annotations"], start=1):
            shape = each["segmentation"]
            runs = coco_masks.frPyObjects(shape, *labels.shape)
            decoded = coco_masks.decode(runs if isinstance(shape, list) else [runs]).any(-1)
            assert (decoded == (labels == number)).mean() > 0.995  # corners are cut

    def test_files_without_objects_and_of_classes(self, tmp_path):
        Image.new("RGB", (20, 10)).save(tmp_path / "dark.png")
        outputs = OutputOptions(polygons="coco", instances=InstanceOptions())
        assert not predict_files(stub(), [tmp_path / "dark.png"], tmp_path, outputs=outputs).failed
        assert (tmp_path / "dark_instances.csv").read_text().count("\n") == 1
        argmax = Stub(lambda images: bright(images).argmax(-1), head="argmax", classes=2)
        outputs = OutputOptions(instances=InstanceOptions())
        Image.new("RGB", (20, 10), "white").save(tmp_path / "a.png")
        predict_files(argmax, [tmp_path / "a.png"], tmp_path / "classes", outputs=outputs)
        assert read_objects(tmp_path / "classes" / "a").objects[0].score is None

    def test_more_objects_than_16_bits_number(self, tmp_path):
        mask = np.zeros((1000, 300), np.uint8)
        mask[::2, ::2] = 1
        found = instances(mask, CELLS)
        assert len(found) == 75_000
        write_labels(tmp_path / "a_instances.tif", found)
        write_table(tmp_path / "a_instances.csv", found.objects)
        again = read_objects(tmp_path / "a")
        np.testing.assert_array_equal(again.labels, found.labels)
        assert again.objects[-1] == replace(found.objects[-1], centre=again.objects[-1].centre)

    def test_labels_of_which_a_pixel_may_have_several_are_refused(self, picture, tmp_path):
        runner = stub()
        runner.card = replace(runner.card, multi_label=True)
        with pytest.raises(ValueError, match="one class per pixel"):
            predict_files(
                runner, [picture], tmp_path, outputs=OutputOptions(instances=InstanceOptions())
            )


class TestPrecision:
    def test_of_several_images_is_the_mean(self):
        cells = BuiltinDataset("cells", "val", length=4)
        truths = [each.instances for each in cells]
        found = [
            instances(each.mask, cells.classes, split_touching="distance").labels for each in cells
        ]
        expected = [
            np.mean([slow_precision(a, b, 0.5 + 0.05 * step) for step in range(10)])
            for a, b in zip(truths, found, strict=True)
        ]
        assert metrics.instance_average_precision(truths, found) == pytest.approx(np.mean(expected))
        assert 0.1 < np.mean(expected) < 0.9

    def test_perfect_absent_and_empty(self):
        ap = metrics.instance_average_precision
        truth = np.array([[1, 1, 0, 2]])
        assert ap(truth, truth) == 1
        assert ap(truth, 0 * truth) == ap(0 * truth, truth) == 0
        assert ap(0 * truth, 0 * truth) is None
        assert ap(np.stack([truth, 0 * truth]), np.stack([truth, 0 * truth])) == 1
        with pytest.raises(ValueError, match="1 images of true objects and 2"):
            ap([truth], [truth, truth])

    def test_of_a_network(self, tmp_path, capsys):
        images = [np.repeat(np.uint8(220 * TWO)[..., None], 3, -1) for _ in range(2)]
        masks = [TWO.astype(np.int32), TWO.astype(np.int32)]
        masks[1] = np.where(disc(40, 40, 12), 1, 0).astype(np.int32)
        masks[1][:, 53:] = 255
        data = ArrayDataset(images, masks, classes=CELLS)
        plain = inference.evaluate(stub(), data)
        assert plain.instance_ap is None and plain.instance_precision is None
        measured = inference.evaluate(stub(), data, instances=InstanceOptions())
        found = np.where(masks[1] == 255, 0, TWO)
        expected = [
            np.mean([1, slow_precision(masks[1] == 1, found, threshold)])
            for threshold in np.arange(0.5, 1, 0.05)
        ]
        assert [*measured.instance_precision] == [f"{0.5 + 0.05 * i:.2f}" for i in range(10)]
        np.testing.assert_allclose([*measured.instance_precision.values()], expected)
        assert measured.instance_ap == pytest.approx(np.mean(expected))
        assert "instance AP" in measured.table().columns[0]._cells

    def test_options_without_instances_are_refused(self, tmp_path, capsys):
        path = tmp_path / "model.keras"
        path.touch()
        words = ["evaluate", str(path), "--min_area", "3"]
        assert main(words) != 0
        assert "Add --instances" in capsys.readouterr().err
