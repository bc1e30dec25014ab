"""Reads masks and weights of every accepted form, for losses and metrics."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

NEGATIVE_NOISE = 1e-3
"""Shares this far below 0 are rounding errors, for instance of an interpolation."""


class Labels(NamedTuple):
    """A mask as tensors; *P are the pixel axes.

    Attributes:
        ids: (B, *P) int32 class per pixel, arbitrary where not `known`; None with `multi_label`.
        truth: (B, *P, C) float32 share of each class, for one-hot or soft labels; None for ids.
        counted: bool (B, *P), with `multi_label` (B, *P, C). False for `ignore_class`, and for
            one-hot labels of zeros.
        known: bool of the same shape. False for invalid labels: no class index, or shares that are
            negative or do not sum to 1. Where these count, losses and metrics become NaN.
    """

    ids: Any
    truth: Any
    counted: Any
    known: Any


def share_tolerance(num_classes: int) -> float:
    """How far the shares of a pixel may sum from 1: half a step of 1/255 per class.

    This is the rounding error of shares that were stored in 8 bits; that of float16 is smaller.
    """
    return num_classes / 510


def read_labels(
    y_true: Any,
    scores_shape: tuple,
    ignore_class: int | None,
    name: str,
    *,
    one_channel: bool = False,
) -> Labels:
    """Reads labels of any accepted form with one class per pixel.

    Args:
        y_true: (B, *P), (B, *P, 1) or (B, *P, C).
        scores_shape: (B, *P, C), the shape of the scores.
        name: name of the loss or metric, for the message.
        one_channel: whether the scores have one channel. Labels (B, *P) of a float type are then
            probabilities of class 1: 0.3 is a soft label. Otherwise 0.3 is invalid.

    Raises: ValueError if the shapes do not match.
    """
    y_true = ops.convert_to_tensor(y_true)
    given_shape, num_classes = tuple(y_true.shape), scores_shape[-1]
    has_shares = False
    if len(y_true.shape) == len(scores_shape):
        if y_true.shape[-1] == num_classes:
            has_shares = True
        elif y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
    pixel_axes = tuple(y_true.shape[:-1]) if has_shares else tuple(y_true.shape)
    _check_pixel_axes(pixel_axes, given_shape, scores_shape, name)
    if has_shares:
        return _from_shares(ops.cast(y_true, "float32"), ignore_class)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(y_true.dtype)):
        ids = _int32(y_true)
        known = (ids >= 0) & (ids < num_classes)
        counted = ops.ones_like(known) if ignore_class is None else ids != ignore_class
        return Labels(ids, None, counted, known)
    y_true = ops.cast(y_true, "float32")
    counted = ops.ones_like(y_true, dtype="bool")
    if ignore_class is not None:
        counted = y_true != ignore_class
    if one_channel:
        known = (y_true >= 0) & (y_true <= 1)
        truth = ops.stack([1 - y_true, y_true], axis=-1)
        return Labels(ops.cast(y_true > 0.5, "int32"), truth, counted, known)
    known = (y_true >= 0) & (y_true < num_classes) & (y_true == ops.floor(y_true))
    return Labels(ops.cast(ops.where(known, y_true, 0.0), "int32"), None, counted, known)


def read_multi_label(
    y_true: Any, scores_shape: tuple, ignore_class: int | None, name: str
) -> Labels:
    """Labels (B, *P, C) of 0, 1 or a probability between; each channel is an independent label.

    `ignore_class` in a channel ignores that label of that pixel. With one channel, labels may also
    be (B, *P).

    Raises: ValueError for labels of another shape.
    """
    y_true = ops.convert_to_tensor(y_true)
    given_shape = tuple(y_true.shape)
    if len(y_true.shape) == len(scores_shape) - 1 and scores_shape[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    pairs = zip(y_true.shape, scores_shape, strict=False)
    if len(y_true.shape) != len(scores_shape) or any(
        None not in pair and pair[0] != pair[1] for pair in pairs
    ):
        raise ValueError(
            f"{name}: with multi_label=True labels have the shape of the scores, "
            f"{tuple(scores_shape)}, and hold 0 or 1 per label. Received: shape {given_shape}. "
            "For masks with one class per pixel leave multi_label out."
        )
    truth = ops.cast(y_true, "float32")
    counted = ops.ones_like(truth, dtype="bool") if ignore_class is None else truth != ignore_class
    return Labels(None, truth, counted, (truth >= 0) & (truth <= 1))


def pixel_weights(sample_weight: Any, ids: Any) -> Any:
    """float32 weights of the shape of `ids` (B, *P), from None (1), a number, (B,) or (B, *P).

    Raises: ValueError for weights with more axes, and for one weight per row, which Keras makes of
        `class_weight`.
    """
    if sample_weight is None:
        return ops.ones_like(ids, dtype="float32")
    weight = ops.cast(ops.convert_to_tensor(sample_weight), "float32")
    rank = len(ids.shape)
    if len(weight.shape) == rank + 1 and weight.shape[-1] == 1:
        weight = ops.squeeze(weight, -1)
    if len(weight.shape) > rank:
        raise ValueError(
            f"Weights of shape {tuple(weight.shape)} do not belong to labels of shape "
            f"{tuple(ids.shape)}. Give one number per image (B,) or per pixel (B, H, W)."
        )
    if 1 < len(weight.shape) < rank and any(size != 1 for size in weight.shape[1:]):
        raise ValueError(
            f"Weights of shape {tuple(weight.shape)} do not belong to labels of shape "
            f"{tuple(ids.shape)}. fit(class_weight=...) makes such weights, for one class per "
            "image. Write class weights into the loss: "
            "keras_seg.losses.CrossEntropy(class_weights={1: 9.0})."
        )
    # (B,) must not be broadcast along the width
    weight = ops.reshape(weight, (*ops.shape(weight), *(1,) * (rank - len(weight.shape))))
    return weight * ops.ones_like(ids, dtype="float32")


def _from_shares(truth: Any, ignore_class: int | None) -> Labels:
    ids = ops.cast(ops.argmax(truth, axis=-1), "int32")
    counted = ops.any(truth != 0, axis=-1)  # also true for negative values and NaN
    if ignore_class is not None:
        counted = counted & (ids != ignore_class)
    off = ops.abs(ops.sum(truth, axis=-1) - 1)
    known = (off <= share_tolerance(truth.shape[-1])) & (ops.min(truth, axis=-1) >= -NEGATIVE_NOISE)
    return Labels(ids, truth, counted, known)


def _int32(ids: Any) -> Any:
    """Integers in 32 bits; larger ones are clipped, so that they do not wrap around to a class."""
    dtype = keras.backend.standardize_dtype(ids.dtype)
    if dtype == "int64":
        ids = ops.clip(ids, -(2**31), 2**31 - 1)
    elif dtype in ("uint32", "uint64"):
        ids = ops.where(ids > 2**31 - 1, ops.cast(2**31 - 1, dtype), ids)
    return ops.cast(ids, "int32")


def _check_pixel_axes(labels: tuple, given_shape: tuple, scores_shape: tuple, name: str) -> None:
    scores = tuple(scores_shape[:-1])
    if len(labels) == len(scores) and all(
        None in pair or pair[0] == pair[1] for pair in zip(labels, scores, strict=True)
    ):
        return
    raise ValueError(
        f"{name}: labels of shape {given_shape} do not belong to scores of shape "
        f"{tuple(scores_shape)}. Give integer masks of the height and width of the scores, or "
        "one-hot labels with as many classes."
    )
