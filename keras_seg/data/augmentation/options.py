"""What augmentation draws; the drawing itself is `keras_seg.data.augment`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for each training image.

    flip_horizontal, flip_vertical: mirrored with probability 0.5 each.
    scale: smallest and largest magnification; 1.0 keeps the size.
    brightness: largest shift, as a share of 255.
    contrast, saturation: largest relative change.
    rotation: largest turn to either side, in degrees.
    elastic: standard deviation in pixels of the displacement vectors of a coarse grid, which are
        interpolated to every pixel (U-Net, arXiv:1505.04597: 10 pixels on a 3x3 grid).
    elastic_grid: vectors a side of that grid.
    hue: largest turn of the hue of RGB images, as a share of the colour circle.
    gamma: the exponent of pixels / 255 lies between 1 / (1 + gamma) and 1 + gamma.
    mask_morphology: most pixels by which the classes above 0 grow or shrink over class 0 in the
        mask, for masks whose class 0 is background and whose borders are drawn by hand.
    cut_mix: probability that an image of a batch gets a rectangle of another, with its mask
        (`keras_seg.data.cut_mix`).
    """

    flip_horizontal: bool = True
    flip_vertical: bool = False
    scale: tuple[float, float] = (0.5, 2.0)
    brightness: float = 0.1
    contrast: float = 0.2
    saturation: float = 0.2
    rotation: float = 0.0
    elastic: float = 0.0
    elastic_grid: int = 3
    hue: float = 0.0
    gamma: float = 0.0
    mask_morphology: int = 0
    cut_mix: float = 0.0

    def __post_init__(self):
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(
                "augmentation.scale must be two positive factors, the smaller first. "
                f"Received: {self.scale}"
            )
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"augmentation.{name} must lie in 0..1 (1 excluded). "
                    f"Received: {getattr(self, name)}"
                )
        for name, (smallest, largest) in _RANGES.items():
            if not smallest <= getattr(self, name) <= largest:
                raise ValueError(
                    f"augmentation.{name} must lie in {smallest}..{largest}. "
                    f"Received: {getattr(self, name)}"
                )


_RANGES = {
    "rotation": (0, 180),
    "elastic": (0, 1000),
    "elastic_grid": (2, 64),
    "hue": (0, 0.5),
    "gamma": (0, 10),
    "mask_morphology": (0, 64),
    "cut_mix": (0, 1),
}
