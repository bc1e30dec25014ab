"""One message for all masks of a split whose colours are not those of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keras_seg.data.class_file import CLASS_FILE_NAME
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder.dataset import FolderDataset
from keras_seg.data.verify.class_table import MOST_CLASSES
from keras_seg.data.verify.report import Problem
from keras_seg.data.verify.suggestion import SampleFacts

LISTED = 12
"""Number of colours that a message lists."""


@dataclass(frozen=True)
class ColorProblem(Problem):
    """A colour picture in place of a mask.

    Attributes:
        colors: its colours that no class has.
    """

    colors: tuple[tuple[int, int, int], ...] = ()


def in_one_problem(
    outcomes: Sequence[SampleFacts | Problem], dataset: SegmentationDataset, split: str
) -> list[SampleFacts | Problem]:
    """The outcomes of reading a split, with one problem for all its colour pictures.

    Each keeps its own message if there is only one, or if there are too many colours for classes,
    as in photographs and in masks that were resized smoothly.
    """
    pictures = [each for each in outcomes if isinstance(each, ColorProblem)]
    colors = sorted({color for each in pictures for color in each.colors})
    others = [each for each in outcomes if not isinstance(each, ColorProblem)]
    if len(pictures) < 2 or len(colors) > MOST_CLASSES:
        plain = [Problem(each.kind, each.split, each.message) for each in pictures]
        return [*others, *plain]
    listed = ", ".join(map(str, colors[:LISTED])) + ", ..." * (len(colors) > LISTED)
    counted = "a colour" if len(colors) == 1 else f"{len(colors)} colours"
    message = (
        f"{len(pictures)} of {len(outcomes)} masks are colour pictures, with {counted} that no "
        f"class has: {listed}. {_remedy(dataset)}"
    )
    return [*others, Problem("values", split, message)]


def _remedy(dataset: SegmentationDataset) -> str:
    if isinstance(dataset, FolderDataset) and not (dataset.root / CLASS_FILE_NAME).exists():
        return (
            f"To write all colours to {CLASS_FILE_NAME}, whose names you can then change: "
            f"keras-seg verify-dataset {dataset.root} --write_classes"
        )
    return (
        f'Add them to "colors" of {CLASS_FILE_NAME}, each with a name in "names", or to "ignore" '
        "if they mean unknown."
    )
