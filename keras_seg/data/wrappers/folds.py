"""The images of two splits, divided anew into folds for cross-validation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from keras_seg.data.dataset import Sample, SegmentationDataset


class FoldDataset(SegmentationDataset):
    """Some samples of several data sets, one after the other.

    Args:
        datasets: data sets with equal classes and channels.
        places: (data set, index in it) of each sample.
        split: "train" or "val".
    """

    def __init__(
        self,
        datasets: Sequence[SegmentationDataset],
        places: Sequence[tuple[int, int]],
        split: str,
    ):
        self._datasets, self._places, first = list(datasets), list(places), datasets[0]
        self.name, self.split = first.name, split
        self.classes, self.channels = first.classes, first.channels
        self.multi_label = first.multi_label
        self.value_range, self.nodata = first.value_range, first.nodata

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:
        dataset, place = self._places[index]
        return self._datasets[dataset][place]

    def sample_name(self, index: int) -> str:
        dataset, place = self._places[index]
        return self._datasets[dataset].sample_name(place)


def folds_of(
    datasets: Sequence[SegmentationDataset], number: int, count: int, *, group: str | None = None
) -> tuple[FoldDataset, FoldDataset]:
    """Divides the samples of all data sets into folds of nearly equal size.

    The fold of a sample depends on the names of all samples alone. Names are ordered by a checksum,
    so that neighbours of a recording come into different folds unless `group` keeps them together.

    Args:
        datasets: training and validation data.
        number: the fold to validate on, from 1.
        count: number of folds.
        group: regular expression; samples in whose names it matches the same text stay together.
            Only its first group counts, if it has one.

    Returns: (training data, validation data).

    Raises: ValueError for fewer samples or groups than folds, and for a name that `group` does not
        match.

    Example:
        >>> cells = [keras_seg.data.BuiltinDataset("cells", s, length=5) for s in ("train", "val")]
        >>> [len(each) for each in folds_of(cells, 2, 5)]
        [8, 2]
    """
    members: dict[str, list[tuple[int, int]]] = {}
    for dataset, samples in enumerate(datasets):
        for index in range(len(samples)):
            name = samples.sample_name(index)
            key = name if group is None else _group_of(name, group)
            if group is None and key in members:  # both splits have an image of this name
                key = f"{samples.split}/{name}"
            members.setdefault(key, []).append((dataset, index))
    if len(members) < count:
        what = "images" if group is None else f"groups by {group!r}"
        raise ValueError(
            f"{count} folds need at least {count} {what}. Received: {len(members)}. Take fewer "
            "folds."
        )
    folds: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for key in sorted(members, key=lambda key: hashlib.sha256(key.encode()).digest()):
        min(folds, key=len).extend(members[key])
    val = sorted(folds[number - 1])
    train = sorted(place for fold in folds if fold is not folds[number - 1] for place in fold)
    return FoldDataset(datasets, train, "train"), FoldDataset(datasets, val, "val")


def _group_of(name: str, pattern: str) -> str:
    match = re.search(pattern, name)
    if match is None:
        raise ValueError(
            f"fold_group {pattern!r} matches nothing in the name {name!r}. Every image needs a "
            "group."
        )
    return match[1] if match.re.groups and match[1] is not None else match[0]
