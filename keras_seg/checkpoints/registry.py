"""The table of sources: public repositories whose checkpoints can be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras

from keras_seg.names import unknown_name

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name (already in our words) → shape in PyTorch's layout."""


@dataclass(frozen=True)
class Source:
    """How the checkpoints of one public repository become a model.

    build: (shapes, input_shape, options) → the network that these tensors belong to, with the
        padding, epsilons, resize grid and concat order of the repository. It returns what the
        reference returns: raw scores, at the resolution where the reference stops. Options are
        keyword arguments of the network's builder that override what the shapes say.
    rename: (pattern, replacement) pairs that turn the repository's tensor names into ours.
    ignore: patterns of tensors (in the repository's names) that belong to no weight of ours.
    adjust: tensor by tensor, for values that are stored in another form; (name, array) → array.
    """

    build: Callable[[Shapes, tuple, dict], keras.Model]
    rename: Sequence[tuple[str, str]] = ()
    ignore: Sequence[str] = ()
    adjust: Callable | None = None

    def our_name(self, name: str) -> str:
        for pattern, replacement in self.rename:
            name = re.sub(pattern, replacement, name)
        return name

    def is_ignored(self, name: str) -> bool:
        # A counter of training steps, which no computation reads.
        patterns = (r"(^|\.)num_batches_tracked$", *self.ignore)
        return any(re.search(pattern, name) for pattern in patterns)


_SOURCES: dict[str, Source] = {}


def source(name: str, *, rename=(), ignore=(), adjust=None):
    """Decorator that enters the build function of a source under the repository's name."""

    def enter(build):
        if name in _SOURCES:
            raise ValueError(f"A source called {name!r} is registered already.")
        _SOURCES[name] = Source(build, tuple(rename), tuple(ignore), adjust)
        return build

    return enter


def list_sources() -> list[str]:
    """Names that `convert` takes, sorted."""
    return sorted(_SOURCES)


def find(name: str) -> Source:
    """The source, or a ValueError that names the nearest."""
    if name not in _SOURCES:
        raise ValueError(unknown_name("source", name, _SOURCES))
    return _SOURCES[name]
