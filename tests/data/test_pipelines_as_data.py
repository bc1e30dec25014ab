"""Pipelines, generators, lists of paths and folders, wherever images or data sets are taken."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import inference, models, training
from keras_seg.data import ArrayDataset, BuiltinDataset
from keras_seg.data.as_dataset import as_dataset, as_images
from keras_seg.data.verify import verify_dataset

SIZE = (32, 32)
CELLS = BuiltinDataset("cells", length=6, size=SIZE)
IMAGES = np.stack([sample.image for sample in CELLS])
MASKS = np.stack([sample.mask for sample in CELLS]).astype("uint8")


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(2 * index, 2 * index + 2)
        return IMAGES[part], MASKS[part]


class Items:
    """As a data set of PyTorch."""

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        return IMAGES[index], MASKS[index]


class Loader:
    """As a loader of PyTorch."""

    def __iter__(self):
        return iter(Batches()[i] for i in range(3))


@pytest.fixture
def files(tmp_path):
    """Paths of images and of masks."""
    paths = []
    for kind, pixels in (("images", IMAGES), ("truth", MASKS)):
        (tmp_path / kind).mkdir()
        paths.append([tmp_path / kind / f"{i}.png" for i in range(len(pixels))])
        for path, each in zip(paths[-1], pixels, strict=True):
            Image.fromarray(each).save(path)
    return paths


PAIRED = {
    "arrays": lambda: (IMAGES, MASKS),
    "lists": lambda: (list(IMAGES), list(MASKS)),
    "pairs": lambda: list(zip(IMAGES, MASKS, strict=True)),
    "tuple of pairs": lambda: tuple(zip(IMAGES, MASKS, strict=True)),
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices((IMAGES, MASKS)),
    "tf.data in batches": lambda: tf.data.Dataset.from_tensor_slices((IMAGES, MASKS)).batch(4),
    "PyDataset": Batches,
    "items": Items,
    "loader": Loader,
    "generator": lambda: zip(IMAGES, MASKS, strict=True),
    "function": lambda: lambda: zip(IMAGES, MASKS, strict=True),
    "data set": lambda: CELLS,
}


@pytest.fixture(scope="module")
def network():
    return models.unet((None, None, 3), 2, widths=(4, 8))


@pytest.fixture(scope="module")
def runner(network):
    return inference.load(network)


@pytest.fixture(scope="module")
def expected(runner):
    """(Masks of the images, mIoU of the cells)."""
    return inference.predict(runner, IMAGES), inference.evaluate(runner, CELLS).miou


@pytest.mark.parametrize("form", PAIRED)
def test_pipelines_are_predicted_and_measured(form, runner, expected):
    masks = inference.predict(runner, PAIRED[form]())
    assert len(masks) == 6
    expected_masks, expected_miou = expected
    np.testing.assert_array_equal(masks, expected_masks)
    assert inference.evaluate(runner, PAIRED[form]()).miou == expected_miou


def test_paths_and_folders(files, network):
    images, masks = files
    expected = inference.predict(network, IMAGES)
    for given in (images, list(map(str, images)), images[0].parent, str(images[0].parent)):
        np.testing.assert_array_equal(inference.predict(network, given), expected)
    np.testing.assert_array_equal(inference.predict(network, (images, masks)), expected)
    for given in ((images, masks), list(zip(images, masks, strict=True))):
        dataset = as_dataset(given, what="evaluation", channels=3, classes=CELLS.classes)
        np.testing.assert_array_equal([sample.mask for sample in dataset], MASKS)
    dataset = ArrayDataset(images, list(map(str, masks)), classes=["a", "b"])
    np.testing.assert_array_equal(dataset[3].mask, MASKS[3])
    np.testing.assert_array_equal(dataset[3].image, IMAGES[3])


def test_one_image_and_batches_stay_what_they_are():
    for given in (IMAGES[0], IMAGES, list(IMAGES), Image.fromarray(IMAGES[0]), CELLS[0], "a.png"):
        assert as_images(given) is given


def test_a_generator_that_is_at_its_end_is_refused(network):
    once = zip(IMAGES, MASKS, strict=True)
    assert len(inference.predict(network, once)) == 6
    with pytest.raises(ValueError, match="generator can be read once.*list"):
        inference.predict(network, once)
    with pytest.raises(ValueError, match="evaluation: .*generator can be read once"):
        inference.evaluate(inference.load(network), once)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("arrays", marks=pytest.mark.slow),
        "PyDataset",
        pytest.param("tf.data in batches", marks=pytest.mark.slow),
        pytest.param("data set", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("without_tracing")
def test_training_takes_them(form, tmp_path):
    recipe = training.Recipe(
        data="cells in memory",
        output=str(tmp_path / "run"),
        model_options={"widths": [4, 8]},
        crop=SIZE,
        batch_size=3,
        epochs=1,
        overlays=0,
    )
    only_background = (IMAGES[:2], np.zeros_like(MASKS[:2]))
    result = training.train(recipe, data=(PAIRED[form](), only_background))
    assert result.finished and result.new_steps == 2
    assert len(inference.load(result.model_path).card.classes) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((IMAGES, (IMAGES, MASKS)), "training data: the 6 images have no masks"),
        (((IMAGES, MASKS), IMAGES), "validation data: the 6 images have no masks"),
        ((IMAGES, MASKS), r"Pass data=\(\(images, masks\), \(validation_images, "),
        (
            [ArrayDataset(IMAGES, MASKS, classes=names) for names in (["a", "b"], ["b", "a"])],
            "training data have the classes a, b, and the validation data b, a",
        ),
        (((IMAGES / 255, MASKS), (IMAGES, MASKS)), "training data: .*255"),
        (3, r"data is \(training data, validation data\)"),
    ],
)
def test_data_that_cannot_train_are_refused(data, message, tmp_path):
    recipe = training.Recipe(data="x", output=str(tmp_path / "run"))
    with pytest.raises(ValueError, match=message):
        training.train(recipe, data=data)
    assert not (tmp_path / "run").exists()


def test_verify_takes_them():
    report = verify_dataset((IMAGES, MASKS), validation=Items(), classes=["background", "cell"])
    assert report.samples == {"train": 6, "val": 6}
    assert {problem.kind for problem in report.errors} == {"duplicates"}
    assert report.classes.names == ("background", "cell")
    assert not verify_dataset((IMAGES, MASKS)).errors
    (error,) = verify_dataset(IMAGES).errors
    assert "have no masks" in error.message
