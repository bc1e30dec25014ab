"""Batch norm whose training step is one operator."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops

HALF = ("float16", "bfloat16")


@keras.saving.register_keras_serializable("keras_seg")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with the same numbers, computed by TensorFlow's operator.

    Keras 3 normalises a batch in pieces (mean, variance, differences, products), each of which
    writes a whole map: a tenth to a fifth of U-Net's training step, by processor. TensorFlow's
    fused operator and its gradient read the map once or twice. Taken for 4D maps in training, with
    statistics of one device; all else, and every prediction, is Keras' own arithmetic.

    Shapes: (B, H, W, C) → the same.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable and mask is None and self._is_fusible(inputs)):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        gamma = ops.cast(self.gamma, "float32") if self.scale else tf.ones(channels)
        beta = ops.cast(self.beta, "float32") if self.center else tf.zeros(channels)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=ops.cast(inputs, self.compute_dtype),
            scale=gamma,
            offset=beta,
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operator tells the variance of a sample, n / (n - 1) of the mean square; Keras' moving
        # average is one of mean squares.
        pixels = tf.cast(tf.size(inputs) // channels, tf.float32)
        variance *= tf.maximum(pixels - 1, 1) / pixels
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept = ops.cast(average, "float32") * self.momentum
            average.assign(kept + tf.stop_gradient(value) * (1 - self.momentum))
        return outputs

    def _is_fusible(self, inputs) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.compute_dtype in ("float32", *HALF)
            and not self.synchronized
            and not getattr(self, "renorm", False)  # Keras has it since 3.14
        )
