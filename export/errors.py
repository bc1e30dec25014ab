"""Errors that an export raises after it has started."""

from __future__ import annotations


class ExportError(ValueError):
    """The network cannot be exported as requested; the message says why and what to do."""


def without_labels(dataset_name: str) -> ExportError:
    """The error for evaluation data in which every pixel is ignored."""
    return ExportError(
        f"The evaluation data {dataset_name!r} has no labelled pixel, so nothing can be measured "
        "on it. Pass images with masks, or leave evaluation out."
    )
