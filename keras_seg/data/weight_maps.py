"""U-Net's weight of each pixel: rare classes and thin gaps between cells count more.

w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), with the distances d1 and d2 to the
nearest and the second nearest cell (Ronneberger et al., arXiv:1505.04597). SciPy is loaded when the
first map is made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REACH = 8
"""Cells are looked for within this many sigma. Beyond it the second term is below w0 * 2e-14."""


def two_nearest_distances(
    instances: np.ndarray, *, reach: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of each pixel to the nearest and the second nearest instance, in pixels.

    A distance is the Euclidean one to the nearest pixel of the instance, 0 inside it.

    Shapes: (H, W) integer, 0 for background → two (H, W) float32; infinite where there is no such
    instance, or none within `reach`.

    Args:
        reach: pixels around an instance in which its distances are computed; None computes all
            everywhere, in time proportional to instances x pixels.
    """
    from scipy import ndimage

    height, width = instances.shape
    nearest, second = (np.full((height, width), np.inf, np.float32) for _ in range(2))
    labels = _compact(instances)
    margin = max(height, width) if reach is None else int(np.ceil(reach))
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        window = tuple(slice(max(side.start - margin, 0), side.stop + margin) for side in box)
        distance = ndimage.distance_transform_edt(labels[window] != label).astype(np.float32)
        one, two = nearest[window], second[window]
        np.minimum(two, np.maximum(one, distance), out=two)
        np.minimum(one, distance, out=one)
    if reach is not None:
        for distances in (nearest, second):
            distances[distances > reach] = np.inf
    return nearest, second


def border_weights(
    instances: np.ndarray, *, w0: float = 10.0, sigma: float = 5.0, background_only: bool = True
) -> np.ndarray:
    """The second term of the weight, (H, W) float32; 0 where there are fewer than two cells.

    Args:
        w0, sigma: height, and width in pixels.
        background_only: whether pixels of cells get none. The paper does not say; most
            implementations do so.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, in pixels. Received: {sigma}")
    nearest, second = two_nearest_distances(instances, reach=REACH * sigma)
    term = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return np.where((instances == 0) | (not background_only), term, 0).astype(np.float32)


def weight_map(
    mask: np.ndarray,
    instances: np.ndarray,
    *,
    class_weights: Sequence[float] | None = None,
    w0: float = 10.0,
    sigma: float = 5.0,
    background_only: bool = True,
) -> np.ndarray:
    """U-Net's w: the weight of the pixel's class plus its border weight.

    Shapes: mask (H, W) classes, instances (H, W) integer → (H, W) float32. Ignored pixels weigh 0.

    Args:
        class_weights: w_c of each class, 1 if left out; `median_frequency_weights` balances them.
    """
    weights = border_weights(instances, w0=w0, sigma=sigma, background_only=background_only)
    known = (mask >= 0) & (mask < 255)
    if class_weights is None:
        weights += 1
    else:
        table = np.asarray(class_weights, np.float32)
        if known.any() and mask[known].max() >= len(table):
            raise ValueError(
                f"class_weights needs one weight a class. Received: {len(table)} for a mask with "
                f"class {mask[known].max()}"
            )
        weights += table[np.where(known, mask, 0)]
    return np.where(known, weights, 0).astype(np.float32)


def touching_pixels(instances: np.ndarray, *, width: int = 1) -> np.ndarray:
    """Where two instances meet: (H, W) bool, `width` pixels deep on either side of the contact.

    U-Net draws these as background, so that cells that touch are separate in the mask.
    """
    from scipy import ndimage

    if width < 1:
        raise ValueError(f"width must be at least 1 pixel. Received: {width}")
    size = 2 * width + 1
    largest = ndimage.maximum_filter(instances, size)
    # background must not be taken for the smallest instance
    ceiling = np.iinfo(instances.dtype).max
    smallest = ndimage.minimum_filter(np.where(instances == 0, ceiling, instances), size)
    return (instances > 0) & (smallest < largest)


def _compact(instances: np.ndarray) -> np.ndarray:
    """Labels 0..n without gaps, so that SciPy's list of boxes is no longer than the cells are."""
    values, positions = np.unique(instances, return_inverse=True)
    shift = 0 if values[0] == 0 else 1
    return (positions + shift).reshape(instances.shape).astype(np.int32)
