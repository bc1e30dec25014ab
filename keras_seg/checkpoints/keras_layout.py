"""Renames checkpoints with the automatic names of Keras, and gives them PyTorch's layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

LEAVES = {
    # name in Keras: (name in PyTorch, axes of the kernel by number of axes)
    "kernel": ("weight", {4: (3, 2, 0, 1), 2: (1, 0)}),
    "gamma": ("weight", {}),
    "beta": ("bias", {}),
    "moving_mean": ("running_mean", {}),
    "moving_variance": ("running_var", {}),
}
NAME = re.compile(
    r"(?:^|/)(?P<kind>conv2d|batch_normalization|dense)(?:_(?P<count>\d+))?"
    r"[./](?P<leaf>kernel|gamma|beta|moving_mean|moving_variance|weight|bias|running_mean"
    r"|running_var)(?::0)?$"
)
"""`conv2d_3/conv2d_3/kernel:0`, `conv2d_3.kernel`, ... ; the first of a kind has no number."""


def by_order_of_creation(
    tensors: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """Renames the n-th layer of each kind. Automatic names contain nothing else.

    Numbers need not begin at zero: Keras continues to count when a process builds a second model.

    Args:
        tensors: weights named by Keras, each either with Keras' leaf (`kernel`, `gamma`, ...) and
            layout, or with PyTorch's leaf (`weight`, `running_mean`, ...) and layout.
        names: kind ("conv2d", "batch_normalization", "dense") → new layer names, in the order in
            which the layers were created. Surplus layers keep their names.

    Returns: new name → array in PyTorch's layout.
    """
    matches = {name: NAME.search(name) for name in tensors}
    counts = {kind: set() for kind in names}
    for match in filter(None, matches.values()):
        counts[match["kind"]].add(int(match["count"] or 0))
    new_names = {
        (kind, count): new
        for kind, numbers in counts.items()
        for count, new in zip(sorted(numbers), names[kind], strict=False)
    }
    renamed = {}
    for name, array in tensors.items():
        match = matches[name]
        layer = match and new_names.get((match["kind"], int(match["count"] or 0)))
        if not layer:
            renamed[name] = array
            continue
        leaf, axes = LEAVES.get(match["leaf"], (match["leaf"], {}))
        renamed[f"{layer}.{leaf}"] = array.transpose(axes[array.ndim]) if axes else array
    return renamed
