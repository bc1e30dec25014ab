"""Pascal VOC 2012 and the Semantic Boundaries Dataset, which annotates more of its images.

Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010; Hariharan et al.,
"Semantic contours from inverse detectors", ICCV 2011.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import Pair
from keras_seg.data.layouts.split import LayoutSplit, choose_split, first_folder, pair_up, stems_in
from keras_seg.data.reading.masks import read_mask

NAMES = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]


def color_of(number: int) -> tuple[int, int, int]:
    """VOC's palette: the bits of the class index, three at a time, from the highest bit down."""
    red = green = blue = 0
    for bit in range(7, -1, -1):
        red |= (number & 1) << bit
        green |= (number >> 1 & 1) << bit
        blue |= (number >> 2 & 1) << bit
        number >>= 3
    return red, green, blue


CLASSES = ClassTable(tuple(NAMES), tuple(color_of(i) for i in range(len(NAMES))))


def open_voc(root: Path, split: str) -> LayoutSplit:
    """`VOCdevkit/VOC2012/` with JPEGImages, SegmentationClass and ImageSets/Segmentation."""
    choose_split(split, ("train", "val", "trainval"), "VOC")
    folder = _voc_folder(root)
    return LayoutSplit(_voc_pairs(folder, split), CLASSES)


def open_sbd(root: Path, split: str) -> LayoutSplit:
    """`benchmark_RELEASE/dataset/` with img, cls and the authors' train.txt and val.txt."""
    choose_split(split, ("train", "val", "trainval"), "SBD")
    folder = _sbd_folder(root)
    return LayoutSplit(_sbd_pairs(folder, _sbd_stems(folder, split)), CLASSES, read_truth)


def open_voc_with_sbd(root: Path, split: str) -> LayoutSplit:
    """Both archives side by side. The training set is the usual "trainaug" of 10,582 images.

    It consists of VOC's train and all of SBD, without the images of VOC's val. Masks of VOC have
    precedence over those of SBD. The validation set is VOC's val.
    """
    choose_split(split, ("train", "val"), "VOC with SBD")
    voc, sbd = _voc_folder(root), _sbd_folder(root)
    if split == "val":
        return LayoutSplit(_voc_pairs(voc, "val"), CLASSES)
    pairs = _voc_pairs(voc, "train")
    known = {pair.image.stem for pair in pairs} | set(_voc_stems(voc, "val"))
    more = [stem for stem in _sbd_stems(sbd, "trainval") if stem not in known]
    return LayoutSplit(
        sorted(pairs + _sbd_pairs(sbd, more)) if more else pairs, CLASSES, read_truth
    )


def read_truth(path: Path) -> np.ndarray:
    """Reads a palette PNG of VOC, or the class map in a .mat file of SBD."""
    if path.suffix != ".mat":
        return read_mask(path)
    from scipy.io import loadmat

    try:
        truth = loadmat(path)["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # SciPy raises whatever damaged bytes lead it to
        raise ValueError(f"{path} cannot be read as a class map of SBD: {error!r}.") from error
    return np.array(truth, np.int32)


def _voc_folder(root: Path) -> Path:
    candidates = ("VOCdevkit/VOC2012", "VOC2012", ".")
    folders = [root / c for c in candidates if (root / c / "JPEGImages").is_dir()]
    if folders:
        return folders[0]
    return first_folder(root, "VOCdevkit/VOC2012/JPEGImages", layout="VOC")


def _voc_stems(folder: Path, split: str) -> list[str]:
    return stems_in(folder / "ImageSets" / "Segmentation" / f"{split}.txt", "VOC")


def _voc_pairs(folder: Path, split: str) -> list[Pair]:
    images = [(s, folder / "JPEGImages" / f"{s}.jpg") for s in _voc_stems(folder, split)]
    return pair_up(images, lambda stem: folder / "SegmentationClass" / f"{stem}.png", "VOC")


def _sbd_folder(root: Path) -> Path:
    candidates = ("benchmark_RELEASE/dataset", "dataset", ".")
    folders = [root / c for c in candidates if (root / c / "cls").is_dir()]
    if folders:
        return folders[0]
    return first_folder(root, "benchmark_RELEASE/dataset/cls", layout="SBD")


def _sbd_stems(folder: Path, split: str) -> list[str]:
    parts = ("train", "val") if split == "trainval" else (split,)
    return [stem for part in parts for stem in stems_in(folder / f"{part}.txt", "SBD")]


def _sbd_pairs(folder: Path, stems: list[str]) -> list[Pair]:
    images = [(stem, folder / "img" / f"{stem}.jpg") for stem in stems]
    return pair_up(images, lambda stem: folder / "cls" / f"{stem}.mat", "SBD")
