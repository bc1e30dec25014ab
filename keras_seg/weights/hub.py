"""Weights from the Hugging Face hub, kept in its own cache."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

SHA256 = re.compile(r"[0-9a-f]{64}")
"""What the hub's cache calls large files."""


@dataclass(frozen=True)
class HubFile:
    """A file of published weights.

    repo: of the hub, "owner/name".
    licence: of the weights, as its authors state it (an SPDX identifier).
    """

    repo: str
    licence: str
    file: str = "model.safetensors"

    def __str__(self) -> str:
        return f"https://huggingface.co/{self.repo}/{self.file}"


def download(hub_file: HubFile, *, remedy: str) -> Path:
    """The file on this machine, downloaded if the cache has it not.

    Args:
        remedy: what a user can do without this file; ends the message of an error.

    Raises: ImportError without huggingface_hub; RuntimeError that says what was tried, if the file
        is neither in the cache nor to be had, or is not what the hub announced.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError(
            f"The weights {hub_file} are downloaded with huggingface_hub: pip install "
            f"huggingface_hub. {remedy}"
        ) from error
    try:
        path = Path(hf_hub_download(hub_file.repo, hub_file.file))
    except Exception as error:  # the hub's library raises many kinds
        raise RuntimeError(
            f"The weights {hub_file} are not in the local cache and could not be downloaded "
            f"({type(error).__name__}: {error}). {remedy}"
        ) from error
    _check_digest(path)
    return path


def _check_digest(path: Path) -> None:
    """Raises RuntimeError for a file of the cache that is not what the hub announced.

    The hub announces the SHA-256 of large files, and its cache calls them so; the name that is
    asked for is a link to it. Where links are not to be had, nothing is known to compare with.
    """
    blob = path.resolve()
    if not SHA256.fullmatch(blob.name):
        return
    with blob.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != blob.name:
        blob.unlink()  # the cache would give it again; under this name it is of use to nobody
        path.unlink(missing_ok=True)
        raise RuntimeError(
            f"{blob} was damaged: its SHA-256 is {found}, and the hub announced {blob.name}. It is "
            "removed; start again to download it."
        )
