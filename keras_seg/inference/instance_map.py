"""Objects in the mask of a semantic network, with their scores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.names import IGNORE_CLASS

BACKGROUND = "background"
"""The class of this name has no objects and no polygons."""
BORDER = re.compile(r"\b(borders?|boundar(y|ies)|contours?)$")
"""Names of a class of pixels between touching objects."""
SPLITS = ("distance",)


@dataclass(frozen=True)
class Instance:
    """One object.

    Attributes:
        number: its number in the label image, from 1.
        label: its class.
        name: name of its class.
        area: number of pixels.
        box: (left, top, width, height) in pixels.
        centre: (x, y) of its centre of mass in pixels; pixel centres are at halves.
        score: mean probability of its class, 0..1; None if no probabilities were given.

    Example:
        >>> found = keras_seg.inference.instances(np.array([[0, 1, 1]]))
        >>> found.objects[0].area, found.objects[0].centre
        (2, (2.0, 0.5))
    """

    number: int
    label: int
    name: str
    area: int
    box: tuple[int, int, int, int]
    centre: tuple[float, float]
    score: float | None


@dataclass(frozen=True, eq=False)
class Instances:
    """The objects of an image.

    Attributes:
        labels: (H, W) int32, the number of the object at each pixel, 0 for none.
        objects: the objects in the order of their numbers.

    Example:
        >>> found = keras_seg.inference.instances(np.array([[1, 0, 1]]))
        >>> len(found), found.labels.tolist()
        (2, [[1, 0, 2]])
    """

    labels: np.ndarray
    objects: list[Instance]

    def __len__(self) -> int:
        return len(self.objects)


@dataclass(frozen=True)
class InstanceOptions:
    """How a mask is divided into objects.

    Attributes:
        min_area: smallest number of pixels of an object.
        split_touching: "distance" separates touching objects at the necks of their region; None
            separates them only where the mask has a border class.

    Raises: ValueError for a negative area or another word.

    Example:
        >>> options = keras_seg.inference.InstanceOptions(min_area=20, split_touching="distance")
        >>> options.min_area
        20
    """

    min_area: int = 0
    split_touching: str | None = None

    def __post_init__(self) -> None:
        if self.min_area < 0:
            raise ValueError(f"min_area is a number of pixels. Received: {self.min_area}")
        if self.split_touching not in (None, *SPLITS):
            raise ValueError(
                f'split_touching must be "distance", or None. Received: {self.split_touching!r}'
            )


def instance_options(
    wanted: bool, min_area: int, split_touching: str | None
) -> InstanceOptions | None:
    """The options of a command line; None without --instances.

    Raises: ValueError for options without --instances, and as `InstanceOptions`.
    """
    options = InstanceOptions(min_area, split_touching)
    if wanted:
        return options
    if options != InstanceOptions():
        raise ValueError("--min_area and --split_touching are for objects. Add --instances.")
    return None


def instances(
    mask: np.ndarray,
    classes: ClassTable | Sequence[str] | None = None,
    *,
    probabilities: np.ndarray | None = None,
    min_area: int = 0,
    split_touching: str | None = None,
) -> Instances:
    """Divides a mask into objects: the connected regions of each class.

    Pixels are connected by their sides. The class "background" has no objects; without a class of
    that name it is class 0 if the classes are only numbered. Pixels of 255 belong to no object.

    A class whose name ends in "border", "boundary" or "contour" holds the pixels between touching
    objects: they separate the objects, and then belong to the nearest one that they touch.

    Shapes: mask (H, W) of classes → labels (H, W) int32.

    Args:
        mask: what `Runner.predict` returns for one image.
        classes: class table or names, such as `runner.card.classes`; None for numbered classes.
        probabilities: (H, W, num_classes), or (H, W) of the class in the mask, for scores.
        min_area, split_touching: as in `InstanceOptions`.

    Raises: ValueError for a mask of labels (H, W, n), for another size of the probabilities, and
        for unknown options.

    Example:
        >>> mask = np.array([[1, 1, 0, 1], [1, 1, 0, 0]])
        >>> result = keras_seg.inference.instances(mask, ["background", "cell"], min_area=2)
        >>> len(result), result.objects[0].box, result.labels.tolist()
        (1, (0, 0, 2, 2), [[1, 1, 0, 0], [1, 1, 0, 0]])
    """
    from keras_seg.masks.instances import number_objects  # here, because it imports SciPy

    options = InstanceOptions(min_area, split_touching)
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(
            "Objects are found in a mask (height, width) with one class per pixel. Received: shape "
            f"{mask.shape}. Call instances for each label: instances(mask[..., 0])."
        )
    table = ClassTable.of(classes) or _numbered(mask)
    confidence = _confidence(mask, probabilities)
    border = border_class(table)
    labels = number_objects(
        mask,
        [each for each in object_classes(table) if each != border],
        border=border,
        split=options.split_touching is not None,
        min_area=options.min_area,
    )
    return Instances(labels, _objects(labels, mask, table, border, confidence))


def border_class(classes: ClassTable) -> int | None:
    """The class of pixels between touching objects, by its name; None without one."""
    names = enumerate(classes.names)
    return next((number for number, name in names if BORDER.search(name.lower())), None)


def object_classes(classes: ClassTable) -> list[int]:
    """The classes that have objects: all but the background."""
    names = [name.lower() for name in classes.names]
    numbered = ClassTable.numbered(len(names)).names == classes.names
    background = names.index(BACKGROUND) if BACKGROUND in names else 0 if numbered else None
    return [number for number in range(len(names)) if number != background]


def _numbered(mask: np.ndarray) -> ClassTable:
    counted = mask[mask != IGNORE_CLASS]
    return ClassTable.numbered(max(2, int(counted.max(initial=0)) + 1))


def _confidence(mask: np.ndarray, probabilities: np.ndarray | None) -> np.ndarray | None:
    """The probability of the class in the mask at each pixel."""
    if probabilities is None:
        return None
    if probabilities.shape[:2] != mask.shape:
        raise ValueError(
            f"The mask is {mask.shape} and the probabilities are {probabilities.shape[:2]} "
            "(height, width). Pass both of one image."
        )
    if probabilities.ndim == 2:
        return probabilities
    if probabilities.shape[-1] == 1:  # of the second of two classes
        probabilities = np.concatenate([1 - probabilities, probabilities], -1)
    chosen = np.minimum(mask, probabilities.shape[-1] - 1).astype(np.int64)
    return np.take_along_axis(probabilities, chosen[..., None], -1)[..., 0]


def _objects(
    labels: np.ndarray,
    mask: np.ndarray,
    classes: ClassTable,
    border: int | None,
    confidence: np.ndarray | None,
) -> list[Instance]:
    from scipy import ndimage  # here, because SciPy takes long to import

    objects = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[rows, columns] == number
        own = inside if border is None else inside & (mask[rows, columns] != border)
        label = int(mask[rows, columns][own][0])
        score = None if confidence is None else float(confidence[rows, columns][own].mean())
        y, x = ndimage.center_of_mass(inside)
        objects.append(
            Instance(
                number,
                label,
                classes.names[label],
                int(inside.sum()),
                (columns.start, rows.start, inside.shape[1], inside.shape[0]),
                (float(columns.start + x + 0.5), float(rows.start + y + 0.5)),
                score,
            )
        )
    return objects
