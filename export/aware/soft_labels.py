"""What a trained network answers, as the labels of its copy that trains with roundings."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_seg.models.functional import as_functional
from keras_seg.models.output_activation import model_output_activation


def soft_labels(
    model: keras.Model, *, from_logits: bool | None = None, multi_label: bool = False
) -> Callable:
    """A function for `tf.data.Dataset.map`: (image, ...) → (image, probabilities of `model`).

        aware = keras_seg.export.quantization_aware(model)
        aware.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
        aware.fit(batches.map(keras_seg.export.soft_labels(model)))

    Masks are not needed, so images without any will do. Training with roundings on masks goes on
    with the whole training, and a network whose rate had fallen to nothing first gets worse by it;
    on the network's own answers there is nothing to learn but to undo the roundings, so that tens
    of steps are enough. With masks it may in the end become better than the network was.

    Shapes: (B, H, W, C) pixels in 0..255 → (B, h, w, classes) float32 in 0..1, of the size of the
    network's output; a dict of them for a network with several. Of one class: its sigmoid, for
    `keras.losses.BinaryCrossentropy`.

    Args:
        from_logits: False for a network that ends in probabilities, which are its labels as they
            are; None for what its graph shows.
        multi_label: whether each channel is a label of its own, for a sigmoid.

    Raises: ValueError for a network that ends in a sigmoid or softmax, and `from_logits=True`.

    Source: Hinton et al., arXiv:1503.02531, at temperature 1.
    """

    ending = model_output_activation(as_functional(model, only_to_run=True).output)
    if ending.are_probabilities and from_logits:
        raise ValueError(
            f"The model ends in {ending}, so that its values are probabilities. Received: "
            "from_logits=True. Leave from_logits out."
        )
    squashed = ending.are_probabilities if from_logits is None else not from_logits

    def probabilities(scores):
        scores = tf.cast(scores, tf.float32)
        if squashed:
            return scores
        binary = scores.shape[-1] == 1
        return tf.sigmoid(scores) if binary or multi_label else tf.nn.softmax(scores)

    def label(image, *_):
        scores = model(tf.cast(image, tf.float32), training=False)
        return image, keras.tree.map_structure(probabilities, scores)

    return label
