"""Lists the files of one split of a data folder, and pairs images with masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from keras_seg.data.class_file import CLASS_FILE_NAME, read_class_file
from keras_seg.data.folder.contents import (
    data_set_above,
    describe_folder,
    describe_place,
    unpaired_names,
)
from keras_seg.data.folder.naming import NameRule, named_as_images
from keras_seg.data.folder.pairs import Pair
from keras_seg.data.folder.pictures import IMAGE_SUFFIXES, MASK_SUFFIXES, files_in, folders_in
from keras_seg.data.folder.places import Place, find_place
from keras_seg.data.folder.split_lists import divided_stems, split_source


class NoPairs(FileNotFoundError):
    """No image of a split has a mask."""


@dataclass(frozen=True)
class FolderScan:
    """The files of one split of a folder, whether they are paired or not.

    Attributes:
        root: the data folder.
        split: "train", "val" or "test".
        folders: the folders of the split's images, masks and instances.
        images: image files by their stem (the name without suffix).
        masks: mask files by the stem of their image.
        stems: stems of the samples of the split, sorted.
        rule: how the names of masks and images differ.
        divided_by: what divides the files into splits, in words.
        mixed: whether images and masks are in one folder.
    """

    root: Path
    split: str
    folders: dict[str, Path]
    images: dict[str, Path]
    masks: dict[str, Path]
    stems: list[str]
    rule: NameRule = field(default_factory=NameRule)
    divided_by: str = ""
    mixed: bool = False

    def description(self) -> str:
        """How the folder is read: the files, the rule of their names, and the split."""
        images = _some_files(self.root, self.images, self.stems)
        masks = _some_files(self.root, self.masks, self.stems)
        number = f"{len(self.stems)} image{'s' * (len(self.stems) != 1)}"
        parts = [f"{number}, such as {images} with the mask {masks}"]
        if self.rule != NameRule():
            pair = f"{self.rule.image_pattern()} with {self.rule.mask_pattern()}"
            parts.append(f"names paired as {pair}")
        if self.split != "val" or "fixed" not in self.divided_by:  # told with the training images
            parts.append(self.divided_by)
        return f"{'; '.join(parts)}."

    def problems(self) -> list[str]:
        """Lists files without a partner, with what to do; empty if all are paired."""
        if self.images and not self.images.keys() & self.masks.keys():
            return [self._no_pairs()]
        problems = []
        for kind, files in (("image", self.images), ("mask", self.masks)):
            missing = [stem for stem in self.stems if stem not in files]
            if missing:
                problems.append(self._missing(kind, missing))
        unused = sorted(set(self.masks) - set(self.images))
        if unused:
            there = self._images_folder() if not self.images else ""
            problems.append(
                f"{len(unused)} masks in {self._place()} have no image, for example {unused[:3]}. "
                f"Add the images or remove the masks. {there}".rstrip()
            )
        return problems

    def _missing(self, kind: str, missing: list[str]) -> str:
        there = describe_folder(self.folders[f"{kind}s"], kind=f"{kind}s", endings=_endings(kind))
        return (
            f"{len(missing)} of {len(self.stems)} samples in {self._place()} have no {kind}, for "
            f"example {missing[:3]}. {self._demand()} {there}".rstrip()
        )

    def _demand(self) -> str:
        if self.mixed or self.rule != NameRule():
            names = f"{self.rule.image_pattern()} with {self.rule.mask_pattern()}"
            return f"Every image needs a mask, here {names}."
        return "Every image needs a mask of the same stem: images/X.jpg and masks/X.png."

    def _no_pairs(self) -> str:
        """The message if no image of the folder has a mask."""
        images, masks = self.folders["images"], self.folders["masks"]
        there = describe_folder(masks, kind="masks", endings=MASK_SUFFIXES)
        names = unpaired_names(self.images, self.masks)
        why = (
            f"none of the {len(self.masks)} mask files in {masks} has the stem of an image"
            if self.masks
            else f"{masks} holds no mask file ({', '.join(MASK_SUFFIXES)})"
        )
        sentences = (
            f"The {len(self.images)} images in {images} have no mask, for example "
            f"{sorted(self.images)[:3]}: {why}. Every image needs a mask of the same stem: "
            "images/X.jpg and masks/X.png.",
            names,
            there,
        )
        return " ".join(filter(None, sentences))

    def _images_folder(self) -> str:
        folder = self.folders["images"]
        there = describe_folder(folder, kind="images", endings=IMAGE_SUFFIXES)
        return f"{folder} holds no image file ({', '.join(IMAGE_SUFFIXES)}). {there}".rstrip()

    def _place(self) -> Path:
        return self.folders["images"] if self.mixed else self.folders["images"].parent

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
        return (
            f"{message} splits.json or {self.split}.txt lists no stem, or the list of another "
            f"split names all images. Write {self.split}.txt."
        )


def scan_folder(root: Path, split: str) -> FolderScan:
    """Lists the files of a split.

    Raises: FileNotFoundError for a missing folder; ValueError for a wrong split file, and for a
        folder that can be read in two ways.
    """
    stated = _stated_rule(root)
    place = find_place(root, split, stated)
    if place.mixed is not None:
        images = _unique_stems(place.mixed.images)
        masks, rule = _mixed_masks(place)
    else:
        images = _by_stem(root, place, place.images, IMAGE_SUFFIXES)
        masks, rule = named_as_images(
            _by_stem(root, place, place.masks, MASK_SUFFIXES), images, stated
        )
    if place.shared_masks:
        masks = {stem: path for stem, path in masks.items() if stem in images}
    stems = sorted(images)
    divided_by = f"the folder of {split!r} is {place.images.relative_to(root)}"
    if not place.separate:
        divided_by = split_source(root, split, stems)
        stems = divided_stems(root, split, stems)
    folders = {"images": place.images, "masks": place.masks, "instances": place.instances}
    mixed = place.mixed is not None
    return FolderScan(root, split, folders, images, masks, stems, rule, divided_by, mixed)


def instances_beside(scan: FolderScan) -> dict[Path, Path]:
    """Mask file → file in instances/; empty if there is no such folder.

    Raises: FileNotFoundError if some samples have no file there.
    """
    folder = scan.folders["instances"]
    if not folder.is_dir():
        return {}
    files, _ = named_as_images(_unique_stems(files_in(folder, MASK_SUFFIXES)), scan.images)
    missing = [stem for stem in scan.stems if stem not in files]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(scan.stems)} samples have no file in {folder}, for example "
            f"{missing[:3]}. Add them, or rename the folder."
        )
    return {scan.masks[stem]: files[stem] for stem in scan.stems if stem in scan.masks}


def _stated_rule(root: Path) -> NameRule | None:
    """The prefix and suffix of masks that `classes.json` states."""
    path = root / CLASS_FILE_NAME
    if not path.exists():
        return None
    file = read_class_file(path)
    if not file.mask_prefix and not file.mask_suffix:
        return None
    return NameRule("", "", file.mask_prefix.casefold(), file.mask_suffix.casefold())


def _mixed_masks(place: Place) -> tuple[dict[str, Path], NameRule]:
    assert place.mixed is not None
    images = _unique_stems(place.mixed.images)
    if not any(path.suffix.lower() in MASK_SUFFIXES for path in place.mixed.masks):
        there = describe_folder(place.masks, kind="masks", endings=MASK_SUFFIXES)
        raise FileNotFoundError(f"{place.masks} holds images and masks. {there}")
    masks = [path for path in place.mixed.masks if path.suffix.lower() in MASK_SUFFIXES]
    return named_as_images(_unique_stems(masks), images, place.mixed.rule)


def _by_stem(root: Path, place: Place, folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if folder.is_dir():
        return _unique_stems(files_in(folder, suffixes))
    if (above := data_set_above(root)) is not None:
        raise FileNotFoundError(f"{root} is only a part of a data set. Pass {above}")
    if place.images.parent != root and not place.images.parent.is_relative_to(root / "images"):
        there = [path.name for path in folders_in(root)]
        raise FileNotFoundError(
            f"There is no folder {folder}. It is looked for because {root} has the sub-folders "
            f"{', '.join(there)}. {describe_place(folder.parent)}".rstrip()
        )
    raise FileNotFoundError(
        f"There is no folder {folder}. A data set has images/ and masks/, either directly or "
        f"under train/ and val/. {describe_place(root)}".rstrip()
    )


def _unique_stems(paths: Iterable[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in paths:
        if path.stem in files:
            raise ValueError(
                f"{path} and {files[path.stem]} have the same stem, so masks cannot be paired. "
                "Rename one of them."
            )
        files[path.stem] = path
    return files


def _endings(kind: str) -> tuple[str, ...]:
    return MASK_SUFFIXES if kind == "mask" else IMAGE_SUFFIXES


def _some_files(root: Path, files: dict[str, Path], stems: list[str]) -> str:
    """The first file of a split, below the data folder."""
    first = next((files[stem] for stem in stems if stem in files), None)
    return "none" if first is None else first.relative_to(root).as_posix()
