"""Noise, blur and light for the drawn data sets. Images are float32 in 0..255."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image


def smooth_noise(rng: np.random.Generator, height: int, width: int, grain: float) -> np.ndarray:
    """Noise with mean 0, deviation about 1 and features of `grain` pixels, (H, W) float32."""
    rows, columns = (max(2, math.ceil(side / grain) + 1) for side in (height, width))
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of (H, W) or (H, W, C) by `sigma` pixels, with repeated border pixels."""
    radius = math.ceil(2.5 * sigma)
    if radius == 0:
        return image
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1, dtype=np.float32) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        size = image.shape[axis]
        margins = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = np.moveaxis(np.pad(image, margins, mode="edge"), axis, 0)
        image = np.moveaxis(sum(t * padded[k : k + size] for k, t in enumerate(taps)), 0, axis)
    return image


def uneven_light(rng: np.random.Generator, height: int, width: int, strength: float) -> np.ndarray:
    """Uneven light in -strength..strength: a slope, a spot and clouds, (H, W) float32."""
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    spot_y, spot_x = rng.uniform(-0.8, 0.8, 2)
    spot = np.exp(-((y - spot_y) ** 2 + (x - spot_x) ** 2) / rng.uniform(0.3, 1.0))
    clouds = smooth_noise(rng, height, width, max(height, width) / 2.5)
    field = np.cos(angle) * x + np.sin(angle) * y + rng.choice((-1.5, 1.5)) * spot + 0.4 * clouds
    field = field - field.mean()
    return (strength * field / np.abs(field).max()).astype(np.float32)


def jittered(
    rng: np.random.Generator, color: tuple[float, ...], amount: float
) -> tuple[int, int, int]:
    """A random colour near `color`."""
    whole, *each = rng.uniform(-amount, amount, 4).tolist()
    red, green, blue = (
        min(255, max(0, int(value + whole + own / 3)))
        for value, own in zip(color, each, strict=True)
    )
    return red, green, blue


def camera(
    rng: np.random.Generator, image: np.ndarray, *, sharpness: float, noise: float
) -> np.ndarray:
    """A camera sensor: optical blur of `sharpness` pixels, noise, 8 bits.

    The deviation of the noise is `noise` grey values in full light and half of it in the dark.
    """
    image = np.clip(blur(image, sharpness), 0, 255)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    image = image + noise * (0.5 + image / 510) * grain
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)
