"""What the values of masks give away: the one place that says what is wrong with labels.

Readers of folders, `verify-dataset` and `check_batches` count the values of masks and ask here.
They differ in the line that their user has to write, which `Remedies` holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_seg.names import IGNORE_CLASS

SHOWN = 8
"""Values that a message lists."""
LARGEST_LEVEL = 255
NEARLY_WHITE = 200
WIDE = 2**16
"""Values that are no further apart are counted without sorting them."""
EVEN_LEVELS = 16
"""Grey levels of more classes than this lie too close to be told from other values."""
MANY = 32
"""Gaps in more values than this belong to instances, colours or pictures, not to class ids."""
RINGING = 16
"""So far from the values of a mask JPEG strays."""
DOMINANT = 0.3
"""Share of a value of a mask among what strayed from it."""
NEAR_ALL = 0.95
"""Share of ignored pixels from which on it is worth a word."""

SEEN_IN_A_FILE = ("outside", "negative", "off by one", "grey levels", "smooth", "picture")
"""Findings on values outside the class table, which the reading of a mask refuses."""


@dataclass(frozen=True)
class Finding:
    """One thing that the values of masks show.

    kind: "not finite", "fractional", "negative", "0 and 255", "grey levels", "smooth", "picture",
        "off by one", "outside", "gaps", "all ignored", "mostly ignored" or "one class".
    message: what was found with its share of the pixels, why it is wrong, and what to write.
    error: whether a training on such labels is wrong; otherwise it is worth a look.
    """

    kind: str
    message: str
    error: bool = True


@dataclass(frozen=True)
class Remedies:
    """The lines that a caller's user writes; the words in braces are filled in.

    values: for masks whose values are no class indices. {values} are those of the classes in
        order, {names} as many names.
    values_ignoring: the same where {value} lies among them and means unknown.
    ignore: for a value that means unknown, {value}; `ignore_several` for {values}, empty where
        only one can.
    classes: for more classes; {count} of them.
    table: what numbers the classes.
    whole: for values that are no whole numbers.
    """

    values: str
    ignore: str
    classes: str
    values_ignoring: str = ""
    ignore_several: str = ""
    table: str = "the classes"
    whole: str = "Resize masks with the nearest neighbour, and do not divide them."


CLASS_FILE = Remedies(
    values='write "values": {values} to classes.json',
    values_ignoring='write "values": {values}, "ignore": {value} to classes.json',
    ignore='write "ignore": {value} to classes.json',
    ignore_several='write "ignore": {values} to classes.json',
    classes="name {count} classes in classes.json",
    table="the class table",
)
"""For a folder with `classes.json`."""
NO_CLASS_FILE = Remedies(
    values='write {{"names": {names}, "values": {values}}} to classes.json',
    values_ignoring=(
        'write {{"names": {names}, "values": {values}, "ignore": {value}}} to classes.json'
    ),
    ignore='write {{"names": [...], "ignore": {value}}} to classes.json',
    classes="name {count} classes in classes.json",
)
"""For a folder without `classes.json`."""
ARRAYS = Remedies(
    values="renumber them: np.searchsorted({values}, masks)",
    values_ignoring=(
        "renumber them: np.where(masks == {value}, 255, np.searchsorted({values}, masks))"
    ),
    ignore="pass ignore_class={value} to the losses and metrics",
    classes="build the model with num_classes={count}",
)
"""For masks of the user's own in `fit`, as NumPy arrays or in tf.data."""
ARRAY_DATASET = replace(
    ARRAYS, ignore="pass np.where(masks == {value}, 255, masks)", table="the class table"
)
"""For masks of the user's own in a data set of this package, where 255 alone means unknown."""


def count_labels(masks: np.ndarray | Iterable[np.ndarray]) -> dict[float, int]:
    """Masks of any shape → pixels of each value; the NaNs of an array share one entry.

    Example:
        >>> count_labels(np.uint8([[0, 0], [255, 1]]))
        {0: 2, 1: 1, 255: 1}
    """
    total: dict[float, int] = {}
    for mask in [masks] if isinstance(masks, np.ndarray) else masks:
        for value, count in _counted(np.asarray(mask)):
            total[value] = total.get(value, 0) + count
    return dict(sorted(total.items()))


def _counted(mask: np.ndarray):
    whole = mask.dtype.kind in "bui" and mask.dtype != np.uint64 and mask.size
    if whole and int(mask.max()) - (low := int(mask.min())) < WIDE:
        counts = np.bincount(mask.reshape(-1).astype(np.intp) - low)
        values = np.flatnonzero(counts)
        counts, values = counts[values], values + low
    else:
        values, counts = np.unique(mask, return_counts=True)
    values = values.tolist()
    # one NaN object, so that the masks' NaNs meet in one entry of a dict
    return zip((math.nan if v != v else v for v in values), counts.tolist(), strict=True)


def label_findings(
    counts: Mapping[float, int],
    *,
    num_classes: int | None = None,
    ignore_class: int | None = IGNORE_CLASS,
    names: Sequence[str] = (),
    subject: str = "The masks",
    plural: bool = True,
    remedies: Remedies = ARRAYS,
    sampled: bool = False,
) -> list[Finding]:
    """Says what is wrong with the values of masks; an empty list where nothing is.

    Args:
        counts: value → number of pixels, as `count_labels` gives it. Values may be floats.
        num_classes: labels are 0 .. num_classes - 1; None where the masks themselves say how many
            classes there are. One class (of a single sigmoid channel) has labels 0 and 1.
        ignore_class: the value of unknown pixels; None where no value means that.
        names: of the classes, for messages.
        subject: what the messages speak of: "The masks of cells".
        plural: whether it is several masks; False for one: "masks/a.png".
        remedies: the lines that the user of the caller writes.
        sampled: whether the masks are a part of the data only, such as one batch. What a part may
            well show by chance is then no error.

    Example:
        >>> label_findings({0: 900, 255: 100}, num_classes=2)[0].kind
        '0 and 255'
    """
    counts = {value: number for value, number in counts.items() if number}
    if not counts:
        return []
    found = _Found(counts, num_classes, ignore_class, tuple(names), remedies, sampled)
    found.they_hold = f"{subject} {'hold' if plural else 'holds'}"
    wrong = found.not_finite() + found.fractional() + found.negative()
    if wrong:
        return wrong
    return found.whole_numbers() or found.doubtful()


class _Found:
    """The counted values with what the messages need of them."""

    def __init__(self, counts, num_classes, ignore_class, names, remedies, sampled):
        self.counts, self.ignore_class, self.names = counts, ignore_class, names
        self.num_classes = None if num_classes is None else max(2, num_classes)
        self.remedies, self.sampled = remedies, sampled
        self.total = sum(counts.values())
        self.values = sorted(value for value in counts if math.isfinite(value))
        self.known = [value for value in self.values if value != ignore_class]

    def share(self, values: Iterable[float]) -> str:
        share = sum(self.counts[value] for value in values) / self.total
        return f"{share:.1%}" if share >= 0.001 else "under 0.1%"

    def not_finite(self) -> list[Finding]:
        values = [value for value in self.counts if not math.isfinite(value)]
        if not values:
            return []
        word = "NaN" if all(map(math.isnan, values)) else "values that are not finite"
        return [
            Finding(
                "not finite",
                f"{self.they_hold} {word} in {self.share(values)} of the pixels, and labels are "
                f"whole numbers. Give these pixels a class{self._or_unknown()}.",
            )
        ]

    def fractional(self) -> list[Finding]:
        values = [value for value in self.known if value != round(value)]
        if not values:
            return []
        reason = "Labels are whole numbers, one for each class."
        advice = self.remedies.whole
        scaled = [value * LARGEST_LEVEL for value in self.known]
        if self.known[0] >= 0 and self.known[-1] <= 1:
            if max(abs(value - round(value)) for value in scaled) < 0.02:
                reason += " These are whole numbers that were divided by 255, as images are."
                advice = "Leave masks out of the rescaling."
            else:
                reason += " These look like probabilities, or like masks of 0 and 1 that were "
                reason += "resized smoothly."
        return [
            Finding(
                "fractional",
                f"{self.they_hold} fractions in {self.share(values)} of the pixels: "
                f"{_listed(values)}. {reason} {advice}",
            )
        ]

    def negative(self) -> list[Finding]:
        values = [value for value in self.known if value < 0]
        if not values:
            return []
        meant = (
            f" If {_number(values[0])} means unknown, "
            f"{self.remedies.ignore.format(value=_number(values[0]))}."
            if len(values) == 1
            else ""
        )
        return [
            Finding(
                "negative",
                f"{self.they_hold} negative values in {self.share(values)} of the pixels: "
                f"{_listed(values)}. Classes are numbered from 0.{meant}",
            )
        ]

    def whole_numbers(self) -> list[Finding]:
        if self.values == [0, LARGEST_LEVEL] and (self.num_classes or 2) <= LARGEST_LEVEL:
            return self._zero_and_255()
        if self.num_classes is None:
            return self._without_table()
        outside = [value for value in self.known if value >= self.num_classes]
        return [self._outside(outside)] if outside else []

    def _zero_and_255(self) -> list[Finding]:
        share = self.share([LARGEST_LEVEL])
        remedy = self._write_values([0, LARGEST_LEVEL])
        many = (self.num_classes or 2) > 2
        if self.ignore_class != LARGEST_LEVEL:
            what = f"{self.they_hold} 0 and 255 alone ({share} of the pixels are 255)"
            why = "and 255 is no class"
        else:
            what = f"{self.they_hold} 0 and 255 alone; 255 means unknown"
            why = f"{share} of the pixels would be left out, and class 0 would be all there is"
            what, why = f"{what}: {why}", ""
        told = f"{what}{', ' + why if why else ''}."
        if many:
            told += (
                f" There are {self.num_classes} classes, and none but the first occurs. If 255 is "
                f"an object, give it the number of its class; if there are two, {remedy}."
            )
        else:
            told += f" If 255 is the object, {remedy}."
        # With many classes a batch may well show background and borders alone.
        return [Finding("0 and 255", told, error=not (many and self.sampled))]

    def _outside(self, outside: list[float]) -> Finding:
        """The likeliest reason for values beyond the classes."""
        count = self.num_classes
        looks = self._looks_like()
        if looks:
            return looks
        told = (
            f"{self.they_hold} values outside {self.remedies.table}: "
            f"{_short_list(map(_number, outside))}, in {self.share(outside)} of the pixels. There "
            f"are the {count} classes 0..{count - 1}{self._class_names()}."
        )
        if outside == [count] and 0 not in self.known:
            return Finding(
                "off by one",
                f"{told} 0 never occurs, so that the classes seem to be numbered from 1. Then "
                f"{self._write_values(range(1, count + 1))}.",
            )
        if self._two_values():
            return Finding("outside", f"{told} If it is the object, {self._two_values()}.")
        if len(outside) == 1:
            value = _number(outside[0])
            class_line = (
                self.remedies.classes.format(count=count + 1)
                if value == count
                else f"give it a number of 0..{count - 1}"
            )
            return Finding(
                "outside",
                f"{told} If {value} means unknown, {self.remedies.ignore.format(value=value)}; if "
                f"it is a class, {class_line}.",
            )
        if len(self.known) == count:
            return Finding(
                "outside",
                f"{told} If these are the numbers of the {count} classes, "
                f"{self._write_values(self.known)}.",
            )
        if len(outside) > MANY:
            return Finding(
                "outside",
                f"{told} So many look like instance numbers, colours, or masks that were resized "
                "smoothly or saved as JPEG. Convert or export them again.",
            )
        return Finding(
            "outside",
            f"{told} Correct the masks, or "
            f"{self.remedies.classes.format(count=int(outside[-1]) + 1)}{self._ignored(outside)}.",
        )

    def _without_table(self) -> list[Finding]:
        """Classes are to be numbered up to the largest value: what tells against it."""
        known = self.known
        missing = int(known[-1]) + 1 - len(known) if known else 0
        looks = self._looks_like()
        if looks:
            return [looks]
        if missing > len(known) and self._two_values():
            return [
                Finding(
                    "gaps",
                    f"{self.they_hold} {_listed(known)} alone{self._besides()} "
                    f"({self.share(known[1:])} of the pixels are {_number(known[1])}). Classes are "
                    f"numbered from 0 without gaps. If these are two, {self._two_values()}.",
                )
            ]
        if missing > len(known) or (known and known[-1] >= LARGEST_LEVEL):
            told = (
                f"{self.they_hold} {len(known)} values up to {_number(known[-1])}: "
                f"{_listed(known)}. Class indices are numbered from 0 without gaps"
            )
            if len(known) > MANY:
                told += (
                    "; these look like instance numbers, colours, or masks that were resized "
                    "smoothly or saved as JPEG. Convert or export them again."
                )
            else:
                told += f". If each value is a class, {self._write_values(known)}."
            return [Finding("gaps", told)]
        if missing and len(known) > 1:
            absent = sorted(set(range(int(known[-1]))) - set(known))
            return [
                Finding(
                    "gaps",
                    f"{self.they_hold} values up to {_number(known[-1])}, and none is "
                    f"{_listed(absent)}. That is taken for {int(known[-1]) + 1} classes. If there "
                    f"are only {len(known)}, {self._write_values(known)}.",
                    error=False,
                )
            ]
        return []

    def _looks_like(self) -> Finding | None:
        """Grey levels, smooth resizing or a picture; they explain values that are no classes."""
        values, largest = self.values, self.values[-1]
        if largest > LARGEST_LEVEL or len(values) < 3:
            return None
        beyond = self.num_classes or len(self.known)
        if self.known[-1] < beyond and not self._crowded():
            return None
        if _evenly_spread(values):
            levels = [_number(value) for value in values]
            halfway = (
                f" If {levels[1]} means unknown, {self._write_values([0, levels[2]], levels[1])}."
                if len(levels) == 3 and self.remedies.values_ignoring
                else ""
            )
            return Finding(
                "grey levels",
                f"{self.they_hold} the grey levels {_listed(values)}, evenly spread up to "
                f"{_number(largest)}, which are no class indices ({self.share(values[1:])} of the "
                f"pixels are above 0). If they are {len(values)} classes, "
                f"{self._write_values(values)}.{halfway}",
            )
        if len(values) > 2 * MANY and not self._any_frequent():
            return Finding(
                "picture",
                f"{self.they_hold} {len(values)} different values, none of them far more often "
                "than others: they look like pictures, not like classes. Put the masks in their "
                "place.",
            )
        peaks = self._smooth_peaks()
        if not peaks:
            return None
        between = [value for value in values if value not in peaks]
        return Finding(
            "smooth",
            f"{self.they_hold} {_listed(peaks)} and {len(between)} values around and between "
            f"them ({self.share(between)} of the pixels): {_listed(between)}. They were resized "
            "smoothly, drawn with soft edges, or saved as JPEG. Export them again, resized with "
            f"the nearest neighbour and saved as PNG. Then, if {_listed(peaks)} are the classes, "
            f"{self._write_values(peaks)}.",
        )

    def _crowded(self) -> bool:
        """Whether values fill nearly all of 0..255, and the ends hold most of the pixels.

        Two hundred classes and more, numbered without a gap, are never that lopsided.
        """
        if len(self.values) < LARGEST_LEVEL * 3 // 4:
            return False
        ends = self.counts[self.values[0]] + self.counts[self.values[-1]]
        return ends > self.total / 2 or not self._any_frequent()

    def _any_frequent(self) -> bool:
        counts = [self.counts[value] for value in self.values]
        return max(counts) > 4 * np.median(counts)

    def _smooth_peaks(self) -> list[float]:
        """The values of masks before they were resized or compressed; empty if they were not.

        Values gather around a few that stand far apart, each the most frequent by far of those
        near it. Class numbers are different: those near each other are alike in frequency.
        """
        if sum(value >= (self.num_classes or 1) for value in self.known) < 4:
            return []
        left = frequent = sorted(self.values, key=self.counts.get, reverse=True)
        groups = []
        while left:
            peak = left[0]
            near = [value for value in left if abs(value - peak) <= RINGING]
            left = [value for value in left if abs(value - peak) > RINGING]
            groups.append((peak, sum(self.counts[value] for value in near)))
        groups.sort(key=lambda group: -group[1])
        sizes = [size for _, size in groups]
        drops = [sizes[i] / sizes[i + 1] for i in range(1, len(sizes) - 1)]
        number = len(groups) if not drops or max(drops) < 2 else drops.index(max(drops)) + 2
        chosen = groups[:number]
        peaks = sorted(peak for peak, _ in chosen)
        if (
            2 <= len(peaks) <= EVEN_LEVELS
            and len(self.values) - len(peaks) >= max(3, len(peaks))
            and peaks[-1] - peaks[0] >= 2 * MANY
            and peaks[0] - self.values[0] <= RINGING
            and self.values[-1] - peaks[-1] <= RINGING
            and all(self.counts[peak] > DOMINANT * size for peak, size in chosen)
        ):
            return peaks
        ends = [self.values[0], self.values[-1]]
        black_and_white = sorted(frequent[:2]) == ends and ends[1] > NEARLY_WHITE
        return ends if black_and_white and len(frequent) > 6 else []

    def _two_values(self) -> str:
        """The line for masks of 0 and one other value; empty for others."""
        two_classes = self.num_classes in (None, 2)
        if two_classes and len(self.known) == 2 and self.known[0] == 0 and self.known[1] > 1:
            return self._write_values(self.known)
        return ""

    def doubtful(self) -> list[Finding]:
        if not self.known:
            value = _number(self.ignore_class)
            return [
                Finding(
                    "all ignored",
                    f"{self.they_hold} {value} alone, which means unknown: there is nothing to "
                    "learn from or to measure. Where they show classes, give the pixels their "
                    "numbers.",
                )
            ]
        found = []
        ignored = self.counts.get(self.ignore_class, 0)
        if ignored >= NEAR_ALL * self.total:
            found.append(
                Finding(
                    "mostly ignored",
                    f"{self.share([self.ignore_class])} of the pixels are "
                    f"{_number(self.ignore_class)}, which means unknown. What remains is little to "
                    "learn from; look whether the value means a class.",
                    error=False,
                )
            )
        if len(self.known) == 1:
            number = int(self.known[0])
            name = f" ({self.names[number]})" if number < len(self.names) else ""
            found.append(
                Finding(
                    "one class",
                    f"{self.they_hold} one class alone: {number}{name}. A network learns to "
                    "answer it everywhere. Look whether the masks show what they should.",
                    error=False,
                )
            )
        return found

    def _besides(self) -> str:
        return (
            f" besides {self.ignore_class} for unknown" if self.ignore_class in self.counts else ""
        )

    def _or_unknown(self) -> str:
        return "" if self.ignore_class is None else f", or {self.ignore_class} for unknown"

    def _ignored(self, values: list[float]) -> str:
        line = self.remedies.ignore_several
        if not line or len(values) > SHOWN:
            return ""
        return f", or {line.format(values=_short_list(map(_number, values)))} if they mean unknown"

    def _class_names(self) -> str:
        if not self.names:
            return ""
        return f" ({', '.join(self.names[:12])}{', ...' if len(self.names) > 12 else ''})"

    def _write_values(self, values: Sequence[float], unknown: int | None = None) -> str:
        values = [_number(value) for value in values]
        names = list(self.names) if len(self.names) == len(values) else []
        if not names:
            names = (
                ["background", "object"]
                if len(values) == 2
                else [f"class {number}" for number in range(len(values))]
            )
        line = self.remedies.values if unknown is None else self.remedies.values_ignoring
        names = _short_list([f'"{name}"' for name in names])
        return line.format(values=_short_list(values), names=names, value=unknown)


def _evenly_spread(values: Sequence[float]) -> bool:
    """Whether values are k grey levels from 0 to the top, as 0, 85, 170, 255 or 0, 127, 255."""
    if not 3 <= len(values) <= EVEN_LEVELS or values[0] != 0 or values[-1] < 2 * EVEN_LEVELS:
        return False
    step = values[-1] / (len(values) - 1)
    return step > 2 and all(abs(value - i * step) <= 1 for i, value in enumerate(values))


def _number(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value


def _short_list(entries: Sequence) -> str:
    """ "[1, 2, 3]", without its middle where it is long."""
    texts = [str(entry) for entry in entries]
    shown = texts if len(texts) <= 2 * SHOWN else [*texts[:3], "...", texts[-1]]
    return f"[{', '.join(shown)}]"


def _listed(values: Sequence[float]) -> str:
    """ "0, 24, 26", cut after some."""
    shown = ", ".join(f"{_number(value):.6g}" for value in values[:SHOWN])
    return f"{shown}, ..." if len(values) > SHOWN else shown
