"""Checks of arguments that several verbs have, before a model is loaded."""

from __future__ import annotations

from pathlib import Path

from keras_seg.model_paths import check_model_path


def check_apart(**paths: Path | None) -> None:
    """Raises ValueError if two arguments name the same file, which would be overwritten."""
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        other = seen.setdefault(Path(path).resolve(), name)
        if other != name:
            raise ValueError(
                f"{name} contradicts {other}: both are {path}, which would be overwritten. Give "
                f"{name} another name."
            )


def check_counts(**counts: int | None) -> None:
    """Raises ValueError for a count below 1."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1. Received: {count}. Leave it out for all.")


def check_data(source: str | None) -> None:
    """Raises FileNotFoundError if data is a folder that does not exist; None is passed over."""
    if source is not None:
        from keras_seg.data.open_by_name import check_source

        check_source(source)


def check_model(file: Path) -> None:
    """Checks the path of a model to predict with; a name of published weights is passed over.

    Raises: as `check_model_path`; ValueError for what is nearly such a name.
    """
    from keras_seg.published_weights import check_near_name, is_published

    if not is_published(file):
        check_near_name(file)
        check_model_path(file)
