"""Tells Keras' callbacks that larger is better for every score of a metric."""

from __future__ import annotations

import re
import sys

OWN_NAMES = re.compile(
    r"mean_iou|mean_dice|pixel_accuracy|mean_class_accuracy|frequency_weighted_iou|boundary_f1"
    r"|iou_\d+"
)
"""Default names of the metrics here; Keras may put the name of an output before them."""
MONITOR_METHOD = "_set_monitor_op"
"""The method of Keras' callbacks that looks for the monitored score among the metrics."""


class GrowingScores:
    """Mixin for metrics whose scores are better when they are larger, whatever their names in logs.

    `EarlyStopping(monitor="val_mean_iou")` and similar callbacks look for a metric with
    `metric.name == "mean_iou"`, and ask it whether larger is better. But a metric with many scores
    has one name and many names in the logs, and with several outputs the name of the output comes
    first in the logs. Only the callbacks therefore get a name that equals all of these. Everywhere
    else, as in the keys of the logs, the name is plain text.
    """

    _direction = "up"

    @property
    def name(self) -> str:
        """The metric's name."""
        if sys._getframe(1).f_code.co_name == MONITOR_METHOD:
            return _AnyOf((self._name, *self.logged_names()))
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    def logged_names(self) -> list[str]:
        """Names of the scores in the logs of `fit`, besides the name of the metric."""
        return []


class _AnyOf(str):
    """Equals each of several names, also with the number that Keras appends to make it unique."""

    def __new__(cls, names: tuple[str, ...]) -> _AnyOf:
        self = super().__new__(cls, names[0])
        self.names = names
        return self

    def __eq__(self, other: object) -> bool:
        return any(_is_log_name(str(other), name) for name in self.names)

    __hash__ = str.__hash__


def _is_log_name(logged: str, name: str) -> bool:
    """Whether `logged` is `name`, possibly after an output's name and before Keras' number."""
    match = re.fullmatch(rf"(.+_)?{re.escape(name)}(_\d+)?", logged)
    return match is not None and (match[1] is None or OWN_NAMES.fullmatch(name) is not None)
