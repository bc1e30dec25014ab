"""Kernels whose output channels are the pixels of squares, for maps before they are enlarged.

Every pixel of a square is a convolution of its own of the same window of the small map. The
channels are ordered as `keras_seg.layers.DepthToSpace` takes them: rows of the square, its columns,
channels of the large map.
"""

from __future__ import annotations

import numpy as np

# row of the window's square, row of the window, row of the 3x3 kernel. The window of small rows
# i - 1 and i makes the large rows 2i - 1 and 2i: the first meets row i - 1 twice, the second row i
_MEETS = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], np.float32)


def of_doubled(kernel: np.ndarray) -> np.ndarray:
    """Kernel for maps that are doubled with equal pixels → for the maps as they are.

    Shapes: (3, 3, in, out) → (2, 2, in, 4 * out). With zeros padded around the map, whose outermost
    rows and columns of squares lie half outside of the large map.
    """
    found = np.einsum("pui,qvj,ijco->uvcpqo", _MEETS, _MEETS, kernel)
    return found.reshape(2, 2, kernel.shape[2], 4 * kernel.shape[3])


def of_transposed(kernel: np.ndarray, stride: int) -> np.ndarray:
    """Kernel of a transposed convolution → of a convolution.

    Shapes: (k, k, out, in) as Keras has it → (w, w, in, stride² * out), w = k / stride, rounded up.
    With w - 1 zeros padded around the map; the last w * stride - k rows and columns of the result
    lie outside of what the transposed convolution without padding makes.
    """
    size, _, out, channels = kernel.shape
    width = -(-size // stride)
    found = np.zeros((width, width, channels, stride, stride, out), kernel.dtype)
    rows = [
        (width - 1 - taps, place, place + stride * taps)
        for taps in range(width)
        for place in range(stride)
        if place + stride * taps < size
    ]
    for u, p, i in rows:
        for v, q, j in rows:
            found[u, v, :, p, q] = kernel[i, j].T
    return found.reshape(width, width, channels, stride**2 * out)
