"""What `calibration`, `evaluation` and `evaluate` take for images with masks or without."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import export, inference
from keras_seg.cli import main
from keras_seg.data import ArrayDataset, BuiltinDataset, CachedDataset, ClassTable, open_dataset
from keras_seg.data.as_dataset import as_dataset, has_masks
from keras_seg.names import IGNORE_CLASS
from tests.helpers.folders import write_folder

SIZE = (32, 32)
CELLS = BuiltinDataset("cells", "train", length=4, size=SIZE)
IMAGES = np.stack([sample.image for sample in CELLS])
MASKS = np.stack([sample.mask for sample in CELLS])


def given(data, what="calibration", **words):
    return as_dataset(data, what=what, channels=3, classes=CELLS.classes, **words)


def representative():
    for image in IMAGES:
        yield [image[None].astype("float32")]


def tensors(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays[0] if len(arrays) == 1 else arrays)


class Batches(keras.utils.PyDataset):
    def __init__(self, masks=True, size=3):
        super().__init__()
        self.masks, self.size = masks, size

    def __len__(self):
        return -(-len(IMAGES) // self.size)

    def __getitem__(self, index):
        part = slice(index * self.size, (index + 1) * self.size)
        return (IMAGES[part].astype("float32"), MASKS[part]) if self.masks else IMAGES[part]


ALONE = {
    "array": lambda: IMAGES,
    "float array": lambda: IMAGES.astype("float32"),
    "tensor": lambda: tf.constant(IMAGES),
    "list": lambda: list(IMAGES),
    "tuple of two images": lambda: tuple(IMAGES[:2]),
    "list of pictures": lambda: [Image.fromarray(image) for image in IMAGES],
    "generator function": lambda: representative,
    "generator": representative,
    "without an end": lambda: itertools.cycle(IMAGES),
    "tf.data": lambda: tensors(IMAGES),
    "tf.data in batches": lambda: tensors(IMAGES).batch(3),
    "tf.data that repeats": lambda: tensors(IMAGES).batch(1).repeat(),
    "PyDataset": lambda: Batches(masks=False),
    "dicts": lambda: [{"image": image} for image in IMAGES],
    "dicts by the name of the input": lambda: ({"input_1": image[None]} for image in IMAGES),
}
WITH_MASKS = {
    "pair of arrays": lambda: (IMAGES, MASKS),
    "pair with an axis": lambda: (IMAGES, MASKS[..., None].astype("uint8")),
    "pairs": lambda: list(zip(IMAGES, MASKS, strict=True)),
    "samples": lambda: list(CELLS),
    "tf.data": lambda: tensors(IMAGES.astype("float32"), MASKS).batch(3),
    "tf.data one by one": lambda: tensors(IMAGES, MASKS[..., None]),
    "with weights": lambda: tensors(IMAGES, MASKS, np.ones(MASKS.shape)).batch(2),
    "PyDataset": Batches,
    "dicts of tfds": lambda: tensors(
        {"image": IMAGES, "segmentation_mask": MASKS[..., None], "name": list("abcd")}
    ),
    "data set": lambda: CELLS,
}


class TestForms:
    @pytest.mark.parametrize("form", ALONE)
    def test_of_images_alone(self, form):
        dataset = given(ALONE[form](), limit=4)
        assert not has_masks(dataset)
        for place in range(len(dataset)):
            sample = dataset[place]
            assert sample.image.dtype == np.uint8
            np.testing.assert_array_equal(sample.image, IMAGES[place])
            assert (sample.mask == IGNORE_CLASS).all()
        assert len(dataset) == (2 if "two" in form else 4)

    @pytest.mark.parametrize("form", WITH_MASKS)
    def test_with_masks(self, form):
        dataset = given(WITH_MASKS[form](), "evaluation")
        assert has_masks(dataset)
        assert len(dataset) == 4
        for place in range(4):
            np.testing.assert_array_equal(dataset[place].image, IMAGES[place])
            np.testing.assert_array_equal(dataset[place].mask, MASKS[place])

    def test_by_name(self, tmp_path):
        assert isinstance(given("builtin:cells"), BuiltinDataset)
        assert given("builtin:cells", "evaluation", split="val").split == "val"
        folder = write_folder(tmp_path / "set", list(CELLS), classes=CELLS.classes)
        assert has_masks(given(folder))
        for place in (folder / "images", tmp_path / "set"):
            if place == folder:
                for mask in (folder / "masks").iterdir():
                    mask.unlink()
                (folder / "masks").rmdir()
            dataset = given(str(place))
            assert not has_masks(dataset)
            np.testing.assert_array_equal(dataset[2].image, IMAGES[2])

    def test_floats_are_rounded_to_the_nearest(self):
        fractional = IMAGES[:1].astype("float64") * 0.999 + 0.1
        found = given(fractional)[0].image
        np.testing.assert_array_equal(found, np.rint(fractional[0]).astype("uint8"))

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (lambda: IMAGES / 255, r"calibration: .*to 1, and .*Rescaling\(1 / 255\)"),
            (lambda: IMAGES / 127.5 - 1, "calibration: .*normalised"),
            (lambda: np.moveaxis(IMAGES, -1, 1), r"calibration: .*\(3, 32, 32\).*come first"),
            (lambda: IMAGES[0], r"calibration: images are \(N, H, W, C\).*images\[None\]"),
            (list, "calibration: no images"),
            (lambda: iter(()), "calibration: no images"),
            (lambda: [IMAGES[0].astype("uint16")], r"calibration: .*uint16.*value_range"),
            (lambda: [{"text": 1, "id": 2}], r"calibration: .*without an 'image': \['id', "),
            (lambda: [(IMAGES[0],) * 5], "calibration: .*5 parts"),
            (lambda: [(IMAGES[0], MASKS[0]), IMAGES[1]], "calibration: 1 of 2 images"),
            (lambda: Batches, "calibration"),
        ],
    )
    def test_refusals(self, data, message):
        with pytest.raises((ValueError, TypeError), match=message):
            given(data())

    @pytest.mark.parametrize(
        "data", [3, 2.5, {"image": IMAGES}, object()], ids=lambda data: type(data).__name__
    )
    def test_what_holds_no_images(self, data):
        with pytest.raises(TypeError, match=r"calibration: Images are given as a data set of"):
            given(data)

    def test_lists_of_images_and_masks(self):
        dataset = given((list(IMAGES), list(MASKS)), "evaluation")
        assert len(dataset) == len(IMAGES)
        np.testing.assert_array_equal(dataset[1].image, IMAGES[1])
        np.testing.assert_array_equal(dataset[1].mask, MASKS[1])

    @pytest.mark.parametrize("masks", [MASKS[:1], MASKS[:, ::2, ::2]])
    def test_masks_of_other_number_or_size_are_no_images(self, masks):
        with pytest.raises(ValueError, match=r"must agree in number.*masks of shape \("):
            given((IMAGES, masks), "evaluation")

    def test_no_images_with_no_masks(self):
        with pytest.raises(ValueError, match="evaluation: no images were given"):
            given((IMAGES[:0], MASKS[:0]), "evaluation")

    def test_what_has_no_end_is_no_evaluation(self):
        with pytest.raises(ValueError, match=r"evaluation: .*repeats without an end"):
            given(tensors(IMAGES, MASKS).repeat(), "evaluation")


class TestArrayDataset:
    def test_a_data_set_like_any_other(self):
        dataset = ArrayDataset(IMAGES, MASKS, classes=["ground", "cell"])
        assert (len(dataset), dataset.channels, dataset.classes.names) == (4, 3, ("ground", "cell"))
        assert len({sample.name for sample in CachedDataset(dataset)}) == 4
        np.testing.assert_array_equal(dataset[-1].mask, MASKS[-1])
        with pytest.raises(IndexError):
            dataset[4]

    def test_classes_are_counted_and_sizes_may_differ(self):
        images = [IMAGES[0], IMAGES[1][:20]]
        masks = [MASKS[0] * 3, MASKS[1][:20] * 0]
        dataset = ArrayDataset(images, masks)
        assert len(dataset.classes) == 4
        assert dataset[1].image.shape == (20, 32, 3)

    def test_grey_images(self):
        dataset = ArrayDataset(IMAGES[..., 0], MASKS)
        assert dataset.channels == 1
        np.testing.assert_array_equal(dataset[0].image, IMAGES[0, ..., :1])

    def test_a_range(self):
        dataset = ArrayDataset(IMAGES.astype("uint16") * 16, MASKS, value_range=(0, 4080))
        np.testing.assert_array_equal(dataset[1].image, IMAGES[1])

    @pytest.mark.parametrize(
        ("images", "masks", "message"),
        [
            (IMAGES[0], None, r"Received: one image of shape \(32, 32, 3\).*image\[None\]"),
            ([], None, "needs images"),
            (IMAGES, MASKS[:3], "4 images and 3 masks"),
            (IMAGES, MASKS * 255, r"only 0 and 255.*searchsorted"),
            (IMAGES, MASKS / 2, "no whole numbers, from 0 to 0.5"),
            (IMAGES, np.stack([MASKS, 1 - MASKS], -1), r"masks\.argmax\(-1\)"),
        ],
    )
    def test_refusals(self, images, masks, message):
        with pytest.raises(ValueError, match=message):
            ArrayDataset(images, masks)

    def test_masks_that_do_not_fit_are_named(self):
        with pytest.raises(ValueError, match=r"mask 0 of arrays .*outside the class table: \[5\]"):
            ArrayDataset(IMAGES, MASKS * 5, classes=ClassTable.numbered(2))[0]
        with pytest.raises(ValueError, match=r"Image 0 and its mask differ in size"):
            ArrayDataset(IMAGES, MASKS[:, :9])[0]

    def test_of_booleans(self):
        np.testing.assert_array_equal(ArrayDataset(IMAGES, MASKS > 0)[0].mask, MASKS[0] > 0)


class TestExport:
    """One calibration in every form makes one file."""

    @pytest.fixture(scope="class")
    def model(self):
        keras.utils.set_random_seed(0)
        from keras_seg import models

        return models.unet((*SIZE, 3), num_classes=2, widths=(4, 8))

    def export(self, model, folder, **words):
        path = folder / "m.tflite"
        return export.export(model, path, quantize="int8", max_drop=100, **words), path

    def test_the_file_does_not_depend_on_the_form(self, model, tmp_path):
        report, path = self.export(model, tmp_path, calibration=IMAGES)
        assert (report.calibration_images, report.missing_classes) == (4, ())
        assert not report.calibration_masks
        found = inference.load(path).run(IMAGES[0])
        for form in (representative, tensors(IMAGES).batch(2), list(IMAGES)):
            self.export(model, tmp_path, calibration=form)
            np.testing.assert_array_equal(inference.load(path).run(IMAGES[0]), found)

    def test_evaluation_needs_masks(self, model, tmp_path):
        with pytest.raises(ValueError, match=r"evaluation: masks are needed.*\(images, masks\)"):
            self.export(model, tmp_path, calibration=IMAGES, evaluation=IMAGES)
        report, _ = self.export(model, tmp_path, calibration=IMAGES, evaluation=(IMAGES, MASKS))
        assert report.gate.comparison.evaluations["keras"].images == 4

    def test_empty_data_are_refused_before_the_model_is_opened(self, tmp_path):
        with pytest.raises(ValueError, match="an empty calibration data set"):
            self.export(keras.Sequential(), tmp_path, calibration=[])

    def test_images_alone_on_the_command_line(self, model, tmp_path, capsys):
        model.save(tmp_path / "m.keras")
        (tmp_path / "photos").mkdir()
        for i, image in enumerate(IMAGES):
            Image.fromarray(image).save(tmp_path / "photos" / f"{i}.png")
        facts = tmp_path / "facts.json"
        words = ["export", str(tmp_path / "m.keras"), "--quantize", "int8"]
        words += ["--json_file", str(facts), "--data", str(tmp_path / "photos")]
        assert main(words) == 0
        said = json.loads(facts.read_text())
        assert said["accuracy"].startswith("accuracy unmeasured")
        assert (said["calibration_images"], said["calibration_masks"]) == (4, False)
        assert "4 images without masks" in " ".join(capsys.readouterr().out.split())
        words = ["evaluate", str(tmp_path / "m.keras"), "--data", str(tmp_path / "photos")]
        assert main(words) == 2
        assert "images without masks" in capsys.readouterr().err


class TestEvaluate:
    def test_takes_models_and_data_of_any_form(self, tmp_path):
        model = keras.Sequential(
            [keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1, name="head")]
        )
        model.save(tmp_path / "m.keras")
        wanted = inference.evaluate(inference.load(model), CELLS).to_dict()
        for form in WITH_MASKS.values():
            found = inference.evaluate(model, form()).to_dict()
            assert (found["confusion"], found["miou"]) == (wanted["confusion"], wanted["miou"])
        both = inference.compare({"a": model, "b": tmp_path / "m.keras"}, (IMAGES, MASKS))
        assert both.agreement == {"b": 1.0}
        by_name = inference.evaluate(str(tmp_path / "m.keras"), "builtin:cells", limit=2)
        assert by_name.images == 2
        with pytest.raises(ValueError, match=r"Evaluation needs masks\. Received: the 4 images"):
            inference.evaluate(model, IMAGES)

    def test_the_range_of_the_model_is_for_folders_that_say_none(self, tmp_path):
        folder = write_folder(tmp_path / "set", list(CELLS), classes=CELLS.classes)
        for sample in CELLS:
            (folder / "images" / f"{sample.name}.png").unlink()
            np.save(folder / "images" / f"{sample.name}.npy", sample.image.astype("uint16") * 16)
        with pytest.raises(ValueError, match=r'"range": \[0, 4095\]'):
            open_dataset(str(folder))[0]
        dataset = open_dataset(str(folder), value_range=(0, 4080))
        assert dataset.value_range == (0, 4080)
        image = next(s.image for s in CELLS if s.name == dataset[0].name)
        np.testing.assert_array_equal(dataset[0].image, image)
        (folder / "classes.json").write_text(
            json.dumps(CELLS.classes.to_dict() | {"range": [0, 8160]})
        )
        stated = open_dataset(str(folder), value_range=(0, 4080))
        assert stated.value_range == (0, 8160)
        assert CachedDataset(stated).value_range == (0, 8160)


def test_input_shape_with_the_channels_first_is_told_its_size(tmp_path):
    entry = keras.Input((None, None, 3))
    model = keras.Model(entry, keras.layers.Conv2D(2, 1)(entry))
    with pytest.raises(ValueError, match=r"Pass \(24, 32, 3\)"):
        export.export(model, tmp_path / "m.tflite", input_shape=(3, 24, 32))
