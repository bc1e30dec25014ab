"""Lists the files of one split of a data folder, and pairs images with masks."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from keras_seg.data.folder.contents import describe_folder, describe_place, unpaired_names
from keras_seg.data.folder.pairs import Pair
from keras_seg.data.reading.arrays import ARRAY_SUFFIX

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ARRAY_SUFFIX)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".webp", *MASK_SUFFIXES)
VALIDATION_SHARE = 0.2
"""Share of the images for validation, if the folder defines no split."""
SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation")}
"""Names of the sub-folder of each split. The first that exists is used."""


class NoPairs(FileNotFoundError):
    """No image of a split has a mask."""


@dataclass(frozen=True)
class FolderScan:
    """The files of one split of a folder, whether they are paired or not.

    Attributes:
        root: the data folder.
        split: "train" or "val".
        folders: the folders of the split's images, masks and instances.
        images: image files by their stem (the name without suffix).
        masks: mask files by the stem of their image.
        stems: stems of the samples of the split, sorted.
    """

    root: Path
    split: str
    folders: dict[str, Path]
    images: dict[str, Path]
    masks: dict[str, Path]
    stems: list[str]

    def problems(self) -> list[str]:
        """Lists files without a partner, with what to do; empty if all are paired."""
        if self.images and not self.images.keys() & self.masks.keys():
            return [self._no_pairs()]
        problems = []
        for kind, files in (("image", self.images), ("mask", self.masks)):
            missing = [stem for stem in self.stems if stem not in files]
            if missing:
                there = describe_folder(
                    self.folders[f"{kind}s"], kind=f"{kind}s", endings=_endings(kind)
                )
                problems.append(
                    f"{len(missing)} of {len(self.stems)} samples in {self._place()} have no "
                    f"{kind}, for example {missing[:3]}. Every image needs a mask of the same "
                    f"stem: images/X.jpg and masks/X.png. {there}".rstrip()
                )
        unused = sorted(set(self.masks) - set(self.images))
        if unused:
            there = self._images_folder() if not self.images else ""
            problems.append(
                f"{len(unused)} masks in {self._place()} have no image, for example {unused[:3]}. "
                f"Add the images or remove the masks. {there}".rstrip()
            )
        return problems

    def _no_pairs(self) -> str:
        """The message if no image of the folder has a mask."""
        images, masks = self.folders["images"], self.folders["masks"]
        there = describe_folder(masks, kind="masks", endings=MASK_SUFFIXES)
        names = unpaired_names(self.images, self.masks)
        why = (
            f"of the {len(self.masks)} mask files in {masks} none has the stem of an image"
            if self.masks
            else f"{masks} holds no mask file ({', '.join(MASK_SUFFIXES)})"
        )
        words = (
            f"The {len(self.images)} images in {images} have no mask, for example "
            f"{sorted(self.images)[:3]}: {why}. Every image needs a mask of the same stem: "
            "images/X.jpg and masks/X.png.",
            names,
            there,
        )
        return " ".join(filter(None, words))

    def _images_folder(self) -> str:
        folder = self.folders["images"]
        there = describe_folder(folder, kind="images", endings=IMAGE_SUFFIXES)
        return f"{folder} holds no image file ({', '.join(IMAGE_SUFFIXES)}). {there}".rstrip()

    def _place(self) -> Path:
        return self.folders["images"].parent

    def pairs(self, *, strict: bool = True) -> list[Pair]:
        """The samples of the split.

        Args:
            strict: whether a file without a partner is an error; if not, it is left out.

        Raises: FileNotFoundError for a file without a partner; NoPairs if no file has one;
            ValueError if the split is empty.
        """
        problems = self.problems()
        stems = [stem for stem in self.stems if stem in self.images and stem in self.masks]
        if strict and problems and stems:
            raise FileNotFoundError(problems[0])
        if not stems and problems:
            raise NoPairs(" ".join(problems))
        if not stems:
            raise ValueError(self._empty())
        return [Pair(self.images[stem], self.masks[stem]) for stem in stems]

    def _empty(self) -> str:
        message = f"The split {self.split!r} of {self.root} is empty."
        if not self.images:
            return f"{message} {self._images_folder()}"
        if len(self.images) == 1:
            return (
                f"{message} There is only one image, which validates. Add images, or name the "
                'splits in splits.json: {"train": ["a"], "val": ["b"]}.'
            )
        return f"{message} splits.json or {self.split}.txt lists no stem. Name some."


def scan_folder(root: Path, split: str) -> FolderScan:
    """Lists the files of a split.

    Raises: FileNotFoundError for a missing folder; ValueError for a wrong split file.
    """
    folders, separate = _split_folders(root, split)
    if separate and not folders["images"].is_dir():
        raise FileNotFoundError(_no_split_folder(root, split, folders["images"]))
    images = _by_stem(root, folders["images"], IMAGE_SUFFIXES)
    masks = _named_as_images(_by_stem(root, folders["masks"], MASK_SUFFIXES), images)
    stems = sorted(images) if separate else stems_of_split(root, split, sorted(images))
    return FolderScan(root, split, folders, images, masks, stems)


def instances_beside(scan: FolderScan) -> dict[Path, Path]:
    """Mask file → file in instances/; empty if there is no such folder.

    Raises: FileNotFoundError if some samples have no file there.
    """
    folder = scan.folders["instances"]
    if not folder.is_dir():
        return {}
    files = _named_as_images(_by_stem(scan.root, folder, MASK_SUFFIXES), scan.images)
    missing = [stem for stem in scan.stems if stem not in files]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(scan.stems)} samples have no file in {folder}, for example "
            f"{missing[:3]}. Add them, or rename the folder."
        )
    return {scan.masks[stem]: files[stem] for stem in scan.stems if stem in scan.masks}


def _split_folders(root: Path, split: str) -> tuple[dict[str, Path], bool]:
    """The folders of images, masks and instances, and whether they hold only this split."""
    kinds = ("images", "masks", "instances")
    parts = any((root / name / "images").is_dir() for name in SPLIT_FOLDERS["train"])
    if parts or ((root / "train").is_dir() and not (root / "images").is_dir()):
        folder = root / _split_name(root, split)
        return {kind: folder / kind for kind in kinds}, True
    if any((root / "images" / name).is_dir() for name in SPLIT_FOLDERS["train"]):
        return {kind: root / kind / _split_name(root / "images", split) for kind in kinds}, True
    return {kind: root / kind for kind in kinds}, False


def _split_name(folder: Path, split: str) -> str:
    names = SPLIT_FOLDERS[split]
    return next((name for name in names if (folder / name).is_dir()), split)


def _no_split_folder(root: Path, split: str, folder: Path) -> str:
    parent = root / "images" if folder.parent.name == "images" else root
    there = [path.name for path in sorted(parent.iterdir()) if path.is_dir()]
    return (
        f"There is no folder {folder}. The images of {split!r} are looked for there because "
        f"{parent} has the sub-folders {', '.join(there)}. {describe_place(folder.parent)}".rstrip()
    )


def _by_stem(root: Path, folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder}. A data set has images/ and masks/, either directly or "
            f"under train/ and val/. {describe_place(root)}".rstrip()
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in files:
            raise ValueError(
                f"{path} and {files[path.stem]} have the same stem, so masks cannot be paired. "
                "Rename one of them."
            )
        files[path.stem] = path
    return files


def _named_as_images(masks: dict[str, Path], images: dict[str, Path]) -> dict[str, Path]:
    """Renames masks to the stems of their images, if one rule fits every mask.

    The rules are tried if no stem is equal: other upper and lower case, and a common prefix or
    suffix.
    """
    if not masks or masks.keys() & images.keys():
        return masks
    folded = {stem.casefold(): stem for stem in images}
    if len(folded) < len(images):
        return masks
    for head, tail in _affixes(min(masks).casefold(), folded):
        renamed = {}
        for stem, path in masks.items():
            key = stem.casefold()
            fits = key.startswith(head) and key.endswith(tail) and len(key) > len(head + tail)
            image = folded.get(key[len(head) : len(key) - len(tail)]) if fits else None
            if image is None or image in renamed:
                break
            renamed[image] = path
        else:
            return renamed
    return masks


def _affixes(mask: str, images: dict[str, str]) -> list[tuple[str, str]]:
    """The prefixes and suffixes that may turn the stem of an image into that of a mask."""
    if mask in images:
        return [("", "")]
    affixes = []
    for length in range(len(mask) - 1, 0, -1):
        start, end = mask[:length], mask[-length:]
        if start in images and not mask[length].isdigit():
            affixes.append(("", mask[length:]))
        if end in images and not mask[-length - 1].isdigit():
            affixes.append((mask[:-length], ""))
    return affixes


def _endings(kind: str) -> tuple[str, ...]:
    return MASK_SUFFIXES if kind == "mask" else IMAGE_SUFFIXES


def _stem(name: str, stems: list[str]) -> str:
    """The stem of a name in a split file, which may have a suffix or a folder."""
    return name if name in stems else Path(name).stem


def stems_of_split(root: Path, split: str, stems: list[str]) -> list[str]:
    split_file, list_file = root / "splits.json", root / f"{split}.txt"
    if split_file.exists():
        try:
            content = json.loads(split_file.read_text("utf-8-sig"))
            if not isinstance(content, dict) or split not in content:
                entries = sorted(content) if isinstance(content, dict) else content
                raise ValueError(f"it has {entries!r}")
            named = content[split]
            if not isinstance(named, list):
                raise TypeError(f"{split!r} is no list")
            return sorted(_stem(str(name), stems) for name in named)
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{split_file} names no split {split!r}: {error}. It must look like "
                '{"train": ["a", "b"], "val": ["c"]}, with stems of the image files.'
            ) from error
    if list_file.exists():
        try:
            lines = map(str.strip, list_file.read_text("utf-8-sig").splitlines())
        except UnicodeDecodeError as error:
            raise ValueError(f"{list_file} is no list of stems in UTF-8: {error}.") from error
        return sorted(_stem(line, stems) for line in lines if line)
    shuffled = random.Random(0).sample(stems, len(stems))
    held_out = max(1, round(len(stems) * VALIDATION_SHARE))
    return sorted(shuffled[:held_out] if split == "val" else shuffled[held_out:])
