"""Names that load the module that holds them when they are first used.

Used where a package would otherwise import TensorFlow for users of its other names.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable


def lazy_names(package: str, home: dict[str, str]) -> tuple[Callable, Callable]:
    """`__getattr__` and `__dir__` of a package whose names live in the modules of `home`.

    Args:
        package: the package's `__name__`.
        home: name → the module that defines it. A submodule of the package is its own value.
    """

    def __getattr__(name: str):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(home[name])
        return module if home[name] == f"{package}.{name}" else getattr(module, name)

    return __getattr__, lambda: sorted(home)
