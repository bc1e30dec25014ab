"""Checks of the image and mask files of one split."""

from __future__ import annotations

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder.dataset import FolderDataset
from keras_seg.data.folder.scan import scan_folder
from keras_seg.data.reading.images import orientation
from keras_seg.data.verify.class_checks import ABOUT_CLASSES
from keras_seg.data.verify.report import Problem
from keras_seg.parallel import available_threads, in_order


def pairing_errors(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """Images without masks, and masks without images."""
    if not isinstance(dataset, FolderDataset) or dataset.one_file_per_label:
        return []  # an official layout with a missing file is refused when it is opened
    problems = scan_folder(dataset.root, split).problems()
    return [Problem("pairs", split, problem) for problem in problems]


def orientation_warnings(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """Images with an EXIF orientation."""
    paths = [pair.image for pair in getattr(dataset, "pairs", ())]
    found = in_order(orientation, paths, available_threads())
    turned = [path.name for path, each in zip(paths, found, strict=True) if each.result() != 1]
    if not turned:
        return []
    message = (
        f"{len(turned)} images are turned by their EXIF orientation, for example {turned[:3]}. "
        "They are read upright. Check that their masks were drawn on the upright picture."
    )
    return [Problem("orientation", split, message)]


def mask_problems(dataset: SegmentationDataset, split: str) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings about the values of all mask files of a folder."""
    if not isinstance(dataset, FolderDataset):
        return [], []
    masks = dataset.masks
    survey = None if masks.survey is None else masks.survey_of(whole=True)
    findings = [each for each in masks.findings(survey) if each.kind not in ABOUT_CLASSES]
    errors = [Problem("values", split, each.message) for each in findings if each.error]
    warnings = [Problem("values", split, each.message) for each in findings if not each.error]
    conflict = masks.palette_conflict()
    if conflict:
        warnings.append(Problem("palette", split, conflict))
    return errors, warnings
