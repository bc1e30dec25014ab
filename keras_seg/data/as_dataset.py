"""Converts the user's images to a data set: for the arguments `calibration` and `evaluation`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_seg.data.array_dataset import ArrayDataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.folder.one_folder import divide_folder
from keras_seg.data.folder.pictures import IMAGE_SUFFIXES, MASK_SUFFIXES, files_in, split_folders
from keras_seg.data.folder.places import image_folder, mask_folder
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.reading.in_memory import as_array, holds_objects, is_grey_batch
from keras_seg.data.reading.ranges import MEASURED, ValueRange

Data = SegmentationDataset | str | Path | np.ndarray | Iterable | Callable
"""Everything that `as_dataset` takes."""
RANGES = (
    " Images of another range go into keras_seg.data.ArrayDataset(images, value_range=(black, "
    "white)). A model that takes 0 to 1 is wrapped first: keras.Sequential([keras.Input((256, 256, "
    "3)), keras.layers.Rescaling(1 / 255), model])."
)
IMAGE_KEYS = ("image", "images", "input", "inputs", "pixel_values")
MASK_KEYS = ("mask", "masks", "segmentation_mask", "label", "labels", "annotation")
FORMS = (
    "a data set of keras_seg.data, its name (a folder, builtin:cells), an array (N, H, W, C) or a "
    "list of images, a generator function such as TFLite's representative_dataset, or a "
    "tf.data.Dataset or PyDataset of images or (images, masks)"
)


def as_dataset(
    data: Data,
    *,
    what: str,
    channels: int,
    classes: ClassTable | None,
    split: str = "train",
    limit: int | None = None,
    value_range: ValueRange | str | None = None,
    multi_label: bool = False,
    nodata: float | None = None,
) -> SegmentationDataset:
    """Converts images, with or without masks, to a data set.

    It takes data sets of this package; names, as for `open_dataset`; folders of images without
    masks; arrays and lists of images, of (image, mask) pairs or of samples; and generator
    functions, generators, `tf.data.Dataset`, `keras.utils.PyDataset` and other iterables of images,
    batches, (images, masks) or dicts.

    Args:
        data: the images.
        what: name of the argument for messages, "calibration" or "evaluation".
        channels: channels that the network takes.
        classes: classes of the network, for images without a class table; None to number those in
            the masks.
        split: split of a data set by name.
        limit: largest number of images taken from an iterable, which may be endless.
        value_range: (black, white) of images with more than 8 bits, or one such pair per band;
            "auto" for a data set by name, in whose training images it is measured.
        multi_label: whether masks are (H, W, labels) of 0 and 1; of data sets by name those whose
            files do not say so.
        nodata: value of pixels in image files that hold no data.

    Raises: ValueError for data without images, and for images that are not pixels in 0..255;
        TypeError for anything else.
    """
    try:
        if isinstance(data, SegmentationDataset):
            return data
        options = {"channels": channels, "value_range": value_range, "nodata": nodata}
        if isinstance(data, str | os.PathLike):
            return _by_name(str(data), classes, split, options, multi_label or None)
        if value_range == MEASURED:
            raise ValueError(
                'value_range "auto" is measured in the training images of a folder. Received: '
                f"{type(data).__name__}. State which values are black and white: "
                "value_range=(black, white)."
            )
        images, masks = _collected(data, limit)
        if not images:
            raise ValueError(_no_images(data))
        options |= {"classes": classes, "multi_label": multi_label}
        dataset = ArrayDataset(images, masks, name=what, split=split, **options)
        dataset[0]  # refuses images that are not pixels before anything slow
        return dataset
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        remedy = RANGES if "value_range" in str(error) else ""
        raise kind(f"{what}: {error}{remedy}") from error


def as_images(data: Any) -> Any:
    """The images of a data set, a pipeline or a folder as a list; other images unchanged.

    Masks beside the images are left out.

    Args:
        data: what `as_dataset` takes, or one image or several as `Runner.predict` takes them.

    Raises: ValueError for an iterable without images.
    """
    if isinstance(data, str | os.PathLike):
        folder = Path(data)
        return images_of_folder(folder) or data if folder.is_dir() else data
    if hasattr(data, "read"):  # an open file is an iterator of lines
        return data
    if isinstance(data, Iterator) or _is_pipeline(data) or _holds_masks(data):
        images, _ = _collected(data, None)
        if not images:
            raise ValueError(_no_images(data))
        return images
    return data


def _is_pipeline(data: Any) -> bool:
    """Whether `data` yields images or batches, and is no array, tensor, picture or list."""
    if isinstance(data, SegmentationDataset | Sample | list | tuple | Mapping | Image.Image):
        return False
    if hasattr(data, "shape") or isinstance(data, bytes | str) or hasattr(data, "read"):
        return False
    sequence = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    return callable(data) or sequence or hasattr(data, "__iter__")


def _holds_masks(data: Any) -> bool:
    """Whether `data` is (images, masks), or a list of (image, mask)."""
    if isinstance(data, tuple) and (_is_pair(data) or _are_lists(data)):
        return True
    return isinstance(data, list | tuple) and bool(data) and all(map(_is_image_with_mask, data))


def _is_image_with_mask(element: Any) -> bool:
    if not isinstance(element, tuple) or len(element) != 2:
        return False
    return all(isinstance(e, str | Path | Image.Image) or np.ndim(e) in (2, 3) for e in element)


def _no_images(data: Any) -> str:
    if isinstance(data, Iterator):
        return (
            "no images were given: a generator can be read once, and this one is at its end. Pass "
            "the function that makes it, or list(generator)."
        )
    return "no images were given."


def images_of_folder(folder: Path) -> list[Path]:
    """The images in a folder without masks, or in its images/; [] if there are masks.

    Raises: ValueError if it cannot be known which files are masks.
    """
    if not folder.is_dir() or split_folders(folder) or mask_folder(folder) is not None:
        return []
    inside = image_folder(folder) or folder
    mixed = divide_folder(inside)
    if mixed is not None and any(path.suffix.lower() in MASK_SUFFIXES for path in mixed.masks):
        return []
    return files_in(inside, IMAGE_SUFFIXES)


def has_masks(dataset: SegmentationDataset) -> bool:
    """Whether a data set has masks to measure on."""
    return getattr(dataset, "has_masks", True)


def _by_name(
    name: str,
    classes: ClassTable | None,
    split: str,
    options: dict,
    multi_label: bool | None,
) -> SegmentationDataset:
    if files := images_of_folder(Path(name)):
        return ArrayDataset(files, classes=classes, name=name, split=split, **options)
    return open_dataset(name, split, multi_label=multi_label, **options)


def _collected(data: Any, limit: int | None) -> tuple[list, list | None]:
    """The images and masks in an array, a list or an iterable; None without masks."""
    if isinstance(data, np.ndarray) or hasattr(data, "__array__"):
        pixels = data if holds_objects(data) else as_array(data)
        if pixels.ndim == 3 and not is_grey_batch(pixels):
            raise ValueError(
                "images are (N, H, W, C), or grey (N, H, W, 1). Received: an array of shape "
                f"{pixels.shape}. Pass images[None] for one image, images[..., None] for grey ones."
            )
        return list(pixels), None
    if _is_pair(data):
        return list(as_array(data[0])), list(as_array(data[1], "masks"))
    if _are_lists(data):
        return list(data[0]), list(data[1])
    if isinstance(data, list | tuple):
        limit = None
    elif limit is None and _is_endless(data):
        raise ValueError("the tf.data.Dataset repeats without an end. Leave repeat() out.")
    if callable(data) and not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        data = data()
    images, masks = [], []
    for image, mask in islice(_each(data), limit):
        images.append(image)
        masks.append(mask)
    missing = sum(mask is None for mask in masks)
    if missing not in (0, len(masks)):
        raise ValueError(f"{missing} of {len(masks)} images have no mask.")
    return images, None if missing else masks


def _is_pair(data: Any) -> bool:
    """Whether `data` is (images, masks), two arrays with a batch axis."""
    if not isinstance(data, list | tuple) or len(data) != 2:
        return False
    shapes = [tuple(getattr(each, "shape", ())) for each in data]
    batch = len(shapes[0]) == 4 or is_grey_batch(data[0])
    alike = shapes[0][:3] == shapes[1][:3]
    if len(shapes[0]) == 4 and is_grey_batch(data[1]) and not alike:
        raise ValueError(
            f"images and masks must agree in number, height and width. Received: images of shape "
            f"{shapes[0]}, masks of shape {shapes[1]}."
        )
    return batch and len(shapes[1]) in (3, 4) and alike


def _are_lists(data: Any) -> bool:
    """Whether `data` is (images, masks), two lists with one mask, or its path, per image."""
    if not isinstance(data, tuple) or len(data) != 2:
        return False
    images, masks = data
    if not all(isinstance(each, list | tuple) for each in data) or len(images) != len(masks):
        return False
    files = [isinstance(mask, str | Path | Image.Image) for mask in masks]
    if all(files):
        return bool(files)
    return all(np.ndim(mask) == 2 for mask in masks) and all(np.ndim(x) != 2 for x in images)


def _is_endless(data: Any) -> bool:
    return hasattr(data, "element_spec") and int(data.cardinality()) == -1


def _each(data: Any) -> Iterator[tuple]:
    """Yields (image, mask or None) from an iterable of images or batches."""
    is_tf = hasattr(data, "element_spec")
    if isinstance(data, Mapping):
        raise TypeError(f"Images are given as {FORMS}. Received: {type(data).__name__}.")
    if not is_tf and hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        elements = (data[i] for i in range(len(data)))  # iterating over a PyDataset never ends
    elif hasattr(data, "__iter__"):
        elements = iter(data)
    else:
        raise TypeError(f"Images are given as {FORMS}. Received: {type(data).__name__}.")
    for element in elements:
        images, masks = _parts(element)
        if isinstance(images, str | Path | Image.Image):
            yield images, masks
            continue
        images = as_array(images)
        if images.ndim != 4:
            yield images, masks
            continue
        masks = [None] * len(images) if masks is None else as_array(masks, "masks")
        yield from zip(images, masks, strict=True)


def _parts(element: Any) -> tuple:
    """The image or images, and the mask or masks, of an element."""
    if isinstance(element, Sample):
        return element.image, element.mask
    if isinstance(element, Mapping):
        images = next((element[key] for key in IMAGE_KEYS if key in element), None)
        if images is None and len(element) == 1:
            images = next(iter(element.values()))
        if images is None:
            raise ValueError(f"elements are dicts without an 'image': {sorted(element)}.")
        return images, next((element[key] for key in MASK_KEYS if key in element), None)
    if isinstance(element, list | tuple):
        if not 1 <= len(element) <= 3:
            raise ValueError(
                f"elements are images or (images, masks). Received: {len(element)} parts."
            )
        return element[0], element[1] if len(element) > 1 else None
    return element, None
