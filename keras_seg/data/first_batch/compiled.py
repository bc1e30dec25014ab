"""The losses and metrics that a model is compiled with, and the scores that they get."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_seg.losses import SegmentationLoss, WeightedSum
from keras_seg.names import IGNORE_CLASS

SPARSE = {"sparse_categorical_crossentropy"}
CATEGORICAL = {"categorical_crossentropy", "categorical_focal_crossentropy"}
BINARY = {"binary_crossentropy", "binary_focal_crossentropy"}
OVERLAP = {"dice", "tversky"}
DIFFERENCES = {
    "mean_squared_error",
    "mean_absolute_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "kl_divergence",
    "poisson",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
}
"""Names of the functions of Keras' losses, by the labels that they take."""
PROBABILITIES = ("softmax", "sigmoid")


@dataclass(frozen=True)
class Scores:
    """The output of a network and the labels of the batches.

    Attributes:
        head: "logits", "softmax" or "sigmoid"; None if unknown.
        channels: number of output channels; None if unknown.
        one_hot: whether masks have one channel per class.
        counts: label → number of pixels.
        multi_label: whether each channel is an independent label.
        ignored: the mask value of unknown pixels.
        several: share of the pixels with several channels set.
        soft: share of the pixels with a label between 0 and 1.
    """

    head: str | None
    channels: int | None
    one_hot: bool
    counts: Mapping[float, int]
    multi_label: bool
    ignored: int | None = IGNORE_CLASS
    several: float = 0.0
    soft: float = 0.0

    @property
    def unknown(self) -> float:
        """Share of the pixels that are 255."""
        return self.counts.get(IGNORE_CLASS, 0) / max(1, sum(self.counts.values()))


def losses_of(model: keras.Model) -> list[tuple[str, Any]]:
    """The losses of a compiled model as (output, loss). Sums are split into their terms."""
    given = getattr(model, "loss", None)
    if isinstance(given, dict):
        pairs = [(str(name), loss) for name, loss in given.items()]
    elif isinstance(given, list | tuple):
        pairs = [(str(number), loss) for number, loss in enumerate(given)]
    else:
        pairs = [("", given)]
    return [(name, part) for name, loss in pairs if loss is not None for part in _parts(loss)]


def ignored_by(losses: Sequence[Any]) -> int | None:
    """The mask value that all losses ignore; 255 if they differ or none is given."""
    ours = {loss.ignore_class for loss in losses if isinstance(loss, SegmentationLoss)}
    theirs = {getattr(loss, "ignore_class", None) for loss in losses} - {None}
    values = ours | theirs
    return values.pop() if len(values) == 1 else IGNORE_CLASS


def labels_overlap(losses: Sequence[Any]) -> bool:
    """Whether a binary loss of Keras treats each channel as an independent label."""
    ours = any(isinstance(loss, SegmentationLoss) for loss in losses)
    return not ours and any(keras_function(loss)[0] in BINARY for loss in losses)


def _parts(loss: Any) -> Iterator[Any]:
    if isinstance(loss, WeightedSum):
        for part in loss.losses:
            yield from _parts(part)
    else:
        yield loss


def weights_of(loss: Any) -> Sequence[float] | Mapping | None:
    """The class weights of a loss of this package; None for other losses."""
    return loss.get_config().get("class_weights") if isinstance(loss, SegmentationLoss) else None


def metrics_of(model: keras.Model) -> list[Any]:
    """The metrics given to `compile`, for all outputs."""
    compiled = getattr(model, "_compile_metrics", None)
    given = [getattr(compiled, f"_user_{kind}", None) for kind in ("metrics", "weighted_metrics")]
    return [each for each in keras.tree.flatten(given) if each is not None]


def keras_function(loss: Any) -> tuple[str | None, dict]:
    """Name and options of the Keras function of a loss.

    The name is None for the user's own losses, and "" for a name that Keras does not know.
    """
    if isinstance(loss, str):
        if loss.lower() in ("crossentropy", "ce"):
            return loss.lower(), {}
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return "", {}
    function = getattr(loss, "fn", loss)
    name = getattr(function, "__name__", None)
    known = SPARSE | CATEGORICAL | BINARY | OVERLAP | DIFFERENCES
    if name not in known or not function.__module__.startswith("keras."):
        return None, {}
    return name, dict(getattr(loss, "_fn_kwargs", {}))


def percent(share: float) -> str:
    """A share of the pixels as text: "12.5%"."""
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"
