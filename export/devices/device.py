"""The record of a device: the operators that it runs, and the rules for their tensors.

Every decision that depends on a device asks its record. No other code compares names of devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

NOTHING: Mapping[str, frozenset[str]] = MappingProxyType({})
GRIDS = {
    "half_pixel": "half-pixel",
    "align_corners": "aligned-corner",
    "top_left": "top-left",
}
"""Sampling grid of a resize → its name in a message."""


@dataclass(frozen=True)
class Resizes:
    """The factors by which a device resizes a map, for each sampling grid.

    Maps of one pixel, and maps that keep their size, are always taken.

    Attributes:
        half_pixel, align_corners, top_left: factors of a grid; None for any size, empty for none.
            With aligned corners a factor is (output - 1) / (input - 1).
        equal_axes: whether height and width must have the same factor.
    """

    half_pixel: frozenset[int] | None = None
    align_corners: frozenset[int] | None = None
    top_left: frozenset[int] | None = None
    equal_axes: bool = False

    def refusal(self, grid: str, before: tuple[int, int], after: tuple[int, int]) -> str | None:
        """Why a resize is not taken, in words; None if it is.

        Args:
            grid: "half_pixel", "align_corners" or "top_left".
            before, after: (height, width) of the map.
        """
        known: frozenset[int] | None = getattr(self, grid)
        if known is None or before == (1, 1) or before == after:
            return None
        factors = [_factor(grid, *sizes) for sizes in zip(before, after, strict=True)]
        taken = all(factor == 1 or factor in known for factor in factors)
        if taken and not (self.equal_axes and len(set(factors)) > 1):
            return None
        received = " x ".join(dict.fromkeys(f"{factor:.4g}" for factor in factors))
        return f"{GRIDS[grid]} resize by {received}; {_in_words(known)}"


def _factor(grid: str, before: int, after: int) -> float:
    if grid != "align_corners":
        return after / before
    return (after - 1) / (before - 1) if before > 1 else float(after == 1)


def _in_words(factors: frozenset[int]) -> str:
    if not factors:
        return "no factor of this grid is taken"
    small = sorted(factors - {1})
    names = ", ".join(map(str, small[:4]))
    return f"taken are {names}" if len(small) < 5 else f"taken are {names} ... {small[-1]}"


@dataclass(frozen=True, eq=False)
class Device:
    """A device, or a runtime, that an exported file is for.

    Attributes:
        name: value of the option `target`.
        title: the device and its compiler in words.
        source: the published table that the record was made from.
        date: day on which the table was read, as "2026-11-30".
        basis: how the record is known, in words: a compiler that was run, or a document.
        operators: the operators that it runs; None if it runs all, or if no table could be read.
        unread: operators that stand in a part of the table that could not be read.
        kinds: values of `quantize` of the files of which it runs a part at least; empty for all.
        dtypes: types of maps; None for any.
        types: operator → types of the maps that it reads and writes, where they differ from
            `dtypes`.
        scaled: operators that run only if all of their maps have a scale, or if they read truth
            values.
        vectors: operators that run only on a map of one pixel.
        bilinear, nearest: factors by which it resizes.
        rank: largest number of axes; None for any.
        per_channel: whether weights may have a scale per channel.
        dilations: dilations of convolutions; None for any.
        classes: largest number of channels of ARG_MAX; None for any.
        note: what else to know, in one sentence; empty for nothing.
        command: the line that compiles a file; empty if there is none.
    """

    name: str
    title: str
    source: str
    date: str
    basis: str
    kinds: tuple[str | None, ...] = ()
    operators: frozenset[str] | None = None
    unread: frozenset[str] = frozenset()
    dtypes: frozenset[str] | None = None
    types: Mapping[str, frozenset[str]] = field(default_factory=lambda: NOTHING)
    scaled: frozenset[str] = frozenset()
    vectors: frozenset[str] = frozenset()
    bilinear: Resizes = Resizes()
    nearest: Resizes = Resizes()
    rank: int | None = None
    per_channel: bool = True
    dilations: frozenset[int] | None = None
    classes: int | None = None
    note: str = ""
    command: str = ""

    def takes(self, *operators: str) -> bool:
        """Whether the device is known to run all of these operators."""
        return self.operators is None or self.operators >= set(operators)

    def types_of(self, operator: str) -> frozenset[str] | None:
        """Types of the maps of an operator; None for any."""
        return self.types.get(operator, self.dtypes)

    @property
    def compares_by_masks(self) -> bool:
        """Whether pooling indices are written as masks, which need no CAST, EQUAL or SELECT.

        The operators of the usual spelling count positions in int32, which have no scale.
        """
        if self.operators is None:
            return False
        usual = self.takes("CAST", "EQUAL", "SELECT", "SELECT_V2")
        types = self.types_of("SELECT_V2")
        counts = "CAST" not in self.scaled and (types is None or "INT32" in types)
        masks = self.takes("GREATER", "LOGICAL_AND", "LOGICAL_NOT", "SELECT_V2")
        return masks and not (usual and counts)

    @property
    def casts_classes(self) -> bool:
        """Whether a class map may be cast to one byte behind ARG_MAX."""
        return not self.takes("ARG_MAX") or (self.takes("CAST") and "CAST" not in self.scaled)

    def casts_to(self, dtype: str) -> bool:
        """Whether CAST may write maps of a type, such as "uint8"."""
        types = self.types_of("CAST")
        return types is None or dtype.upper() in types
