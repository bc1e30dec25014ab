"""Published checkpoints as models: downloaded once, converted once, and kept as .keras files."""

from __future__ import annotations

import importlib
from pathlib import Path

from keras_seg.published_weights import (
    HUB,
    PublishedWeights,
    check_near_name,
    find_weights,
    is_published,
)
from keras_seg.shipped_models import shipped_file
from keras_seg.version import __version__
from keras_seg.weights.cache import cache_folder
from keras_seg.weights.downloads import download_file

CONVERTER = "keras_seg.checkpoints.command"
"""The module that converts. It stands above this one, so it is imported when it is needed."""


def local_file(path: str | Path) -> str | Path:
    """The file on this machine for a path or a name of published weights. A path stays as it is.

    Raises: as `published_file`; ValueError for a name that is nearly one of published weights.
    """
    if is_published(path):
        return published_file(str(path))
    check_near_name(path)
    return path


def published_file(name: str) -> Path:
    """The .keras file of a published checkpoint or of a repository of the hub ("hf:user/repo").

    A model that the package holds is read where it is. Any other is downloaded and converted the
    first time, and taken from the cache afterwards, see `keras_seg.weights.cache.cache_folder`.

    Raises: ValueError for an unknown name; RuntimeError that says what to do by hand, if the file
        cannot be downloaded; ImportError without huggingface_hub.
    """
    if name.startswith(HUB):
        module = importlib.import_module("keras_seg.checkpoints.hub_models")
        return module.hub_file(name.removeprefix(HUB))
    if (shipped := shipped_file(name)) is not None:
        return shipped
    row = find_weights(name)
    model = cache_folder() / "models" / f"{row.name}-{__version__}.keras"
    if not model.exists():
        _convert(row, _checkpoint(row), model)
    return model


def _checkpoint(row: PublishedWeights) -> Path:
    """The file of the authors, from the cache or downloaded."""
    path = cache_folder() / "checkpoints" / row.file
    by_hand = (
        f"Download it by hand from {row.url} (described on {row.page}), and save it as {path}. "
        f"Then load {row.name!r} again."
    )
    if path.exists():
        return path
    if not row.direct:
        raise RuntimeError(f"The file of {row.name!r} is behind a web page. {by_hand}")
    download_file(row.url, path, sha256=row.sha256, remedy=by_hand)
    return path


def _convert(row: PublishedWeights, checkpoint: Path, output: Path) -> None:
    command = importlib.import_module(CONVERTER)
    try:
        command.convert_file(
            checkpoint,
            row.source,
            output,
            options=row.options,
            classes=row.classes,
        )
    except ValueError as error:
        raise ValueError(
            f"{checkpoint}, the file of {row.name!r}, is not converted: {error} If it is damaged, "
            "remove it and load the name again."
        ) from error
