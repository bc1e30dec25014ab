"""CIEDE2000 differences of colours, also as colour-blind people see them."""

import numpy as np

VISIONS = {
    # Machado, Oliveira and Fernandes (2009), severity 1, in linear sRGB
    "all cones": np.eye(3),
    "no red cones": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no green cones": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = np.array([0.95047, 1, 1.08883])


def lab(colors, vision):
    """(n, 3) sRGB in 0..255 → (n, 3) CIELAB of what a person with this vision sees."""
    values = np.asarray(colors) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ VISIONS[vision].T, 0, 1) @ SRGB_TO_XYZ.T / WHITE
    x, y, z = np.where(seen > 216 / 24389, np.cbrt(seen), (24389 / 27 * seen + 16) / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def smallest_difference(colors, others):
    """The smallest CIEDE2000 difference of a colour from another one; colours in CIELAB."""
    pairs = [(a, b) for a in colors for b in others if (a != b).any()]
    return min(_ciede2000(a, b) for a, b in pairs)


def _ciede2000(first, second):
    (l1, a1, b1), (l2, a2, b2) = first, second
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25**7))
    a1, a2 = stretch * a1, stretch * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn, hue = h2 - h1, (h1 + h2) / 2
    if c1 * c2 == 0:
        turn, hue = 0, h1 + h2
    elif abs(turn) > 180:
        turn, hue = turn - np.sign(turn) * 360, hue + 180
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    weights = (1, -0.17), (2, 0.24), (3, 0.32), (4, -0.2)
    shifts = (-30, 0, 6, -63)
    t = 1 + sum(
        w * np.cos(np.radians(n * hue + s)) for (n, w), s in zip(weights, shifts, strict=True)
    )
    lightness = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    colour = (c2 - c1) / (1 + 0.045 * chroma)
    angle = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * t)
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25**7))
    rotation *= np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    return float(np.sqrt(lightness**2 + colour**2 + angle**2 + rotation * colour * angle))
