"""Names of a package whose modules load when the names are first used.

For packages that would otherwise import TensorFlow for users who do not need it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from keras_seg.backends import need_tensorflow


def lazy_names(
    package: str,
    module_of: dict[str, str],
    *,
    name_here: Callable[[str], str | None] | None = None,
    tensorflow_for: str | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: `__name__` of the package.
        module_of: name → the module that defines it. A submodule of the package is its own value.
        name_here: unknown name → its name in this package, or None; for the error message.
        tensorflow_for: what the names are, in the plural, if they need TensorFlow: "Exports".
            Without it they then raise an ImportError that says so.
    """

    def __getattr__(name: str) -> Any:
        if name not in module_of:
            # only for the message, so that `import keras_seg` does not wait for `inspect`
            from keras_seg.names_elsewhere import attribute_error

            here = None if name_here is None else name_here(name)
            raise attribute_error(package, name, f"Its name here is {here}" if here else "")
        if tensorflow_for:
            need_tensorflow(tensorflow_for)
        module = importlib.import_module(module_of[name])
        return module if module_of[name] == f"{package}.{name}" else getattr(module, name)

    return __getattr__, lambda: sorted(module_of)
