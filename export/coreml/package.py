"""coremltools, imported when it is needed, and Core ML packages as bytes.

A package is a folder. An export passes it on as the bytes of an uncompressed ZIP archive, like the
bytes of a file of another format.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

SUFFIX = ".mlpackage"


def import_coremltools() -> ModuleType:
    """The module coremltools, without its remarks on versions and on what the system lacks.

    Raises: ImportError with the remedy if it is missing.
    """
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    try:
        import coremltools
    except ImportError as error:
        raise ImportError(
            "Core ML packages are written and read by coremltools, which is not installed. Install "
            "it: pip install coremltools."
        ) from error
    return coremltools


@contextlib.contextmanager
def without_progress() -> Iterator[None]:
    """Drops the progress bars and warnings of coremltools."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def packed(folder: Path) -> bytes:
    """The files of a package as bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """Writes the files of a package into a new folder."""
    folder.mkdir()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            archive.extract(name, folder)


def package_bytes(folder: Path) -> int:
    """Size of the files of a package."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
