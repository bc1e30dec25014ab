"""Images and masks from a folder, paired by file stem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_seg.data.builtin import KINDS
from keras_seg.data.class_file import CLASS_FILE_NAME, ClassFile, read_class_file
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.contents import ARCHIVES
from keras_seg.data.folder.label_files import (
    LabelFiles,
    label_folders,
    pairs_of_label_files,
    read_label_files,
)
from keras_seg.data.folder.masks import FolderMasks, numbered_classes
from keras_seg.data.folder.pairs import PairedDataset
from keras_seg.data.folder.scan import FolderScan, instances_beside, scan_folder
from keras_seg.data.mask_values.survey import MaskSurvey
from keras_seg.data.reading.masks import read_mask
from keras_seg.data.reading.ranges import ValueRange, checked_range
from keras_seg.names import nearest_path_hint

SPLITS = ("train", "val", "test")
CLASS_NAMES = "class_names.txt"


class FolderDataset(PairedDataset):
    """A folder of images and masks, such as `images/X.jpg` and `masks/X.png`.

    **Masks** are grey or palette files of class indices (or of the "values" in `classes.json`), RGB
    files in the colours of the classes, or .npy and TIFF files of class indices or with one channel
    per class. A mask has the name of its image, possibly in other upper and lower case, or with the
    same prefix or suffix for all masks (`X_mask.png`). An optional folder `instances/` holds X.png
    or X.tif with the number of the object at each pixel, 0 for none.

    **The split** comes from the first of these that exists: sub-folders `train/` and `val/` (or
    `valid/`, `validation/`), each with `images/` and `masks/`; the same sub-folders inside
    `images/` and `masks/`; `splits.json` ({"train": [names], "val": [names]}); `train.txt` and
    `val.txt` with one name per line. Otherwise a fixed 20 % of the images is used for validation.

    **Classes** come from `classes` or from `classes.json` (see `keras_seg.data.class_file`).
    Without either they are numbered up to the largest value in the training masks. With
    "multi_label": true in `classes.json`, or `multi_label`, masks are (H, W, classes) of 0, 1 and
    255. They are files with one channel per class, or one file per class: `masks/CLASS/X.png` or
    `masks/X_CLASS.png`, where a class without a file is absent.

    Some masks are checked when the folder is opened: 32, and more only if these show no other class
    than the first, or all if the classes are numbered. Masks that hold only 0 and 255 are refused,
    because 255 means unknown, unless `classes.json` defines 255 by "values" or by the colours black
    and white.

    Args:
        root: the folder.
        split: "train" or "val".
        classes: class table or names, for a folder without `classes.json`.
        channels: 3 (grey images are repeated), 1 (colour images become grey), or the number of
            channels of .npy and TIFF files.
        value_range: (black, white) of images with more than 8 bits, or one such pair per band, in
            place of "range" in `classes.json`.
        strict: whether a file without its partner is an error; if not, it is left out.
        multi_label: whether a pixel may have several classes; None for what `classes.json` says.

    Raises: FileNotFoundError for missing folders or masks; ValueError for a wrong split file or
        class table, and for masks whose values are not class indices, such as grey levels. When a
        sample is read, ValueError for damaged files, different sizes, mask values outside the class
        table, images with transparency, and masks whose transparency shows another shape than their
        colours.

    Warns: UserWarning for numbered classes with gaps, for masks of 0 and 255 among others of 0 and
        1, and for palettes whose colours belong to other classes.

    Example:

        dataset = keras_seg.data.FolderDataset("my_folder", "train", classes=["background", "cell"])
        dataset[0].mask.shape
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        classes: ClassTable | Sequence[str] | None = None,
        channels: int = 3,
        value_range: ValueRange | None = None,
        strict: bool = True,
        multi_label: bool | None = None,
    ):
        self.root, classes = Path(root), ClassTable.of(classes)
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}. Received: {split!r}")
        if not self.root.is_dir():
            raise FileNotFoundError(no_folder(self.root))
        scan = scan_folder(self.root, split)
        file, numbering = _class_file(scan, classes, strict=strict, multi_label=multi_label)
        pairs = []
        if file.multi_label:
            pairs = pairs_of_label_files(scan, file.classes.names, strict=strict)
        self.one_file_per_label = bool(pairs)
        pairs = pairs or scan.pairs(strict=strict)
        self._instances = {} if self.one_file_per_label else instances_beside(scan)
        self._values = file.values
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
            reading=scan.description(),
            nodata=file.nodata,
        )

    def training_images(self) -> list[Path]:
        """The images of the training split, so that both splits measure the same range."""
        return [pair.image for pair in scan_folder(self.root, "train").pairs(strict=False)]

    def _read(self, path: Path | LabelFiles) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        if isinstance(path, LabelFiles):
            return read_label_files(path, self._values)
        mask = self.masks(path)
        return (mask, read_mask(self._instances[path])) if self._instances else mask


def names_classes(root: Path) -> bool:
    """Whether a folder has a file with the names of its classes."""
    return any((root / name).is_file() for name in (CLASS_FILE_NAME, CLASS_NAMES))


def no_folder(root: Path) -> str:
    """The message for a data folder that does not exist."""
    if root.is_file():
        remedy = "Unpack it" if root.suffix.lower() in ARCHIVES else "Pass the folder that holds it"
        return f"There is no data folder {root}: it is a file. {remedy}."
    start = f"There is no data folder {root}."
    if str(root) in KINDS:
        return f"{start} Did you mean builtin:{root}?"
    hint = nearest_path_hint(root, folders_only=True)
    return (
        f"{start}{hint} Pass a folder with images/ and masks/, or a built-in data set such as "
        "builtin:cells."
    )


def _class_file(
    scan: FolderScan, classes: ClassTable | None, *, strict: bool, multi_label: bool | None
) -> tuple[ClassFile, MaskSurvey | None]:
    """The content of `classes.json`, and the survey of all masks if the classes were numbered."""
    root, path = scan.root, scan.root / CLASS_FILE_NAME
    if path.exists():
        stated = read_class_file(path)
        if classes is not None:
            stated = replace(stated, classes=classes, colors_stated=False)
        if multi_label is not None and multi_label != stated.multi_label:
            table = stated.classes
            if multi_label and not stated.colors_stated:
                table = ClassTable.of_labels(table.names)
            stated = replace(stated, classes=table, multi_label=multi_label)
        return stated, None
    if multi_label:
        folders = label_folders(scan.folders["masks"])
        if classes is None and not folders:
            raise ValueError(
                f"{root} does not name its labels. Write them to {path}: "
                '{"names": ["roof", "wall"], "multi_label": true}'
            )
        names = folders if classes is None else classes.names
        return ClassFile(ClassTable.of_labels(names), multi_label=True), None
    if classes is not None:
        return ClassFile(classes), None
    training = scan_folder(root, "train").pairs(strict=strict)
    numbered, survey = numbered_classes([pair.mask for pair in training], strict=strict)
    return ClassFile(_listed_names(root, numbered)), survey


def _listed_names(root: Path, numbered: ClassTable) -> ClassTable:
    """The names in `class_names.txt`, which LabelMe's labelme2voc writes, if it has enough."""
    path = root / CLASS_NAMES
    if not path.is_file():
        return numbered
    names = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    names = [name for name in names if name != "__ignore__"]
    return ClassTable(tuple(names)) if len(names) >= len(numbered) else numbered
