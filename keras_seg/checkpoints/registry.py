"""The table of sources: public repositories whose checkpoints can be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import keras

from keras_seg.names import unknown_name

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name (already in our words) → shape in PyTorch's layout."""


@dataclass(frozen=True)
class Source:
    """How the checkpoints of one network of a public repository become a model.

    build: (shapes, input_shape, options) → the network that these tensors belong to, with the
        padding, epsilons, resize grid and concat order of the repository. It returns what the
        reference returns: raw scores, at the resolution where the reference stops. Options are
        keyword arguments of the network's builder that override what the shapes say.
    rename: (pattern, replacement) pairs that turn the repository's tensor names into ours.
    ignore: patterns of tensors (in the repository's names) that belong to no weight of ours.
    adjust: tensor by tensor, for values that are stored in another form; (name, array) → array.
    has: pattern of a tensor name (the repository's) that only checkpoints of this network have,
        where the repository published several.
    prepare: all tensors at once, before anything else, for a checkpoint that does not have
        PyTorch's layout or names of its own; {name: array} → {name: array}.
    translate: options in the repository's words and the settings of a config.json → options of
        `build`; (tensors as published, settings, options) → options.
    not_run: shapes → whether a tensor (in our words) is kept in the checkpoint, but read by no
        computation, as the end of an encoder that is cut off.
    """

    build: Callable[[Shapes, tuple, dict], keras.Model]
    rename: Sequence[tuple[str, str]] = ()
    ignore: Sequence[str] = ()
    adjust: Callable | None = None
    has: str | None = None
    prepare: Callable[[dict], dict] | None = None
    translate: Callable[[dict, dict, dict], dict] | None = None
    not_run: Callable[[Shapes], Callable[[str], bool]] | None = None

    def fits(self, names: Iterable[str]) -> bool:
        return self.has is None or any(re.search(self.has, name) for name in names)

    def our_name(self, name: str) -> str:
        for pattern, replacement in self.rename:
            name = re.sub(pattern, replacement, name)
        return name

    def is_ignored(self, name: str) -> bool:
        # A counter of training steps, which no computation reads.
        patterns = (r"(^|\.)num_batches_tracked$", *self.ignore)
        return any(re.search(pattern, name) for pattern in patterns)


_SOURCES: dict[str, list[Source]] = {}


def source(
    name: str,
    *,
    rename=(),
    ignore=(),
    adjust=None,
    has=None,
    prepare=None,
    translate=None,
    not_run=None,
):
    """Decorator that enters the build function of a source under the repository's name.

    A repository that published several networks has an entry for each, told apart by `has`.
    """

    def enter(build):
        entries = _SOURCES.setdefault(name, [])
        if any(entry.has is None or entry.has == has for entry in entries):
            raise ValueError(f"A source called {name!r} is registered already.")
        rest = {"prepare": prepare, "translate": translate, "not_run": not_run}
        entries.append(Source(build, tuple(rename), tuple(ignore), adjust, has, **rest))
        return build

    return enter


def list_sources() -> list[str]:
    """Names that `convert` takes, sorted."""
    return sorted(_SOURCES)


def find(name: str, tensor_names: Iterable[str]) -> Source:
    """The source that tensors of these names come from; ValueError for an unknown one."""
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
    """The beginning of a tensor's name that a pattern asks for: "layer1." of r"^(layer1\\.|x)"."""
    first = re.sub(r"\(([^|()]*)\|[^()]*\)", r"\1", pattern)
    return re.sub(r"[\^$\\]", "", first)
