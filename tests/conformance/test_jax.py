"""A network of keras.ops alone trains on Keras' JAX backend, on one device as on two."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("jax", reason="needs the jax extra")

TRAINING = """
import json
import keras, numpy as np
from keras.distribution import DataParallel, list_devices, set_distribution
from keras_seg import losses, metrics, models

rng = np.random.default_rng(0)
images = rng.uniform(0, 255, (4, 16, 16, 3)).astype("float32")
masks = rng.integers(0, 3, (4, 16, 16))
masks[:, :2] = 255
found = []
for devices in (1, 2):
    set_distribution(DataParallel(devices=list_devices()[:devices], auto_shard_dataset=False))
    keras.utils.set_random_seed(0)
    model = models.unet((16, 16, 3), 3, widths=(4, 8))
    model.compile("sgd", losses.CrossEntropy(), metrics=[metrics.MeanIoU(3)])
    logs = model.fit(images, masks, batch_size=4, epochs=2, verbose=0, shuffle=False).history
    weights = [np.asarray(weight).ravel().tolist() for weight in model.weights]
    found.append([keras.backend.backend(), logs["loss"], logs["mean_iou"], sum(weights, [])])
print(json.dumps(found))
"""


@pytest.mark.slow
def test_two_devices_of_jax_give_loss_metric_and_weights_of_one():
    environment = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAINING],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    one, two = json.loads(process.stdout.splitlines()[-1])
    assert one[0] == two[0] == "jax"
    assert one[1][1] < one[1][0]
    for values, expected in zip(two[1:], one[1:], strict=True):
        assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)
