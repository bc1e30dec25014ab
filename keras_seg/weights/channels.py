"""Weights trained on RGB for images with another number of channels."""

from __future__ import annotations

import numpy as np

RGB = 3


def fit_first_kernel(kernel: np.ndarray, channels: int, *, axis: int) -> np.ndarray:
    """The first convolution's kernel for images of `channels` channels instead of three.

    One channel takes the sum over the three. More take them in turn (R, G, B, R, ...), scaled by
    3 / channels, so that a grey image in all channels gives what it gave before.

    Args:
        axis: of the kernel's input channels: 1 in PyTorch's layout, 2 in Keras'.
    """
    if channels == 1:
        return kernel.sum(axis=axis, keepdims=True)
    turns = kernel.take(np.arange(channels) % RGB, axis=axis)
    # the sum over what is taken, brought to the sum over the three
    return (turns * (RGB / channels)).astype(kernel.dtype)
