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

    Raises: ValueError if there is no such module or name, and if the module fails when it is
        imported.

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
    if module_name.endswith(".py") or "/" in module_name:
        module = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise ValueError(
            f'{what} is an import path, not the path of a file. Write "{module}:{name}". '
            f"Received: {path!r}"
        )
    sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{what}: there is no module {error.name!r}, neither installed nor in "
            f"{Path.cwd()}. Received: {path!r}"
        ) from error
    except Exception as error:  # anything may fail in the code of the user
        raise ValueError(
            f"{what} {path!r}: the module {module_name} cannot be imported. {_described(error)}"
        ) from error
    finally:
        sys.path.pop()
    if not hasattr(module, name):
        names = [each for each in vars(module) if not each.startswith("_")]
        raise ValueError(f"{what} {path!r}: {unknown_name('name', name, names)}")
    return getattr(module, name)


def path_and_arguments(entry: Any, what: str, entries: str, example: str) -> tuple[str, dict]:
    """Reads an entry of a recipe: an import path, or a mapping with "path" and arguments.

    Args:
        entry: the entry.
        what: what messages call it, such as "callback".
        entries: name of the list in the recipe, such as "callbacks".
        example: an import path, for messages.

    Returns: the import path and the arguments.

    Raises: ValueError for anything else.

    Example:
        >>> path_and_arguments({"path": "a:B", "rate": 1}, "callback", "callbacks", "a:B")
        ('a:B', {'rate': 1})
    """
    if isinstance(entry, str):
        return entry, {}
    arguments = dict(entry) if isinstance(entry, dict) else {}
    path = arguments.pop("path", None)
    if not isinstance(path, str):
        raise ValueError(
            f'An entry of {entries} is an import path, such as "{example}", or a mapping with '
            f"`path` and the {what}'s arguments. Received: {entry!r}"
        )
    return path, arguments


def call_by_path(path: str, arguments: dict, what: str, example: str) -> Any:
    """Imports a class or function by its path, and calls it with the arguments.

    Raises: ValueError if it cannot be imported, does not take the arguments, or fails.
    """
    make = import_by_path(path, what, example)
    try:
        return make(**arguments)
    except TypeError as error:
        raise ValueError(f"The {what} {path} cannot be made: {error}.") from error
    except Exception as error:  # anything may fail in the code of the user
        raise ValueError(f"The {what} {path} cannot be made. {_described(error)}") from error


def _described(error: Exception) -> str:
    """The type and the text of an error; a SyntaxError names its file and line there."""
    return f"{type(error).__name__}: {error}"
