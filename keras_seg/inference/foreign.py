"""The input and output of a file that another exporter wrote: axes, batch size, score output.

Files of this package record them in their card. For others they are read from the shapes, and where
lengths are free, from the output for a black image whose width is larger than its height.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_seg.masks.margin import lost_border

PROBE = (64, 96)
"""(height, width) of the test image where a file leaves its size free."""
FEW = (1, 2, 3, 4)
"""Lengths that must be channels, since no image is that small."""
EXPECTED = "Give a file with one image in and one map of scores or classes out."

RunAll = Callable[[np.ndarray], Sequence[np.ndarray]]
"""An image as the file takes it → all outputs."""


class Tensor(NamedTuple):
    """An input or output of a file.

    Attributes:
        name: as the file says.
        shape: None where a length is free.
        whole: whether its values are integers.
    """

    name: str
    shape: tuple[int | None, ...]
    whole: bool = False


@dataclass(frozen=True)
class ForeignTensors:
    """How a foreign file takes an image and outputs scores or classes.

    Attributes:
        batch: number of images that the file takes at once, None for any number.
        shape: (height, width, channels) of the image, None where free.
        image_first: whether the channels of the image come first.
        output: index of the output.
        scores_first: whether the channels of the scores come first.
        channels: number of score channels; None for a map of classes.
        margin: (rows, columns) of the image that the map lacks on each side.
    """

    batch: int | None
    shape: tuple[int | None, int | None, int]
    image_first: bool
    output: int
    scores_first: bool
    channels: int | None
    margin: tuple[int, int] = (0, 0)

    def to_input(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, C) images as the file takes them; one image is repeated to fill a batch."""
        if self.batch not in (None, len(images)):
            images = np.repeat(images[:1], self.batch, axis=0)
        return images.transpose(0, 3, 1, 2) if self.image_first else images

    def from_output(self, output: np.ndarray, count: int = 1) -> np.ndarray:
        """An output of the file as (count, h, w, channels) scores or (count, h, w) classes."""
        output = output[:count]
        if self.channels is None:
            return output.reshape(_map_shape(output.shape))
        if output.ndim == 3:
            return output[..., None]
        return output.transpose(0, 2, 3, 1) if self.scores_first else output


def find_tensors(
    path: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor], run: RunAll
) -> ForeignTensors:
    """The input and output of a file without a card.

    Args:
        run: called with a test image.

    Raises: ValueError that names the input or output which is not understood.
    """
    image = _only_image(path, inputs)
    image_first = _channels_first(path, image)
    batch, *size = image.shape
    shape = (size[1], size[2], size[0]) if image_first else tuple(size)
    if shape[2] is None:
        raise ValueError(
            f"{path} does not say how many channels its input {image.name!r} of shape "
            f"{_text(image.shape)} has. Export it with a fixed number of channels."
        )
    results = _outputs_of_black(batch, shape, image_first, run)
    shapes = [list(each.shape) for each in (outputs if results is None else results)]
    used = tuple(size or probe for size, probe in zip(shape, PROBE, strict=False))
    number, scores_first, channels = _find_map(path, outputs, shapes, used, image_first)
    if len(outputs) > 1:
        warnings.warn(
            f"{path} has {len(outputs)} outputs ({_listed(outputs)}). {outputs[number].name!r} "
            "is taken for the scores, as the first that is a map of the image.",
            stacklevel=6,
        )
    lengths = shapes[number][2:4] if scores_first else shapes[number][1:3]
    margin = lost_border(used, tuple(lengths))
    return ForeignTensors(batch, shape, image_first, number, scores_first, channels, margin)


def _only_image(path: Path, inputs: Sequence[Tensor]) -> Tensor:
    if len(inputs) != 1:
        raise ValueError(
            f"{path} takes {len(inputs)} inputs ({_listed(inputs)}), and one image is given. "
            f"{EXPECTED}"
        )
    image = inputs[0]
    if len(image.shape) != 4:
        raise ValueError(
            f"{path} takes an input {image.name!r} of shape {_text(image.shape)}, and an image is "
            f"(batch, height, width, channels) or (batch, channels, height, width). {EXPECTED}"
        )
    return image


def _channels_first(path: Path, image: Tensor) -> bool:
    _, first, _, last = image.shape
    if (first in FEW) != (last in FEW):
        return first in FEW
    if first in FEW:  # both can be channels; channels last is the usual order
        return False
    if (first is None) != (last is None):
        return last is None
    # many channels: the image has the two lengths that are equal, or else the larger ones
    one, other, third = image.shape[1:]
    if None not in (one, other, third):
        return (other == third and one != other) or (one != other and one < min(other, third))
    raise ValueError(
        f"{path} does not say which axis of its input {image.name!r} of shape "
        f"{_text(image.shape)} has the channels. Export it with a fixed number of channels."
    )


def _outputs_of_black(
    batch: int | None, shape: tuple, image_first: bool, run: RunAll
) -> Sequence[np.ndarray] | None:
    """Outputs for a black image; None if the file does not take the test size."""
    size = [length or probe for length, probe in zip(shape, (*PROBE, None), strict=True)]
    black = np.zeros((batch or 1, *size), np.uint8)
    try:
        return run(black.transpose(0, 3, 1, 2) if image_first else black)
    except Exception:  # runtimes raise many types if a free size has rules of its own
        return None


def _find_map(
    path: Path,
    outputs: Sequence[Tensor],
    shapes: Sequence,
    size: tuple[int, int],
    image_first: bool,
) -> tuple[int, bool, int | None]:
    """(index, channels first, channels) of the first output that is a map of the image."""
    for number, (output, shape) in enumerate(zip(outputs, shapes, strict=True)):
        if len(shape) == 3 and _is_map_size(shape[1:], size):
            return number, False, None if output.whole else 1
        if len(shape) != 4:
            continue
        last, first = _is_map_size(shape[1:3], size), _is_map_size(shape[2:4], size)
        if not (last or first):
            continue
        is_first = first and (not last or image_first)
        channels = shape[1] if is_first else shape[3]
        if channels is None:
            continue
        return number, is_first, None if output.whole and channels == 1 else channels
    flat = any(len(shape) == 3 for shape in shapes)
    reason = " It seems to be flattened: leave the last reshape out of the model." if flat else ""
    raise ValueError(
        f"{path} outputs {_listed(outputs)}, none of which is a map of scores (batch, height, "
        f"width, classes) or classes (batch, height, width) for an image of {size[0]}x{size[1]}."
        f"{reason} {EXPECTED}"
    )


def _is_map_size(lengths: Sequence, size: tuple[int, int]) -> bool:
    """Whether two lengths can be a map of the image, at its own scale or a coarser one."""
    if None in lengths or not all(lengths):
        return None in lengths  # nothing is known about a free length
    high, wide = (full / length for full, length in zip(size, lengths, strict=True))
    return 0.9 < high / wide < 1.1 and 0.5 <= high <= 64


def _map_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(batch, height, width) of a class map, which may have an axis of one channel anywhere."""
    if len(shape) == 3:
        return shape
    return (shape[0], *shape[2:]) if shape[1] == 1 else shape[:3]


def _listed(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{each.name!r} {_text(each.shape)}" for each in tensors)


def _text(shape: Sequence) -> str:
    return f"({', '.join('?' if length is None else str(length) for length in shape)})"
