"""Otsu's threshold, the baseline that a network has to beat."""

from __future__ import annotations

import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def otsu_threshold_mask(image: np.ndarray) -> np.ndarray:
    """Marks the pixels that are brighter than Otsu's threshold of the grey image.

    The threshold t maximises the variance between the classes {grey <= t} and {grey > t} (Otsu,
    IEEE Trans. SMC 9(1), 1979). Whether the object is the bright or the dark class is not known to
    a threshold: a caller that wants dark objects inverts the result.

    Args: image: (H, W), (H, W, 1) or (H, W, 3) uint8.

    Returns: (H, W) bool; all False if the image has one grey value only.

    Raises: ValueError for another shape or type.
    """
    image = np.asarray(image)
    grey = image[..., None] if image.ndim == 2 else image
    if image.dtype != np.uint8 or grey.ndim != 3 or grey.shape[-1] not in (1, 3):
        raise ValueError(
            "image must be uint8 of shape (H, W), (H, W, 1) or (H, W, 3). "
            f"Received: {image.dtype} {image.shape}"
        )
    if grey.shape[-1] == 3:
        grey = np.rint(grey @ _LUMA).astype(np.uint8)
    grey = grey.reshape(grey.shape[:2])
    share = np.bincount(grey.ravel(), minlength=256) / grey.size
    below = np.cumsum(share)
    mean_below = np.cumsum(share * np.arange(256))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean_below[-1] * below - mean_below) ** 2 / (below * (1 - below))
    # Rounding can leave `below` slightly under 1 after the last grey value, where no split is.
    between[grey.max() :] = -1
    return grey > np.nanargmax(between)
