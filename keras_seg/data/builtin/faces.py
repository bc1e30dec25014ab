"""Drawn faces: small parts on large skin, in any pose and light, with glasses and hands."""

from __future__ import annotations

import numpy as np

from keras_seg.data.builtin.canvas import Canvas, ellipse
from keras_seg.data.builtin.face_parts import (
    BACKGROUND,
    HAIR,
    Head,
    draw_eyes,
    draw_fringe,
    draw_head,
    draw_mouth,
    draw_nose,
)
from keras_seg.data.builtin.textures import camera, jittered, smooth_noise, uneven_light
from keras_seg.data.classes import ClassTable

# Brows and eyes are one class each, left and right, so that a mirrored image keeps a true mask.
CLASSES = ClassTable(
    ("background", "skin", "hair", "brows", "eyes", "nose", "mouth"),
    (
        (0, 0, 0),
        (236, 188, 150),
        (120, 72, 30),
        (250, 220, 60),
        (60, 140, 230),
        (90, 190, 90),
        (215, 50, 70),
    ),
)

_SKINS = (
    (245, 210, 185),
    (225, 180, 150),
    (200, 150, 115),
    (160, 110, 80),
    (110, 72, 52),
    (82, 56, 44),
)
_HAIRS = (
    (30, 24, 22),
    (75, 50, 32),
    (130, 90, 50),
    (205, 170, 105),
    (150, 70, 35),
    (165, 165, 168),
)


def draw(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Draws one face: image (H, W, 3) uint8 and mask (H, W) int32."""
    wall = jittered(rng, (130, 130, 130), 90)
    head = Head(
        rng=rng,
        canvas=Canvas(height, width, wall, BACKGROUND),
        centre=np.array([width, height]) * rng.uniform(0.42, 0.58, 2),
        size=min(height, width) * rng.uniform(0.3, 0.44),
        roll=np.deg2rad(rng.uniform(-30, 30)),
        turn=rng.uniform(-0.4, 0.4),
        wide=rng.uniform(0.68, 0.82),
        skin=jittered(rng, _SKINS[rng.integers(len(_SKINS))], 12),
        hair=jittered(rng, _HAIRS[rng.integers(len(_HAIRS))], 12),
    )
    _draw_backdrop(head)
    draw_head(head)
    draw_eyes(head)
    draw_nose(head)
    draw_mouth(head)
    draw_fringe(head)
    _draw_glasses(head)
    _draw_occluder(head)
    image, mask = head.canvas.pixels()
    return _photograph(rng, image, mask), mask, None


def _draw_backdrop(head: Head) -> None:
    """Shelves, lamps and balls, some of them in the colour of skin or lips."""
    rng, canvas = head.rng, head.canvas
    colors = [head.skin, head.hair, (190, 60, 75), *rng.integers(20, 235, (3, 3)).tolist()]
    for _ in range(rng.integers(2, 8)):
        x, y = rng.uniform((0, 0), (canvas.width, canvas.height))
        radius_x, radius_y = rng.uniform(0.05, 0.3, 2) * min(canvas.height, canvas.width)
        color = jittered(rng, tuple(colors[rng.integers(len(colors))]), 20)
        corners = int(rng.choice((4, 5, 24)))
        canvas.polygon(ellipse(x, y, radius_x, radius_y, corners), color, BACKGROUND)


def _draw_glasses(head: Head) -> None:
    """Glasses. Frames are too thin for a class, so the mask keeps what is behind them."""
    rng = head.rng
    if rng.random() > 0.3:
        return
    frame = jittered(rng, (50, 45, 45), 45)
    radius_x, radius_y = rng.uniform(0.2, 0.26), rng.uniform(0.13, 0.2)
    width, tint = rng.uniform(0.02, 0.045), (*frame, int(rng.uniform(0, 90)))
    for side in (-1, 1):
        lens = head.front(ellipse(side * 0.33, -0.1, radius_x, radius_y))
        head.fill(lens, tint)
        head.stroke(np.concatenate([lens, lens[:2]]), frame, width)
        temple = np.array([(side * (0.33 + radius_x), -0.1), (side * head.wide, -0.12)])
        head.stroke(head.front(temple), frame, width)
    head.stroke(head.front(np.array([(-0.13, -0.1), (0.13, -0.1)])), frame, width)


def _draw_occluder(head: Head) -> None:
    """A cup, a scarf or a hat, which hides a part of the face and is background."""
    rng = head.rng
    kind = rng.random()
    color = jittered(rng, (130, 120, 120), 100)
    if kind < 0.12:
        x, y = rng.uniform((-0.9, 0.3), (0.9, 1.1))
        radius_x, radius_y = rng.uniform(0.2, 0.4, 2)
        head.fill(ellipse(x, y, radius_x, radius_y, corners=4), color, BACKGROUND)
    elif kind < 0.2:
        top = rng.uniform(0.75, 0.95)
        scarf = [(-1.0, top), (1.0, top), (1.1, 1.6), (-1.1, 1.6)]
        head.fill(np.array(scarf), color, BACKGROUND)
    elif kind < 0.3:
        brim = rng.uniform(-0.68, -0.55)
        hat = [(-1.1, brim), (1.1, brim), (1.0, brim - 0.12), (0.8, -1.4), (-0.8, -1.4)]
        head.fill(np.array([*hat, (-1.0, brim - 0.12)]), color, BACKGROUND)


def _photograph(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    strands = smooth_noise(rng, height, width, 1.5) * np.where(mask == HAIR, 10, 3)
    light = rng.uniform(0.65, 1.1) * (1 + uneven_light(rng, height, width, rng.uniform(0.1, 0.5)))
    tint = rng.uniform(0.9, 1.1, 3).astype(np.float32)
    image = (image + strands[..., None]) * light[..., None].astype(np.float32) * tint
    return camera(rng, image, sharpness=rng.uniform(0.3, 0.9), noise=rng.uniform(2, 9))
