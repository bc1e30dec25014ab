"""Objects of the user's own modules, named by an import path in a recipe."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from keras_seg.names import unknown_name


def import_by_path(path: str, what: str, example: str) -> Any:
    """Imports what an import path names, such as "my_transforms:train".

    Modules in the current folder are found, too.

    Args:
        path: "module:name".
        what: what messages call it, such as "transform".
        example: an import path, for messages.

    Raises: ValueError if there is no such module or name.

    Example:
        >>> import_by_path("keras.callbacks:CSVLogger", "callback", "my_callbacks:Log").__name__
        'CSVLogger'
    """
    module_name, colon, name = path.partition(":")
    if not colon or not module_name or not name:
        other_module, _, other_name = example.partition(":")
        raise ValueError(
            f'{what} is an import path, "module:name", such as "{example}" for the name '
            f"{other_name} in {other_module}.py. Received: {path!r}"
        )
    sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{what}: there is no module {error.name!r}, neither installed nor in "
            f"{Path.cwd()}. Received: {path!r}"
        ) from error
    finally:
        sys.path.pop()
    if not hasattr(module, name):
        names = [each for each in vars(module) if not each.startswith("_")]
        raise ValueError(f"{what} {path!r}: {unknown_name('name', name, names)}")
    return getattr(module, name)
