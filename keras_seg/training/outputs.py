"""Losses, metrics and masks for networks with several outputs, or outputs of another size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_seg import losses
from keras_seg.layers import Resize
from keras_seg.metrics import MeanIoU
from keras_seg.models.functional import as_functional
from keras_seg.models.sizes import output_margin, probe_size

MAIN = "logits"


def output_losses(
    model: keras.Model,
    loss: str | dict | list | keras.losses.Loss,
    *,
    auxiliary_weight: float = 0.4,
    num_classes: int | None = None,
) -> dict:
    """Returns loss and metrics of all outputs of a network, as arguments of `model.compile`.

    The output "logits" has the loss with weight 1, auxiliary heads with `auxiliary_weight`. With
    deep supervision "logits" is a second name of one head; then every head has the loss, with equal
    weights that sum to 1.

    Args:
        model: a network of this package.
        loss: a loss, or what `keras_seg.losses.get` takes.
        auxiliary_weight: weight of the losses of auxiliary heads.
        num_classes: number of classes, to add `MeanIoU` of "logits" with the same kind of labels as
            the loss; None for no metric.

    Returns: "loss" and "metrics", and "loss_weights" for several outputs.

    Example:

        model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        model.compile("adam", **output_losses(model, "cross_entropy", num_classes=2))
        model.fit(batches.map(output_masks(model)))
    """
    model = as_functional(model)
    if not isinstance(loss, keras.losses.Loss):
        loss = losses.get(loss)
    metrics = []
    if num_classes is not None:
        multi_label = getattr(loss, "multi_label", False)
        metrics = [MeanIoU(num_classes, multi_label=multi_label, from_logits=_from_logits(loss))]
    if not isinstance(model.output, dict):
        return {"loss": loss, "metrics": metrics}
    weights = output_weights(model, auxiliary_weight)
    return {
        "loss": {key: loss if key in weights else None for key in model.output},
        "loss_weights": {key: weights.get(key, 0.0) for key in model.output},
        "metrics": {MAIN: metrics},
    }


def _from_logits(loss: keras.losses.Loss) -> bool:
    """Whether a loss takes logits, so that its metric does, too."""
    parts = getattr(loss, "losses", [loss])
    return all(getattr(part, "from_logits", True) for part in parts)


def output_weights(model: keras.Model, auxiliary_weight: float) -> dict[str, float]:
    """The weight of the loss, for each output that has a loss."""
    twins = [k for k, v in model.output.items() if k != MAIN and v is model.output[MAIN]]
    heads = [key for key in model.output if key != MAIN]
    if twins:
        return {key: 1 / len(heads) for key in heads}
    return {MAIN: 1.0} | dict.fromkeys(heads, auxiliary_weight)


def output_masks(model: keras.Model) -> Callable:
    """Returns a function for `tf.data.Dataset.map` that prepares masks for all outputs.

    It maps (image, mask[, weights]) to (image, masks of each output[, weights]). For a network
    without padding it crops masks and weights to the size of the output.

    Args:
        model: a network of this package.

    Example:

        model.fit(batches.map(output_masks(model)))
    """
    model = as_functional(model)
    top, left = output_margin(model)

    def cropped(pixels: Any) -> Any:
        return pixels[:, top : -top or None, left : -left or None]

    def for_outputs(image: Any, *pixels: Any) -> tuple:
        if top or left:
            pixels = [cropped(each) for each in pixels]
        if isinstance(model.output, dict):
            mask, *weights = pixels
            # Keras takes one weight map for all outputs.
            pixels = [dict.fromkeys(model.output, mask), *weights]
        return image, *pixels

    return for_outputs


def at_image_size(model: keras.Model) -> keras.Model:
    """Resizes outputs of lower resolution to the size of the image. Weights are shared.

    The papers compute the loss at the size of the image, also if the network ends at a lower
    resolution.
    """
    model = as_functional(model)
    size, channels = probe_size(model), model.input.shape[-1]
    if output_margin(model) != (0, 0):
        return model
    shapes = model.compute_output_shape((1, *size, channels))
    if not isinstance(model.output, dict):
        if tuple(shapes[1:3]) == size:
            return model
        return keras.Model(model.input, _resized(model.output, model.input, MAIN), name=model.name)
    outputs = {
        key: value if tuple(shapes[key][1:3]) == size else _resized(value, model.input, key)
        for key, value in model.output.items()
    }
    if all(outputs[key] is value for key, value in model.output.items()):
        return model
    return keras.Model(model.input, outputs, name=model.name)


def _resized(output: keras.KerasTensor, image: keras.KerasTensor, key: str) -> keras.KerasTensor:
    return Resize(dtype="float32", name=f"{key}_at_image_size")(output, like=image)
