"""Objects in a street, in metres, drawn in perspective."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from keras_seg.data.builtin.canvas import Canvas, Color, ellipse, ragged
from keras_seg.data.builtin.textures import jittered

SKY, BUILDING, ROAD, PAVEMENT, VEGETATION, VEHICLE, POLE = range(7)

Span = tuple[float, float]

_EYE = 1.6  # metres of the camera above the road
_WALLS = ((175, 150, 125), (150, 95, 80), (190, 185, 175), (130, 130, 140), (205, 180, 130))
_PAINTS = (
    (180, 35, 35),
    (40, 70, 150),
    (230, 230, 230),
    (40, 40, 45),
    (150, 155, 160),
    (60, 110, 70),
)
_GLASS = (45, 55, 70)


@dataclass(frozen=True)
class Scene:
    """A camera 1.6 m above a flat road that looks along z, and the sheet it draws on.

    horizon, vanishing: y and x of the vanishing point in pixels. focal: pixels.
    visibility: metres after which the haze has taken 63 % of a colour.
    """

    rng: np.random.Generator
    canvas: Canvas
    haze: Color
    visibility: float
    horizon: float
    vanishing: float
    focal: float

    @property
    def nearest(self) -> float:
        """Distance in metres to the road at the lower edge of the image."""
        return self.focal * _EYE / (self.canvas.height - self.horizon)

    def project(self, points: Iterable[tuple[float, float, float]]) -> list[tuple[float, float]]:
        """Projects points (right, up, ahead) in metres to pixels (x, y)."""
        nearest = 0.8 * self.nearest
        pixels = []
        for x, y, z in points:  # four points per shape: NumPy would take three times as long
            per_metre = self.focal / max(z, nearest)
            pixels.append((self.vanishing + per_metre * x, self.horizon + per_metre * (_EYE - y)))
        return pixels

    def hazy(self, color: Color, z: float) -> Color:
        """The colour seen from z metres, dimmed by haze. Keeps an opacity."""
        clear = math.exp(-z / self.visibility)
        pairs = zip(color[:3], self.haze, strict=True)
        return (*(int(clear * own + (1 - clear) * haze) for own, haze in pairs), *color[3:])

    def ground(self, x: Span, z: Span, color: Color, label: int | None = None) -> None:
        """A rectangle on the road between two x and two z."""
        corners = [(x[0], 0, z[0]), (x[1], 0, z[0]), (x[1], 0, z[1]), (x[0], 0, z[1])]
        self.canvas.polygon(self.project(corners), self.hazy(color, z[0]), label)

    def along(self, x: float, y: Span, z: Span, color: Color, label: int | None = None) -> None:
        """A rectangle in the plane at x that runs ahead, between two y and two z."""
        corners = [(x, y[0], z[0]), (x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1])]
        self.canvas.polygon(self.project(corners), self.hazy(color, z[0]), label)

    def across(self, x: Span, y: Span, z: float, color: Color, label: int | None = None) -> None:
        """A rectangle that faces the camera at z, between two x and two y."""
        corners = [(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)]
        self.canvas.polygon(self.project(corners), self.hazy(color, z), label)

    def pixels_at(self, metres: float, z: float) -> float:
        return self.focal * metres / z


def draw_building(scene: Scene, side: int, wall: float, near: float, far: float) -> None:
    """A house from near to far with its front at x = wall, with windows and a shop sign."""
    rng = scene.rng
    tall = rng.uniform(4, 16)
    color = np.array(jittered(rng, _WALLS[rng.integers(len(_WALLS))], 25))
    gable = tuple(int(v) for v in color * rng.uniform(0.6, 0.9))
    front = tuple(int(v) for v in color)
    scene.across((wall, wall + side * 15), (0, tall), near, gable, BUILDING)
    scene.along(wall, (0, tall), (near, far), front, BUILDING)
    lit = rng.random() < 0.25
    glass = jittered(rng, (230, 205, 120) if lit else _GLASS, 25)
    pitch = rng.uniform(2, 3.5)
    if scene.pixels_at(1, near) > 3:  # smaller windows would be noise at the price of drawing
        for y in np.arange(1.0, tall - 1.5, 3.0).tolist():
            for z in np.arange(near + 0.8, far - 1.2, pitch).tolist():
                scene.along(wall, (y, y + 1.5), (z, z + 0.5 * pitch), glass)
    if rng.random() < 0.4:
        sign = jittered(rng, _PAINTS[rng.integers(len(_PAINTS))], 20)
        scene.along(wall, (2.6, 3.3), (near + 0.5, far - 0.5), sign)


def draw_tree(scene: Scene, x: float, z: float, tall: float, *, trunk: bool) -> None:
    """A tree with a trunk, or a bush."""
    rng, canvas = scene.rng, scene.canvas
    green = jittered(rng, (70, 105, 50), 25)
    middle = 0.65 * tall if trunk else 0.4 * tall
    if trunk:
        ends = scene.project([(x, 0, z), (x, middle, z)])
        canvas.line(ends, scene.hazy((75, 60, 45), z), scene.pixels_at(0.3, z), VEGETATION)
    ((column, row),) = scene.project([(x, middle, z)])
    radius_y = scene.pixels_at(tall - middle, z)
    radius_x = radius_y * (rng.uniform(0.7, 1.0) if trunk else rng.uniform(0.9, 1.4))
    crown = ragged(rng, column, row, radius_x, radius_y, rough=0.07)
    canvas.polygon(crown, scene.hazy(green, z), VEGETATION)
    if radius_x < 2:
        return
    sun = ragged(
        rng, column - 0.2 * radius_x, row - 0.25 * radius_y, 0.6 * radius_x, 0.5 * radius_y, 0.1
    )
    canvas.polygon(sun, (215, 225, 120, 45))


def draw_pole(scene: Scene, x: float, z: float) -> None:
    """A lamp post or a traffic sign, one to three pixels wide."""
    rng, canvas = scene.rng, scene.canvas
    color = scene.hazy(jittered(rng, (110, 112, 115), 45), z)
    thin = float(np.clip(scene.pixels_at(0.16, z), 1, max(1, canvas.height / 42)))
    lamp = rng.random() < 0.6
    tall = rng.uniform(5, 8) if lamp else rng.uniform(2.3, 3.2)
    points = [(x, 0, z), (x, tall, z)]
    if lamp:
        points.append((x - math.copysign(1, x) * rng.uniform(0.8, 1.6), tall + 0.2, z))
    canvas.line(scene.project(points), color, thin, POLE)
    if not lamp:
        ((column, row),) = scene.project([(x, tall, z)])
        radius = scene.pixels_at(0.35, z)
        plate = ellipse(column, row, radius, radius, corners=int(rng.choice((3, 4, 16))))
        canvas.polygon(plate, scene.hazy(jittered(rng, (200, 50, 45), 40), z), POLE)


def draw_vehicle(scene: Scene, x: float, z: float) -> None:
    """A car or a van at x whose rear is z metres ahead. Its shadow is road."""
    rng = scene.rng
    van = rng.random() < 0.25
    half, long = (1.0, 5.5) if van else (0.88, 4.2)
    roof = rng.uniform(2.0, 2.6) if van else rng.uniform(1.4, 1.6)
    waist = 1.2 if van else 0.9
    paint = np.array(jittered(rng, _PAINTS[rng.integers(len(_PAINTS))], 20))
    body, flank = (tuple(int(v) for v in paint * f) for f in (1, rng.uniform(0.65, 0.95)))
    scene.ground((x - half - 0.3, x + half + 0.3), (z - 0.3, z + long), (5, 5, 10, 130))
    inner = x - math.copysign(1, x) * half
    _draw_tyres(scene, x, half, inner, z, long)
    slope = 0.15 if van else 0.8
    cabin = [(inner, waist, z), (inner, roof, z + slope)]
    cabin += [(inner, roof, z + long - 1.6 * slope), (inner, waist, z + long - slope)]
    scene.canvas.polygon(scene.project(cabin), scene.hazy(flank, z), VEHICLE)
    scene.along(inner, (0.25, waist), (z, z + long), flank, VEHICLE)
    scene.along(inner, (waist, roof - 0.2), (z + slope, z + long - 1.8 * slope), _GLASS)
    rear = [(x - half, waist, z), (x + half, waist, z)]
    rear += [(x + 0.8 * half, roof, z + slope), (x - 0.8 * half, roof, z + slope)]
    scene.canvas.polygon(scene.project(rear), scene.hazy(body, z), VEHICLE)
    scene.across((x - half, x + half), (0.3, waist), z, body, VEHICLE)
    scene.across((x - 0.72 * half, x + 0.72 * half), (waist + 0.05, roof - 0.15), z, _GLASS)
    lights = (225, 40, 30) if rng.random() < 0.6 else (250, 250, 215)
    for edge in (-1, 1):
        scene.across((x + edge * half, x + edge * (half - 0.3)), (0.65, 0.85), z, lights)
    scene.across((x - 0.25, x + 0.25), (0.45, 0.6), z, (225, 225, 200))


def _draw_tyres(scene: Scene, x: float, half: float, inner: float, z: float, long: float) -> None:
    for edge in (-1, 1):
        scene.across(
            (x + edge * half, x + edge * (half - 0.25)), (0, 0.4), z, (20, 20, 22), VEHICLE
        )
    for ahead in (0.6, long - 1.2):
        scene.along(inner, (0, 0.35), (z + ahead, z + ahead + 0.6), (20, 20, 22), VEHICLE)
