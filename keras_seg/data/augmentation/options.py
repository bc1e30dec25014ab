"""The options of augmentation, which `keras_seg.data.augment` applies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """Random changes of each training crop. The same change is applied to image and mask.

    Args:
        flip_horizontal: mirror left to right with probability 0.5.
        flip_vertical: mirror top to bottom with probability 0.5.
        scale: smallest and largest magnification; 1 keeps the size.
        brightness: largest shift of brightness, as a share of 255.
        contrast: largest relative change of contrast.
        saturation: largest relative change of saturation.
        rotation: largest rotation to either side, in degrees.
        elastic: standard deviation in pixels of random displacements on a coarse grid, interpolated
            to every pixel (U-Net, arXiv:1505.04597: 10 pixels on a 3x3 grid).
        elastic_grid: points per side of that grid.
        hue: largest rotation of the hue of RGB images, as a share of the colour circle.
        gamma: the exponent of pixels / 255 is between 1 / (1 + gamma) and 1 + gamma.
        mask_morphology: largest number of pixels by which objects grow or shrink in the mask, for
            hand-drawn borders. Class 0 must be the background.
        cut_mix: probability that an image gets a rectangle of another image of the batch, with its
            mask.

    Raises: ValueError for a value out of range.

    Example:

        augmentation = keras_seg.data.Augmentation(scale=(0.8, 1.25), rotation=10)
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

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(
                "augmentation.scale must be two positive factors, the smaller first. "
                f"Received: {self.scale}"
            )
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"augmentation.{name} must be at least 0 and below 1. "
                    f"Received: {getattr(self, name)}"
                )
        for name, (smallest, largest) in _RANGES.items():
            if not smallest <= getattr(self, name) <= largest:
                raise ValueError(
                    f"augmentation.{name} must be in {smallest}..{largest}. "
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
