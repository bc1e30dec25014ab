"""Convolutions whose kernels are rounded to int8 in every call, so that training sees the error.

Each output channel has a step of its own, 1/127 of its largest weight; zero is one of the 255
steps. These are the scales that TFLite's integer kernels take. Gradients pass as if nothing were
rounded. Biases stay as they are: TFLite holds them in 32 bits.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers, ops

SMALLEST = 1e-7
"""Largest weight of a channel of zeros, whose step could not be zero."""


def rounded_by_channel(kernel):
    """Rounds (..., channels) to 255 steps a channel, symmetric about zero; keeps the type."""
    dtype, axes = kernel.dtype, tuple(range(len(kernel.shape) - 1))
    kernel = tf.cast(kernel, tf.float32)  # the only type that TensorFlow's operator has
    largest = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(kernel), axes), SMALLEST))
    rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -largest, largest, narrow_range=True
    )
    return tf.cast(rounded, dtype)


class RoundedKernel(keras.layers.Layer):
    """What the layers below have in common: a kernel that they round before they use it."""

    settled = False
    """Whether the kernel itself holds rounded numbers."""

    def settle(self) -> None:
        """Rounds the kernel itself instead of rounding it in every call, for the converter.

        That finds the step of a channel in its largest weight, as `rounded_by_channel` does, while
        it cannot transpose a kernel that the graph rounds.
        """
        self.kernel.assign(self.rounded_kernel())
        self.settled = True

    def rounded_kernel(self):
        """The kernel in the steps of the integer file."""
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel if self.settled else self._rounded(kernel)

    def _rounded(self, kernel):
        return rounded_by_channel(kernel)

    def _finished(self, outputs):
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable("keras_seg")
class QuantizedConv2D(RoundedKernel, layers.Conv2D):
    """`keras.layers.Conv2D`, its kernel rounded a filter; (B, H, W, C) → (B, h, w, filters)."""

    def call(self, inputs):
        return self._finished(self.convolution_op(inputs, self.rounded_kernel()))


@keras.saving.register_keras_serializable("keras_seg")
class QuantizedDepthwiseConv2D(RoundedKernel, layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D`, its kernel rounded a channel; (B, H, W, C) → (B, h, w, M C).

    A file whose depthwise kernels had one step for all channels would compute them in float.
    """

    def call(self, inputs):
        outputs = ops.depthwise_conv(
            inputs,
            self.rounded_kernel(),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        return self._finished(outputs)

    def _rounded(self, kernel):  # (rows, columns, C, M), which put out C * M channels
        flat = tf.reshape(kernel, (*self.kernel_size, -1))
        return tf.reshape(rounded_by_channel(flat), kernel.shape)


@keras.saving.register_keras_serializable("keras_seg")
class QuantizedConv2DTranspose(RoundedKernel, layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`, its kernel rounded a filter; (B, H, W, C) → (B, h, w, F)."""

    def call(self, inputs):
        outputs = ops.conv_transpose(
            inputs,
            self.rounded_kernel(),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
        )
        return self._finished(outputs)

    def _rounded(self, kernel):  # (rows, columns, F, C)
        last = tf.transpose(kernel, (0, 1, 3, 2))
        return tf.transpose(rounded_by_channel(last), (0, 1, 3, 2))


@keras.saving.register_keras_serializable("keras_seg")
class QuantizedDense(RoundedKernel, layers.Dense):
    """`keras.layers.Dense` with a kernel rounded a unit; (..., C) → (..., units)."""

    def call(self, inputs, training=None):
        return self._finished(ops.matmul(inputs, self.rounded_kernel()))
