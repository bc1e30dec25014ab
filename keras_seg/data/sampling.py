"""The order of the samples in an epoch. It depends only on the data set, the seed and the epoch.

A resumed training therefore has the same order as an uninterrupted one.
"""

from __future__ import annotations

import numpy as np

from keras_seg.data.balance.histogram import class_histogram
from keras_seg.data.dataset import SegmentationDataset


def epoch_order(
    dataset: SegmentationDataset, seed: int, epoch: int, *, length: int, balance: bool = False
) -> np.ndarray:
    """The indices of the samples in the order of one epoch.

    Without `balance` every sample occurs once before any occurs again. With `balance` samples occur
    in proportion to `balanced_probabilities`, each at most one time more or less.

    Args:
        dataset: the data set.
        seed: seed of the training.
        epoch: number of the epoch, from 0.
        length: number of samples in the epoch.
        balance: whether samples with rare classes occur more often.

    Returns: (length,) int64.

    Raises: ValueError for an empty data set, and for a negative length, seed or epoch.
    """
    if not len(dataset) or length < 0 or seed < 0 or epoch < 0:
        raise ValueError(
            "An order needs samples, and a length, seed and epoch of at least 0. Received: "
            f"{len(dataset)} samples, length={length}, seed={seed}, epoch={epoch}"
        )
    rng = np.random.default_rng([seed, epoch])
    if not balance:
        permutation = rng.permutation(len(dataset))
        return permutation[np.arange(length) % len(dataset)]
    probabilities = balanced_probabilities(class_histogram(dataset) > 0)
    # Systematic sampling: equal steps through the cumulated probabilities, from a random offset.
    # Unlike independent draws it never misses rare samples by chance.
    steps = (rng.random() + np.arange(length)) / max(length, 1)
    edges = np.cumsum(probabilities)
    drawn = np.searchsorted(edges / edges[-1], steps, side="right")
    return rng.permutation(drawn)


def balanced_probabilities(presence: np.ndarray) -> np.ndarray:
    """The probability of each sample, if first a class is drawn and then a sample that shows it.

    Samples without any class (all pixels ignored) get 0, unless there are no others.

    Shapes: (samples, classes) bool → (samples,) float64 with sum 1.
    """
    shown_in = presence.sum(axis=0)
    if not shown_in.any():
        return np.full(len(presence), 1 / len(presence))
    share = np.divide(1.0, shown_in, out=np.zeros(len(shown_in)), where=shown_in > 0)
    return presence @ share / (shown_in > 0).sum()
