"""The parts of a drawn face, as polygons in the coordinates of the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_seg.data.builtin.canvas import Canvas, Color, ellipse, ragged
from keras_seg.data.builtin.textures import jittered

BACKGROUND, SKIN, HAIR, BROWS, EYES, NOSE, MOUTH = range(7)

_IRISES = ((60, 40, 25), (90, 120, 160), (80, 110, 70))
_LIPS = ((175, 85, 85), (190, 60, 75), (150, 90, 80))


@dataclass(frozen=True)
class Head:
    """The coordinates of a head: crown at y = -1, chin at y = 1, `wide` to each side.

    centre: (x, y) in pixels. size: pixels of one unit. roll: radians in the image plane.
    turn: sine of the angle to the side.
    """

    rng: np.random.Generator
    canvas: Canvas
    centre: np.ndarray
    size: float
    roll: float
    turn: float
    wide: float
    skin: Color
    hair: Color

    def fill(self, points: np.ndarray, color: Color, label: int | None = None) -> None:
        self.canvas.polygon(self._place(points), color, label)

    def stroke(
        self, points: np.ndarray, color: Color, width: float, label: int | None = None
    ) -> None:
        self.canvas.line(self._place(points), color, width * self.size, label)

    def front(self, points: np.ndarray) -> np.ndarray:
        """Shifts points on the front of the head when it turns."""
        x, y = np.asarray(points, np.float64).T
        depth = 0.45 * np.sqrt(np.maximum(0, 1 - (x / (1.1 * self.wide)) ** 2))
        return np.stack([x * np.sqrt(1 - self.turn**2) + depth * self.turn, y], axis=-1)

    def outline(self, grow: float = 1.0) -> np.ndarray:
        """The contour of the face: an ellipse that narrows to the chin."""
        points = ellipse(0, 0, self.wide, 1, corners=48)
        jaw = 1 - 0.2 * np.maximum(0, points[:, 1:]) ** 2
        return grow * points * np.concatenate([jaw, np.ones_like(jaw)], axis=1)

    def shade(self, factor: float) -> Color:
        """The skin, darker or brighter."""
        red, green, blue = (min(255, int(factor * value)) for value in self.skin)
        return red, green, blue

    def _place(self, points: np.ndarray) -> np.ndarray:
        sine, cosine = np.sin(self.roll), np.cos(self.roll)
        turned = np.asarray(points, np.float64) @ np.array([[cosine, sine], [-sine, cosine]])
        return self.centre + self.size * turned


def draw_head(head: Head) -> None:
    """Hair behind the head, clothes, neck, ears and the bare face."""
    rng = head.rng
    if rng.random() < 0.85:
        long = rng.random() < 0.45
        radius = head.wide * rng.uniform(1.12, 1.35)
        head.fill(ragged(rng, 0, -0.25, radius, rng.uniform(0.9, 1.05), 0.02), head.hair, HAIR)
        if long:
            end = rng.uniform(0.7, 1.5)
            fall = [(-radius, -0.3), (radius, -0.3), (radius * 0.95, end), (-radius * 0.95, end)]
            head.fill(np.array(fall), head.hair, HAIR)
    clothes = jittered(rng, (120, 120, 120), 100)
    shoulders = [(-0.35, 1.15), (0.35, 1.15), (1.5, 1.5), (1.8, 4), (-1.8, 4), (-1.5, 1.5)]
    head.fill(
        np.array([(-0.38, 0.5), (0.38, 0.5), (0.42, 1.4), (-0.42, 1.4)]), head.shade(0.82), SKIN
    )
    head.fill(np.array(shoulders), clothes, BACKGROUND)
    head.fill(ellipse(0, 1.15, 0.4, 0.18), head.shade(0.82), SKIN)
    for side in (-1, 1):
        ear = ellipse(side * head.wide * 1.0 - 0.1 * head.turn, -0.02, 0.12, 0.22)
        head.fill(ear, head.shade(0.88), SKIN)
    head.fill(head.outline(), head.skin, SKIN)
    _shade_skin(head)


def _shade_skin(head: Head) -> None:
    """Cheeks, wrinkles, freckles and the shadow of a beard, which all are skin."""
    rng = head.rng
    for side in (-1, 1):
        blush = ellipse(side * 0.4, 0.25, 0.18, 0.14)
        head.fill(head.front(blush), (220, 90, 80, int(rng.uniform(0, 40))))
    if rng.random() < 0.3:
        chin = head.outline(0.97)
        chin = np.concatenate([chin[chin[:, 1] > 0.25], [(-0.3, 0.35), (0.0, 0.28), (0.3, 0.35)]])
        head.fill(chin, (*head.hair, int(rng.uniform(30, 80))))
    for _ in range(rng.integers(0, 12)):
        x, y = rng.uniform((-0.5, -0.6), (0.5, 0.7))
        head.fill(head.front(ellipse(x, y, 0.02, 0.02, corners=6)), head.shade(0.7))


def draw_eyes(head: Head) -> None:
    """Two eyes and two brows; a brow may be thin, an eye nearly closed."""
    rng = head.rng
    apart, level = rng.uniform(0.3, 0.36), rng.uniform(-0.18, -0.08)
    open_wide, long = rng.uniform(0.05, 0.1), rng.uniform(0.14, 0.18)
    iris = jittered(rng, _IRISES[rng.integers(len(_IRISES))], 15)
    gaze = rng.uniform(-0.05, 0.05)
    lift, thick, bend = rng.uniform(0.17, 0.26), rng.uniform(0.035, 0.07), rng.uniform(0.02, 0.09)
    brow_color = jittered(rng, tuple(int(0.75 * v) for v in head.hair), 10)
    t = np.linspace(-1, 1, 11)
    for side in (-1, 1):
        x = side * apart
        socket = ellipse(x, level, 1.25 * long, 1.7 * open_wide)
        head.fill(head.front(socket), (*head.shade(0.6), 70))
        lid = np.stack([x + long * t, level - open_wide * (1 - t**2)], axis=-1)
        lower = np.stack([x + long * t[::-1], level + 0.8 * open_wide * (1 - t**2)], axis=-1)
        head.fill(head.front(np.concatenate([lid, lower])), (232, 228, 224), EYES)
        radius = min(0.07, 0.8 * open_wide)
        head.fill(head.front(ellipse(x + gaze, level, radius, radius)), iris)
        head.fill(head.front(ellipse(x + gaze, level, 0.5 * radius, 0.5 * radius)), (10, 10, 12))
        head.fill(head.front(ellipse(x + gaze + 0.02, level - 0.02, 0.014, 0.014)), (250, 250, 250))
        head.stroke(head.front(lid), head.shade(0.4), 0.025)
        arch = level - lift - bend * (1 - t**2) + 0.03 * side * t
        taper = thick * (1 - 0.35 * np.abs(t))
        edge = np.stack([x + 1.35 * long * t, arch - taper], axis=-1)
        under = np.stack([x + 1.35 * long * t, arch + taper], axis=-1)[::-1]
        head.fill(head.front(np.concatenate([edge, under])), brow_color, BROWS)


def draw_nose(head: Head) -> None:
    """A nose in nearly the colour of the skin: one side is in shade, ridge and tip shine."""
    rng = head.rng
    root, tip, broad = rng.uniform(-0.12, -0.04), rng.uniform(0.26, 0.36), rng.uniform(0.13, 0.19)
    lean = 0.16 * head.turn
    right = np.array([(0.05, root), (0.06, 0.1), (broad, tip - 0.04), (broad * 0.9, tip + 0.04)])
    base = np.array([(0.05, tip + 0.07), (-0.05, tip + 0.07)])
    contour = np.concatenate([right, base, right[::-1] * (-1, 1)])
    contour[:, 0] += lean * np.clip((contour[:, 1] - root) / (tip - root), 0, 1)
    dark, bright = rng.uniform(0.8, 0.9), rng.uniform(1.03, 1.12)
    head.fill(head.front(contour), head.shade(0.94), NOSE)
    flank = contour[:4] if rng.random() < 0.5 else contour[-4:]
    ridge = np.array([(lean * 0.9, tip), (0, root)])
    head.fill(head.front(np.concatenate([flank, ridge])), head.shade(dark))
    head.stroke(head.front(ridge), head.shade(bright), 0.045)
    head.fill(head.front(ellipse(lean, tip - 0.03, 0.05, 0.04)), head.shade(bright * 1.05))
    for side in (-1, 1):
        hole = ellipse(lean + side * 0.5 * broad, tip + 0.035, 0.035, 0.022)
        head.fill(head.front(hole), head.shade(0.4))


def draw_mouth(head: Head) -> None:
    """Lips, and teeth if the mouth is open."""
    rng = head.rng
    level, wide = rng.uniform(0.52, 0.62), rng.uniform(0.2, 0.32)
    smile, gap = rng.uniform(-0.05, 0.09), max(0.0, rng.uniform(-0.08, 0.12))
    upper, lower = rng.uniform(0.04, 0.07), rng.uniform(0.05, 0.09)
    lips = 0.5 * np.array(_LIPS[rng.integers(len(_LIPS))]) + 0.5 * np.array(head.shade(0.8))
    t = np.linspace(-1, 1, 13)
    x, arc = wide * t, level - smile * t**2
    round_off = 1 - t**2
    bow = upper * round_off * (1 - 0.35 * np.exp(-((t / 0.2) ** 2)))
    top = np.stack([x, arc - 0.5 * gap * round_off - bow], axis=-1)
    bottom = np.stack([x, arc + (0.5 * gap + lower) * round_off], axis=-1)[::-1]
    head.fill(head.front(np.concatenate([top, bottom])), jittered(rng, tuple(lips), 10), MOUTH)
    inner_top = np.stack([x * 0.9, arc - 0.5 * gap * round_off], axis=-1)
    inner_bottom = np.stack([x * 0.9, arc + 0.5 * gap * round_off], axis=-1)[::-1]
    head.fill(head.front(np.concatenate([inner_top, inner_bottom])), (60, 20, 22))
    if gap > 0.03:
        teeth = np.stack([x * 0.8, arc + 0.05 * gap * round_off], axis=-1)[::-1]
        head.fill(head.front(np.concatenate([inner_top * (0.9, 1), teeth])), (235, 230, 220))
    else:
        head.stroke(head.front(inner_top), (70, 25, 28), 0.02)


def draw_fringe(head: Head) -> None:
    """Hair over the forehead, from none to much, with a random parting."""
    rng = head.rng
    if rng.random() < 0.12:
        return
    points = head.outline(1.03)
    crown = points[points[:, 1] < rng.uniform(-0.62, -0.42)]
    parting = rng.uniform(-0.5, 0.5) * head.wide
    t = np.linspace(crown[:, 0].max(), crown[:, 0].min(), 14)[1:-1]
    line = rng.uniform(-0.75, -0.5) + 0.25 * np.abs(t - parting) - 0.08
    line += 0.02 * rng.standard_normal(len(t))
    edge = np.stack([t, np.minimum(line, -0.42)], axis=-1)
    order = np.argsort(np.arctan2(crown[:, 1], crown[:, 0]))
    head.fill(np.concatenate([crown[order], edge]), head.hair, HAIR)
    shine = tuple(min(255, value + 45) for value in head.hair)
    for _ in range(10):
        x = rng.uniform(-0.6, 0.6)
        y = -np.sqrt(1 - x**2) * rng.uniform(0.85, 0.97)
        strand = np.array([(x, y), (1.1 * x, y + rng.uniform(0.05, 0.15))]) * (head.wide, 1)
        head.stroke(strand, (*shine, 70), 0.02)
