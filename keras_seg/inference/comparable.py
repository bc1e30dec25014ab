"""Checks of whether networks can be measured on a data set."""

from __future__ import annotations

from collections.abc import Mapping

from keras_seg.data.as_dataset import has_masks
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.inference.prediction import Runner


def check_has_objects(dataset: SegmentationDataset) -> None:
    """Raises ValueError for masks of several labels per pixel."""
    if dataset.multi_label:
        raise ValueError(
            f"Objects are measured in masks with one class per pixel. Received: {dataset.name!r}, "
            "whose pixels may have several labels. Leave instances out."
        )


def check_comparable(
    runners: Mapping[str, Runner], dataset: SegmentationDataset, limit: int | None = None
) -> None:
    """Raises ValueError if these networks cannot be measured on that data set."""
    if len(dataset) == 0:
        raise ValueError(
            f"Evaluation needs at least one image. Received: {dataset.name!r}, split "
            f"{dataset.split!r}, without images. Choose another split."
        )
    if not has_masks(dataset):
        raise ValueError(
            f"Evaluation needs masks. Received: the {len(dataset)} images of {dataset.name!r} "
            "without any. Pass images with masks; `keras-seg predict` makes masks of images."
        )
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be None or at least 1. Received: {limit}")
    for runner in runners.values():
        if runner.card.multi_label != dataset.multi_label:
            raise _label_mismatch(runner, dataset)
        if runner.num_classes != len(dataset.classes):
            raise ValueError(
                f"{runner.what} predicts {runner.num_classes} classes "
                f"({', '.join(runner.card.classes.names)}). Received: data set {dataset.name!r} "
                f"with {len(dataset.classes)} ({', '.join(dataset.classes.names)}). "
                "Evaluate on data with the classes that the network was trained for."
            )


def _label_mismatch(runner: Runner, dataset: SegmentationDataset) -> ValueError:
    """The error if one has labels and the other mutually exclusive classes."""
    labels = ", ".join(dataset.classes.names)
    if dataset.multi_label:
        return ValueError(
            f"{runner.what} predicts one class per pixel. Received: data set {dataset.name!r} with "
            f"labels of which a pixel may have several ({labels}). If each channel of the model "
            "has its own sigmoid, load it with multi_label=True (--multi_label true)."
        )
    return ValueError(
        f"{runner.what} predicts labels of which a pixel may have several. Received: data set "
        f"{dataset.name!r} with one class per pixel ({labels}). Evaluate on multi-label data, or "
        "load a foreign model with multi_label=False."
    )
