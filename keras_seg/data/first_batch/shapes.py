"""Checks that the shapes of images, masks and network fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_seg.data.first_batch.network import graph_of
from keras_seg.data.first_batch.reading import MAIN, Batch
from keras_seg.data.mask_values.finding import Finding
from keras_seg.layers.size_guard import nearest_sizes, size_rule

Shape = Sequence[int]
PICTURE_CHANNELS = (1, 3, 4)
MANY_CHANNELS = 16
"""A last axis longer than this, after a short first one, means that channels come first."""


def shape_findings(batch: Batch, model: keras.Model | None) -> list[Finding]:
    """The first problem of the shapes, because other problems follow from it."""
    image, mask = batch.images.shape, batch.masks.shape
    wrong = _images(image, mask, _input_shape(model)) or (model and _sizes(model, image))
    if not wrong:
        wrong = _masks(batch, _output_shape(model, image))
    return [wrong] if wrong else []


def channels_of(model: keras.Model | None) -> int | None:
    """Number of output channels of a model; None if unknown."""
    graph = graph_of(model)
    return None if graph is None else _main_output(graph.output).shape[-1]


def _main_output(outputs: Any) -> Any:
    """The output "logits" of several, or the first; works for shapes, too."""
    if isinstance(outputs, dict):
        return outputs.get(MAIN, next(iter(outputs.values())))
    return outputs[0] if isinstance(outputs, list) else outputs


def _input_shape(model: keras.Model | None) -> tuple | None:
    """(None, H, W, C) of a network that takes one image; None if unknown."""
    graph = graph_of(model)
    shape = getattr(graph.input, "shape", None) if graph is not None else None
    return shape if shape is not None and len(shape) == 4 else None


def _output_shape(model: keras.Model | None, image: Shape) -> tuple | None:
    if _input_shape(model) is None:
        return None
    if len(image) == 3:
        image = (*image, 1)  # as Keras does
    return _main_output(graph_of(model).compute_output_shape(image))


def _images(image: Shape, mask: Shape, takes: Shape | None) -> Finding | None:
    shape, channels = _shown(image), takes[-1] if takes else None
    if len(image) == 3 and len(mask) == 4 and channels == mask[-1] in (3, 4):
        return Finding(
            "swapped",
            f"The images have the shape {shape}, the masks {_shown(mask)}: they seem to be "
            "swapped. `fit` takes (images, masks), in this order.",
        )
    if len(image) == 3:
        if channels == 1 and image[-1] != 1:
            return None  # Keras adds the axis of the channel
        if image[-1] in ((channels,) if channels else PICTURE_CHANNELS) and len(mask) == 2:
            return Finding(
                "axes",
                f"The images have the shape {shape}: the axis of the batch is missing. Batch the "
                "data: dataset.batch(8).",
            )
        return Finding(
            "axes",
            f"The images have the shape {shape}: the axis of the channels is missing. Add it: "
            "images[..., None].",
        )
    if len(image) != 4:
        return Finding(
            "axes",
            f"Images have the shape (batch, height, width, channels). Received: {shape}.",
        )
    first, last = image[1], image[-1]
    fits = first == channels if channels else first in PICTURE_CHANNELS and last > MANY_CHANNELS
    if fits and last != channels and last > 4:
        return Finding(
            "channels first",
            f"The images have the shape {shape}, with the channels first; networks here take "
            f"(batch, height, width, channels). Move the axis: np.moveaxis(images, 1, -1), or "
            "tf.transpose(images, (0, 2, 3, 1)).",
        )
    if channels is not None and last != channels:
        return Finding("channels", _other_channels(shape, last, channels))
    return None


def _other_channels(shape: str, last: int, channels: int) -> str:
    advice = f"build the network for {last}: input_shape=(None, None, {last})"
    if (last, channels) == (4, 3):
        advice = f"leave the fourth out (images[..., :3]) if it is transparency, or {advice}"
    elif (last, channels) == (1, 3):
        advice = f"repeat it (np.repeat(images, 3, axis=-1)), or {advice}"
    elif (last, channels) == (3, 1):
        advice = f"make them grey (tf.image.rgb_to_grayscale(images)), or {advice}"
    advice = advice[0].upper() + advice[1:]
    number = "one channel" if last == 1 else f"{last} channels"
    return f"The images have {number} (shape {shape}), and the network takes {channels}. {advice}."


def _sizes(model: keras.Model, image: Shape) -> Finding | None:
    takes = _input_shape(model)
    if takes is None:
        return None
    for axis, name in ((1, "height"), (2, "width")):
        if takes[axis] not in (None, image[axis]):
            return Finding(
                "size",
                f"The images have a {name} of {image[axis]} pixels, and the network takes "
                f"{takes[axis]}. Resize or crop them, or build the network with a free size: "
                f"input_shape=(None, None, {takes[-1]}).",
            )
        multiple, offset, smallest = size_rule(graph_of(model))
        if image[axis] < smallest or (image[axis] - offset) % multiple:
            near = nearest_sizes(image[axis], multiple, offset, smallest)
            plus = f" plus {offset}" if offset else ""
            return Finding(
                "size",
                f"The images have a {name} of {image[axis]} pixels, and the network takes "
                f"multiples of {multiple}{plus}. The nearest that work are "
                f"{' and '.join(map(str, near))}: crop, resize or pad to one of these.",
            )
    return None


def _masks(batch: Batch, scores: tuple | None) -> Finding | None:
    image, mask = batch.images.shape, batch.masks.shape
    pixels = image[1:3]
    allowed = {pixels} if scores is None else {tuple(scores[1:3])}
    shapes = f"The images have the shape {_shown(image)}, the masks {_shown(mask)}"
    if len(mask) not in (3, 4):
        return Finding(
            "axes",
            f"{shapes}. A mask has a class for each pixel: (batch, height, width), or one-hot "
            "labels (batch, height, width, classes).",
        )
    if mask[0] != image[0]:
        return Finding("axes", f"{shapes}: {image[0]} images and {mask[0]} masks. Pair them.")
    swapped = _swapped(batch)
    if swapped:
        return swapped
    if mask[1:3] in allowed:
        return None
    if len(mask) == 4 and mask[2:] in allowed and mask[1] not in pixels:
        moved = "np.moveaxis(masks, 1, -1)" if mask[1] > 1 else "masks[:, 0]"
        return Finding(
            "channels first",
            f"{shapes}: the channels of the masks come first. Move the axis: {moved}.",
        )
    size = next(iter(allowed))
    if mask[1:3] == size[::-1]:
        return Finding(
            "transposed",
            f"{shapes}: height and width of the masks are exchanged. Exchange them back: "
            "np.swapaxes(masks, 1, 2).",
        )
    if scores is not None and size != pixels:
        what = f"{shapes}, and the network outputs scores of {size[0]}x{size[1]} pixels"
        if mask[1:3] == pixels and size[0] < pixels[0]:
            return Finding(
                "size",
                f"{what}. Train on scores of the image's size: "
                "keras_seg.training.output_losses and output_masks prepare the masks of networks "
                "without padding, keras.layers.UpSampling2D ends a network of your own.",
            )
        return Finding("size", f"{what}. Masks need that size.")
    return Finding(
        "size",
        f"{shapes}: their sizes differ. Resize both in the same way, masks with "
        'interpolation="nearest".',
    )


def _swapped(batch: Batch) -> Finding | None:
    """Images and masks that are swapped: images with few values, masks with many."""
    image, mask = batch.images, batch.masks
    if (mask.ndim == 4 and mask.shape[-1] not in (1, 3)) or mask.shape[1:3] != image.shape[1:3]:
        return None
    few = len(_values(image)) <= 8 and (image.shape[-1] == 1 or (image == image[..., :1]).all())
    if few and len(_values(mask)) > 64:
        return Finding(
            "swapped",
            f"The images hold {len(_values(image))} values, the masks {len(_values(mask))}: they "
            "seem to be swapped. `fit` takes (images, masks), in this order.",
        )
    return None


def _values(pixels: np.ndarray) -> set[float]:
    """The different values in a few rows."""
    rows = pixels[:2, :: max(1, pixels.shape[1] // 64)]
    return set(rows.reshape(-1)[:200_000].tolist())


def _shown(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"
