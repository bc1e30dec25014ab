"""Kernels whose output channels are the pixels of squares, for maps before they are enlarged.

Every pixel of a square is a convolution of its own of the same window of the small map. The
channels are ordered as `keras_seg.layers.DepthToSpace` takes them: rows of the square, its columns,
channels of the large map.
"""

from __future__ import annotations

import numpy as np


def of_doubled(kernel: np.ndarray) -> np.ndarray:
    """Kernel for maps that are doubled with equal pixels → for the maps as they are.

    Shapes: (k, k, in, out), k odd → (w, w, in, 4 * out), w = (k + 1) / 2. With w // 2 zeros padded
    around the map. Where w is even, windows lie between the small pixels: there is one more than
    pixels, and the outermost rows and columns of their squares lie outside of the large map.
    """
    size, _, channels, filters = kernel.shape
    reach, width = size // 2, (size + 1) // 2
    # row of the square, of the window, of the kernel
    meets = np.zeros((2, width, size), np.float32)
    for place in range(2):
        row = place if width % 2 else place - 1  # of the large map, where the window's middle is 0
        for i in range(size):
            meets[place, (row - reach + i) // 2 + width // 2, i] = 1
    found = np.einsum("pui,qvj,ijco->uvcpqo", meets, meets, kernel)
    return found.reshape(width, width, channels, 4 * filters)


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
