"""`val_loss` on several devices, where copies that do not count fill up the last batch."""

from __future__ import annotations

from typing import Any

import keras


class ExactValidation:
    """Mix-in of a functional model: its validation takes the shares of `validation_pipeline`.

    Keras weighs the loss of a batch by its number of images, copies included. The share corrects
    this, for the sum of the losses and for the loss of each output. The shares are no weights of
    pixels: a loss with smoothing would not grow in proportion to those.
    """

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The losses of `compile`; in validation times the share of the batch."""
        inherited = super().compute_loss  # pyrefly: ignore[missing-attribute]
        if training or sample_weight is None:
            return inherited(
                x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
            )
        share = sample_weight[0]
        before = {id(each): keras.ops.copy(each) for each in _sums_of_outputs(self)}
        loss = inherited(x=x, y=y, y_pred=y_pred, sample_weight=None, training=training)
        for total in _sums_of_outputs(self):
            start = before.get(id(total), 0.0)  # the first batch creates them
            total.assign(start + share * (total - start))
        return share * loss


def with_exact_validation(model: keras.Model) -> keras.Model:
    """The same model with an exact `val_loss` on several devices. Layers are shared."""
    kind = type(f"Exact{type(model).__name__}", (ExactValidation, type(model)), {})
    return kind(model.inputs, model.output, name=model.name)


def _sums_of_outputs(model: Any) -> list[keras.Variable]:
    """The sums of the losses that Keras logs for each output; empty with one output."""
    return [each.total for each in model._compile_loss.metrics]
