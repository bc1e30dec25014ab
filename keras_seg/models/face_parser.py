"""Two-stage face parsing. Zhou, Hu, Zhang: Interlinked Convolutional Neural Networks for Face
Parsing, ISNN 2015, arXiv:1806.02479; trained as a whole as in STN-iCNN, arXiv:2002.04831."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import KerasTensor, layers, ops

from keras_seg import blocks
from keras_seg.arguments import image_shape
from keras_seg.layers import CutWindow, PartWindows, PasteWindow, Resize
from keras_seg.models.icnn import icnn
from keras_seg.models.options import ImageShape, check_scores
from keras_seg.names import IGNORE_CLASS, unknown_name


@dataclass(frozen=True)
class FacePart:
    """One patch of the second stage.

    Attributes:
        net: name of the network that labels it; parts may share one.
        labels: classes of the whole mask, in the order of the network's own classes 1, 2, ....
        mirrored: the patch is flipped left to right for the network, and its scores are flipped
            back.
        side: side of the window around the part, in pixels of the image; None for the patch's size.
    """

    net: str
    labels: tuple[int, ...]
    mirrored: bool = False
    side: int | None = None


HELEN_LABELS = (
    "background",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "nose",
    "upper lip",
    "inner mouth",
    "lower lip",
)
"""Classes of the mask of `HELEN_PARTS`: those of the Helen data set without skin and hair."""
HELEN_PARTS = (
    FacePart("brows", (1,)),
    FacePart("brows", (2,), mirrored=True),
    FacePart("eyes", (3,)),
    FacePart("eyes", (4,), mirrored=True),
    FacePart("nose", (5,)),
    FacePart("mouth", (6, 7, 8)),
)
OUTSIDE = -20.0
"""Log odds of a class against the background outside of the patch of its part."""


def face_parser(
    input_shape: ImageShape = (None, None, 3),
    *,
    parts: tuple[FacePart, ...] = HELEN_PARTS,
    stage1: keras.Model | None = None,
    nets: Mapping[str, keras.Model] | None = None,
    locator: keras.Model | None = None,
    form: str = "theano",
    stage1_size: int = 64,
    patch_size: int = 64,
    auxiliary_head: bool = False,
    activation: str | None = None,
    name: str = "face_parser",
) -> keras.Model:
    """Labels a small whole face, cuts a patch around each part, labels the patches, joins them.

    The result is one differentiable network of operators that devices have. It can be trained as a
    whole, or part by part: train an `icnn` on `CutWindow(64)(images)` as stage 1, others on the
    output of `part_patches` as the `nets`, and pass all of them here.

    Each patch gives log odds of its labels against the background. A softmax over all of them
    combines the parts as independent judgements.

    Shapes: image (B, H, W, C) of pixels in 0..255 that shows one face, any H and W → logits
    (B, H, W, 1 + labels), whose argmax is the mask.

    Args:
        parts: the patches; together their labels are 1, 2, ..., each once. The classes of the
            default are `HELEN_LABELS`.
        stage1: network for the face at `stage1_size`, pixels → logits of all classes; None for an
            `icnn` of the given form.
        nets: networks for patches, by the names in `parts`; a missing one becomes an `icnn`.
        locator: probabilities of stage 1 → windows (B, parts, 2, 3), such as `part_locator` with
            `stage1_size=128`; None for a square window around each part's centre of mass.
        form: form of the `icnn`s that are built here, "theano" or "stn".
        stage1_size: height and width of the face in stage 1, in pixels.
        patch_size: height and width of a patch, in pixels.
        auxiliary_head: also return the logits of stage 1.

    Returns: a functional `keras.Model`. With `auxiliary_head` its output is a dict of "logits" and
        "stage1", the first stage's logits at the size of the image.

    Raises: ValueError for parts or networks that do not fit together.

    Example:

        model = keras_seg.models.face_parser((96, 96, 3), stage1_size=32, patch_size=32)

    Differs from the paper: the centre of mass instead of the box of the part, equal 64x64 patches
    (80x80 for the mouth in the code), stage 1 gets the image smoothed to its size.
    """
    num_classes = _class_count(parts)
    check_scores(num_classes, activation)
    channels = image_shape(input_shape)[-1]
    image = keras.Input(input_shape, name="image")

    stage1 = _network("stage1", stage1, num_classes, (stage1_size, stage1_size, channels), form)
    coarse = stage1(CutWindow(stage1_size, dtype="float32", name="face")(image))
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(coarse)
    if locator is None:
        labels, sides = [part.labels for part in parts], [part.side or patch_size for part in parts]
        locator = PartWindows(labels, sides, dtype="float32", name="windows")
        windows = locator(probabilities, like=image)
    else:
        windows = keras.Model(locator.inputs, locator.output, name="locator")(probabilities)

    shape, networks, scores = (patch_size, patch_size, channels), {}, {}
    for i, part in enumerate(parts):
        if part.net not in networks:
            given = (nets or {}).get(part.net)
            networks[part.net] = _network(part.net, given, 1 + len(part.labels), shape, form)
        log_odds = part_log_odds(image, windows[:, i], networks[part.net], part, f"part{i}")
        for index, label in enumerate(part.labels):
            scores[label] = log_odds[..., index : index + 1]
    background = keras.ops.zeros_like(scores[1])
    x = layers.Concatenate(name="joined")(
        [background, *(scores[label] for label in range(1, num_classes))]
    )
    output = blocks.output_scores(x, activation)
    if auxiliary_head:
        output = {
            "logits": output,
            "stage1": Resize(dtype="float32", name="stage1_logits")(coarse, like=image),
        }
    return keras.Model(image, output, name=name)


def part_patches(
    images: Any,
    masks: Any,
    net: str,
    *,
    parts: tuple[FacePart, ...] = HELEN_PARTS,
    size: int = 64,
) -> tuple[Any, Any]:
    """Training data of one network of the second stage: labelled patches around its parts.

    The windows are those that `face_parser` would cut if its first stage were right. Mirrored parts
    are flipped. An image that does not show a part gives a patch without it.

    Shapes: images (B, H, W, C), masks (B, H, W) of the whole's classes, 255 for unknown → patches
    (B * n, size, size, C) float32 and their masks (B * n, size, size) int32 with the network's own
    classes 0, 1, ..., where n parts share the network.

    Args:
        net: name of the network in `parts`.
        parts: as for `face_parser`.
        size: height and width of a patch, in pixels.

    Returns: (patches, masks).

    Raises: ValueError for a network that no part has, with the nearest name.
    """
    chosen = [part for part in parts if part.net == net]
    if not chosen:
        raise ValueError(unknown_name("network of a part", net, {part.net for part in parts}))
    masks = ops.cast(masks, "int32")
    patches, patch_masks = [], []
    for part in chosen:
        is_label = ops.cast(masks[..., None] == ops.array(part.labels), "float32")
        unknown = ops.cast(masks == IGNORE_CLASS, "float32")[..., None]
        numbers = [*range(len(part.labels))]
        window = PartWindows([numbers], [part.side or size])(is_label, like=images)[:, 0]
        cut = CutWindow(size, mirrored=part.mirrored, dtype="float32")
        rest = 1 - ops.sum(is_label, -1, keepdims=True) - unknown
        votes = ops.argmax(cut(ops.concatenate([rest, is_label, unknown], -1), window), -1)
        patches.append(cut(images, window))
        patch_masks.append(ops.where(votes > len(numbers), IGNORE_CLASS, votes))
    return ops.concatenate(patches), ops.cast(ops.concatenate(patch_masks), "int32")


def part_log_odds(
    image: KerasTensor, window: KerasTensor, network: keras.Model, part: FacePart, name: str
) -> KerasTensor:
    """Log odds of a part's labels against the background: (B, H, W, labels)."""
    size = network.input_shape[1]
    cut = CutWindow(size, mirrored=part.mirrored, dtype="float32", name=f"{name}_patch")
    scores = network(cut(image, window))
    paste = PasteWindow(OUTSIDE, mirrored=part.mirrored, dtype="float32", name=f"{name}_pasted")
    return paste(scores[..., 1:] - scores[..., :1], window, like=image)


def _network(
    name: str, given: keras.Model | None, num_classes: int, shape: tuple, form: str
) -> keras.Model:
    """The given network under a name, or a new `icnn`; ValueError if it does not fit."""
    if given is None:
        return icnn(shape, num_classes, form=form, name=name)
    own_shape, classes = given.input_shape[1:], given.output_shape[-1]
    fits = all(own in (None, side) for own, side in zip(own_shape, shape, strict=True))
    if not fits or classes != num_classes:
        raise ValueError(
            f"The network for {name!r} must map {shape} to {num_classes} classes. Received: one "
            f"that maps {own_shape} to {classes}. Pass another, or change parts or sizes."
        )
    pixels = keras.Input(shape, name="pixels")
    return keras.Model(pixels, given(pixels), name=name)


def _class_count(parts: tuple[FacePart, ...]) -> int:
    """Classes of the whole mask; ValueError unless the labels are 1, 2, ..., each once."""
    labels = sorted(label for part in parts for label in part.labels)
    if not labels or labels != list(range(1, len(labels) + 1)):
        raise ValueError(
            "The labels of all parts together must be 1, 2, ..., each once; 0 is the background. "
            f"Received: {labels}"
        )
    return 1 + len(labels)
