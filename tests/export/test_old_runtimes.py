"""Files of today in the oldest runtimes that are promised, each in an environment of its own."""

import os
import subprocess
import sys

import numpy as np
import pytest

from keras_seg import export, inference
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network, trained

pytestmark = [pytest.mark.toolchains, pytest.mark.xdist_group("old_runtimes")]

RUNTIMES = {
    "tflite-runtime==2.14.0": "tflite_runtime.interpreter",
    "ai-edge-litert==1.0.1": "ai_edge_litert.interpreter",
    "onnxruntime==1.17.3": "onnxruntime",
}
"""Package → the module that runs files."""
FILES = {
    "float.tflite": {},
    "fp16.tflite": {"quantize": "fp16"},
    "dynamic.tflite": {"quantize": "dynamic"},
    "int8.tflite": {"quantize": "int8", "input": "uint8", "head": "argmax"},
    "signed.tflite": {"quantize": "int8", "input": "int8"},
    "int16x8.tflite": {"quantize": "int16x8"},
    "mixed.tflite": {"quantize": "mixed"},
    "float.onnx": {},
    "fp16.onnx": {"quantize": "fp16"},
    "int8.onnx": {"quantize": "int8", "layout": "nchw"},
    "free.onnx": {"batch": "free", "input_shape": (None, None)},
    "opset17.onnx": {"opset": 17},
    "opset20.onnx": {"opset": 20},
}
SHAPE = (32, 48, 3)
RUN_TFLITE = """
import sys
import numpy as np
from importlib import import_module
interpreter = import_module(sys.argv[1]).Interpreter(model_path=sys.argv[2])
interpreter.allocate_tensors()
image, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
pixels = np.load(sys.argv[3])[None]
signed = image["dtype"] == np.int8
interpreter.set_tensor(image["index"], (pixels.astype(int) - 128 * signed).astype(image["dtype"]))
interpreter.invoke()
np.save(sys.argv[4], interpreter.get_tensor(output["index"])[0])
"""
RUN_ONNX = """
import sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
image, pixels = session.get_inputs()[0], np.load(sys.argv[3])[None].astype(np.float32)
channels_first = image.shape[1] == 3
output = session.run(None, {image.name: pixels.transpose(0, 3, 1, 2) if channels_first else pixels})
np.save(sys.argv[4], (output[0].transpose(0, 2, 3, 1) if channels_first else output[0])[0])
"""


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request, tmp_path_factory):
    """(Python of an environment with one runtime, the module of the runtime)."""
    folder = tmp_path_factory.mktemp("old")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [python, "-m", "pip", "install", "-q", request.param, "numpy<2"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{request.param} cannot be installed here: {done.stderr.strip()[-200:]}")
    return python, RUNTIMES[request.param]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All files of a trained network, and an image."""
    folder, data = tmp_path_factory.mktemp("files"), ColourBlocks()
    model = trained(small_network(), data)
    words = {"input_shape": SHAPE, "calibration": data, "card": card_of(data), "max_drop": 100}
    for name, options in FILES.items():
        export.export(model, folder / name, **(words | options))
    np.save(folder / "image.npy", data[0].image[: SHAPE[0]])
    return folder


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_same_classes(runtime, folder, name, tmp_path):
    python, module = runtime
    if (module == "onnxruntime") != name.endswith(".onnx"):
        pytest.skip("the runtime is for the other format")
    code = RUN_ONNX if name.endswith(".onnx") else RUN_TFLITE
    result = tmp_path / "result.npy"
    arguments = [module, folder / name, folder / "image.npy", result]
    subprocess.run([python, "-c", code, *arguments], check=True, cwd=tmp_path)
    runner, found = inference.load(folder / name), np.load(result)
    found = found if runner.card.head == "argmax" else found.argmax(-1)
    classes = runner.run(np.load(folder / "image.npy"))
    classes = classes if runner.card.head == "argmax" else classes.argmax(-1)
    assert np.mean(found == classes) >= 0.99


@pytest.mark.parametrize("name", FILES)
def test_the_audit_promises_no_newer_runtime(folder, name):
    oldest = export.audit(folder / name).oldest_runtime
    kind, _, version = oldest.rpartition(" ")
    newest = {"TensorFlow Lite": (2, 14), "ONNX Runtime": (1, 17)}[kind]
    assert tuple(map(int, version.split(".")[:2])) <= newest
