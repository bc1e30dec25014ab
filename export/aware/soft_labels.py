"""Distillation: predictions of a trained network as labels of its quantization-aware copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_seg.backends import need_tensorflow_backend
from keras_seg.models.functional import as_functional
from keras_seg.models.output_activation import model_output_activation


def soft_labels(
    model: keras.Model, *, from_logits: bool | None = None, multi_label: bool = False
) -> Callable:
    """A function for `tf.data.Dataset.map`: (image, ...) → (image, probabilities of `model`).

    No masks are needed. Fine-tuning on masks continues the training, and can make a network worse
    at first if its learning rate had fallen to zero. With the network's own predictions as labels,
    the copy only learns to compensate for the roundings, so tens of steps are enough. With masks
    and more steps, the copy may become better than the network.

    Shapes: (B, H, W, C) pixels in 0..255 → (B, h, w, classes) float32 in 0..1, at the size of the
    network's output; a dict of them for a network with several outputs. A single logit becomes its
    sigmoid, for `keras.losses.BinaryCrossentropy`.

    Example:
        aware = keras_seg.export.quantization_aware(model)
        aware.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
        aware.fit(batches.map(keras_seg.export.soft_labels(model)))

    Args:
        model: the trained network.
        from_logits: False for a network that ends in probabilities, which become the labels
            unchanged; None to read it from the graph.
        multi_label: whether each channel is an independent label (sigmoid).

    Raises: ValueError for a network that ends in a sigmoid or softmax, and `from_logits=True`.

    Source: Hinton et al., arXiv:1503.02531, at temperature 1.
    """
    need_tensorflow_backend("Soft labels")
    ending = model_output_activation(as_functional(model, only_to_run=True).output)
    if ending.are_probabilities and from_logits:
        raise ValueError(
            f"The model ends in {ending}, so its values are probabilities. Received: "
            "from_logits=True. Leave from_logits out."
        )
    squashed = ending.are_probabilities if from_logits is None else not from_logits

    def probabilities(scores: tf.Tensor) -> tf.Tensor:
        scores = tf.cast(scores, tf.float32)
        if squashed:
            return scores
        binary = scores.shape[-1] == 1
        return tf.sigmoid(scores) if binary or multi_label else tf.nn.softmax(scores)

    def label(image: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, Any]:
        scores = model(tf.cast(image, tf.float32), training=False)
        return image, keras.tree.map_structure(probabilities, scores)

    return label
