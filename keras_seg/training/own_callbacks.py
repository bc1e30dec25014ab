"""Callbacks of the user: those that are passed to `train`, and those that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_seg.import_paths import call_by_path, import_by_path, path_and_arguments

EXAMPLE = "keras.callbacks:CSVLogger"


def own_callbacks(
    entries: Sequence[Any] | None, passed: Sequence[keras.callbacks.Callback]
) -> list[keras.callbacks.Callback]:
    """Callbacks of a recipe, then those that were passed.

    Args:
        entries: import paths, or mappings with "path" and the arguments of the callback.
        passed: Keras callbacks.

    Raises: ValueError for what is not a callback, and for arguments that it does not take.
    """
    callbacks = [*map(_made, entries or ()), *passed]
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                "callbacks are objects of keras.callbacks.Callback. Received: "
                f"{getattr(callback, '__name__', type(callback).__name__)}"
            )
    return callbacks


def _made(entry: Any) -> Any:
    path, arguments = path_and_arguments(entry, "callback", "callbacks", EXAMPLE)
    made = import_by_path(path, "callback", EXAMPLE)
    if isinstance(made, keras.callbacks.Callback):
        return made
    return call_by_path(path, arguments, "callback", EXAMPLE)
