"""Downloads a published file by its address; a broken download continues where it ended."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from keras_seg.weights.cache import sha256_of

TIMEOUT = 60
"""Seconds without an answer after which a download ends."""
CHUNK = 1 << 20
PARTIAL, WHOLE = 206, 200
"""Status of an answer with the rest of a file, and with all of it."""


def download_file(url: str, path: Path, *, sha256: str | None = None, remedy: str = "") -> None:
    """Downloads a file. The path gets its name when the file is complete.

    Until then `<path>.part` holds what has arrived, and the next call asks for the rest.

    Args:
        url: address, http or https.
        path: file to write; its folder is created.
        sha256: the published SHA-256, or its first digits; None if there is none.
        remedy: what the user can do instead; the last sentence of an error.

    Raises: RuntimeError if the file is not available, is cut short, is a web page, or has another
        SHA-256. It names the address.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"A download has an address of http or https. Received: {url!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        _receive(url, part)
    except (OSError, HTTPException, EOFError, ValueError) as error:
        raise RuntimeError(
            f"{url} could not be downloaded ({type(error).__name__}: {error}). {remedy}"
        ) from error
    digest = sha256_of(part)
    if sha256 is not None and not digest.startswith(sha256):
        part.unlink()
        raise RuntimeError(
            f"{url} gave another file than the published one: its SHA-256 is {digest}, and "
            f"{sha256} was published. It is removed. {remedy}"
        )
    part.replace(path)


def _receive(url: str, part: Path) -> None:
    """Appends to the part of a file what it lacks."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left, or the file on the server is shorter
            part.unlink()
            _receive(url, part)
            return
        raise
    with answer:
        if answer.headers.get_content_type() == "text/html":
            raise ValueError("the address answers with a web page and not with a file")
        if answer.status != PARTIAL:
            have = 0  # the server sends the whole file
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as file, _progress(part.stem, total) as advance:
            while block := answer.read(CHUNK):
                file.write(block)
                advance(len(block))
    if total is not None and part.stat().st_size != total:
        raise EOFError(f"{part.stat().st_size} of {total} bytes arrived; start again to continue")


@contextlib.contextmanager
def _progress(name: str, total: int | None) -> Iterator:
    """A progress bar on a terminal; yields the function that advances it by a number of bytes."""
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(name, total=total)
        yield lambda count: progress.advance(task, count)
