"""The backends of Keras that the package runs on, and messages for a missing or a wrong one.

Imports neither Keras nor a backend.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

TENSORFLOW = "tensorflow"
BACKENDS = {TENSORFLOW: "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
"""Value of KERAS_BACKEND, which is also the name of the package on PyPI → its usual name."""


def is_installed(backend: str) -> bool:
    """Whether the package of a backend can be imported."""
    if backend in sys.modules:
        return sys.modules[backend] is not None
    try:
        return importlib.util.find_spec(backend) is not None
    except ImportError:  # an import hook blocks it
        return False


def check_backend(name: str) -> None:
    """Refuses a backend of Keras that no network runs on.

    Args:
        name: what the caller needs a backend for, such as the name of a network.

    Raises: RuntimeError, with the backends that work.
    """
    import keras

    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise RuntimeError(_unsupported(name, backend))


def need_tensorflow(what: str) -> None:
    """Refuses to start without TensorFlow.

    Args:
        what: what needs it, in the plural, such as "Data pipelines".

    Raises: ImportError, with the line to type.
    """
    if not is_installed(TENSORFLOW):
        raise ImportError(
            f"{what} need TensorFlow, which is not installed. Install it: pip install tensorflow."
        )


def need_tensorflow_backend(what: str) -> None:
    """Refuses to start if Keras does not run on TensorFlow.

    Args:
        what: what needs it, in the plural, such as "Exports".

    Raises: ImportError if TensorFlow is not installed; RuntimeError, with the line to type, if
        Keras runs on another backend.
    """
    need_tensorflow(what)
    import keras

    backend = keras.backend.backend()
    if backend != TENSORFLOW:
        raise RuntimeError(
            f"{what} need Keras' TensorFlow backend. This process runs on {_name(backend)}, and "
            "Keras cannot change its backend. Save the model as a .keras file, which every backend "
            "opens, and type: keras-seg export model.keras. In Python set "
            "KERAS_BACKEND=tensorflow and start the process again."
        )


def choose_backend(allowed: Sequence[str]) -> str | None:
    """Sets KERAS_BACKEND for this process, if Keras has not been imported yet.

    KERAS_BACKEND and then Keras' configuration file name the backend; TensorFlow is the default.
    What only needs TensorFlow runs on it whatever they name. A backend of the file that cannot be
    used is replaced by TensorFlow; one of the variable is not, and is refused where it is used.

    Args:
        allowed: names of `BACKENDS` that can be used.

    Returns: a sentence that says why TensorFlow replaces what was named; None if nothing is
        replaced.
    """
    if "keras" in sys.modules:
        return None
    source, named = "KERAS_BACKEND", os.environ.get("KERAS_BACKEND")
    if named and (named == TENSORFLOW or tuple(allowed) != (TENSORFLOW,)):
        return None
    if not named:
        path = _configuration_file()
        source, named = str(path), _backend_in(path)
        if named == TENSORFLOW or (named in allowed and is_installed(named)):
            os.environ["KERAS_BACKEND"] = named
            return None
    os.environ["KERAS_BACKEND"] = TENSORFLOW
    missing = ", which is not installed" if named in allowed else ""
    return f"runs on TensorFlow, not on {_name(named)} as {source} says{missing}."


def _configuration_file() -> Path:
    """Keras' configuration file, where Keras looks for it."""
    home = Path.home()
    base = home if os.access(home, os.W_OK) else Path("/tmp")
    return Path(os.environ.get("KERAS_HOME") or base / ".keras", "keras.json").expanduser()


def _backend_in(path: Path) -> str:
    """The backend that a configuration file names; TensorFlow if it names none."""
    try:
        return str(json.loads(path.read_text())["backend"])
    except (OSError, ValueError, KeyError, TypeError):  # Keras ignores such a file, too
        return TENSORFLOW


def missing_backend(package: str) -> ImportError | RuntimeError:
    """The error for the import of Keras without the package of its backend.

    It is a RuntimeError, as in `check_backend`, for a backend that no network runs on: Keras'
    numpy backend, for example, needs JAX.
    """
    chosen = os.environ.get("KERAS_BACKEND", package)
    if chosen not in BACKENDS:
        return RuntimeError(_unsupported("keras_seg", chosen))
    others = [name for name in BACKENDS if name != package]
    installed = [name for name in others if is_installed(name)]
    if installed:
        choice = f"set KERAS_BACKEND to {_choices(installed)}, which this environment has"
    else:
        choice = f"install {_choices(others)} and set KERAS_BACKEND to that name"
    return ImportError(
        f"Keras' backend {_name(package)} is not installed. Install it: pip install {package}. "
        f"Or {choice}."
    )


def _unsupported(what: str, backend: str) -> str:
    return (
        f"{what} does not run on Keras' {backend} backend. Set KERAS_BACKEND to "
        f"{_choices(BACKENDS)} before Keras is imported."
    )


def unknown_backend() -> ValueError:
    """The error for the import of Keras with a backend that Keras does not know."""
    received = os.environ.get("KERAS_BACKEND", "an unknown name in Keras' configuration file")
    return ValueError(f"KERAS_BACKEND must be {_choices(BACKENDS)}. Received: {received}.")


def _name(backend: str) -> str:
    return BACKENDS.get(backend, backend)


def _choices(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
