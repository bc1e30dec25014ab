"""What works where TensorFlow is not installed, and what says that it needs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_seg.backends import is_installed
from tests.backends import comparison

ROOT = Path(__file__).parents[2]
FILES = ROOT / "tests" / "conformance" / "files_of_0_1"
BLOCKED = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tf_keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
WORKING = """
import importlib, json, sys
import numpy as np

import keras_seg

for name in ("models", "losses", "metrics", "layers", "backbones", "checkpoints", "inference"):
    importlib.import_module(f"keras_seg.{name}")
    getattr(keras_seg, name)
from keras_seg import data, inference, losses, metrics, models

files, folder = sys.argv[1:]
image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
answers = {}
for name in ("float.tflite", "float.onnx"):
    answers[name] = inference.load(f"{files}/{name}").run(image).tolist()

import keras

assert keras.backend.backend() == "jax"
model = models.unet((64, 64, 3), 2, widths=(4, 8))
model.compile("sgd", losses.get("cross_entropy+dice"), metrics=[metrics.MeanIoU(2)])
mask = (image[..., 0] > 127).astype("int32")
logs = model.fit(image[None], mask[None], epochs=2, verbose=0).history
answers["losses"] = logs["loss"]
card = models.ModelCard(data.ClassTable(("background", "cell")))
models.save(model, f"{folder}/model.keras", card)
loaded = models.load(f"{folder}/model.keras")
np.testing.assert_array_equal(loaded.predict(image[None], verbose=0), model.predict(image[None]))
answers["mask"] = inference.load(f"{folder}/model.keras").predict(image).tolist()
answers["class map"] = model.predict(image[None], verbose=0)[0].argmax(-1).tolist()

messages = {}
for package, name in (("data", "training_pipeline"), ("training", "train"), ("export", "export")):
    try:
        getattr(importlib.import_module(f"keras_seg.{package}"), name)
    except ImportError as error:
        messages[package] = f"{type(error).__name__}: {error}"
answers["messages"] = messages
assert "tensorflow" not in sys.modules
print(json.dumps(answers))
"""


def run(code, *arguments, **variables):
    """A process without TensorFlow and with these environment variables."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BLOCKED + code, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | variables,
        capture_output=True,
        text=True,
    )


def test_models_losses_metrics_and_inference_work_on_jax(tmp_path):
    pytest.importorskip("jax", reason="needs the jax extra")
    process = run(WORKING, str(FILES), str(tmp_path), KERAS_BACKEND="jax")
    assert process.returncode == 0, process.stderr[-3000:]
    answers = json.loads(process.stdout.splitlines()[-1])
    with np.load(FILES / "expected.npz") as expected:
        for name in ("float.tflite", "float.onnx"):
            scores, tolerance = expected[name], 1e-4 * np.abs(expected[name]).max()
            received = np.asarray(answers[name])[::2, ::2]
            np.testing.assert_allclose(received, scores, atol=tolerance, rtol=0)
    assert answers["losses"][1] < answers["losses"][0]
    assert answers["mask"] == answers["class map"]
    line = "need TensorFlow, which is not installed. Install it: pip install tensorflow."
    assert answers["messages"] == {
        "data": f"ImportError: Data pipelines {line}",
        "training": f"ImportError: Training runs {line}",
        "export": f"ImportError: Exports {line}",
    }


@pytest.mark.parametrize("code", ["from keras_seg import models", "import keras_seg.losses.base"])
def test_a_missing_backend_of_keras_is_named_with_those_there_are(code):
    process = run(f"import keras_seg\n{code}", KERAS_BACKEND="tensorflow")
    installed = [name for name in comparison.installed_backends() if name != "tensorflow"]
    last = process.stderr.splitlines()[-1]
    assert last.startswith(
        "ImportError: Keras' backend TensorFlow is not installed. Install it: pip install "
        "tensorflow. Or "
    )
    choice = "which this environment has." if installed else "install jax or torch and set"
    assert choice in last


@pytest.mark.parametrize("verb", ["export", "quantize-aware"])
def test_a_verb_that_needs_it_says_so_in_one_line(verb, tmp_path):
    code = f"from keras_seg.cli import main\nsys.exit(main([{verb!r}, 'model.keras']))"
    process = run(code, KERAS_BACKEND="jax")
    assert process.returncode == 2
    assert process.stderr == (
        f"keras-seg {verb}: The files and layers of {verb} need TensorFlow, which is not "
        "installed. Install it: pip install tensorflow.\n"
    )


def test_a_backend_that_no_network_runs_on_is_refused_by_every_builder():
    code = "from keras_seg import models\nmodels.unet()"
    process = run(code, KERAS_BACKEND="numpy")
    # Keras imports JAX on its numpy backend; without it, the import is refused
    what = "unet" if is_installed("jax") else "keras_seg"
    assert process.stderr.splitlines()[-1] == (
        f"RuntimeError: {what} does not run on Keras' numpy backend. Set KERAS_BACKEND to "
        "tensorflow, jax or torch before Keras is imported."
    )
