"""The constants of the program of a board: how a file takes images and what its output means."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.export.board.ends import End
from keras_seg.inference.files.label_masks import mask_endings
from keras_seg.inference.scores import limits_of
from keras_seg.inference.sizing import resolve_sizing


def constants_of(
    card: ModelCard, sizing: str, format: str, image: End, output: End
) -> dict[str, Any]:
    """Constants of `templates/board.py` → their values for a file.

    Args:
        card: the card of the file.
        sizing: "resize", "tile" or "auto".
        format: "tflite" or "onnx".
        image, output: the ends of the file.
    """
    first = card.layout == "nchw"
    height, width, channels = _channels_last(image.shape[1:], first)
    kind = "classes" if card.head == "argmax" else card.head
    if kind == "classes":
        scores = (*output.shape[1:3], len(card.classes))
    else:
        scores = _channels_last(output.shape[1:], first)
    resized = resolve_sizing(sizing, card) == "resize"
    blended = not resized and not any(card.margin)
    rule = _rule(card, scores[2])
    is_logit = kind == "logits" and not blended and rule in ("labels", "single")
    return {
        "CLASSES": dict(zip(card.classes.names, card.classes.colors, strict=True)),
        "HEIGHT": height,
        "WIDTH": width,
        "CHANNELS": channels,
        "CHANNELS_FIRST": first,
        "FORMAT": format,
        "INPUT_TYPE": image.dtype,
        "ENDS": tuple((end.shape, _type_in_runtime(end.dtype, format)) for end in (image, output)),
        "OUTPUT": kind,
        "OUTPUT_TYPE": output.dtype,
        "COARSE": not any(card.margin) and scores[:2] != (height, width),
        "RESIZED": resized,
        "BLENDED": blended,
        "RULE": rule,
        "PLANES": scores[2],
        "LIMIT": _limit(card, rule, "logits" if is_logit else "probabilities"),
        "VALUE_RANGE": card.value_range,
        "NODATA": card.nodata,
        "MARGIN": tuple(card.margin),
        "STRIDE": card.size_multiple,
        "ENDINGS": tuple(mask_endings(card.classes, card.multi_label)),
    }


def _channels_last(shape: tuple[int, ...], channels_first: bool) -> tuple[int, int, int]:
    channels, height, width = shape if channels_first else (shape[2], *shape[:2])
    return height, width, channels


def _type_in_runtime(dtype: str, format: str) -> str:
    """What the runtime calls a type: "tensor(float)" in ONNX Runtime."""
    return dtype if format == "tflite" else f"tensor({'float' if dtype == 'float32' else dtype})"


def _rule(card: ModelCard, planes: int) -> str:
    """How a pixel gets its class: see `decided` in the program."""
    if card.multi_label:
        return "labels"
    if planes == 1:
        return "single"
    return "largest" if card.threshold is None else "second"


def _limit(card: ModelCard, rule: str, unit: str) -> float | tuple[float, ...] | None:
    """The score above which a pixel has the second class, or each label; None for no limit."""
    if rule == "largest":
        return None
    threshold = 0.5 if card.threshold is None else card.threshold
    limits = limits_of(threshold, unit)
    if rule == "labels":
        return tuple(map(float, np.broadcast_to(limits, len(card.classes))))
    return float(limits)
