"""A model that was trained on JAX is exported by one command, which runs on TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

from keras_seg import inference
from tests.backends.comparison import environment_of

pytest.importorskip("jax", reason="needs the jax extra")

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")
TRAINING = """
import sys
import keras, numpy as np
from keras_seg import data, export, losses, models

image = np.load("image.npy")[None].astype("float32")
model = models.unet((32, 32, 3), 2, widths=(4, 8))
model.compile("adam", losses.get("cross_entropy"))
model.fit(image, (image[..., 0] > 127).astype("int32"), epochs=2, verbose=0)
models.save(model, "model.keras", models.ModelCard(data.ClassTable(("background", "cell"))))
np.save("logits.npy", model.predict(image, verbose=0)[0])
for function, arguments in (
    (export.export, ("model.keras", "model.tflite")),
    (export.quantization_aware, (model,)),
):
    try:
        function(*arguments)
    except RuntimeError as error:
        print(error)
"""


def process(folder, *words):
    return subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        cwd=folder,
        env=environment_of("jax"),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder with model.keras and its logits, what the export said in the process on JAX)."""
    folder = tmp_path_factory.mktemp("jax")
    np.save(folder / "image.npy", IMAGE)
    training = process(folder, "-c", TRAINING)
    assert training.returncode == 0, training.stderr[-3000:]
    return folder, training.stdout.splitlines()


def test_in_python_the_line_to_type_is_named(trained):
    _, lines = trained
    for line, what in zip(lines, ("Exports", "Quantization-aware copies"), strict=True):
        assert line.startswith(f"{what} need Keras' TensorFlow backend. This process runs on JAX")
        assert "keras-seg export model.keras" in line


def test_the_command_switches_to_tensorflow_and_writes_an_equal_file(trained):
    folder, _ = trained
    command = process(
        folder, "-m", "keras_seg.cli", "export", "model.keras", "--output", "m.tflite"
    )
    assert command.returncode == 0, command.stderr[-3000:]
    line = "keras-seg export: runs on TensorFlow, not on JAX as KERAS_BACKEND says."
    assert line in command.stderr.splitlines()
    logits = np.load(folder / "logits.npy")
    received = inference.load(folder / "m.tflite").run(IMAGE)
    np.testing.assert_allclose(received, logits, rtol=0, atol=1e-4 * np.abs(logits).max())
