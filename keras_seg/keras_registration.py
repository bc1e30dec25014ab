"""Tells Keras the layers, losses and metrics that saved models name, as soon as Keras is there.

A `.keras` file names its classes, and Keras finds only those that were registered, which happens
when their modules are imported. `import keras_seg` imports none of them, so as not to wait for
TensorFlow. They are imported at once where Keras has been imported before, and otherwise at the end
of the import that brings Keras in, which a finder on `sys.meta_path` watches for:

    import keras_seg
    import keras  # registers, and takes the finder away

Keras may come in through any module of this package, in the middle of a module that the layers,
losses or metrics need themselves. So these imports are watched, too, and registering waits for the
outermost of them to end.
"""

from __future__ import annotations

import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType

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
    """Finds Keras and the modules of this package as the other finders do, and watches them load.

    It takes itself away when all is registered.
    """

    def __init__(self):
        self._inside = threading.local()
        self._keras_ran = False

    def find_spec(self, name, path=None, target=None) -> ModuleSpec | None:
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

    def run(self, loader, module: ModuleType) -> None:
        """Runs a module's code, and registers if that was the outermost import and Keras is in."""
        self._inside.depth = getattr(self._inside, "depth", 0) + 1
        try:
            loader.exec_module(module)
        finally:
            self._inside.depth -= 1
        # Keras' own entry says that it is loading until the import system has the module back
        self._keras_ran |= module.__name__ == KERAS
        keras_is_in = KERAS in sys.modules and (self._keras_ran or not _is_loading(KERAS))
        if keras_is_in and not self._inside.depth:
            # a new list: a thread that looks for a module may be going through the old one
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
            _import_serializable()


class _WatchedLoader:
    """A loader that has the finder run its module; in all else the loader itself."""

    def __init__(self, loader, finder: _Finder):
        self._loader, self._finder = loader, finder

    def __getattr__(self, name: str):
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        # the module shall look as if nobody had watched
        module.__spec__.loader = module.__loader__ = self._loader
        self._finder.run(self._loader, module)


_FINDER = _Finder()


def _is_loading(name: str) -> bool:
    return getattr(getattr(sys.modules[name], "__spec__", None), "_initializing", False)


def _import_serializable() -> None:
    # statements: a function of importlib raises an error where another thread imports Keras, too
    import keras_seg.layers
    import keras_seg.losses
    import keras_seg.metrics  # noqa: F401
