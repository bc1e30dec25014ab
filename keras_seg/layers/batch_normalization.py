"""Batch norm whose training step is one operator, and which a batch of one image does not spoil."""

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

    Differs where a batch holds a single value per channel: one image behind a global pooling, or
    on a map of 1x1. Its mean is that value and its variance 0, so that Keras' layer puts out beta
    alone, whatever the image, and its moving variance falls to 0, by which a prediction divides.
    This layer then normalises by the moving statistics, as a prediction does, and leaves them as
    they are. Gamma, beta and the layers before it are trained.

    Shapes: (B, H, W, C) → the same.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable and mask is None):
            return super().call(inputs, training=training, mask=mask)
        if not self._is_fusible(inputs):
            return self._in_pieces(inputs)
        channels = inputs.shape[-1]
        gamma = ops.cast(self.gamma, "float32") if self.scale else tf.ones(channels)
        beta = ops.cast(self.beta, "float32") if self.center else tf.zeros(channels)
        pixels = tf.size(inputs) // channels
        single = pixels <= 1 if self._may_be_single(inputs.shape) else None
        if single is not None:
            # The operator gives offset + 0 for a single value: the offset takes the whole result.
            value = tf.reduce_sum(ops.cast(inputs[:1, :1, :1], "float32"), (0, 1, 2))
            deviation = tf.sqrt(ops.cast(self.moving_variance, "float32") + self.epsilon)
            predicted = gamma * (value - ops.cast(self.moving_mean, "float32")) / deviation
            beta += tf.where(single, predicted, 0.0)
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
        pixels = tf.cast(pixels, tf.float32)
        variance *= tf.maximum(pixels - 1, 1) / pixels
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            before = ops.cast(average, "float32")
            after = before * self.momentum + tf.stop_gradient(value) * (1 - self.momentum)
            average.assign(after if single is None else tf.where(single, before, after))
        return outputs

    def _in_pieces(self, inputs):
        """Keras' training step, but for a single value per channel."""
        several = self.synchronized and _replicas() > 1  # statistics of all their images together
        if self.renormalizes or several or not self._may_be_single(inputs.shape):
            return super().call(inputs, training=True)
        single = ops.size(inputs) <= inputs.shape[self.axis]
        averages = (self.moving_mean, self.moving_variance)
        before = [ops.copy(average) for average in averages]
        trained = super().call(inputs, training=True)
        for average, value in zip(averages, before, strict=True):
            average.assign(ops.where(single, value, average))
        return ops.where(single, super().call(inputs, training=False), trained)

    @property
    def renormalizes(self) -> bool:
        """Keras' option `renorm`, which it has since 3.14."""
        return getattr(self, "renorm", False)

    def _may_be_single(self, shape) -> bool:
        """Whether a tensor of this shape can hold less than two values per channel."""
        channels = self.axis % len(shape)
        return all(size in (None, 1) for axis, size in enumerate(shape) if axis != channels)

    def _is_fusible(self, inputs) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.compute_dtype in ("float32", *HALF)
            and not self.synchronized
            and not self.renormalizes
        )


def _replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync
