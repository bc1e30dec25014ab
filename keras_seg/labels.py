"""Masks and their weights in the forms that losses and metrics take."""

from __future__ import annotations

import keras
from keras import ops


def read_labels(y_true, scores_shape, ignore_class: int | None, name: str):
    """Labels of any form → (ids (B, *P) int32, truth (B, *P, C) float32 or None, counted (B, *P)).

    `truth` is given for one-hot or soft labels; `counted` (bool) is False for `ignore_class` and
    for one-hot labels of zeros.

    Args:
        y_true: (B, *P), (B, *P, 1) or (B, *P, C).
        scores_shape: (B, *P, C) of the scores that they belong to.
        name: of the loss or metric, for the error.

    Raises: ValueError if the shapes do not belong together.
    """
    y_true = ops.convert_to_tensor(y_true)
    given_shape, truth = tuple(y_true.shape), None
    if len(y_true.shape) == len(scores_shape):
        if y_true.shape[-1] == scores_shape[-1]:
            truth = ops.cast(y_true, "float32")
        elif y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
    found = tuple(y_true.shape) if truth is None else tuple(y_true.shape[:-1])
    _check_pixel_axes(found, given_shape, scores_shape, name)
    if truth is None:
        if keras.backend.standardize_dtype(y_true.dtype) == "int64":
            # what 32 bits are too few for must not come out as a class
            y_true = ops.clip(y_true, -(2**31), 2**31 - 1)
        ids = ops.cast(y_true, "int32")
        counted = ops.ones_like(ids, dtype="bool")
    else:
        ids = ops.cast(ops.argmax(truth, axis=-1), "int32")
        counted = ops.sum(truth, -1) > 0
    if ignore_class is not None:
        counted = counted & (ids != ignore_class)
    return ids, truth, counted


def pixel_weights(sample_weight, ids):
    """float32 weights of the shape of `ids` (B, *P): 1 for None, or of one number, (B,) or (B, *P).

    Raises: ValueError for weights with more axes.
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
            f"{tuple(ids.shape)}. Give one number an image (B,) or a pixel (B, H, W)."
        )
    # (B,) must not be broadcast along the width.
    weight = ops.reshape(weight, (*ops.shape(weight), *(1,) * (rank - len(weight.shape))))
    return weight * ops.ones_like(ids, dtype="float32")


def _check_pixel_axes(labels, given_shape, scores_shape, name):
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
