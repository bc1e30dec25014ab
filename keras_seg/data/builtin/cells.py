"""Cells under a microscope: textured, overlapping, and too unevenly lit for a threshold."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from keras_seg.data.builtin.textures import camera, smooth_noise, uneven_light
from keras_seg.data.classes import ClassTable

CLASSES = ClassTable(("background", "cell"), ((0, 0, 0), (255, 176, 59)))

# Background, cytoplasm and nucleus: four stains in bright field, then fluorescence and dark field.
_PALETTES = np.array(
    [
        [(225, 205, 212), (190, 120, 165), (105, 55, 130)],
        [(222, 218, 205), (165, 160, 185), (90, 85, 150)],
        [(212, 205, 192), (185, 150, 115), (110, 70, 45)],
        [(150, 155, 155), (105, 112, 112), (60, 68, 68)],
        [(35, 50, 45), (60, 130, 75), (110, 215, 120)],
        [(35, 38, 65), (65, 85, 150), (120, 150, 235)],
        [(60, 40, 38), (140, 72, 58), (225, 120, 95)],
        [(95, 95, 98), (140, 140, 145), (200, 200, 205)],
    ],
    np.float32,
)

# 2, 3 and 4 waves around the outline of a cell, at 129 directions.
_TURNS = np.outer((2, 3, 4), np.linspace(-np.pi, np.pi, 129))


class _Layout(NamedTuple):
    """The cells, as maps (H, W) of the uppermost cell at each pixel.

    labels: int32, 0 for background. rim: distance from the centre, 1 at the outline.
    y, x: position in the cell in units of its radius. depth: number of cells on the pixel. The
    last four are float32.
    """

    labels: np.ndarray
    rim: np.ndarray
    y: np.ndarray
    x: np.ndarray
    depth: np.ndarray


def draw(
    rng: np.random.Generator, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws one field of view: image (H, W, 3) uint8, mask and instances (H, W) int32."""
    # A compromise between larger and more cells: even a small image shows the inside of a cell.
    scale = math.sqrt(min(height, width) / 128)
    layout = _place_cells(rng, height, width, scale)
    palette = _PALETTES[rng.integers(len(_PALETTES))] + rng.uniform(-12, 12, (3, 3))
    background, cytoplasm, nucleus = np.clip(palette, 5, 250).astype(np.float32)
    grain = smooth_noise(rng, height, width, 14 * scale) + smooth_noise(rng, height, width, 3)
    image = background + (4 * grain)[..., None]
    image = _mix(image, cytoplasm, _debris(rng, height, width, scale))
    image = _paint_cells(rng, image, layout, scale, cytoplasm, nucleus)
    image = _illuminate(rng, image)
    sharpness = max(0.4, rng.uniform(0.5, 1.1) * scale)
    image = camera(rng, image, sharpness=sharpness, noise=rng.uniform(4, 12))
    return image, (layout.labels > 0).astype(np.int32), layout.labels


def _place_cells(rng: np.random.Generator, height: int, width: int, scale: float) -> _Layout:
    """Places cells, many of them touching another, until enough of the image is covered."""
    layout = _Layout(np.zeros((height, width), np.int32), *np.zeros((4, height, width), np.float32))
    typical = rng.uniform(8, 13) * scale
    clustered = rng.uniform(0.4, 0.85)
    wanted = round(rng.uniform(0.25, 0.5) * height * width / (np.pi * typical**2)) + 1
    placed: list[tuple[float, float, float]] = []
    for _ in range(3 * wanted):
        radius = typical * rng.uniform(0.75, 1.3)
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        if placed and rng.random() < clustered:
            near_y, near_x, near_radius = placed[rng.integers(len(placed))]
            angle = rng.uniform(0, 2 * np.pi)
            distance = (radius + near_radius) * rng.uniform(0.75, 1)
            y, x = near_y + distance * math.sin(angle), near_x + distance * math.cos(angle)
        if _place_cell(rng, layout, y, x, radius, label=len(placed) + 1):
            placed.append((y, x, radius))
        if len(placed) == wanted:
            break
    return layout


def _place_cell(
    rng: np.random.Generator, layout: _Layout, y: float, x: float, radius: float, label: int
) -> bool:
    """Places one cell on top. Returns False, and changes nothing, if it would hide too much."""
    waves, phases = rng.uniform(0, (0.2, 0.08, 0.05)), rng.uniform(0, 2 * np.pi, 3)
    reach = radius * (1 + float(waves.sum()))
    top, bottom = (max(0, int(y + side)) for side in (-reach, reach + 2))
    left, right = (max(0, int(x + side)) for side in (-reach, reach + 2))
    window = np.s_[top:bottom, left:right]
    labels = layout.labels[window]
    if labels.size == 0:
        return False
    dy = (np.arange(top, top + labels.shape[0], dtype=np.float32) - y)[:, None] / radius
    dx = (np.arange(left, left + labels.shape[1], dtype=np.float32) - x)[None] / radius
    outline = 1 + waves @ np.cos(_TURNS + phases[:, None])
    direction = np.rint((np.arctan2(dy, dx) / np.pi + 1) * 64).astype(np.int32)
    rim = np.hypot(dy, dx) / outline.astype(np.float32)[direction]
    inside = rim < 1
    covered = np.count_nonzero(labels[inside])
    if not inside.any() or covered > 0.3 * np.count_nonzero(inside):
        return False
    for target, values in zip(layout[:4], (label, rim, dy, dx), strict=True):
        np.copyto(target[window], values, where=inside, casting="same_kind")
    layout.depth[window] += inside
    return True


def _debris(rng: np.random.Generator, height: int, width: int, scale: float) -> np.ndarray:
    """Opacity (H, W) of things as bright as cells: clots, fibres, specks."""
    sheet = Image.new("L", (width, height))
    pen = ImageDraw.Draw(sheet)
    many = height * width / (128 * scale) ** 2
    for _ in range(rng.poisson(3 * many)):
        y, x = rng.uniform((0, 0), (height, width))
        radius_y, radius_x = scale * rng.uniform(6, 18, 2)
        box = [x - radius_x, y - radius_y, x + radius_x, y + radius_y]
        pen.ellipse(box, fill=int(rng.uniform(120, 255)))
    soft = np.asarray(sheet.filter(ImageFilter.GaussianBlur(4 * scale)), np.float32)
    sheet = Image.new("L", (width, height))
    pen = ImageDraw.Draw(sheet)
    for _ in range(rng.poisson(2 * many)):
        start = rng.uniform((0, 0), (width, height))
        bends = np.cumsum(rng.uniform(-22, 22, (4, 2)) * scale, axis=0)
        pen.line((start + bends).ravel().tolist(), fill=200, width=max(1, round(2 * scale)))
    for _ in range(rng.poisson(8 * many)):
        y, x = rng.uniform((0, 0), (height, width))
        radius = scale * rng.uniform(0.7, 2)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=230)
    return np.maximum(soft, np.asarray(sheet, np.float32)) / 255


def _paint_cells(
    rng: np.random.Generator,
    image: np.ndarray,
    layout: _Layout,
    scale: float,
    cytoplasm: np.ndarray,
    nucleus: np.ndarray,
) -> np.ndarray:
    """Cytoplasm with granules, a membrane and a nucleus. Each cell is stained differently."""
    height, width = layout.labels.shape
    labels = layout.labels
    cells = labels.max() + 1
    inside = labels > 0
    stain = rng.uniform(0.25, 0.7) * rng.uniform(0.75, 1.25, cells).astype(np.float32)[labels]
    granules = smooth_noise(rng, height, width, max(1.5, 2 * scale)) * rng.uniform(0.15, 0.35)
    opacity = inside * np.clip(stain + 0.15 * (layout.depth - 1) + granules, 0, 1)
    image = _mix(image, cytoplasm, opacity)
    membrane = np.exp(-(((layout.rim - 0.93) / 0.07) ** 2)) * rng.uniform(0.15, 0.6)
    image = _mix(image, nucleus, inside * membrane)
    offset = rng.uniform(-0.3, 0.3, (2, cells)).astype(np.float32)
    size = rng.uniform(0.25, 0.45, cells).astype(np.float32)
    away = np.hypot(layout.y - offset[0][labels], layout.x - offset[1][labels])
    core = np.clip((size[labels] - away) * 8, 0, 1) * (0.8 + 0.8 * granules)
    return _mix(image, nucleus, np.clip(inside * core, 0, 1))


def _illuminate(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Uneven illumination (factor) and stray light (sum), together stronger than the stain."""
    height, width = image.shape[:2]
    lamp = 1 + uneven_light(rng, height, width, rng.uniform(0.2, 0.45))
    stray = uneven_light(rng, height, width, rng.uniform(25, 60))
    # A microscopist dims the lamp before the image is overexposed.
    peak = float((image.mean() * lamp + stray).max())
    return (image * lamp[..., None] + stray[..., None]) * min(1, 235 / peak)


def _mix(image: np.ndarray, color: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    return image + opacity[..., None] * (color - image)
