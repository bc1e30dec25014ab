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

    Raises: ValueError for another number of masks than of images, another size, or scores of one
        channel.

    Example:

        >>> images = np.zeros((2, 64, 64, 3), "uint8")
        >>> masks = np.ones((2, 64, 64), "uint8")
        >>> figure = keras_seg.inference.show(images, masks, classes=("background", "cell"))
        >>> len(figure.axes)
        4
    """
    import matplotlib.pyplot as plt  # makes a notebook display figures

    pictures = [_pixels(image) for image in _listed(images, axes=3)]
    columns = {"mask": masks, "prediction": predictions}
    columns = {
        title: [_mask(mask, title) for mask in _listed(given, axes=2)]
        for title, given in columns.items()
        if given is not None
    }
    for title, given in columns.items():
        _check(pictures, given, title)
    table = _table(classes, [mask for given in columns.values() for mask in given])
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


def _listed(given: Any, *, axes: int) -> list[np.ndarray]:
    """The entries of a batch or a list; one image or mask, which has `axes` axes, is a batch."""
    if not isinstance(given, list | tuple):
        given = np.asarray(given)
        if given.ndim == axes:
            given = given[None]
    return [np.asarray(each) for each in given]


def _pixels(image: np.ndarray) -> np.ndarray:
    if image.ndim != 3:
        raise ValueError(f"An image has the shape (H, W, C). Received: {image.shape}")
    if image.dtype.kind == "f" and image.max(initial=0) <= 1:
        image = image * 255
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _mask(mask: np.ndarray, title: str) -> np.ndarray:
    """(H, W) classes, or (H, W, n) labels of 0 and 1."""
    if mask.ndim == 3 and mask.dtype.kind == "f":
        if mask.shape[-1] == 1:
            raise ValueError(
                f"The {title} has scores of one channel. Pass classes: (scores > 0).astype('uint8')"
                " for logits, (scores > 0.5).astype('uint8') for probabilities."
            )
        return mask.argmax(-1)
    mask = mask[..., 0] if mask.ndim == 3 and mask.shape[-1] == 1 else mask
    return np.asarray(mask).astype(np.uint8)


def _check(pictures: list[np.ndarray], masks: list[np.ndarray], title: str) -> None:
    if len(pictures) != len(masks):
        raise ValueError(f"Received {len(pictures)} images and {len(masks)} {title}s.")
    for picture, mask in zip(pictures, masks, strict=True):
        if mask.ndim not in (2, 3) or picture.shape[:2] != mask.shape[:2]:
            raise ValueError(
                f"A {title} has the shape {mask.shape} for an image of {picture.shape[:2]} pixels."
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
