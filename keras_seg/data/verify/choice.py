"""Chooses samples that show what a data set holds: all classes, the rare ones, too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_seg.data.verify.suggestion import SampleFacts

PER_CLASS = 2
"""Samples that are chosen for each class, if as many show it."""
FEWEST, MOST = 6, 24
"""Samples of a split, if it has as many."""


def chosen_samples(facts: Sequence[SampleFacts]) -> list[SampleFacts]:
    """A few samples of a split, in its order.

    The rarest class chooses first, and takes the samples with the most pixels of it. Others are
    spread evenly over the split until there are a few.
    """
    pixels = np.array([fact.pixels for fact in facts])
    chosen: list[int] = []
    if len(facts):
        totals = pixels.sum(axis=0)
        for number in np.argsort(totals, kind="stable"):
            shown = int((pixels[chosen, number] > 0).sum())
            showing = [i for i in np.argsort(-pixels[:, number], kind="stable") if i not in chosen]
            wanted = max(0, min(PER_CLASS - shown, MOST - len(chosen)))
            chosen += [int(i) for i in showing[:wanted] if pixels[i, number] > 0]
    spread = np.linspace(0, len(facts) - 1, min(FEWEST, len(facts))).round().astype(int)
    for index in map(int, spread):
        if len(chosen) < min(FEWEST, len(facts)) and index not in chosen:
            chosen.append(index)
    return [facts[index] for index in sorted(chosen)]
