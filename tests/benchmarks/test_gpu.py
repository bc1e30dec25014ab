"""`benchmarks.gpu` measures what its time allows, and PyTorch's networks are those of Keras."""

import math
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks import gpu, schema
from benchmarks.measure.training import CLASSES, NETWORKS
from keras_seg import models
from tests.helpers.without_values import without_values

RATE = {"median_ms": 10.0, "p90_ms": 12.0, "samples": 3, "images_per_second": 800.0}
RUN = RATE | {"device": "A GPU", "device_peak_gib": 3.25, "first_step_s": 41.0}
EQUAL = {"loss": 3.1, "loss_on_cpu": 3.1, "updates_apart": 2e-6, "device": "A GPU"}


def options(**given):
    usual = {"minutes": 12.0, "quick": False, "size": None, "batch": None, "threads": 2}
    return SimpleNamespace(**usual | {"torch_python": None, "networks": ("unet",)} | given)


def test_each_result_is_kept_and_what_has_no_time_is_named(monkeypatch):
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(gpu, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(gpu, "run", lambda case, *_: EQUAL if case.side == "equality" else RUN)
    kept = []
    record = gpu.measure(
        options(minutes=9), lambda partial: kept.append(len(partial["runs"]["unet"]))
    )
    assert kept == list(range(1, len(gpu.CASES) + 1))
    runs = record["runs"]["unet"]
    assert runs["TensorFlow, float32"] == RUN and runs["one step, GPU and CPU"] == EQUAL
    assert runs["PyTorch, float32"] == {"left_out": "no --torch-python"}
    assert runs["TensorFlow, float32, XLA"] == {"left_out": "no time left"}
    schema.check(record)
    text = gpu.report(record)
    assert "| TensorFlow, float32 | 800.0 | 10.0 / 12.0 | 3.25 | 41 |" in text
    assert "updates apart by 2.0e-06" in text and "Devices: A GPU" in text


def test_a_failed_measurement_has_its_reason():
    assert gpu.cells({"error": "out of memory"})[-1] == "failed: out of memory"


def test_a_process_that_takes_too_long_is_ended():
    class Slow:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    with gpu.killed_after(Slow, 0.05) as is_late:
        assert Slow.process.wait() < 0
    assert is_late()


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_of_pytorch_have_the_parameters_of_those_of_keras(network):
    torch = pytest.importorskip("torch")
    from benchmarks.measure import torch_networks

    with without_values():
        model = models.build(network, (None, None, 3), CLASSES, **NETWORKS[network])
    with torch.device("meta"):
        other = torch_networks.NETWORKS[network](CLASSES)
        scores = other(torch.zeros(2, 3, 64, 64))
    ours = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert sum(each.numel() for each in other.parameters()) == ours
    assert tuple(scores.shape) == (2, CLASSES, 64, 64)
