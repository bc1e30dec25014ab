"""Whatever someone has images in, as a data set: what `calibration` and `evaluation` take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.data.array_dataset import ArrayDataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.folder.scan import IMAGE_SUFFIXES
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.reading.in_memory import as_array, holds_objects, is_grey_batch

Data = SegmentationDataset | str | Path | np.ndarray | Iterable | Callable
"""What `as_dataset` takes."""
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
    data,
    *,
    what: str,
    channels: int,
    classes: ClassTable,
    split: str = "train",
    limit: int | None = None,
    value_range: tuple[float, float] | None = None,
    multi_label: bool = False,
) -> SegmentationDataset:
    """A data set of what was given as `what`: "calibration" or "evaluation".

    Taken are data sets of this package; their names, as `open_dataset` takes them; folders of
    images alone; arrays and lists of images, of (image, mask) pairs or of samples; generator
    functions, generators, `tf.data.Dataset`, `keras.utils.PyDataset` and other iterables, whose
    elements are images, batches of images, (images, masks) or dicts of these.

    Args:
        channels, classes: of the network, for images that say nothing of it.
        split: of a data set by name.
        limit: at most so many images are taken from a generator, a tf.data.Dataset or a PyDataset,
            which may have no end.
        value_range: as for `open_dataset`.
        multi_label: whether masks in memory are (H, W, labels) of 0 and 1.

    Raises: ValueError, with `what` in it, for data that hold no images, or images that are no
        pixels in 0..255; TypeError for anything else.
    """
    try:
        if isinstance(data, SegmentationDataset):
            return data
        words = {"channels": channels, "value_range": value_range}
        if isinstance(data, str | os.PathLike):
            return _of_name(str(data), classes, split, words)
        images, masks = _collected(data, limit)
        if not images:
            raise ValueError("no images were given.")
        words |= {"classes": classes, "multi_label": multi_label}
        dataset = ArrayDataset(images, masks, name=what, split=split, **words)
        dataset[0]  # so that images which are no pixels are refused before anything slow
        return dataset
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        remedy = RANGES if "value_range" in str(error) else ""
        raise kind(f"{what}: {error}{remedy}") from error


def images_of_folder(folder: Path) -> list[Path]:
    """The images of a folder without masks: in it, or in its images/; [] where there are masks."""
    if not folder.is_dir() or (folder / "train").is_dir() or (folder / "masks").is_dir():
        return []
    inside = folder / "images" if (folder / "images").is_dir() else folder
    return sorted(path for path in inside.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def has_masks(dataset: SegmentationDataset) -> bool:
    """Whether anything can be measured on a data set."""
    return getattr(dataset, "has_masks", True)


def _of_name(name: str, classes: ClassTable, split: str, words: dict) -> SegmentationDataset:
    if files := images_of_folder(Path(name)):
        return ArrayDataset(files, classes=classes, name=name, split=split, **words)
    return open_dataset(name, split, **words)


def _collected(data, limit: int | None) -> tuple[list, list | None]:
    """Images and masks of an array, a list or an iterable; None for no masks."""
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


def _is_pair(data) -> bool:
    """Whether that is (images, masks), each an array with a batch axis."""
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


def _are_lists(data) -> bool:
    """Whether that is (images, masks), each a list with one (H, W) mask for an image."""
    if not isinstance(data, tuple) or len(data) != 2:
        return False
    images, masks = data
    if not all(isinstance(each, list | tuple) for each in data) or len(images) != len(masks):
        return False
    return all(np.ndim(mask) == 2 for mask in masks) and all(np.ndim(x) != 2 for x in images)


def _is_endless(data) -> bool:
    return hasattr(data, "element_spec") and int(data.cardinality()) == -1


def _each(data) -> Iterator[tuple]:
    """(image, mask or None) of each element of an iterable, of batches one by one."""
    is_tf = hasattr(data, "element_spec")
    if isinstance(data, Mapping):
        raise TypeError(f"Images are given as {FORMS}. Received: {type(data).__name__}.")
    if not is_tf and hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        elements = (data[i] for i in range(len(data)))  # a PyDataset has no end when iterated
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


def _parts(element) -> tuple:
    """Image or images, and mask or masks, of an element."""
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
