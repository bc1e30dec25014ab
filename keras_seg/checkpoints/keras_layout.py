"""Checkpoints that Keras wrote under its automatic names, in PyTorch's layout and our names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

LEAVES = {
    # what Keras calls a weight: (what PyTorch calls it, axes of its kernel by number of axes)
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
    """Renames the n-th layer of each kind: the only thing that automatic names tell.

    Numbers need not begin at zero, since Keras counts on when a process builds a second model.

    Args:
        tensors: weights named by Keras, each with its own leaf (`kernel`, `gamma`, ...) in Keras'
            layout, or with PyTorch's (`weight`, `running_mean`, ...) in PyTorch's.
        names: kind ("conv2d", "batch_normalization", "dense") → new layer names, in the order in
            which the layers were made. A layer too many keeps its name.
    """
    found = {name: NAME.search(name) for name in tensors}
    counts = {kind: set() for kind in names}
    for match in filter(None, found.values()):
        counts[match["kind"]].add(int(match["count"] or 0))
    new_names = {
        (kind, count): new
        for kind, numbers in counts.items()
        for count, new in zip(sorted(numbers), names[kind], strict=False)
    }
    renamed = {}
    for name, array in tensors.items():
        match = found[name]
        layer = match and new_names.get((match["kind"], int(match["count"] or 0)))
        if not layer:
            renamed[name] = array
            continue
        leaf, axes = LEAVES.get(match["leaf"], (match["leaf"], {}))
        renamed[f"{layer}.{leaf}"] = array.transpose(axes[array.ndim]) if axes else array
    return renamed
