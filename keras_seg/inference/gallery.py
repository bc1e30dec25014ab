"""Images with their masks and predictions in one figure, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import as_rgb, overlay
from keras_seg.names import IGNORE_CLASS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = 3.0
"""Width of a picture in inches."""
MOST_BANDS = 16
"""One image with more channels is taken for a batch of grey images without an axis of channels."""


def show(
    images: Any,
    masks: Any = None,
    predictions: Any = None,
    *,
    classes: ClassTable | Sequence[str] | None = None,
    opacity: float = 0.5,
) -> Figure:
    """Draws a row per image: the image, its mask and its prediction over it, and a legend.

    A notebook displays the returned figure if the call is the last line of a cell. Elsewhere save
    it: `figure.savefig("gallery.png")`.

    Args:
        images: (B, H, W, C), or a list of (H, W, C), or one image: pixels of 0..255, or floats of
            0..1.
        masks: (B, H, W) or (B, H, W, 1) classes, (B, H, W, n) labels of 0 and 1, or a list of
            them; None for none.
        predictions: as `masks`; or float scores (B, H, W, C), as `model.predict` gives them, of
            which the greatest counts.
        classes: class table, or class names; numbers by default.
        opacity: share of the colours of a mask, 0..1.

    Returns: a `matplotlib.figure.Figure`.

    Raises: ValueError for another number of masks than of images, another size, normalised pixels,
        scores of one channel, and probabilities of several labels per pixel.

    Example:

        >>> images = np.zeros((2, 64, 64, 3), "uint8")
        >>> masks = np.ones((2, 64, 64), "uint8")
        >>> figure = keras_seg.inference.show(images, masks, classes=("background", "cell"))
        >>> len(figure.axes)
        4
    """
    import matplotlib.pyplot as plt  # makes a notebook display figures

    is_one = not isinstance(images, list | tuple) and np.ndim(images) == 3
    if is_one and np.shape(images)[-1] > MOST_BANDS:
        raise ValueError(
            f"Images have the shape (B, H, W, C). Received: {np.shape(images)}. Add an axis: "
            "images[..., None] for grey images, images[None] for one image."
        )
    listed = _listed(images, is_one)
    is_share = all(image.max(initial=0) <= 1 for image in listed if image.dtype.kind == "f")
    pictures = [_pixels(image, is_share) for image in listed]
    columns = {"mask": masks, "prediction": predictions}
    columns = {
        title: [_mask(mask, title) for mask in _listed(given, is_one)]
        for title, given in columns.items()
        if given is not None
    }
    for title, given in columns.items():
        _check(pictures, given, title)
    drawn_masks = [mask for given in columns.values() for mask in given]
    table = _table(classes, drawn_masks)
    _check_classes(table, drawn_masks)
    drawn = [
        [overlay(*pair, table, opacity=opacity) for pair in zip(pictures, given, strict=True)]
        for given in columns.values()
    ]
    rows = list(zip(pictures, *drawn, strict=True))
    dpi = plt.rcParams["figure.dpi"]
    return _figure(dpi, ["image", *columns], rows, table if columns else None)


def _figure(
    dpi: float, titles: list[str], rows: list[tuple[np.ndarray, ...]], table: ClassTable | None
) -> Figure:
    from matplotlib.figure import Figure  # one that no pyplot keeps, so that it is shown once
    from matplotlib.patches import Patch

    heights = [row[0].shape[0] / row[0].shape[1] for row in rows]
    size = (PICTURE * len(titles), PICTURE * sum(heights) + 0.6)
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False, height_ratios=heights)
    for line, row in zip(axes, rows, strict=True):
        for place, picture in zip(line, row, strict=True):
            place.imshow(as_rgb(picture))
            place.axis("off")
    for place, title in zip(axes[0], titles, strict=True):
        place.set_title(title)
    if table is not None:
        pairs = zip(table.colors, table.names, strict=True)
        patches = [Patch(color=_share(color), label=name) for color, name in pairs]
        figure.legend(handles=patches, loc="outside lower center", ncols=2 * len(titles))
    return figure


def _share(color: tuple[int, int, int]) -> tuple[float, float, float]:
    """A colour in 0..1, as matplotlib has it."""
    red, green, blue = color
    return red / 255, green / 255, blue / 255


def _listed(given: Any, is_one: bool) -> list[np.ndarray]:
    """The entries of a batch or a list; one image or mask is a batch of one."""
    if not isinstance(given, list | tuple):
        given = np.asarray(given)
        if given.ndim == 2 or (is_one and given.ndim == 3 and len(given) != 1):
            given = given[None]
    return [np.asarray(each) for each in given]


def _pixels(image: np.ndarray, is_share: bool) -> np.ndarray:
    """(H, W, C) pixels of 0..255; floats of 0..1 are multiplied by 255, if `is_share`."""
    if image.ndim != 3:
        raise ValueError(
            f"An image has the shape (H, W, C). Received: {image.shape}. Add an axis to grey "
            "images: images[..., None]."
        )
    if len(image) in (1, 3, 4) and image.shape[-1] > len(image):
        raise ValueError(
            f"An image has its channels last: (H, W, C). Received: {image.shape}, which looks like "
            "(C, H, W). Pass np.moveaxis(image, 0, -1)."
        )
    if image.dtype.kind == "b" or (image.dtype.kind == "f" and is_share):
        image = image * 255.0
    least, most = image.min(initial=0), image.max(initial=0)
    if not (least >= 0 and most <= 255):  # also for NaN
        raise ValueError(
            f"An image has pixels of 0 to 255, or floats of 0 to 1. Received: {least:g} to "
            f"{most:g}. Pass the pixels as they were before the normalisation, or scale them."
        )
    return np.round(image).astype(np.uint8)


def _mask(mask: np.ndarray, title: str) -> np.ndarray:
    """(H, W) classes, or (H, W, n) labels of 0 and 1."""
    if mask.ndim not in (2, 3):
        raise ValueError(
            f"A {title} has the shape (H, W), (H, W, 1) or (H, W, C). Received: {mask.shape}"
        )
    is_whole = np.array_equal(mask, np.round(mask))
    if mask.ndim == 3 and mask.shape[-1] > 1:
        if mask.dtype.kind != "f":
            return mask.astype(np.uint8)
        sums = mask.sum(-1)
        if mask.min() >= 0 and mask.max() <= 1 and not np.allclose(sums, 1, atol=0.02):
            raise ValueError(
                f"The {title} has probabilities that do not sum to 1, so that a pixel may have "
                "several labels. Pass labels: (scores > 0.5).astype('uint8')."
            )
        return mask.argmax(-1).astype(np.uint8)
    if not is_whole:
        raise ValueError(
            f"The {title} has scores of one channel. Pass classes: (scores > 0).astype('uint8')"
            " for logits, (scores > 0.5).astype('uint8') for probabilities."
        )
    mask = mask[..., 0] if mask.ndim == 3 else mask
    if mask.min(initial=0) < 0 or mask.max(initial=0) > IGNORE_CLASS:
        raise ValueError(
            f"A {title} has classes of 0 to {IGNORE_CLASS}. Received: {mask.min()} to {mask.max()}"
        )
    return mask.astype(np.uint8)


def _check(pictures: list[np.ndarray], masks: list[np.ndarray], title: str) -> None:
    if len(pictures) != len(masks):
        raise ValueError(f"Received {len(pictures)} images and {len(masks)} {title}s.")
    for picture, mask in zip(pictures, masks, strict=True):
        if mask.ndim not in (2, 3) or picture.shape[:2] != mask.shape[:2]:
            raise ValueError(
                f"A {title} has the shape {mask.shape} for an image of {picture.shape[:2]} pixels."
            )


def _check_classes(table: ClassTable, masks: list[np.ndarray]) -> None:
    for mask in masks:
        known = mask[mask != IGNORE_CLASS] if mask.ndim == 2 else np.arange(mask.shape[-1])
        if known.max(initial=0) >= len(table):
            raise ValueError(
                f"There is no class {known.max()} among the {len(table)} classes "
                f"{', '.join(table.names)}. Pass the names of all classes."
            )


def _table(classes: ClassTable | Sequence[str] | None, masks: list[np.ndarray]) -> ClassTable:
    if isinstance(classes, ClassTable):
        return classes
    if classes is not None:
        return ClassTable(tuple(classes))
    known = [mask[mask != IGNORE_CLASS] for mask in masks if mask.ndim == 2]
    values = max((int(each.max(initial=1)) for each in known), default=1)
    labels = max((mask.shape[-1] for mask in masks if mask.ndim == 3), default=1)
    return ClassTable.numbered(max(values + 1, labels))
