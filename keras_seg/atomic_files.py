"""Atomic writes (a file gets its name when it is complete), and locks on folders."""

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
    """A temporary path for a file: the same name, in a hidden folder beside it.

    The folder `.<stem>-draft-*` is removed at the end of the block. A killed process leaves it
    behind, and the next draft of that file removes it. A lock on the folder distinguishes it from
    drafts of living processes; the system releases the lock when a process ends. Windows and some
    network file systems have no such locks, and abandoned folders stay there.

    Raises: OSError if nothing can be written there.
    """
    clear_abandoned(path)
    # a folder, since a temporary file would keep its permissions, which exclude other users
    folder, lock = _locked_folder(path)
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def replace_path(complete: Path, path: Path) -> None:
    """Gives a complete file or folder its name, in place of an older one.

    An older folder is moved away first and then removed, since no call replaces a folder that is
    not empty. So at every moment the name belongs to a complete file or folder, or to none.
    """
    if not path.is_dir():
        complete.replace(path)
        return
    with draft_of(path) as older:
        path.replace(older)
        try:
            complete.replace(path)
        except OSError:
            older.replace(path)
            raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically: an older one stays until the new one is complete."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def clear_abandoned(path: Path) -> None:
    """Removes the drafts of a file whose processes have ended."""
    prefix = _prefix(path)
    for folder in path.parent.iterdir() if fcntl is not None else ():
        if folder.name.startswith(prefix) and not folder.is_symlink():
            with contextlib.suppress(OSError):
                lock = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


@contextlib.contextmanager
def only_user(folder: Path, *, remedy: str) -> Iterator[None]:
    """Locks a folder for this process during the block; the lock ends with the process.

    Windows and some network file systems have no such locks; there it does nothing.

    Args:
        remedy: what to do if another process uses the folder, for the message.

    Raises: BlockingIOError if another process uses the folder.
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
    """A new folder and the descriptor of its lock, None where there are no locks."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path)))
        try:
            lock = _lock(folder, fcntl.LOCK_EX) if fcntl is not None else None
        except FileNotFoundError:  # another process removed it before it was locked
            continue
        except OSError:  # the file system has no locks
            return folder, None
        if folder.exists():
            return folder, lock
        os.close(lock)


def _lock(folder: Path, how: int) -> int:
    """Locks a folder until the returned descriptor is closed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
