"""The function that is converted: a deployed network with the head of the file."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_seg.export.network.fused_argmax import coarse_scores, repeated
from keras_seg.export.options import HEADS, ExportOptions
from keras_seg.inference.keras_runner import first_output
from keras_seg.inference.scores import Threshold, limits_of


def function_to_convert(
    deployed: keras.Model,
    options: ExportOptions,
    image_dtype: str,
    *,
    from_logits: bool,
    multi_label: bool,
    threshold: Threshold | None = None,
    variables: Sequence[keras.Variable] = (),
) -> tuple[tf.types.experimental.GenericFunction, tf.TensorSpec]:
    """The function and the TensorSpec of its image.

    Shapes: (1, H, W, C) pixels in 0..255 → {name: output}: "logits" or "probabilities"
    (1, H, W, num_classes) float32, or "classes" (1, H, W) in the type of the options.

    Args:
        image_dtype: type of the image in the function.
        from_logits: False for a network that ends in probabilities.
        multi_label: whether each channel is an independent label (sigmoid).
        threshold: probability above which a class map has the second of two classes; None for 0.5.
        variables: weights that the function takes as arguments after the image, in this order.
    """
    shape, grid, head = deployed.inputs[0].shape, None, options.head
    if head == "fused_argmax":
        cut = coarse_scores(deployed, from_logits)
        deployed, grid, head, from_logits = cut.model, cut.grid, "argmax", cut.from_logits

    def output_of(image: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = first_output(deployed(tf.cast(image, tf.float32), training=False))
        if head == "argmax":
            output = _class_map(scores, from_logits, options, threshold)
        else:
            output = _with_head(scores, head, from_logits, multi_label)
        return {HEADS[options.head]: repeated(output, shape[1:3], grid) if grid else output}

    @tf.function  # ONNX files hold its name
    def deploy(image: tf.Tensor, *values: tf.Tensor) -> dict[str, tf.Tensor]:
        if not variables:
            return output_of(image)
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return output_of(image)

    return deploy, tf.TensorSpec(shape, image_dtype, name="image")


def _class_map(
    scores: tf.Tensor, from_logits: bool, options: ExportOptions, threshold: Threshold | None
) -> tf.Tensor:
    if scores.shape[-1] == 1 or threshold is not None:
        limit = float(limits_of(threshold or 0.5, "logits" if from_logits else "probabilities"))
        second = _second_class(scores, from_logits)
        if options.device.casts_classes:
            return tf.cast(second > limit, options.class_dtype)
        # an accelerator without comparisons has ARG_MAX, whose first of equals is class 0
        second = second[..., None]
        scores = tf.pad(second - limit if limit else second, [(0, 0)] * 3 + [(1, 0)])
    # int32 first: half the memory of int64, and TFLite has no argmax to uint8
    return tf.cast(tf.argmax(scores, -1, output_type=tf.int32), options.class_dtype)


def _second_class(scores: tf.Tensor, from_logits: bool) -> tf.Tensor:
    """(1, H, W): what is compared with the limit of the second of two classes."""
    if scores.shape[-1] == 1:
        return scores[..., 0]
    # the log-odds of the second of two classes are the difference of their logits
    return scores[..., 1] - scores[..., 0] if from_logits else scores[..., 1]


def _with_head(
    scores: tf.Tensor, head: str | None, from_logits: bool, multi_label: bool
) -> tf.Tensor:
    binary = scores.shape[-1] == 1
    if head == "probabilities" and from_logits:
        return tf.sigmoid(scores) if binary or multi_label else tf.nn.softmax(scores)
    return scores
