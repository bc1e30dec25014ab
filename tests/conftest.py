"""Settings and tiny models and data that several test files share."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # one worker a core

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_seg import models
from keras_seg.data import ClassTable, Sample, SegmentationDataset

TINY_SIZE = (64, 96)
TINY_CLASSES = ClassTable(("background", "square", "ring"))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items):
    """Tests that look at one set of exported files run in one worker, which converts them once."""
    for item in items:
        exported = getattr(item, "callspec", None) and item.callspec.params.get("exported")
        if exported:
            item.add_marker(pytest.mark.xdist_group(exported))


class Shapes(SegmentationDataset):
    """Squares and rings on noise: solvable by colour, so that tiny models learn it in seconds."""

    classes, channels, name = TINY_CLASSES, 3, "shapes"

    def __init__(self, split="train", length=8, size=TINY_SIZE):
        self.split, self._length, self._size = split, length, size

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng([index, self.split == "val"])
        height, width = self._size
        mask = np.zeros(self._size, np.int32)
        top, left = rng.integers(0, (height - 24, width - 24))
        mask[top : top + 24, left : left + 24] = 1
        rows, columns = np.mgrid[:height, :width]
        centre = rng.integers(16, (height - 16, width - 16))
        radius = np.hypot(rows - centre[0], columns - centre[1])
        mask[(radius > 7) & (radius < 14)] = 2
        colors = np.array([[60, 60, 60], [200, 80, 60], [60, 110, 220]])
        image = colors[mask] + rng.normal(0, 12, (*self._size, 3))
        mask[:2] = 255
        return Sample(f"{self.split}{index}", image.clip(0, 255).astype(np.uint8), mask)


@pytest.fixture(scope="session")
def shapes():
    """(training, validation) data sets."""
    return Shapes("train"), Shapes("val", 4)


@pytest.fixture(scope="session")
def tiny_model():
    """name → tiny network with free size, random values that do not change between runs."""
    import keras

    built = {}

    def build(name, num_classes=3, input_shape=(None, None, 3)):
        key = (name, num_classes, input_shape)
        if key not in built:
            keras.utils.set_random_seed(0)
            built[key] = models.build(name, input_shape, num_classes, **models.find(name).tiny)
        return built[key]

    return build


def write_folder(root, samples, *, classes=TINY_CLASSES, splits=None):
    """Writes samples as a data folder, as users lay them out."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for sample in samples:
        Image.fromarray(sample.image.squeeze()).save(root / "images" / f"{sample.name}.png")
        Image.fromarray(sample.mask.astype(np.uint8)).save(root / "masks" / f"{sample.name}.png")
    if classes is not None:
        (root / "classes.json").write_text(json.dumps(classes.to_dict()))
    if splits is not None:
        (root / "splits.json").write_text(json.dumps(splits))
    return root


@pytest.fixture
def shapes_folder(tmp_path, shapes):
    """A data folder of shapes with a train and a val split."""
    train, val = (list(part) for part in shapes)
    names = {"train": [s.name for s in train], "val": [s.name for s in val]}
    return write_folder(tmp_path / "shapes", train + val, splits=names)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium with a camera that shows a moving picture."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", *flags], headless=True
        )
        yield running
        running.close()
