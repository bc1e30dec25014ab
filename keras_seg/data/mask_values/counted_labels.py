"""The counted values of masks, and their descriptions in messages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from keras_seg.data.mask_values.remedies import Remedies

SHOWN = 8
"""Number of values that a message lists."""


class CountedLabels:
    """The values in masks, with their numbers of pixels.

    Args:
        counts: value → number of pixels.
        num_classes: number of classes; None if the masks decide.
        ignore_class: the value of unknown pixels; None for none.
        names: names of the classes.
        they_hold: how a sentence about the masks begins, such as "The masks hold".
        remedies: what messages tell the user to write.
        sampled: whether the masks are only a part of the data.

    Attributes:
        values: all finite values, in ascending order.
        known: `values` without `ignore_class`.
        total: number of all pixels.
    """

    def __init__(
        self,
        counts: Mapping[float, int],
        *,
        num_classes: int | None,
        ignore_class: int | None,
        names: tuple[str, ...],
        they_hold: str,
        remedies: Remedies,
        sampled: bool,
    ):
        self.counts, self.ignore_class, self.names = counts, ignore_class, names
        self.num_classes = None if num_classes is None else max(2, num_classes)
        self.they_hold, self.remedies, self.sampled = they_hold, remedies, sampled
        self.total = sum(counts.values())
        self.values = sorted(value for value in counts if math.isfinite(value))
        self.known = [value for value in self.values if value != ignore_class]

    def share(self, values: Iterable[float]) -> str:
        """Share of the pixels with these values, such as "12.5%"."""
        share = sum(self.counts[value] for value in values) / self.total
        return f"{share:.1%}" if share >= 0.001 else "under 0.1%"

    def besides(self) -> str:
        """Mentions unknown pixels, if there are any."""
        return (
            f" besides {self.ignore_class} for unknown" if self.ignore_class in self.counts else ""
        )

    def or_unknown(self) -> str:
        """The value of unknown pixels as an alternative."""
        return "" if self.ignore_class is None else f", or {self.ignore_class} for unknown"

    def ignored_line(self, values: list[float]) -> str:
        """The line to write if these values mean unknown; empty if there is none."""
        line = self.remedies.ignore_several
        if not line or len(values) > SHOWN:
            return ""
        return (
            f", or {line.format(values=short_list(map(plain_number, values)))} if they mean unknown"
        )

    def class_names(self) -> str:
        """The class names in brackets; empty if there are none."""
        if not self.names:
            return ""
        return f" ({', '.join(self.names[:12])}{', ...' if len(self.names) > 12 else ''})"

    def values_line(self, values: Sequence[float], unknown: int | None = None) -> str:
        """The line to write if these are the values of the classes; `unknown` is one of them."""
        values = [plain_number(value) for value in values]
        names = list(self.names) if len(self.names) == len(values) else []
        if not names:
            names = (
                ["background", "object"]
                if len(values) == 2
                else [f"class {number}" for number in range(len(values))]
            )
        line = self.remedies.values if unknown is None else self.remedies.values_ignoring
        names = short_list([f'"{name}"' for name in names])
        return line.format(values=short_list(values), names=names, value=unknown)

    def two_values_line(self) -> str:
        """The line to write for masks of 0 and one other value; empty for other masks."""
        two_classes = self.num_classes in (None, 2)
        if two_classes and len(self.known) == 2 and self.known[0] == 0 and self.known[1] > 1:
            return self.values_line(self.known)
        return ""


def plain_number(value: float | None) -> float | int | None:
    """A whole number as int, so that it is printed without a point."""
    return int(value) if value is not None and value == int(value) else value


def short_list(entries: Sequence) -> str:
    """ "[1, 2, 3]", without the middle of a long list."""
    texts = [str(entry) for entry in entries]
    shown = texts if len(texts) <= 2 * SHOWN else [*texts[:3], "...", texts[-1]]
    return f"[{', '.join(shown)}]"


def listed(values: Sequence[float]) -> str:
    """ "0, 24, 26", at most `SHOWN` values."""
    shown = ", ".join(f"{plain_number(value):.6g}" for value in values[:SHOWN])
    return f"{shown}, ..." if len(values) > SHOWN else shown
