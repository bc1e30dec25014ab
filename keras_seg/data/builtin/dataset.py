"""The built-in data sets."""

from __future__ import annotations

import difflib
import operator
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_seg.data.builtin.cells import CLASSES as CELL_CLASSES
from keras_seg.data.builtin.cells import draw as draw_cells
from keras_seg.data.builtin.faces import CLASSES as FACE_CLASSES
from keras_seg.data.builtin.faces import draw as draw_faces
from keras_seg.data.builtin.nuclei import CLASSES as NUCLEI_CLASSES
from keras_seg.data.builtin.nuclei import open_split as open_nuclei
from keras_seg.data.builtin.streets import CLASSES as STREET_CLASSES
from keras_seg.data.builtin.streets import draw as draw_streets
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset

MIN_SIDE = 32
"""Smallest height and width in pixels at which objects are recognisable."""


class _Drawn(NamedTuple):
    classes: ClassTable
    size: tuple[int, int]
    draw: Callable


class _Photographs(NamedTuple):
    classes: ClassTable
    open: Callable[[str], SegmentationDataset]


_KINDS: dict[str, _Drawn | _Photographs] = {
    "cells": _Drawn(CELL_CLASSES, (128, 128), draw_cells),
    "streets": _Drawn(STREET_CLASSES, (128, 192), draw_streets),
    "faces": _Drawn(FACE_CLASSES, (128, 128), draw_faces),
    "nuclei": _Photographs(NUCLEI_CLASSES, open_nuclei),
}
_LENGTHS = {"train": 400, "val": 60}

KINDS = tuple(_KINDS)
DRAWN_KINDS = tuple(name for name, kind in _KINDS.items() if isinstance(kind, _Drawn))
SPLITS = tuple(_LENGTHS)


class BuiltinDataset(SegmentationDataset):
    """Images that need no download: drawn ones with exact masks, and photographs of nuclei.

    A sample has an image (H, W, 3) uint8, a mask (H, W) int32 and, for cells and nuclei, instances
    (H, W) int32. A drawn sample depends only on (kind, split, seed, size, index).
    Streets and faces keep their field of view, so larger images show larger objects. Larger images
    of cells show larger cells and more of them.

    Nuclei are microscopy images of the Data Science Bowl 2018 (CC0), in several stains and sizes.
    Their masks were drawn by people.

    Args:
        kind: "cells" (2 classes, instances), "streets" (7 unbalanced classes, unknown pixels),
            "faces" (7 classes) or "nuclei" (photographs; 2 classes, instances).
        split: "train" or "val". They have no sample in common.
        length: number of samples; by default 400 for train and 60 for val. Of nuclei there are 26
            and 13.
        size: (height, width) in pixels, at least 32; by default (128, 128), for streets (128, 192).
            Nuclei have the sizes of their files, and `size` is None.
        seed: another seed gives another data set of the same kind. Nuclei have none.

    Raises: ValueError for an unknown kind or split, a length below 1, a size below 32 or a
        negative seed, and for a length, size or seed that nuclei do not have; IndexError for an
        index past the end.

    Example:

        cells = keras_seg.data.BuiltinDataset("cells", size=(64, 64))
        cells[0].image.shape  # (64, 64, 3)
    """

    channels = 3

    def __init__(
        self,
        kind: str,
        split: str = "train",
        *,
        length: int | None = None,
        size: tuple[int, int] | None = None,
        seed: int = 0,
    ):
        self.name = self.kind = _one_of("kind", kind, KINDS)
        self.split = _one_of("split", split, SPLITS)
        self._kind = _KINDS[kind]
        self.classes = self._kind.classes
        self.seed = _whole_number("seed", seed, at_least=0)
        if isinstance(self._kind, _Drawn):
            self.size = self._kind.size if size is None else _checked_size(size)
            default = _LENGTHS[split]
        else:
            self._photographs, self.size = self._kind.open(split), None
            default = len(self._photographs)
            _check_photographs(kind, default, length=length, size=size, seed=seed)
        self._length = default if length is None else _whole_number("length", length, at_least=1)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        i = operator.index(index)
        if not -self._length <= i < self._length:
            raise IndexError(f"{self} has {self._length} samples. Received: index={index}")
        i %= self._length
        if isinstance(self._kind, _Photographs):
            return self._photographs[i]
        words = (zlib.crc32(self.kind.encode()), zlib.crc32(self.split.encode()))
        size = self.size or self._kind.size
        rng = np.random.default_rng(np.random.SeedSequence((*words, self.seed, *size, i)))
        image, mask, instances = self._kind.draw(rng, *size)
        return Sample(self.sample_name(i), image, mask, instances)

    def sample_name(self, index: int) -> str:
        if isinstance(self._kind, _Photographs):
            return self._photographs.sample_name(index)
        return f"{self.kind}-{self.split}-{index:05d}"

    def __repr__(self) -> str:
        return (
            f"BuiltinDataset({self.kind!r}, {self.split!r}, length={self._length}, "
            f"size={self.size}, seed={self.seed})"
        )


def _check_photographs(
    kind: str, count: int, *, length: int | None, size: tuple[int, int] | None, seed: int
) -> None:
    """Raises ValueError for an argument that only drawn sets have."""
    if size is not None or seed:
        raise ValueError(
            f"{kind} are photographs, which have no size or seed to choose. Received: size={size}, "
            f"seed={seed}. Leave them out, or take one of {', '.join(DRAWN_KINDS)}."
        )
    if length is not None and _whole_number("length", length, at_least=1) > count:
        raise ValueError(f"{kind} has {count} images in this split. Received: length={length}")


def _one_of(what: str, value: str, options: tuple[str, ...]) -> str:
    if value in options:
        return value
    near = difflib.get_close_matches(str(value), options, n=1, cutoff=0)[0]
    raise ValueError(
        f"{what} must be one of {', '.join(options)}. Received: {what}={value!r}. "
        f"Did you mean {near!r}?"
    )


def _whole_number(what: str, value: int, at_least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < at_least:
        raise ValueError(
            f"{what} must be a whole number of at least {at_least}. Received: {what}={value!r}"
        )
    return number


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f"size must be (height, width), two whole numbers of at least {MIN_SIDE} pixels. "
            f"Received: size={size!r}"
        )
    return height, width
