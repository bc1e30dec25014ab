"""Every network computes, trains and is saved on Keras' other backends as on TensorFlow."""

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_seg import models
from tests import backends


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Backend → network → step → outcome, of the installed backends, in one process each."""
    folder = tmp_path_factory.mktemp("backends")
    return backends.compare(backends.installed_backends(), models.list_models(), folder)


@pytest.mark.slow
@pytest.mark.xdist_group("backends")
@pytest.mark.parametrize("backend", backends.BACKENDS)
@pytest.mark.parametrize("name", models.list_models())
def test_a_network_equals_the_one_on_tensorflow(name, backend, results):
    if backend not in results:
        pytest.skip(f"needs the {backend} extra")
    assert backends.failures(results[backend][name]) == {}


def test_differences_are_shares_of_the_largest_value_and_nan_is_infinite():
    expected = {"large": np.array([0.0, 8.0]), "small": np.array([1e-9])}
    received = {"large": np.array([2.0, 8.0]), "small": np.array([2e-9])}
    assert backends.largest_difference(received, expected, 1e-3) == 0.25
    assert backends.largest_difference(received, expected, 0.0) == 1.0
    received["large"][0] = np.nan
    assert backends.largest_difference(received, expected, 1e-3) == np.inf


def test_a_step_may_differ_as_rounding_makes_it_differ():
    assert backends.Outcome(0.05, rounding=0.01).is_accepted("weights")
    assert not backends.Outcome(0.05, rounding=0.001).is_accepted("weights")
    assert not backends.Outcome(0.6, rounding=1.0).is_accepted("weights")
    assert not backends.Outcome(0.0, problem="ValueError").is_accepted("weights")


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
    pytest.importorskip("jax", reason="needs the jax extra")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAINING],
        env=backends.environment_of("jax") | flags,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    one, two = json.loads(process.stdout.splitlines()[-1])
    assert one[0] == two[0] == "jax"
    assert one[1][1] < one[1][0]
    for values, expected in zip(two[1:], one[1:], strict=True):
        assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)
