"""A canvas that draws each stroke into the image and its class into the mask."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

# Odd, so that one fine pixel is at the centre of each pixel: the mask takes its class from there.
_FINE = 3

Color = tuple[int, ...]


class Canvas:
    """Draws at three times the size. The image is averaged, the mask is sampled.

    Points are (N, 2): x and y in pixels. A colour is (red, green, blue), or (red, green, blue,
    opacity) to tint what is below, all in 0..255. A stroke without a class leaves the mask
    unchanged.
    """

    def __init__(self, height: int, width: int, color: Color, label: int):
        self.height, self.width = height, width
        self._image = Image.new("RGB", (_FINE * width, _FINE * height), color)
        self._mask = Image.new("L", self._image.size, label)
        self._opaque = ImageDraw.Draw(self._image)
        self._tinting = ImageDraw.Draw(self._image, "RGBA")
        self._classes = ImageDraw.Draw(self._mask)

    def polygon(self, points: ArrayLike, color: Color, label: int | None = None) -> None:
        corners = (_FINE * np.asarray(points, np.float64)).ravel().tolist()
        pen = self._opaque if len(color) == 3 else self._tinting
        pen.polygon(corners, fill=color)
        if label is not None:
            self._classes.polygon(corners, fill=label)

    def line(self, points: ArrayLike, color: Color, width: float, label: int | None = None) -> None:
        """A line of `width` pixels; with a class at least one pixel, as thinner lines have gaps."""
        corners = (_FINE * np.asarray(points, np.float64)).ravel().tolist()
        fine_width = max(1 if label is None else _FINE, round(_FINE * width))
        pen = self._opaque if len(color) == 3 else self._tinting
        pen.line(corners, fill=color, width=fine_width, joint="curve")
        if label is not None:
            self._classes.line(corners, fill=label, width=fine_width, joint="curve")

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """The image (H, W, 3) float32 in 0..255 and the mask (H, W) int32."""
        image = np.asarray(self._image.reduce(_FINE), np.float32)
        centre = _FINE // 2
        return image, np.asarray(self._mask)[centre::_FINE, centre::_FINE].astype(np.int32)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, corners: int = 28) -> np.ndarray:
    """Points of an ellipse, (corners, 2)."""
    return _circle(corners) * (radius_x, radius_y) + (x, y)


def ragged(
    rng: np.random.Generator, x: float, y: float, radius_x: float, radius_y: float, rough: float
) -> np.ndarray:
    """Points of an ellipse whose radius varies by a share of about `rough`, (40, 2)."""
    points = _circle(40) * (1 + rough * rng.standard_normal((40, 1)))
    return points * (radius_x, radius_y) + (x, y)


@functools.cache
def _circle(corners: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
