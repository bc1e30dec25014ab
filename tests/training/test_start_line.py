"""The first line of a training names network, images and device."""

from types import SimpleNamespace

import pytest

from keras_seg.training import start_line as module


@pytest.mark.parametrize(
    ("parameters", "text"),
    [(914, "914"), (7_714, "7.71 k"), (1_945_538, "1.95 M"), (251_840_000, "252 M")],
)
def test_the_line_counts_parameters_and_images(parameters, text, monkeypatch):
    monkeypatch.setattr(module, "device_name", lambda backend: f"a {backend} chip")
    run = SimpleNamespace(
        recipe=SimpleNamespace(model="unet", teacher=None),
        network=SimpleNamespace(count_params=lambda: parameters),
        train_set=range(16),
        val_set=range(4),
        engine=SimpleNamespace(name="jax", devices=1),
    )
    assert module.start_line(run) == (
        f"Training unet ({text} parameters) on 16 images, validating on 4. "
        "Device: a jax chip (jax)."
    )
    run.engine.devices = 2
    assert "Device: 2 x a jax chip (jax)." in module.start_line(run)
