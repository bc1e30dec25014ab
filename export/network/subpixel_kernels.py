"""Kernels of sub-pixel convolutions.

Such a convolution reads the small map. Its output channels are the pixels of a square of the large
map, in the order that `keras_seg.layers.DepthToSpace` takes them: rows of the square, its columns,
channels of the large map.
"""

from __future__ import annotations

import numpy as np


def kernel_on_small_map(kernel: np.ndarray) -> np.ndarray:
    """Kernel of a convolution that follows a nearest up-sampling by two → sub-pixel kernel.

    Shapes: (k, k, in, out), k odd → (w, w, in, 4 * out), w = (k + 1) / 2.

    The small map must be padded with w // 2 zeros. If w is even, windows are centred between the
    small pixels: there is one window more than pixels per axis, and the outermost rows and columns
    of their squares are outside of the large map.
    """
    size, _, channels, filters = kernel.shape
    reach, width = size // 2, (size + 1) // 2
    # axes: row of the square, row of the window, row of the kernel
    meets = np.zeros((2, width, size), np.float32)
    for place in range(2):
        row = place if width % 2 else place - 1  # in the large map, 0 at the middle of the window
        for i in range(size):
            meets[place, (row - reach + i) // 2 + width // 2, i] = 1
    subpixel = np.einsum("pui,qvj,ijco->uvcpqo", meets, meets, kernel)
    return subpixel.reshape(width, width, channels, 4 * filters)


def kernel_of_transposed(kernel: np.ndarray, stride: int) -> np.ndarray:
    """Kernel of a transposed convolution without padding → sub-pixel kernel.

    Shapes: (k, k, out, in) → (w, w, in, stride² * out), w = k / stride, rounded up.

    The map must be padded with w - 1 zeros. The last w * stride - k rows and columns of the result
    are outside of the output of the transposed convolution.
    """
    size, _, out, channels = kernel.shape
    width = -(-size // stride)
    subpixel = np.zeros((width, width, channels, stride, stride, out), kernel.dtype)
    rows = [
        (width - 1 - taps, place, place + stride * taps)
        for taps in range(width)
        for place in range(stride)
        if place + stride * taps < size
    ]
    for u, p, i in rows:
        for v, q, j in rows:
            subpixel[u, v, :, p, q] = kernel[i, j].T
    return subpixel.reshape(width, width, channels, stride**2 * out)
