"""Reads the masks of a data folder, and checks that all of them use the same values."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_seg.data.class_colors import are_default_colors
from keras_seg.data.class_file import CLASS_FILE_NAME, ClassFile
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import ValueMap
from keras_seg.data.mask_values.finding import Finding
from keras_seg.data.mask_values.findings import SEEN_IN_A_FILE
from keras_seg.data.mask_values.pixels import (
    class_numbers,
    classes_of_colors,
    without_equal_channels,
)
from keras_seg.data.mask_values.remedies import CLASS_FILE, NO_CLASS_FILE
from keras_seg.data.mask_values.survey import MaskSurvey, survey_masks
from keras_seg.data.reading.arrays import ARRAY_SUFFIX
from keras_seg.data.reading.masks import (
    read_label_channels,
    read_mask,
    read_mask_pixels,
    used_palette,
)
from keras_seg.names import IGNORE_CLASS

PALETTES = 20
"""Number of masks whose palettes are compared with the class table."""


class FolderMasks:
    """Reads the masks of a folder by the rules of its `classes.json`.

    Some masks are surveyed first. The survey recognises masks in the grey colours of the class
    table (such as black and white), and finds masks without any class index before they are used
    for training or measuring.

    Args:
        root: the data folder.
        paths: the mask files of the split.
        file: the content of `classes.json`.
        split: "train" or "val".
        numbering: the survey of all training masks, if it numbered the classes.

    Attributes:
        survey: the survey; None if "values" or "multi_label" define the values.
    """

    def __init__(
        self,
        root: Path,
        paths: Sequence[Path],
        file: ClassFile,
        *,
        split: str,
        numbering: MaskSurvey | None = None,
    ):
        self._root, self._file, self._split, self._paths = root, file, split, list(paths)
        self._numbering = numbering
        classes = file.classes
        default = are_default_colors(classes.names, classes.colors)
        self._colors_stated = file.colors_stated or not default
        self._map = self._stated_values()
        self.survey: MaskSurvey | None = None
        self._seen: dict[Path, dict] | None = None
        if self._map is None and not file.multi_label:
            self.survey = self.survey_of(whole=False)
            self._map = self._levels(self.survey)

    def __call__(self, path: Path) -> np.ndarray:
        """Reads a mask file as (H, W) int32 classes; in a multi-label folder (H, W, labels) uint8.

        Warns: UserWarning after the last mask, if they are written in two ways.
        """
        file = self._file
        if file.multi_label:
            return read_label_channels(path, len(file.classes), file.values)
        pixels, colored = self._pixels(path)
        if colored:
            mask = classes_of_colors(pixels, file.classes, file.ignored_colors, path)
        else:
            mask = class_numbers(pixels, path)
            if self._map is not None:
                return self._map(mask, path)
            self._remember(mask, path)
        for value in file.ignored:
            mask[mask == value] = IGNORE_CLASS
        return mask

    def values(self, path: Path) -> np.ndarray | None:
        """The values in a file, (H, W) int32; None for a picture in the colours of the classes."""
        pixels, colored = self._pixels(path)
        return None if colored else class_numbers(pixels, path)

    def _pixels(self, path: Path) -> tuple[np.ndarray, bool]:
        pixels, colored = read_mask_pixels(path)
        if colored and not self._colors_stated and not self._file.ignored_colors:
            return without_equal_channels(pixels)
        return pixels, colored

    def _remember(self, mask: np.ndarray, path: Path) -> None:
        """Remembers which values a mask holds, and checks all masks after the last one."""
        seen = self._seen
        if seen is None or path in seen:
            return
        unknown = mask == IGNORE_CLASS
        held = {0: True, IGNORE_CLASS: unknown.any(), 1: ((mask > 0) & ~unknown).any()}
        seen[path] = {value: 1 for value, occurs in held.items() if occurs}
        if len(seen) < len(self._paths):
            return
        self._seen = None
        survey = MaskSurvey()
        for each, values in sorted(seen.items()):
            survey.add(values, each)
        for finding in self.findings(survey):
            if finding.kind == "two ways":
                warnings.warn(finding.message, stacklevel=2)

    def survey_of(self, *, whole: bool) -> MaskSurvey:
        """Counts the values in the masks, without those listed in "ignore"."""
        if self._numbering is not None and self._split == "train":
            return self._numbering  # it covers all masks
        return survey_masks(
            self._paths,
            self.values,
            title=f"Reading masks of {self._split}",
            whole=whole,
            left_out=set(self._file.ignored) - {IGNORE_CLASS},
        )

    def findings(self, survey: MaskSurvey | None) -> list[Finding]:
        """Lists what is wrong with the values of a survey."""
        if survey is None or self._map is not None:
            return []
        numbered = survey is self._numbering
        has_file = (self._root / CLASS_FILE_NAME).exists()
        return survey.findings(
            num_classes=None if numbered else len(self._file.classes),
            names=() if numbered else self._file.classes.names,
            subject=f"The masks of {self._root}",
            remedies=CLASS_FILE if has_file else NO_CLASS_FILE,
            unknown_stated=IGNORE_CLASS in self._file.ignored,
            # With many classes a validation split may show only the first.
            sampled=self._split != "train",
        )

    def check(self, *, skips_files: bool = False) -> None:
        """Checks the surveyed masks.

        Masks written in two ways are searched again when all masks have been read. A single class
        and mostly unknown masks are reported by `verify-dataset` and `check_batches`.

        Args:
            skips_files: whether masks with values outside the classes will be skipped, so that
                they do not cause the others to be refused.

        Raises: ValueError for wrong masks.

        Warns: UserWarning for doubtful masks.
        """
        if self.survey is not None and self._map is None:
            self._seen = {}
        surveys = {id(survey): survey for survey in (self._numbering, self.survey)}.values()
        results = [(survey, each) for survey in surveys for each in self.findings(survey)]
        for survey, finding in results:
            if skips_files and survey is not self._numbering and finding.kind in SEEN_IN_A_FILE:
                continue
            if finding.error:
                raise ValueError(finding.message + self._palette_hint(finding))
            if finding.kind in ("two ways", "0 and 255", "gaps"):
                warnings.warn(finding.message, stacklevel=4)
            if finding.kind == "two ways":
                self._seen = None
        conflict = self.palette_conflict()
        if conflict:
            warnings.warn(conflict, stacklevel=4)

    def palette_conflict(self) -> str | None:
        """Describes palette masks whose colours belong to other classes than their indices."""
        if not self._colors_stated or self._map is not None or self._file.multi_label:
            return None
        number_of = {color: number for number, color in enumerate(self._file.classes.colors)}
        for path in self._paths[:PALETTES]:
            colors = used_palette(path)
            wrong = [i for i, color in colors.items() if number_of.get(color, i) != i]
            if wrong and wrong[0] < len(number_of):
                return (
                    f"{path} shows the value {wrong[0]} in the colour of class "
                    f"{number_of[colors[wrong[0]]]} of the class table. Values count, not "
                    "palettes; if the colours are right, convert the masks to RGB."
                )
        return None

    def _palette_hint(self, finding: Finding) -> str:
        """A hint for values outside the classes whose palette colours are those of the classes."""
        if finding.kind not in ("outside", "off by one", "smooth") or not self._colors_stated:
            return ""
        used = {color for path in self._paths[:PALETTES] for color in used_palette(path).values()}
        if not used or not used <= {*self._file.classes.colors, *self._file.ignored_colors}:
            return ""
        return (
            " The palettes of the masks show them in the colours of the classes: if these are "
            "right, save the masks as RGB, for example with Pillow: "
            "Image.open(path).convert('RGB').save(path)."
        )

    def _stated_values(self) -> ValueMap | None:
        if not self._file.values or self._file.multi_label:
            return None
        numbers = {value: number for number, value in enumerate(self._file.values)}
        return self._value_map(numbers, f'"values" in {CLASS_FILE_NAME}')

    def _levels(self, survey: MaskSurvey) -> ValueMap | None:
        """The map from grey levels to classes, if the masks hold the grey colours of the table."""
        colors = self._file.classes.colors
        grey = all(len(set(color)) == 1 for color in colors) and len(set(colors)) == len(colors)
        if not (self._colors_stated and grey) or IGNORE_CLASS in self._file.ignored:
            return None
        levels = {color[0]: number for number, color in enumerate(colors)}
        held = set(survey.counts)
        if not held <= levels.keys() or held <= set(range(len(colors))):
            return None
        return self._value_map(levels, f"the grey colours in {CLASS_FILE_NAME}")

    def _value_map(self, numbers: dict[int, int], listed_in: str) -> ValueMap:
        unknown = dict.fromkeys((*self._file.ignored, IGNORE_CLASS), IGNORE_CLASS)
        unknown = {value: number for value, number in unknown.items() if value >= 0}
        return ValueMap(unknown | numbers, listed_in=listed_in)


def numbered_classes(paths: Sequence[Path], *, strict: bool) -> tuple[ClassTable, MaskSurvey]:
    """Numbers the classes of masks without `classes.json` up to their largest value.

    `FolderMasks.check` checks whether the values look like class indices.

    Args:
        paths: all training masks.
        strict: whether an unreadable mask is an error.

    Returns: the class table, and the survey of the masks.
    """
    survey = survey_masks(paths, read_mask, title="Counting classes", whole=True)
    if strict and survey.errors:
        raise survey.errors[0]
    values = [value for value in survey.counts if value != IGNORE_CLASS]
    number = max(2, int(max(values, default=0)) + 1, *map(_one_hot_channels, paths))
    return ClassTable.numbered(min(number, IGNORE_CLASS)), survey


def _one_hot_channels(path: Path) -> int:
    """The number of channels of a one-hot .npy mask; 0 for other masks."""
    if path.suffix.lower() != ARRAY_SUFFIX:
        return 0
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except Exception:  # reading the mask reports the damage
        return 0
    return min(shape[0], shape[-1]) if len(shape) == 3 else 0
