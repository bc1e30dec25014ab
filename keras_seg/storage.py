"""Files in object stores, such as s3://bucket/photos, through fsspec.

`RemotePath` has the part of `pathlib.Path` that prediction uses. Local paths stay `pathlib.Path`.
"""

from __future__ import annotations

import datetime
import importlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
"""A URL; one letter before the colon is a drive of Windows."""
LOCAL_SCHEMES = ("file", "local")
PACKAGE_OF = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
}
"""Scheme → the package that fsspec needs for it."""
TRANSFERS = 8
"""Files that one process moves at the same time."""


class FileStatus(NamedTuple):
    """Size in bytes and time of the last change in nanoseconds, named as by `os.stat`."""

    st_size: int
    st_mtime_ns: int


def is_url(text: object) -> bool:
    """Whether a text names a file or folder of an object store.

    Example:
        >>> is_url("s3://bucket/photos"), is_url("photos"), is_url("file:///photos")
        (True, False, False)
    """
    match = URL.fullmatch(str(text))
    return match is not None and match[1].lower() not in LOCAL_SCHEMES


def as_path(text: str | Path | RemotePath) -> Path | RemotePath:
    """The path of a file or folder, in an object store or on this machine.

    Example:
        >>> as_path("s3://bucket/photos/a.png").suffix
        '.png'
    """
    if isinstance(text, Path | RemotePath):
        return text
    if is_url(text):
        return RemotePath(text)
    match = URL.fullmatch(text)
    return Path(match[2] if match else text)


class RemotePath:
    """A file or folder in an object store.

    Args:
        url: its address, such as s3://bucket/photos/a.png.
        status: size and time of the last change, if a listing has told them.

    Raises: ImportError, when files are read or written, if a package for the store is missing.
    """

    def __init__(self, url: str, status: FileStatus | None = None) -> None:
        self.scheme, _, key = url.partition("://")
        self.key = key.rstrip("/")
        self._status = status

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}"

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __fspath__(self) -> str:
        return str(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __lt__(self, other: RemotePath) -> bool:
        return self.key.split("/") < other.key.split("/")  # the order of pathlib

    def __truediv__(self, name: str | PurePosixPath) -> RemotePath:
        return RemotePath(f"{self}/{name}")

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """The folder."""
        return RemotePath(f"{self.scheme}://{self.key.rpartition('/')[0]}")

    def with_name(self, name: str) -> RemotePath:
        """The path of another file in the same folder."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> RemotePath:
        """The path with another suffix."""
        return self.with_name(str(PurePosixPath(self.name).with_suffix(suffix)))

    def resolve(self) -> RemotePath:
        """The path itself: addresses are absolute."""
        return self

    def is_relative_to(self, folder: object) -> bool:
        """Whether the file is in this folder, or in a folder below it."""
        return self == folder or str(self).startswith(f"{folder}/")

    def relative_to(self, folder: RemotePath) -> PurePosixPath:
        """The path below a folder that holds it."""
        return PurePosixPath(str(self).removeprefix(f"{folder}/"))

    def exists(self) -> bool:
        """Whether there is such a file or folder; known without a request for listed files."""
        return self._status is not None or self._ask("exists")

    def is_dir(self) -> bool:
        """Whether it is a folder: other files have names that begin with it."""
        return self._status is None and self._ask("isdir")

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._status is not None or self._ask("isfile")

    def stat(self) -> FileStatus:
        """Size and time of the last change. Raises: FileNotFoundError."""
        if self._status is None:
            self._status = _status_of(self._ask("info"))
        return self._status

    def files(self) -> list[RemotePath]:
        """All files of the folder and of the folders below it, in the order of their names."""
        system, key = located(self)
        system.invalidate_cache()
        return _below(self, key, _asked(self, lambda: system.find(key, detail=True)))

    def matches(self) -> list[RemotePath]:
        """The files that match the path as a pattern, in the order of their names."""
        system, key = located(self)
        system.invalidate_cache()
        entries = _asked(self, lambda: system.glob(key, detail=True))
        files = {name: each for name, each in entries.items() if each["type"] == "file"}
        folder = RemotePath(glob_start(str(self)))
        return _below(folder, located(folder)[1], files)

    def download(self, target: Path) -> None:
        """Copies the file to this machine. Raises: OSError."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._ask("get_file", str(target))

    def upload(self, source: Path) -> None:
        """Writes the file from one of this machine. Raises: OSError."""
        system, key = located(self)
        _asked(self, lambda: system.put_file(str(source), key))

    def read_text(self, errors: str = "strict") -> str:
        """The file as text. Raises: FileNotFoundError."""
        return self._ask("cat_file").decode(errors=errors)

    def write_text(self, text: str) -> None:
        """Writes the file; readers see the older one until the new one is complete."""
        self._ask("pipe_file", text.encode())

    def unlink(self, missing_ok: bool = False) -> None:
        """Deletes the file."""
        if not missing_ok or self.exists():
            self._ask("rm_file")

    def _ask(self, method: str, *arguments: object) -> Any:
        system, key = located(self)
        return _asked(self, lambda: getattr(system, method)(key, *arguments))


AnyPath = Path | RemotePath


def located(path: RemotePath) -> tuple[Any, str]:
    """fsspec's file system of a path, and its name there.

    Credentials are found as the tools of the store find them.

    Raises: ImportError that names the package to install; ValueError for an unknown scheme.
    """
    try:
        core = importlib.import_module("fsspec.core")
        return core.url_to_fs(str(path))
    except ImportError as error:
        package = PACKAGE_OF.get(path.scheme.lower())
        packages = "fsspec" if package is None else f"fsspec {package}"
        raise ImportError(
            f"{path} is in an object store, for which a package is missing ({error}). Install it: "
            f"pip install {packages}."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{path}: {path.scheme}:// is not a known kind of storage. Known are s3://, gs://, "
            "az://, and the others of fsspec."
        ) from error


def glob_start(pattern: str) -> str:
    """The folder of a pattern up to its first special character.

    Example:
        >>> glob_start("s3://bucket/day-*/a.png")
        's3://bucket'
    """
    plain = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return plain.rpartition("/")[0]


def write_text_at(path: AnyPath, text: str) -> None:
    """Writes a text file so that no reader sees a part of it."""
    if isinstance(path, RemotePath):
        path.write_text(text)
        return
    from keras_seg.atomic_files import write_text

    write_text(path, text)


def transfer(do: Callable[[Item], None], items: Sequence[Item]) -> list[OSError | None]:
    """Calls a function for several files at the same time.

    Returns: for each item the OSError that its call raised, or None. Other errors are raised.
    """

    def error_of(item: Item) -> OSError | None:
        try:
            do(item)
        except OSError as error:
            return error
        return None

    with ThreadPoolExecutor(TRANSFERS) as pool:
        return list(pool.map(error_of, items))


def put(source: Path, target: AnyPath) -> None:
    """Gives a complete local file its place: uploads it, or renames it within a file system.

    A reader sees the older file or the new one, and never a part of one.

    Raises: OSError.
    """
    if isinstance(target, RemotePath):
        target.upload(source)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def remove_folder(folder: AnyPath) -> None:
    """Removes a folder with all files, if it is there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.files() if folder.is_dir() else ():
        path.unlink(missing_ok=True)


def _below(
    folder: RemotePath, key: str, entries: Mapping[str, Mapping[str, Any]]
) -> list[RemotePath]:
    """The files of a listing of fsspec; `key` is the folder's name in its file system."""
    return sorted(
        RemotePath(f"{folder}/{name.removeprefix(key).lstrip('/')}", _status_of(entry))
        for name, entry in entries.items()
    )


def _status_of(entry: Mapping[str, Any]) -> FileStatus:
    """Size and time in an entry of fsspec; stores call the time by different names."""
    names = ("mtime", "LastModified", "last_modified", "updated", "created")
    time = next((entry[name] for name in names if entry.get(name) is not None), 0)
    if isinstance(time, str):
        time = datetime.datetime.fromisoformat(time)
    seconds = time.timestamp() if isinstance(time, datetime.datetime) else float(time)
    return FileStatus(int(entry.get("size") or 0), round(seconds * 1e6) * 1000)


def _asked(path: RemotePath, call: Callable[[], Any]) -> Any:
    """The answer of an object store; its errors become OSError with the address."""
    try:
        return call()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no file {path}.") from error
    except (ImportError, ValueError):
        raise
    except Exception as error:  # each store has errors of its own, such as missing credentials
        raise OSError(f"{path} cannot be reached: {type(error).__name__}: {error}") from error
