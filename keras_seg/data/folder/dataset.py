"""Images and masks from a folder, paired by file stem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from keras_seg.data.class_file import ClassFile, checked_range, read_class_file
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.masks import CLASS_FILE_NAME, FolderMasks, numbered_classes
from keras_seg.data.folder.pairs import PairedDataset
from keras_seg.data.folder.scan import instances_beside, scan_folder
from keras_seg.data.mask_values.survey import MaskSurvey
from keras_seg.data.reading.masks import read_mask

SPLITS = ("train", "val")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


class FolderDataset(PairedDataset):
    """`images/X.jpg` with `masks/X.png`, whose pixel values are class indices.

    Masks are grey or palette files of class indices (or of the "values" that `classes.json` lists
    for the classes), RGB files of the table's colours, or .npy and TIFF files of numbers or of one
    channel for each class. They have the stem of their image, or that with something constant
    before or behind it (`X_mask.png`), or in other letters' case. A folder `instances/` beside them
    may hold X.png or X.tif with a number for each object, 0 for none.

    The split comes from the first of these that exists: the sub-folders `train/` and `val/` (each
    with `images/` and `masks/`; also `valid/` or `validation/`); the same sub-folders in `images/`
    and `masks/`; `splits.json` ({"train": [stems], "val": [stems]}); `train.txt` and `val.txt` (one
    stem a line); otherwise a fixed fifth of the stems validates.

    Classes come from `classes` or from `classes.json` (see `keras_seg.data.classes`); without
    either they are numbered up to the largest value in the training masks. With "multi_label": true
    in `classes.json` masks are (H, W, classes) of 0, 1 and 255, and several classes may hold at a
    pixel.

    What masks hold is looked at when the folder is opened: 32 of them, and more only where these
    show no class but the first; all of them where classes are to be numbered. Masks of 0 and 255
    alone are refused, since 255 means unknown, unless "values" or black and white as the colours of
    `classes.json` say what 255 is.

    Args:
        root: the folder.
        split: "train" or "val".
        classes: their table or names, for a folder without `classes.json`.
        channels: 3 (grey images are repeated), 1 (colour images become grey), or the number of
            channels of .npy and TIFF files.
        value_range: (black, white) of images with more than 8 bits, in place of "range" in
            `classes.json`.
        strict: whether an image without a mask, or a mask without an image, is an error; if not,
            it is left out. `keras_seg.data.verify` looks at such folders.

    Raises: FileNotFoundError for missing folders or masks; ValueError for a wrong split file or
        class table and for masks whose values are no class numbers, such as grey levels; and, when
        a sample is read, for unreadable files, sizes that differ, mask values outside the class
        table, masks whose transparency shows another shape than their colours, and images with
        transparency.
    Warns: UserWarning for numbered classes with gaps, for masks of 0 and 255 among others of 0 and
        1, and for palettes whose colours belong to other classes.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        classes: ClassTable | Sequence[str] | None = None,
        channels: int = 3,
        value_range: tuple[float, float] | None = None,
        strict: bool = True,
    ):
        self.root, classes = Path(root), ClassTable.of(classes)
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}. Received: {split!r}")
        if not self.root.is_dir():
            raise FileNotFoundError(_no_folder(self.root))
        scan = scan_folder(self.root, split)
        pairs = scan.pairs(strict=strict)
        file, numbering = _class_file(self.root, classes, strict=strict)
        self._instances = instances_beside(scan)
        self.masks = FolderMasks(
            self.root, [pair.mask for pair in pairs], file, split=split, numbering=numbering
        )
        if strict:
            self.masks.check()
        super().__init__(
            pairs,
            self._read,
            name=self.root.name,
            split=split,
            classes=file.classes,
            channels=channels,
            value_range=checked_range(value_range) or file.value_range,
            multi_label=file.multi_label,
        )

    def _read(self, path: Path):
        mask = self.masks(path)
        return (mask, read_mask(self._instances[path])) if self._instances else mask


def _no_folder(root: Path) -> str:
    if root.is_file():
        cure = "Unpack it" if root.suffix.lower() in ARCHIVES else "Pass the folder that holds it"
        return f"There is no data folder {root}: it is a file. {cure}."
    return (
        f"There is no data folder {root}. Pass a folder with images/ and masks/, or a built-in "
        "data set such as builtin:cells."
    )


def _class_file(
    root: Path, classes: ClassTable | None, *, strict: bool
) -> tuple[ClassFile, MaskSurvey | None]:
    """What `classes.json` says or would say, and the masks in which classes were counted."""
    path = root / CLASS_FILE_NAME
    if path.exists():
        stated = read_class_file(path)
        if classes is not None:
            stated = replace(stated, classes=classes, colors_stated=False)
        return stated, None
    if classes is not None:
        return ClassFile(classes), None
    training = scan_folder(root, "train").pairs(strict=strict)
    numbered, survey = numbered_classes([pair.mask for pair in training], strict=strict)
    return ClassFile(numbered), survey
