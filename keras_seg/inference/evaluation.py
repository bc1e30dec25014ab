"""Accuracy and speed of a network, measured the same way for every format of file."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import track

from keras_seg.data.as_dataset import Data, as_dataset, has_masks
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.inference.instance_map import InstanceOptions
from keras_seg.inference.loading import as_runner
from keras_seg.inference.measurement import ImageMeasurement, NetworkMeasurement
from keras_seg.inference.object_scores import ObjectScores
from keras_seg.inference.prediction import Runner
from keras_seg.inference.results import Comparison, Evaluation
from keras_seg.inference.runner_pool import RunnerPool
from keras_seg.inference.scores import Threshold, check_threshold
from keras_seg.inference.sizing import check_sizing
from keras_seg.parallel import checked_workers, in_order

if TYPE_CHECKING:
    import keras


TIMED_IMAGES = 20
"""Number of images whose runs are timed, one after the other on all threads."""


def evaluate(
    runner: Runner | keras.Model | str | Path,
    dataset: Data,
    *,
    sizing: str = "auto",
    limit: int | None = None,
    progress: bool | None = None,
    threshold: Threshold | None = None,
    instances: InstanceOptions | None = None,
    workers: int | None = None,
) -> Evaluation:
    """Measures a network on images with masks.

    Args:
        runner: what `load` returns, a Keras model, or the path of a model file.
        dataset: a data set, its name ("builtin:cells", a folder), (images, masks) as arrays, or a
            `tf.data.Dataset` or PyDataset of (images, masks).
        sizing, limit, progress, threshold, instances, workers: as for `compare`.

    Raises: ValueError as `compare`.

    Example:
        >>> model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        >>> images, masks = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), np.uint8)
        >>> keras_seg.inference.evaluate(model, (images, masks)).images
        2
    """
    runner = as_runner(runner)
    comparison = compare(
        {runner.format: runner},
        dataset,
        sizing=sizing,
        limit=limit,
        progress=progress,
        threshold=threshold,
        instances=instances,
        workers=workers,
    )
    return comparison.evaluations[runner.format]


def compare(
    runners: Mapping[str, Runner | keras.Model | str | Path],
    dataset: Data,
    *,
    sizing: str = "auto",
    limit: int | None = None,
    progress: bool | None = None,
    threshold: Threshold | None = None,
    instances: InstanceOptions | None = None,
    workers: int | None = None,
) -> Comparison:
    """Measures several networks on every image of a data set, in one pass.

    Args:
        runners: name → runner, model or file. The others are compared with the first.
        dataset: images with masks, see `evaluate`.
        sizing: how images are fitted to the network, see `Runner.predict`.
        limit: number of images to use, evenly spread over the data set; None for all.
        progress: show a progress bar; None shows one if the terminal can.
        threshold: for two classes or for labels, see `Runner.predict`.
        instances: how masks are divided into objects, whose average precision is then measured;
            None to measure pixels alone.
        workers: number of images that are measured at the same time. They share the CPU threads of
            the runner. None for one per thread, but at most 8. The scores do not depend on it. The
            latency is that of the first 20 images, which run one after the other.

    Raises: ValueError if a network and the data set differ in the number of classes, or in whether
        these are mutually exclusive; if there is no image; for an unknown sizing, limit or
        threshold.

    Example:
        >>> small, wide = (
        ...     keras_seg.models.unet((None, None, 3), 2, widths=(width, 8)) for width in (4, 6)
        ... )
        >>> images, masks = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), np.uint8)
        >>> result = keras_seg.inference.compare({"small": small, "wide": wide}, (images, masks))
        >>> sorted(result.evaluations), sorted(result.agreement)
        (['small', 'wide'], ['wide'])
    """
    check_sizing(sizing)
    checked_workers(workers)
    loaded = {name: as_runner(runner) for name, runner in runners.items()}
    first_runner = next(iter(loaded.values()))
    dataset = as_dataset(
        dataset,
        what="evaluation",
        channels=first_runner.input_shape[2],
        classes=first_runner.card.classes,
        split="val",
        value_range=first_runner.card.value_range,
        nodata=first_runner.card.nodata,
        multi_label=first_runner.card.multi_label,
    )
    check_comparable(loaded, dataset, limit)
    for runner in loaded.values():
        check_threshold(runner, threshold)
    measured = {
        name: NetworkMeasurement(runner, sizing, threshold) for name, runner in loaded.items()
    }
    if instances is not None:
        _check_has_objects(dataset)
        for each in measured.values():
            each.objects = ObjectScores(dataset.classes, instances)
    networks = list(measured.values())
    indices = evenly_spread(len(dataset), limit)
    console = Console(file=sys.stderr)
    hidden = not (console.is_terminal if progress is None else progress)
    images = _measured_images(dataset, indices, networks, workers)
    with closing(images):
        total = len(indices)
        for image in track(
            images, "Evaluating", total, console=console, disable=hidden, transient=True
        ):
            for network, measurement in zip(networks, image, strict=True):
                network.count(measurement)
    others = {name: each for name, each in measured.items() if each is not networks[0]}
    return Comparison(
        {name: each.evaluation(dataset.classes.names) for name, each in measured.items()},
        {name: each.equal / each.pixels for name, each in others.items()},
        {name: each.difference for name, each in others.items()},
    )


def _measured_images(
    dataset: SegmentationDataset,
    indices: Sequence[int],
    networks: Sequence[NetworkMeasurement],
    workers: int | None,
) -> Generator[list[ImageMeasurement]]:
    """The measurements of each image by all networks, in the order of the images.

    The first images run one after the other, because their runs are timed.
    """
    alone, shared = indices[:TIMED_IMAGES], indices[TIMED_IMAGES:]
    for index in alone:
        yield _by_all(dataset[index], networks)
    if not shared:
        return
    pools = [RunnerPool(each.runner, workers, len(shared)) for each in networks]
    random = any(each.runner.draws_random_numbers for each in networks)
    threads = 1 if random else 1 + max(pool.count for pool in pools)
    outcomes = in_order(lambda index: _by_all(dataset[index], networks, pools), shared, threads)
    with closing(outcomes):
        for outcome in outcomes:
            yield outcome.result()


def _by_all(
    sample: Sample, networks: Sequence[NetworkMeasurement], pools: Sequence[RunnerPool] = ()
) -> list[ImageMeasurement]:
    """The measurements of an image by all networks; timed if there are no pools."""
    images: list[ImageMeasurement] = []
    for i, network in enumerate(networks):
        first = images[0] if images else None
        if not pools:
            images.append(network.measured(sample, network.runner, first, timed=True))
            continue
        with pools[i].taken(alone=pools[i].needs_all(sample.mask.shape)) as runner:
            images.append(network.measured(sample, runner, first))
    return [image.without_pixels() for image in images]


def evenly_spread(length: int, limit: int | None) -> list[int]:
    """Indices of at most `limit` of `length` images; every measurement uses the same ones."""
    count = min(limit or length, length)
    return np.linspace(0, length - 1, count).round().astype(int).tolist()


def _check_has_objects(dataset: SegmentationDataset) -> None:
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
