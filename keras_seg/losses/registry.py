"""The classes behind the names of losses, and losses as recipes write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from keras_seg.losses.base import SegmentationLoss
from keras_seg.losses.own import own_loss
from keras_seg.losses.spec import LOSS_TABLE, LossEntry, LossTerm, parse_loss
from keras_seg.losses.weighted_sum import WeightedSum


def _class_of(entry: LossEntry) -> type[SegmentationLoss]:
    # unlike importlib.import_module, it waits for another thread that is importing Keras
    module = __import__(f"keras_seg.losses.{entry.module}", fromlist=[entry.class_name])
    return getattr(module, entry.class_name)


LOSSES: dict[str, type[SegmentationLoss]] = {
    name: _class_of(entry) for name, entry in LOSS_TABLE.items()
}
"""Name in a recipe → its class."""


def get(spec: str | Mapping | Sequence | keras.losses.Loss) -> keras.losses.Loss:
    """A loss as recipes write it; `keras_seg.losses.spec` has all forms.

    Args:
        spec: a name, a sum of names, a mapping with options, or a list of these. A name with a
            colon is the import path of a loss of your own. A loss is returned as it is.

    Returns: the loss; for a sum a `WeightedSum`.

    Raises: ValueError for an unknown name or option, with the nearest known one or the name here of
        a loss of another package; for an option's value that does not fit.

    Example:
        >>> keras_seg.losses.get("cross_entropy+0.5*dice").weights
        [1.0, 0.5]
        >>> keras_seg.losses.get({"name": "focal", "class_weights": {1: 9.0}}).gamma
        2.0
    """
    if isinstance(spec, keras.losses.Loss):
        return spec
    terms = parse_loss(spec)
    losses = [_loss_of(term) for term in terms]
    if len(losses) == 1 and terms[0].weight == 1:
        return losses[0]
    return WeightedSum(
        losses,
        weights=[term.weight for term in terms],
        name="_and_".join(loss.name for loss in losses),
    )


def _loss_of(term: LossTerm) -> keras.losses.Loss:
    if term.is_own:
        return own_loss(term.name, term.options)
    try:
        return LOSSES[term.name](**term.options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The loss {term.name!r}: {error}") from error
