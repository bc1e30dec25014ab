"""Settings and fixtures that several test files share."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # one worker a core

import shutil

import numpy as np
import pytest

from tests.helpers.folders import write_splits
from tests.helpers.shapes import Shapes


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items):
    """Tests of one network run in one worker, which builds and converts it once."""
    for item in items:
        parameters = getattr(item, "callspec", None) and item.callspec.params
        if not parameters:
            continue
        of_network = "tiny_model" in item.fixturenames and parameters.get("name")
        if network := parameters.get("exported") or of_network:
            item.add_marker(pytest.mark.xdist_group(network))


@pytest.fixture(scope="session")
def shapes():
    """(training, validation) data sets."""
    return Shapes("train"), Shapes("val", 4)


@pytest.fixture(scope="session")
def tiny_model():
    """name → tiny network with free size; its random values do not change between runs."""
    import keras  # here, so that the process that only hands out tests needs no TensorFlow

    from keras_seg import models

    built = {}

    def build(name, num_classes=3, input_shape=(None, None, 3), **options):
        key = (name, num_classes, input_shape, repr(options))
        if key not in built:
            keras.utils.set_random_seed(0)
            options = models.find(name).tiny | options
            built[key] = models.build(name, input_shape, num_classes, **options)
        return built[key]

    return build


@pytest.fixture
def without_tracing():
    """Steps run operator by operator: a graph of a network costs more than a few steps in it."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def shapes_folder(tmp_path, shapes):
    """A data folder of shapes with a train and a val split."""
    return write_splits(tmp_path / "shapes", *shapes)


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


@pytest.fixture(scope="session")
def unet_checkpoint(tmp_path_factory):
    """A file with the tensors of a narrow U-Net of milesial/Pytorch-UNet."""
    from tests.helpers.networks import milesial_unet

    path = tmp_path_factory.mktemp("convert") / "unet.npz"
    np.savez(path, **milesial_unet())
    return path
