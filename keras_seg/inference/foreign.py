"""Which axes, batch and output the files of other exporters have.

Files of this package say so in their card. Of others it is seen in the shapes, and where these are
free in what the file makes of a black image that is wider than high.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_seg.shapes import lost_border

PROBE = (64, 96)
"""(height, width) of the image that is tried where a file leaves its size free."""
FEW = (1, 2, 3, 4)
"""Numbers of channels that no image has as its height."""
NO_TENSORS = "Give a file with one image in and one map of scores or classes out."


class End(NamedTuple):
    """An input or output of a file: shape has None where it is free, whole: of whole numbers."""

    name: str
    shape: tuple[int | None, ...]
    whole: bool = False


@dataclass(frozen=True)
class Ends:
    """How a file takes an image and puts out scores or classes.

    Attributes:
        batch: images that the file takes at once, None for any number.
        shape: (height, width, channels) of the image, None where free.
        image_first: the channels of the image come first.
        output: number of the output.
        scores_first: the channels of the scores come first.
        channels: of the scores; None for a map of classes.
        margin: (rows, columns) of the image that the map lacks on each side.
    """

    batch: int | None
    shape: tuple[int | None, int | None, int]
    image_first: bool
    output: int
    scores_first: bool
    channels: int | None
    margin: tuple[int, int] = (0, 0)

    def given(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, C) images as the file takes them, one image as often as it has places."""
        if self.batch not in (None, len(images)):
            images = np.repeat(images[:1], self.batch, axis=0)
        return images.transpose(0, 3, 1, 2) if self.image_first else images

    def taken(self, output: np.ndarray, count: int = 1) -> np.ndarray:
        """What the file put out as (count, h, w, channels) scores or (count, h, w) classes."""
        output = output[:count]
        if self.channels is None:
            return output.reshape(_map_shape(output.shape))
        if output.ndim == 3:
            return output[..., None]
        return output.transpose(0, 2, 3, 1) if self.scores_first else output


def find_ends(path: Path, inputs: Sequence[End], outputs: Sequence[End], run: Callable) -> Ends:
    """The ends of a file without a card.

    Args:
        run: an image as the file takes it → its outputs, to try with.

    Raises: ValueError that names the input or output which is not understood.
    """
    if len(inputs) != 1:
        raise ValueError(
            f"{path} takes {len(inputs)} inputs ({_listed(inputs)}), and one image is given. "
            f"{NO_TENSORS}"
        )
    image = inputs[0]
    if len(image.shape) != 4:
        raise ValueError(
            f"{path} takes an input {image.name!r} of shape {_text(image.shape)}, and an image is "
            f"(batch, height, width, channels) or (batch, channels, height, width). {NO_TENSORS}"
        )
    image_first = _channels_first(path, image)
    batch, *size = image.shape
    shape = (size[1], size[2], size[0]) if image_first else tuple(size)
    if shape[2] is None:
        raise ValueError(
            f"{path} does not say how many channels its input {image.name!r} of shape "
            f"{_text(image.shape)} has. Export it with a fixed number of channels."
        )
    tried = _tried(batch, shape, image_first, run)
    found = [[*each.shape] for each in outputs] if tried is None else [each.shape for each in tried]
    used = tuple(size or probe for size, probe in zip(shape, PROBE, strict=False))
    chosen = _choose(path, outputs, found, used, image_first)
    if len(outputs) > 1:
        warnings.warn(
            f"{path} has {len(outputs)} outputs ({_listed(outputs)}). {outputs[chosen[0]].name!r} "
            "is taken for the scores, as the first that is a map of the image.",
            stacklevel=4,
        )
    number, scores_first, channels = chosen
    lengths = found[number][2:4] if scores_first else found[number][1:3]
    margin = lost_border(used, tuple(lengths))
    return Ends(batch, shape, image_first, number, scores_first, channels, margin)


def _channels_first(path: Path, image: End) -> bool:
    _, first, _, last = image.shape
    if (first in FEW) != (last in FEW):
        return first in FEW
    if first in FEW:  # an image of 3 rows is no image
        return False
    if (first is None) != (last is None):
        return last is None
    # many channels: the two lengths that are alike, or the larger ones, are those of the image
    one, other, third = image.shape[1:]
    if None not in (one, other, third):
        return (other == third and one != other) or (one != other and one < min(other, third))
    raise ValueError(
        f"{path} does not say which axis of its input {image.name!r} of shape "
        f"{_text(image.shape)} has the channels. Export it with a fixed number of channels."
    )


def _tried(batch, shape, image_first: bool, run: Callable) -> list[np.ndarray] | None:
    """Outputs for a black image; None if the file does not take the size that was tried."""
    size = [length or probe for length, probe in zip(shape, (*PROBE, None), strict=True)]
    black = np.zeros((batch or 1, *size), np.uint8)
    try:
        return run(black.transpose(0, 3, 1, 2) if image_first else black)
    except Exception:  # what a runtime raises where free sizes have rules of their own
        return None


def _choose(
    path: Path, outputs: Sequence[End], shapes: Sequence, size: tuple[int, int], image_first: bool
) -> tuple[int, bool, int | None]:
    """(number, channels first, channels) of the first output that is a map of the image."""
    for number, (output, shape) in enumerate(zip(outputs, shapes, strict=True)):
        if len(shape) == 3 and _alike(shape[1:], size):
            return number, False, None if output.whole else 1
        if len(shape) != 4:
            continue
        last, first = _alike(shape[1:3], size), _alike(shape[2:4], size)
        if not (last or first):
            continue
        is_first = first and (not last or image_first)
        channels = shape[1] if is_first else shape[3]
        if channels is None:
            continue
        return number, is_first, None if output.whole and channels == 1 else channels
    flat = any(len(shape) == 3 for shape in shapes)
    why = " It seems to be flattened: leave the last reshape out of the model." if flat else ""
    raise ValueError(
        f"{path} puts out {_listed(outputs)}, none of which is a map of scores (batch, height, "
        f"width, classes) or classes (batch, height, width) for an image of {size[0]}x{size[1]}."
        f"{why} {NO_TENSORS}"
    )


def _alike(lengths: Sequence, size: tuple[int, int]) -> bool:
    """Whether two lengths are those of a map of the image, at its own scale or a coarser one."""
    if None in lengths or not all(lengths):
        return None in lengths  # nothing is known of a free length
    high, wide = (full / length for full, length in zip(size, lengths, strict=True))
    return 0.9 < high / wide < 1.1 and 0.5 <= high <= 64


def _map_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(batch, height, width) of a class map whose axis of one channel may stand anywhere."""
    if len(shape) == 3:
        return shape
    return (shape[0], *shape[2:]) if shape[1] == 1 else shape[:3]


def _listed(ends: Sequence[End]) -> str:
    return ", ".join(f"{end.name!r} {_text(end.shape)}" for end in ends)


def _text(shape: Sequence) -> str:
    return f"({', '.join('?' if length is None else str(length) for length in shape)})"
