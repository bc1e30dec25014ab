"""Registers the layers, losses and metrics with Keras as soon as Keras is imported.

A `.keras` file names its classes. Keras finds only registered ones, and a class is registered when
its module is imported. `import keras_seg` imports none of these modules, so that it does not wait
for TensorFlow. If Keras was imported before, they are imported at once. Otherwise a finder on
`sys.meta_path` waits for the import of Keras, and imports them at its end:

    import keras_seg
    import keras  # registers the classes and removes the finder

Keras may be imported by any module of this package, even in the middle of a module that the layers,
losses or metrics need. The finder therefore watches these imports too, and registers after the
outermost of them.
"""

from __future__ import annotations

import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from keras_seg.backends import BACKENDS, missing_backend, unknown_backend

KERAS = "keras"


def register_with_keras() -> None:
    """Registers now if Keras has been imported, and otherwise right after it is."""
    if KERAS in sys.modules:
        import keras  # noqa: F401  (waits for another thread that is importing it)

        if not _is_loading(KERAS):
            _import_serializable()
            return
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


class _Finder:
    """Finds Keras and the modules of this package with the other finders, and watches them load.

    It removes itself when all classes are registered.
    """

    def __init__(self) -> None:
        self._inside = threading.local()
        self._keras_ran = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != KERAS and not name.startswith("keras_seg."):
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _WatchedLoader(spec.loader, self)
                return spec
        return None

    def run(self, loader: Any, module: ModuleType) -> None:
        """Runs a module's code; registers if it was the outermost import and Keras is imported."""
        self._inside.depth = getattr(self._inside, "depth", 0) + 1
        try:
            loader.exec_module(module)
        except ModuleNotFoundError as error:
            if module.__name__ == KERAS and error.name in BACKENDS:
                raise missing_backend(error.name) from error
            raise
        except ValueError as error:
            if module.__name__ == KERAS and "Unable to import backend" in str(error):
                raise unknown_backend() from error
            raise
        finally:
            self._inside.depth -= 1
        # Keras' entry in sys.modules says "loading" until the import system has the module back
        self._keras_ran |= module.__name__ == KERAS
        keras_is_in = KERAS in sys.modules and (self._keras_ran or not _is_loading(KERAS))
        if keras_is_in and not self._inside.depth:
            # a new list, since another thread may iterate over the old one
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
            _import_serializable()


class _WatchedLoader:
    """A loader whose modules are run by the finder; otherwise the loader itself."""

    def __init__(self, loader: Any, finder: _Finder) -> None:
        self._loader, self._finder = loader, finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        # the module must not show that it was watched
        module.__spec__.loader = module.__loader__ = self._loader
        self._finder.run(self._loader, module)


_FINDER = _Finder()


def _is_loading(name: str) -> bool:
    return getattr(getattr(sys.modules[name], "__spec__", None), "_initializing", False)


def _import_serializable() -> None:
    # import statements: importlib.import_module fails if another thread imports Keras too
    import keras_seg.layers
    import keras_seg.losses.registry
    import keras_seg.metrics  # noqa: F401
