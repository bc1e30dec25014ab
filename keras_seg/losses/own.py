"""Losses of the user, by import path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_seg.import_paths import call_by_path, import_by_path
from keras_seg.losses.base import SegmentationLoss

EXAMPLE = "my_losses:MyLoss"


class LossOfFunction(keras.losses.Loss):
    """A function of (masks, scores) as a Keras loss, with sample weights and the mean of a batch.

    Args:
        function: returns one value, or one per image or pixel.
        arguments: further arguments of the function.
        name: name of the loss.
    """

    def __init__(
        self, function: Callable[..., Any], arguments: Mapping[str, Any], name: str
    ) -> None:
        super().__init__(name=name)
        self.function, self.arguments = function, dict(arguments)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred, **self.arguments)


def own_loss(path: str, arguments: Mapping[str, Any]) -> keras.losses.Loss:
    """Makes a loss from an import path.

    Args:
        path: "module:name" of a class of losses, of a loss, or of a function of (masks, scores).
        arguments: arguments of the class or the function.

    Raises: ValueError for a path that cannot be imported, for what is not a loss, and for arguments
        that it does not take.

    Example:
        >>> own_loss("keras.losses:BinaryCrossentropy", {"from_logits": True}).name
        'binary_crossentropy'
    """
    what = import_by_path(path, "loss", EXAMPLE)
    if isinstance(what, keras.losses.Loss):
        if arguments:
            raise ValueError(
                f"The loss {path} is an object, which takes no arguments. Name its class, or leave "
                f"the arguments out. Received: {', '.join(arguments)}"
            )
        return what
    if isinstance(what, type):
        made = call_by_path(path, dict(arguments), "loss", EXAMPLE)
        if isinstance(made, keras.losses.Loss):
            return made
    elif callable(what):
        return LossOfFunction(what, arguments, path.partition(":")[2])
    raise ValueError(
        "A loss is a class of keras.losses.Loss, or a function of (masks, scores). Received: "
        f"{path}, which is {getattr(what, '__name__', type(what).__name__)}"
    )


def is_segmentation_loss(path: str) -> bool:
    """Whether an import path names a subclass of `SegmentationLoss`, with its common options."""
    what = import_by_path(path, "loss", EXAMPLE)
    return isinstance(what, type) and issubclass(what, SegmentationLoss)
