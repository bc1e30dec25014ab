"""Callbacks of the user: those that are passed to `train`, and those that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_seg.import_paths import import_by_path

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
    path, arguments = (entry, {}) if isinstance(entry, str) else (None, entry)
    if isinstance(arguments, dict) and path is None:
        arguments = dict(arguments)
        path = arguments.pop("path", None)
    if not isinstance(path, str):
        raise ValueError(
            f'An entry of callbacks is an import path, such as "{EXAMPLE}", or a mapping with '
            f"`path` and the callback's arguments. Received: {entry!r}"
        )
    make = import_by_path(path, "callback", EXAMPLE)
    if isinstance(make, keras.callbacks.Callback):
        return make
    try:
        return make(**arguments)
    except TypeError as error:
        raise ValueError(f"The callback {path} cannot be made: {error}.") from error
