"""Names that load the module that holds them when they are first used.

Used where a package's front door would otherwise import TensorFlow for users of its other rooms.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable


def lazy_names(package: str, home: dict[str, str]) -> tuple[Callable, Callable]:
    """`__getattr__` and `__dir__` of a package whose names live in the modules of `home`.

    Args:
        package: the package's `__name__`.
        home: name → module; a module that ends in the name itself is the value.
    """

    def __getattr__(name: str):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(home[name])
        return module if home[name].rpartition(".")[2] == name else getattr(module, name)

    return __getattr__, lambda: sorted(home)
