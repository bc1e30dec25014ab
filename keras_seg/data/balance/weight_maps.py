"""U-Net's weight map: rare classes and thin gaps between cells weigh more.

w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), where d1 and d2 are the distances to the
nearest and the second nearest cell (Ronneberger et al., arXiv:1505.04597). SciPy is imported on
first use.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REACH = 8
"""Cells farther than this many sigma are ignored: their term is below w0 * 2e-14."""


def two_nearest_distances(
    instances: np.ndarray, *, reach: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each pixel to the nearest and to the second nearest instance, in pixels.

    The distance is Euclidean, to the nearest pixel of the instance, and 0 inside it.

    Shapes: (H, W) integer, 0 for background → two (H, W) float32, infinite where there is no such
    instance within `reach`.

    Args:
        instances: number of the instance at each pixel, 0 for background.
        reach: largest distance that is computed. None computes all of them, in time proportional
            to instances x pixels.
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
    """The border term of the weight map; 0 where there are fewer than two cells.

    Shapes: (H, W) integer → (H, W) float32.

    Args:
        instances: number of the instance at each pixel, 0 for background.
        w0: height of the term.
        sigma: width of the term, in pixels.
        background_only: whether pixels of cells get 0, as in most implementations. The paper does
            not say.
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
    """U-Net's weight map: class weight plus border weight. Ignored pixels (255) get 0.

    Shapes: mask (H, W) classes, instances (H, W) integer → (H, W) float32.

    Args:
        mask: class of each pixel.
        instances: number of the instance at each pixel, 0 for background.
        class_weights: one weight per class, 1 by default. See `median_frequency_weights`.
        w0, sigma, background_only: as for `border_weights`.

    Raises: ValueError for fewer weights than classes in the mask.
    """
    weights = border_weights(instances, w0=w0, sigma=sigma, background_only=background_only)
    known = (mask >= 0) & (mask < 255)
    if class_weights is None:
        weights += 1
    else:
        table = np.asarray(class_weights, np.float32)
        if known.any() and mask[known].max() >= len(table):
            raise ValueError(
                f"class_weights needs one weight per class. Received: {len(table)} for a mask with "
                f"class {mask[known].max()}"
            )
        weights += table[np.where(known, mask, 0)]
    return np.where(known, weights, 0).astype(np.float32)


def touching_pixels(instances: np.ndarray, *, width: int = 1) -> np.ndarray:
    """Marks where two instances touch, `width` pixels deep on either side.

    U-Net draws these pixels as background, which separates touching cells in the mask.

    Shapes: (H, W) integer → (H, W) bool.
    """
    from scipy import ndimage

    if width < 1:
        raise ValueError(f"width must be at least 1 pixel. Received: {width}")
    size = 2 * width + 1
    largest = ndimage.maximum_filter(instances, size)
    # background must not count as the smallest instance
    ceiling = np.iinfo(instances.dtype).max
    smallest = ndimage.minimum_filter(np.where(instances == 0, ceiling, instances), size)
    return (instances > 0) & (smallest < largest)


def _compact(instances: np.ndarray) -> np.ndarray:
    """Renumbers labels without gaps, so that SciPy lists one box per cell."""
    values, positions = np.unique(instances, return_inverse=True)
    shift = 0 if values[0] == 0 else 1
    return (positions + shift).reshape(instances.shape).astype(np.int32)
