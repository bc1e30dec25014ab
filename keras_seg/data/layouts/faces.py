"""Parts of faces: CelebAMask-HQ with one mask file per part, Helen with one grey channel per part.

Lee et al., "MaskGAN", arXiv:1907.11922; Smith et al., "Exemplar-Based Face Parsing", CVPR 2013.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import Pair
from keras_seg.data.layouts.split import LayoutSplit, choose_split, first_folder, pair_up
from keras_seg.data.reading.images import read_image

# The classes 1..18. They are drawn in this order, so later parts cover earlier ones.
CELEB_PARTS = [
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
]
CELEB_CLASSES = ClassTable(
    ("background", *CELEB_PARTS),
    (
        (0, 0, 0),
        (204, 0, 0),
        (76, 153, 0),
        (204, 204, 0),
        (51, 51, 255),
        (204, 0, 204),
        (0, 255, 255),
        (255, 204, 204),
        (102, 51, 0),
        (255, 0, 0),
        (102, 204, 0),
        (255, 255, 0),
        (0, 0, 153),
        (0, 0, 204),
        (255, 51, 153),
        (0, 204, 204),
        (0, 51, 0),
        (255, 153, 51),
        (0, 204, 0),
    ),
)
# CelebA's own split, by the number of the image there
CELEB_FIRST_VAL, CELEB_FIRST_TEST = 162771, 182638
MASKS_PER_FOLDER = 2000
HELEN_CLASSES = ClassTable(
    (
        "background",
        "face skin",
        "left eyebrow",
        "right eyebrow",
        "left eye",
        "right eye",
        "nose",
        "upper lip",
        "inner mouth",
        "lower lip",
        "hair",
    )
)
HELEN_LISTS = {"train": "exemplars.txt", "val": "tuning.txt", "test": "testing.txt"}


def open_celebamask(root: Path, split: str) -> LayoutSplit:
    """`CelebA-HQ-img/`, `CelebAMask-HQ-mask-anno/0..14/` and `CelebA-HQ-to-CelebA-mapping.txt`.

    Images of 1024x1024 are resized to the 512x512 of their masks. The split is CelebA's.
    """
    choose_split(split, ("train", "val", "test"), "CelebAMask-HQ")
    if (root / "CelebAMask-HQ").is_dir():
        root = root / "CelebAMask-HQ"
    images = first_folder(root, "CelebA-HQ-img", layout="CelebAMask-HQ")
    masks = first_folder(root, "CelebAMask-HQ-mask-anno", layout="CelebAMask-HQ")
    numbers = _celeb_numbers(root / "CelebA-HQ-to-CelebA-mapping.txt", split)
    # An archive may hold only some of the images.
    pairs = [
        Pair(image, masks / str(number // MASKS_PER_FOLDER) / f"{number:05d}")
        for number in numbers
        if (image := images / f"{number}.jpg").exists()
    ]
    if not pairs:
        raise FileNotFoundError(f"{images} holds no image of the split {split!r}.")
    return LayoutSplit(pairs, CELEB_CLASSES, read_celeb_parts, resize_images=True)


def read_celeb_parts(prefix: Path) -> np.ndarray:
    """Merges `00012_skin.png`, `00012_nose.png`, ... into one mask. Missing parts have no file."""
    mask = None
    for number, part in enumerate(CELEB_PARTS, start=1):
        path = prefix.with_name(f"{prefix.name}_{part}.png")
        if path.exists():
            drawn = read_image(path, channels=1)[..., 0] > 0
            if mask is None:
                mask = np.zeros(drawn.shape, np.int32)
            if mask.shape != drawn.shape:
                raise ValueError(f"{path} differs in size from the other parts of the face.")
            mask[drawn] = number
    if mask is None:
        raise FileNotFoundError(f"There is no mask {prefix}_*.png. Unpack the archive again.")
    return mask


def _celeb_numbers(mapping: Path, split: str) -> list[int]:
    if not mapping.is_file():
        raise FileNotFoundError(
            f"There is no {mapping}, which says which image belongs to which split. It is part of "
            "the CelebAMask-HQ archive."
        )
    chosen = []
    for line in mapping.read_text().splitlines()[1:]:
        columns = line.split()
        if len(columns) >= 2:
            original = int(columns[1])
            part = "train" if original < CELEB_FIRST_VAL else "val"
            part = "test" if original >= CELEB_FIRST_TEST else part
            if part == split:
                chosen.append(int(columns[0]))
    return sorted(chosen)


def open_helen(root: Path, split: str) -> LayoutSplit:
    """`SmithCVPR2013_dataset_*`: images/, labels/NAME/NAME_lbl00..10.png and the three lists."""
    file = root / HELEN_LISTS[choose_split(split, HELEN_LISTS, "Helen")]
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no {file}. Pass the folder that SmithCVPR2013_dataset_resized unpacks to."
        )
    # lines like "1 , 100032540_1"
    names = [line.split(",")[-1].strip() for line in file.read_text().splitlines() if line.strip()]
    images = [(name, root / "images" / f"{name}.jpg") for name in names]
    pairs = pair_up(images, lambda name: root / "labels" / name, "Helen")
    return LayoutSplit(pairs, HELEN_CLASSES, read_helen_channels)


def read_helen_channels(folder: Path) -> np.ndarray:
    """The class with the brightest channel at each pixel; the first of equal ones."""
    paths = [folder / f"{folder.name}_lbl{i:02d}.png" for i in range(len(HELEN_CLASSES))]
    channels = [read_image(path, channels=1)[..., 0] for path in paths]
    if len({channel.shape for channel in channels}) > 1:
        raise ValueError(f"The label channels in {folder} differ in size.")
    return np.argmax(channels, axis=0).astype(np.int32)
