"""The check of the first batches as a callback, and as a step of `train`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_seg.data.balance.histogram import class_histogram
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.first_batch import check_batches, doubtful, findings, refuse, take_batches
from keras_seg.data.first_batch.check import NUMBER_OF_BATCHES
from keras_seg.names import IGNORE_CLASS

BY_CHANCE = {"0 and 255", "all ignored", "mostly ignored", "one class"}
"""Findings that a few crops may show by chance, if the data have several classes."""


class FirstBatchCheck(keras.callbacks.Callback):
    """Runs `keras_seg.data.check_batches` when `fit` starts, before its first step.

    Pass it the data that `fit` gets, because Keras does not show batches to callbacks. The check is
    independent of the training, of `jit_compile`, `steps_per_execution` and strategies. Keras
    itself checks shapes before any callback. For a better message about wrong shapes call
    `check_batches(batches, model)` before `fit`.

    Args:
        batches: the data that `fit` gets, but not a generator.
        number_of_batches, batch_size, num_classes, ignore_class, multi_label, class_weights: as for
            `keras_seg.data.check_batches`.

    Raises: ValueError for a generator, whose first batches would be lost: write
        `model.fit(check_batches(generator, model))`. In `fit`, ValueError for what is wrong.

    Warns: in `fit`, UserWarning for what may be intended.

    Example:

        images = np.random.default_rng(0).uniform(0, 255, (8, 64, 64, 3))
        masks = (images[..., 0] > 128).astype("int32")
        check = keras_seg.training.FirstBatchCheck((images, masks), batch_size=4)
        model.fit(images, masks, batch_size=4, callbacks=[check])
    """

    def __init__(
        self,
        batches: Any,
        *,
        number_of_batches: int = NUMBER_OF_BATCHES,
        batch_size: int | None = None,
        num_classes: int | None = None,
        ignore_class: int | None = IGNORE_CLASS,
        multi_label: bool | None = None,
        class_weights: Sequence[float] | Mapping[int, float] | None = None,
    ):
        super().__init__()
        if isinstance(batches, Iterator):
            raise ValueError(
                "FirstBatchCheck cannot look at a generator, which gives each batch once: those "
                "that it takes would be missing in training. Write "
                "model.fit(keras_seg.data.check_batches(generator, model), ...)."
            )
        self.batches = batches
        self.options = {
            "number_of_batches": number_of_batches,
            "batch_size": batch_size,
            "num_classes": num_classes,
            "ignore_class": ignore_class,
            "multi_label": multi_label,
            "class_weights": class_weights,
        }

    def on_train_begin(self, logs: dict | None = None) -> None:
        check_batches(self.batches, self.model, **self.options)


def check_first_batches(
    batches: Iterable,
    model: keras.Model,
    dataset: SegmentationDataset,
    *,
    replicas: int,
    tells: bool,
) -> None:
    """Checks the first batches of `train`.

    Args:
        batches: batches from `dataset`, of all devices together.
        model: the compiled model.
        dataset: training data.
        replicas: number of parts of a batch that are computed separately.
        tells: whether to write warnings to stderr.

    Raises: ValueError for what is wrong.
    """

    def count_all() -> dict[int, int]:
        return dict(enumerate(class_histogram(dataset).sum(axis=0).tolist()))

    # every epoch has other crops, so these batches are only a part of the data
    first = replace(take_batches(batches, NUMBER_OF_BATCHES), whole=False)
    results = findings(first, model, replicas=replicas, count_all=count_all)
    by_chance = {each.kind for each in results} & BY_CHANCE
    if by_chance and np.count_nonzero([*count_all().values()]) > 1:
        results = [each for each in results if each.kind not in BY_CHANCE]
    if tells:
        for message in doubtful(results):
            sys.stderr.write(f"Look at the data: {message}\n")
    refuse(results)
