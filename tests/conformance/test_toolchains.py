"""Every network in the compilers and runtimes of devices: `pytest -m toolchains`.

Vela and TFLite Micro are taken from the environment of the tests, or from the variables
KERAS_SEG_VELA (the program) and KERAS_SEG_MICRO_PYTHON (an interpreter with tflite-micro).
"""

import os
import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.edge.device_files import DeviceFiles
from benchmarks.edge.toolchains import CONFIGURATIONS, answer, micro, vela
from keras_seg import models
from keras_seg.data import BuiltinDataset
from keras_seg.export.devices.table import DEVICES
from keras_seg.export.tflite.placement import left_over

pytestmark = pytest.mark.toolchains

SIZE = (64, 96)
COMPARING = ("segnet", "segnet_basic", "deconvnet")
"""Networks with comparisons, which Ethos-U55 and U65 do not have."""
VELA = os.environ.get("KERAS_SEG_VELA") or shutil.which("vela")
MICRO_PYTHON = os.environ.get("KERAS_SEG_MICRO_PYTHON") or (
    sys.executable if find_spec("tflite_micro") else None
)
needs_vela = pytest.mark.skipif(VELA is None, reason="needs the extra `toolchains`: vela")
needs_micro = pytest.mark.skipif(MICRO_PYTHON is None, reason="needs tflite-micro")


@pytest.fixture(scope="module")
def images():
    return [sample.image for sample in BuiltinDataset("streets", size=SIZE, length=2)]


@pytest.fixture(scope="module", params=models.list_models())
def network(request, tiny_model, images):
    """(name, its files); targets share conversions."""
    return request.param, DeviceFiles(tiny_model(request.param), images)


def pixels(images):
    return (images[0].astype(np.int16) - 128).astype(np.int8)[None]


@needs_vela
@pytest.mark.parametrize("head", ["logits", "argmax"])
@pytest.mark.parametrize("target", CONFIGURATIONS)
def test_vela_places_every_operator(network, target, head):
    name, files = network
    content = files.file(target, head)
    compiled, left = vela(content, target, VELA), left_over(content, DEVICES[target])
    assert "error" not in compiled, compiled
    told = sum(entry.count for entry in left)
    if name in COMPARING and target != "ethos-u85":
        assert compiled["cpu"] > 0 and told > 0
    else:
        assert (compiled["cpu"], told) == (0, 0), left


@needs_vela
@pytest.mark.parametrize("target", CONFIGURATIONS)
def test_the_table_says_what_vela_does_with_files_for_a_cpu(network, target):
    """Not one by one where an operator on the CPU takes its neighbours with it."""
    name, files = network
    content = files.file("cpu")
    told = sum(entry.count for entry in left_over(content, DEVICES[target]))
    left = vela(content, target, VELA)["cpu"]
    assert left == told if name not in COMPARING else (left > 0) == (told > 0)


@needs_micro
def test_tflite_micro_runs_every_network(network, images):
    _, files = network
    content = files.file("tflm")
    answered = micro(content, pixels(images), MICRO_PYTHON)
    assert not isinstance(answered, str), answered
    expected = answer(content, pixels(images))  # its kernels round in another way
    assert np.mean(answered.argmax(-1) == expected.argmax(-1)) > 0.9


@pytest.mark.parametrize("target", ["ethos-u85", "tflm"])
def test_numbers_stay_where_the_arithmetic_does(network, images, target):
    name, files = network
    before, after = (answer(files.file(which), pixels(images)) for which in ("cpu", target))
    steps = abs(before.astype(int) - after.astype(int))
    resized = {"danet", "ocrnet"} if target == "ethos-u85" else set()
    if name not in resized:
        assert steps.max() == 0
