"""More is better: what tells Keras' callbacks so of every score that a metric logs."""

from __future__ import annotations

import re
import sys

OWN_NAMES = re.compile(
    r"mean_iou|mean_dice|pixel_accuracy|mean_class_accuracy|frequency_weighted_iou|boundary_f1"
    r"|iou_\d+"
)
"""Names that the metrics here have by default, before which an output's name may stand."""
ASKING = "_set_monitor_op"
"""The method of Keras' callbacks that looks a monitored score up among the metrics."""


class GrowingScores:
    """A metric whose scores are the better the larger they are, whatever they are called in logs.

    `EarlyStopping(monitor="val_mean_iou")` and its like look for a metric with
    `metric.name == "mean_iou"`, and ask it whether more is better. A metric of many scores has one
    name, and many in the logs; and with several outputs the output's name stands before the
    metric's there. The callbacks alone therefore see a name that equals all of them; everywhere
    else, as in the keys of the logs, the name is plain text.
    """

    _direction = "up"

    @property
    def name(self) -> str:
        """The metric's name."""
        if sys._getframe(1).f_code.co_name == ASKING:
            return _AnyOf((self._name, *self.logged_names()))
        return self._name

    @name.setter
    def name(self, name: str):
        self._name = name

    def logged_names(self) -> list[str]:
        """Names of the scores in the logs of `fit`, where they are not the metric's own."""
        return []


class _AnyOf(str):
    """Equal to each of several names, and to these as Keras makes them unique."""

    def __new__(cls, names: tuple[str, ...]):
        self = super().__new__(cls, names[0])
        self.names = names
        return self

    def __eq__(self, other):
        return any(_stands_for(str(other), name) for name in self.names)

    __hash__ = str.__hash__


def _stands_for(logged: str, name: str) -> bool:
    """Whether `logged` is `name`, an output's name before it and Keras' number after it."""
    found = re.fullmatch(rf"(.+_)?{re.escape(name)}(_\d+)?", logged)
    return found is not None and (found[1] is None or OWN_NAMES.fullmatch(name) is not None)
