"""The part locator of STN-iCNN. Yin, Yiu, Hu, Tang: End-to-End Face Parsing via Interlinked
Convolutional Neural Networks, Cognitive Neurodynamics 2021, arXiv:2002.04831."""

from __future__ import annotations

import keras
import numpy as np
from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.arguments import image_shape
from keras_seg.models.options import ImageShape

SIDE = 128
"""Height and width of the scores: only at this size the last map has 2x3 values."""
CONVOLUTIONS = 10
SCALE_AND_SHIFT = np.array([[1, 0, 1], [0, 1, 1]], "float32")
"""Which entries of a matrix are used: no rotation, no shear."""


def part_locator(
    input_shape: ImageShape = (SIDE, SIDE, 9), parts: int = 6, *, name: str = "part_locator"
) -> keras.Model:
    """Predicts the window of each part of a face from the scores of the whole face.

    Shapes: probabilities (B, 128, 128, classes) of stage 1 → (B, parts, 2, 3) affine matrices that
    map a patch's coordinates, -1 to 1 along (x, y), to the image's. They scale and shift, without
    rotation or shear.

    Args:
        input_shape: (128, 128, classes).
        parts: number of windows.

    Returns: a functional `keras.Model`.

    Raises: ValueError for another size.

    Example:

        model = keras_seg.models.part_locator((128, 128, 9), parts=6)

    Source: `SelectNet` in aod321/STN-iCNN, which has these layer names.
    """
    height, width, _ = image_shape(input_shape)
    if (height, width) != (SIDE, SIDE):
        raise ValueError(
            f"The part locator takes maps of {SIDE}x{SIDE} pixels only. Received: "
            f"{height}x{width}. Resize the scores, or run stage 1 at this size."
        )
    scores = x = keras.Input(input_shape, name="scores")
    index = 0
    for step in range(CONVOLUTIONS):
        x = conv_bn(x, parts, index, stride=2 if step % 2 == 0 else 1)
        index += 2
        if step < CONVOLUTIONS - 1:  # the tenth has no activation
            x = layers.ReLU(name=f"localize_net.{index}")(x)
            index += 1
    x = layers.ZeroPadding2D(1, name=f"localize_net.{index}.pad")(x)
    x = layers.Conv2D(parts, (3, 2), strides=2, name=f"localize_net.{index}")(x)
    x = blocks.batch_norm(x, name=f"localize_net.{index + 1}")
    x = layers.ReLU(name=f"localize_net.{index + 2}")(x)
    index += 3
    for _ in range(3):
        x = conv_bn(x, parts, index)
        x = layers.ReLU(name=f"localize_net.{index + 2}")(x)
        index += 3
    # positions from here on, for which float16 is too coarse
    x = layers.Conv2D(
        parts,
        3,
        padding="same",
        kernel_initializer="he_normal",
        dtype="float32",
        name=f"localize_net.{index}",
    )(x)
    x = layers.Activation("tanh", dtype="float32", name=f"localize_net.{index + 1}")(x)
    theta = layers.Permute((3, 1, 2), dtype="float32", name="theta")(x)
    return keras.Model(scores, theta * SCALE_AND_SHIFT, name=name)


def conv_bn(x: KerasTensor, width: int, index: int, *, stride: int = 1) -> KerasTensor:
    """3x3 convolution and batch norm, with the places `index` and `index + 1` in their names."""
    x = blocks.conv2d(x, width, stride=stride, use_bias=True, name=f"localize_net.{index}")
    return blocks.batch_norm(x, name=f"localize_net.{index + 1}")
