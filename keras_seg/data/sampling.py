"""Which sample comes when: a function of the data set, the seed and the epoch, and of nothing else.

A training that goes on after an interruption therefore has the order that it would have had.
"""

from __future__ import annotations

import numpy as np

from keras_seg.data.balance.histogram import class_histogram
from keras_seg.data.dataset import SegmentationDataset


def epoch_order(
    dataset: SegmentationDataset, seed: int, epoch: int, *, length: int, balance: bool = False
) -> np.ndarray:
    """(length,) int64 indices into the data set, in the order of one epoch.

    Without `balance` every sample comes once before any comes again. With it, samples come as often
    as `balanced_probabilities` of their classes says, each at most one time more or less.

    Raises: ValueError for an empty data set, a negative length, seed or epoch.
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
    # Systematic: one random offset, then equal steps through the cumulated probabilities, so that
    # rare samples are not missed by chance as independent draws would.
    steps = (rng.random() + np.arange(length)) / max(length, 1)
    edges = np.cumsum(probabilities)
    drawn = np.searchsorted(edges / edges[-1], steps, side="right")
    return rng.permutation(drawn)


def balanced_probabilities(presence: np.ndarray) -> np.ndarray:
    """The chance of each sample if a class is drawn evenly, then a sample that shows it.

    Shapes: (samples, classes) bool → (samples,) float64 with sum 1. Samples that show no class at
    all (every pixel ignored) are never drawn, unless there are no others.
    """
    shown_in = presence.sum(axis=0)
    if not shown_in.any():
        return np.full(len(presence), 1 / len(presence))
    share = np.divide(1.0, shown_in, out=np.zeros(len(shown_in)), where=shown_in > 0)
    return presence @ share / (shown_in > 0).sum()
