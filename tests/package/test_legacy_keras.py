"""`TF_USE_LEGACY_KERAS=1`, which other packages need, changes nothing here."""

import json
import os
import subprocess
import sys

import pytest

CODE = """
import json, sys
import keras, numpy as np
import keras_seg
from keras_seg import export, inference, losses, metrics, models
from keras_seg.data import ClassTable

keras.utils.set_random_seed(0)
images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
masks = (images[..., 0] > 127).astype(np.int32)
model = models.build("unet", (32, 32, 3), 2, widths=(4, 8))
model.compile("adam", losses.get("cross_entropy+dice"), metrics=[metrics.MeanIoU(2)])
loss = model.fit(images, masks, batch_size=4, epochs=1, verbose=0).history["loss"][0]
card = models.ModelCard(ClassTable(("background", "cell")))
models.save(model, "m.keras", card)
found = [loss, inference.load("m.keras").predict(images[0]).tolist()]
for name in ("m.tflite", "m.onnx"):
    export.export("m.keras", name)
    found.append(inference.load(name).predict(images[0]).tolist())
print("FOUND", json.dumps([keras.__version__, *found]))
"""


def found_with_legacy_keras(folder):
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=folder,
        env=os.environ | {"TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    return json.loads(line.removeprefix("FOUND"))


@pytest.mark.slow  # a process of its own; the variable changes `tf.keras` alone
def test_a_network_is_built_trained_saved_and_exported_as_without(tmp_path):
    version, loss, mask, tflite, onnx = found_with_legacy_keras(tmp_path)
    assert version.startswith("3.")
    assert mask == tflite == onnx

    here = {}
    exec(CODE.split("card = ")[0], here)  # the network and its training
    assert abs(here["loss"] - loss) < 1e-5
    scores = here["model"].predict(here["images"][:1], verbose=0)
    assert scores[0].argmax(-1).tolist() == mask
