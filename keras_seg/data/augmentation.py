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
    """

    flip_horizontal: bool = True
    flip_vertical: bool = False
    scale: tuple[float, float] = (0.5, 2.0)
    brightness: float = 0.1
    contrast: float = 0.2
    saturation: float = 0.2

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
