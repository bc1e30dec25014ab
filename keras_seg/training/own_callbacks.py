"""Callbacks of the user: those that are passed to `train`, and those that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_seg.backends import is_installed
from keras_seg.import_paths import call_by_path, import_by_path, path_and_arguments

EXAMPLE = "keras.callbacks:CSVLogger"


def own_callbacks(
    entries: Sequence[Any] | None, passed: Sequence[keras.callbacks.Callback]
) -> list[keras.callbacks.Callback]:
    """Callbacks of a recipe, then those that were passed.

    Args:
        entries: import paths, or mappings with "path" and the arguments of the callback.
        passed: Keras callbacks.

    Raises: ValueError for what is not a callback, and for arguments that it does not take;
        ImportError for Keras' TensorBoard without the package tensorboard.
    """
    callbacks = [*map(_made, entries or ()), *passed]
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                "callbacks are objects of keras.callbacks.Callback. Received: "
                f"{getattr(callback, '__name__', type(callback).__name__)}"
            )
        if isinstance(callback, keras.callbacks.TensorBoard) and not is_installed("tensorboard"):
            raise ImportError(
                "The callback TensorBoard needs the package tensorboard: pip install tensorboard. "
                "Or leave it out: every run writes its files for TensorBoard to tensorboard/."
            )
    return callbacks


def _made(entry: Any) -> Any:
    path, arguments = path_and_arguments(entry, "callback", "callbacks", EXAMPLE)
    made = import_by_path(path, "callback", EXAMPLE)
    if isinstance(made, keras.callbacks.Callback):
        return made
    return call_by_path(path, arguments, "callback", EXAMPLE)
