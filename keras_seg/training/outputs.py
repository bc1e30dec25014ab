"""Losses, metrics and masks for networks with one output, several, or one of another size."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_seg import losses
from keras_seg.layers import Resize
from keras_seg.metrics import MeanIoU
from keras_seg.models.functional import as_functional
from keras_seg.models.sizes import output_margin, probe_size

MAIN = "logits"


def output_losses(
    model: keras.Model, loss, *, auxiliary_weight: float = 0.4, num_classes: int | None = None
) -> dict:
    """Arguments of `model.compile` for a network of this package, whatever its outputs.

        model = models.ocrnet((None, None, 3), 19, auxiliary_head=True)
        model.compile("adam", **output_losses(model, "cross_entropy", num_classes=19))
        model.fit(batches.map(output_masks(model)))

    Each output has the loss: "logits" with weight 1, auxiliary heads with `auxiliary_weight`. With
    deep supervision "logits" is one of the heads under a second name; then every head has the loss,
    with equal weights of sum 1.

    Args:
        loss: what `keras_seg.losses.get` takes, or a loss.
        num_classes: adds `MeanIoU` of "logits", which takes labels as the loss does
            (`multi_label`); None for no metric.
    """
    model = as_functional(model)
    if not isinstance(loss, keras.losses.Loss):
        loss = losses.get(loss)
    metrics = []
    if num_classes is not None:
        metrics = [MeanIoU(num_classes, multi_label=getattr(loss, "multi_label", False))]
    if not isinstance(model.output, dict):
        return {"loss": loss, "metrics": metrics}
    weights = output_weights(model, auxiliary_weight)
    return {
        "loss": {key: loss if key in weights else None for key in model.output},
        "loss_weights": {key: weights.get(key, 0.0) for key in model.output},
        "metrics": {MAIN: metrics},
    }


def output_weights(model: keras.Model, auxiliary_weight: float) -> dict[str, float]:
    """Weight of the loss of each output that has one."""
    twins = [k for k, v in model.output.items() if k != MAIN and v is model.output[MAIN]]
    heads = [key for key in model.output if key != MAIN]
    if twins:
        return {key: 1 / len(heads) for key in heads}
    return {MAIN: 1.0} | dict.fromkeys(heads, auxiliary_weight)


def output_masks(model: keras.Model) -> Callable:
    """A function for `tf.data.Dataset.map`: (image, mask[, weights]) → masks of each output.

    Masks and weights of networks without padding lose the border that their outputs lack.
    """
    model = as_functional(model)
    top, left = output_margin(model)

    def inner(pixels):
        pixels = tf.convert_to_tensor(pixels)
        height, width = tf.shape(pixels)[1], tf.shape(pixels)[2]
        cut = pixels[:, top : height - top, left : width - left]
        if None not in pixels.shape[1:3]:
            _, rows, columns = pixels.shape[:3]
            cut.set_shape((None, rows - 2 * top, columns - 2 * left))
        return cut

    def for_outputs(image, *pixels):
        if top or left:
            pixels = [inner(each) for each in pixels]
        if isinstance(model.output, dict):
            mask, *weights = pixels
            # Keras takes one map of weights for all outputs, or one for each.
            pixels = [dict.fromkeys(model.output, mask), *weights]
        return image, *pixels

    return for_outputs


def at_image_size(model: keras.Model) -> keras.Model:
    """The model with outputs of lower resolution resized to its image; shares all weights.

    Papers take the loss at the size of the image, wherever the network ends.
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


def _resized(output, image, key: str):
    return Resize(dtype="float32", name=f"{key}_at_image_size")(output, like=image)
