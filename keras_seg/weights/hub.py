"""Weights from the Hugging Face hub, kept in the hub's own cache."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

SHA256 = re.compile(r"[0-9a-f]{64}")
"""File names of large files in the hub's cache."""


@dataclass(frozen=True)
class HubFile:
    """A file of published weights on the Hugging Face hub.

    Attributes:
        repo: repository on the hub, "owner/name".
        licence: licence of the weights, as its authors state it (an SPDX identifier).
        file: name of the file in the repository.

    Example:
        hub_file = keras_seg.weights.HubFile("timm/resnet18.a1_in1k", "Apache-2.0")
    """

    repo: str
    licence: str
    file: str = "model.safetensors"

    def __str__(self) -> str:
        return f"https://huggingface.co/{self.repo}/{self.file}"


def download(hub_file: HubFile, *, remedy: str) -> Path:
    """Downloads a file, or takes it from the cache.

    Args:
        hub_file: the file.
        remedy: what the user can do without this file; the last sentence of an error.

    Returns:
        The path of the file on this machine.

    Raises:
        ImportError: huggingface_hub is not installed.
        RuntimeError: the file is neither in the cache nor available, or it is damaged.
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
    except Exception as error:  # the library raises many kinds of errors
        raise RuntimeError(
            f"The weights {hub_file} are not in the local cache and could not be downloaded "
            f"({type(error).__name__}: {error}). {remedy}"
        ) from error
    _check_digest(path)
    return path


def list_repository(repo: str, revision: str | None = None) -> list[str]:
    """Names of the files in a repository of the hub.

    Args:
        repo: "owner/name".
        revision: branch, tag or commit; None for the main branch.

    Raises:
        ImportError: huggingface_hub is not installed.
        RuntimeError: the hub does not answer, or has no such repository.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ImportError(
            f"Repositories of the hub, such as {repo}, are read with huggingface_hub: "
            "pip install huggingface_hub."
        ) from error
    try:
        return list(HfApi().list_repo_files(repo, revision=revision))
    except Exception as error:  # the library raises many kinds of errors
        raise RuntimeError(
            f"https://huggingface.co/{repo} could not be read ({type(error).__name__}: {error}). "
            "Check the name and the connection. Or download its files by hand, and load the .keras "
            "file, or convert the folder: keras-seg convert FOLDER --source smp --output m.keras"
        ) from error


def fetch(repo: str, file: str, revision: str | None = None) -> Path:
    """Downloads a file of a repository of the hub, or takes it from the cache of the hub.

    Raises:
        RuntimeError: the file is neither in the cache nor available, or it is damaged.
    """
    from huggingface_hub import hf_hub_download

    try:
        path = Path(hf_hub_download(repo, file, revision=revision))
    except Exception as error:  # the library raises many kinds of errors
        raise RuntimeError(
            f"https://huggingface.co/{repo}/{file} could not be downloaded "
            f"({type(error).__name__}: {error}). Check the connection, and start again."
        ) from error
    _check_digest(path)
    return path


def _check_digest(path: Path) -> None:
    """Raises RuntimeError if the SHA-256 of a cached file is not the announced one.

    The hub announces the SHA-256 of large files, and its cache stores a file under that name, with
    a link to it. On systems without links there is no such name, and nothing is checked.
    """
    blob = path.resolve()
    if not SHA256.fullmatch(blob.name):
        return
    with blob.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != blob.name:
        blob.unlink()  # the cache would return it again
        path.unlink(missing_ok=True)
        raise RuntimeError(
            f"{blob} was damaged: its SHA-256 is {digest}, and the hub announced {blob.name}. "
            "It is removed; start again to download it."
        )
