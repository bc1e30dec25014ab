"""The table of sources: public repositories whose checkpoints can be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_seg.names import unknown_name

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name (already renamed to ours) → shape in PyTorch's layout."""


@dataclass(frozen=True)
class CheckpointSource:
    """How the checkpoints of one network of a public repository become a model.

    Attributes:
        build: (shapes, input_shape, options) → the network of these tensors, with the padding,
            epsilons, resize grid and order of concatenation of the repository. It returns what the
            reference returns: logits, at the resolution where the reference stops. Options are
            keyword arguments of the network's builder; they override what the shapes say.
        rename: (pattern, replacement) pairs that turn the repository's tensor names into ours.
        ignore: patterns of tensors (by the repository's names) that belong to no weight of ours.
        adjust: (name, array) → array, for values that are stored in another form.
        has: pattern of a tensor name (the repository's) that only checkpoints of this network
            have, where the repository published several.
        prepare: {name: array} → {name: array}, applied to all tensors before anything else, for a
            checkpoint without PyTorch's layout or without names of its own.
        translate: (published tensors, settings of a config.json, options under the
            repository's names) → options of `build`.
        not_run: shapes → whether a tensor (by our name) is in the checkpoint, but read by no
            computation, such as the end of an encoder that is cut off.
    """

    build: Callable[[Shapes, tuple, dict], keras.Model]
    rename: Sequence[tuple[str | re.Pattern, str | Callable]] = ()
    ignore: Sequence[str] = ()
    adjust: Callable[[str, np.ndarray], np.ndarray] | None = None
    has: str | None = None
    prepare: Callable[[dict], dict] | None = None
    translate: Callable[[dict, dict, dict], dict] | None = None
    not_run: Callable[[Shapes], Callable[[str], bool]] | None = None

    def fits(self, names: Iterable[str]) -> bool:
        """Whether tensors with these names (the repository's) belong to this network."""
        return self.has is None or any(re.search(self.has, name) for name in names)

    def our_name(self, name: str) -> str:
        """The tensor's name in our model."""
        for pattern, replacement in self.rename:
            name = re.sub(pattern, replacement, name)
        return name

    def is_ignored(self, name: str) -> bool:
        """Whether a tensor (by the repository's name) belongs to no weight of ours."""
        # the counter of training steps is read by no computation
        patterns = (r"(^|\.)num_batches_tracked$", *self.ignore)
        return any(re.search(pattern, name) for pattern in patterns)


_SOURCES: dict[str, list[CheckpointSource]] = {}


def source(
    name: str,
    *,
    rename: Sequence[tuple] = (),
    ignore: Sequence[str] = (),
    adjust: Callable[[str, np.ndarray], np.ndarray] | None = None,
    has: str | None = None,
    prepare: Callable[[dict], dict] | None = None,
    translate: Callable[[dict, dict, dict], dict] | None = None,
    not_run: Callable[[Shapes], Callable[[str], bool]] | None = None,
) -> Callable[[Callable], Callable]:
    """Decorator that enters the build function of a source under the repository's name.

    A repository that published several networks has an entry for each, distinguished by `has`.
    The arguments are those of `CheckpointSource`.
    """

    def enter(build: Callable) -> Callable:
        entries = _SOURCES.setdefault(name, [])
        if any(entry.has is None or entry.has == has for entry in entries):
            raise ValueError(f"A source called {name!r} is registered already.")
        entries.append(
            CheckpointSource(
                build,
                tuple(rename),
                tuple(ignore),
                adjust,
                has,
                prepare=prepare,
                translate=translate,
                not_run=not_run,
            )
        )
        return build

    return enter


def list_sources() -> list[str]:
    """Names that `convert` takes, sorted."""
    return sorted(_SOURCES)


def find(name: str, tensor_names: Iterable[str]) -> CheckpointSource:
    """The entry of a source that tensors with these names belong to.

    Raises: ValueError for an unknown source, and for tensors of none of its networks.
    """
    if name not in _SOURCES:
        raise ValueError(unknown_name("source", name, _SOURCES))
    for entry in _SOURCES[name]:
        if entry.fits(tensor_names):
            return entry
    marks = " or ".join(repr(_readable(entry.has)) for entry in _SOURCES[name])
    raise ValueError(
        f"The checkpoint has no tensor like {marks}, which every one of source {name!r} has. "
        f"It begins with: {[*tensor_names][:6]}."
    )


def _readable(pattern: str) -> str:
    """The beginning of the tensor names that a pattern matches: "layer1." of r"^(layer1\\.|x)"."""
    first = re.sub(r"\(([^|()]*)\|[^()]*\)", r"\1", pattern)
    return re.sub(r"[\^$\\]", "", first)
