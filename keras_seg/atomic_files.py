"""Files that get their name when they are whole, and folders for those that are not yet."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A path to write a file to before it gets its name: same name, in a hidden folder beside it.

    The folder `.<stem>-draft-*` is removed afterwards. A process that is killed leaves it behind;
    whoever drafts a file of that name next removes it. A lock on the folder, which the system lets
    go of when a process ends, tells it from those of living processes. Windows and some network
    file systems have no such locks; there it stays.

    Raises: OSError if nothing can be written there.
    """
    clear_abandoned(path)
    # a folder, since a temporary file could be read by nobody else once it has its name
    folder, lock = _locked_folder(path)
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all: an older one stays until the new one is complete."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def clear_abandoned(path: Path) -> None:
    """Removes the drafts of a file whose processes are dead."""
    prefix = _prefix(path)
    for folder in path.parent.iterdir() if fcntl is not None else ():
        if folder.name.startswith(prefix) and not folder.is_symlink():
            with contextlib.suppress(OSError):
                lock = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


@contextlib.contextmanager
def only_user(folder: Path, *, remedy: str) -> Iterator[None]:
    """Keeps a folder for this process while in the block; nothing is left when the process dies.

    Windows and some network file systems have no such locks; there it does nothing.

    Raises: BlockingIOError if another process has the folder.
    """
    try:
        lock = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB) if fcntl is not None else None
    except BlockingIOError as error:
        raise BlockingIOError(f"{folder} is in use by another process. {remedy}") from error
    except OSError:  # the file system has no locks
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _prefix(path: Path) -> str:
    return f".{path.stem}-draft-"


def _locked_folder(path: Path) -> tuple[Path, int | None]:
    """A new folder and the descriptor that keeps it locked, None where there are no locks."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path)))
        try:
            lock = _lock(folder, fcntl.LOCK_EX) if fcntl is not None else None
        except FileNotFoundError:  # another process met it before it was locked, and cleared it
            continue
        except OSError:  # the file system has no locks
            return folder, None
        if folder.exists():
            return folder, lock
        os.close(lock)


def _lock(folder: Path, how: int) -> int:
    """Descriptor of a folder that is locked until it is closed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
