"""Convolutions whose kernels are rounded to int8 in every call, so that training sees the error.

Each output channel has its own step, 1/127 of its largest weight; zero is one of the 255 steps.
These are the scales of TFLite's integer kernels. Gradients pass as if nothing were rounded. Biases
are not rounded: TFLite stores them in 32 bits.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from keras_seg.layers.fake_quantize import check_backend
from keras_seg.layers.tensors import Shape, Tensor

SMALLEST = 1e-7
"""Smallest range of a channel: a step of zero is not possible."""


def rounded_by_channel(kernel: Tensor) -> Tensor:
    """Rounds (..., channels) to 255 steps per channel, symmetric about zero; keeps the type."""
    import tensorflow as tf

    dtype, axes = kernel.dtype, tuple(range(len(kernel.shape) - 1))
    kernel = tf.cast(kernel, tf.float32)  # the operator has no other type
    largest = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(kernel), axes), SMALLEST))

    # the operator finds that a largest weight lies outside of its range where the step is inexact
    @tf.grad_pass_through
    def rounded(kernel: Tensor) -> Tensor:
        return tf.quantization.fake_quant_with_min_max_vars_per_channel(
            kernel, -largest, largest, narrow_range=True
        )

    return tf.cast(rounded(kernel), dtype)


class RoundedKernel(keras.layers.Layer):
    """Base of the layers below: rounds the kernel before it is used.

    Raises:
        RuntimeError: Keras runs on another backend than TensorFlow.
    """

    settled = False
    """Whether the kernel itself holds rounded numbers."""

    def build(self, input_shape: Shape) -> None:
        check_backend(self)
        super().build(input_shape)

    def settle(self) -> None:
        """Stores the rounded kernel, so that calls no longer round it; for the converter.

        The converter finds the step of a channel from its largest weight, as `rounded_by_channel`
        does, but it cannot transpose a kernel that the graph rounds.
        """
        self.kernel.assign(self.rounded_kernel())
        self.settled = True

    def rounded_kernel(self) -> Tensor:
        """The kernel, rounded to the steps of the integer file."""
        kernel = ops.convert_to_tensor(self.kernel)
        return kernel if self.settled else self._rounded(kernel)

    def _rounded(self, kernel: Tensor) -> Tensor:
        return rounded_by_channel(kernel)

    def _finished(self, outputs: Tensor) -> Tensor:
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable("keras_seg")
class QuantizedConv2D(RoundedKernel, layers.Conv2D):
    """`keras.layers.Conv2D` with a kernel rounded per filter; (B, H, W, C) → (B, h, w, filters)."""

    def call(self, inputs: Tensor) -> Tensor:
        return self._finished(self.convolution_op(inputs, self.rounded_kernel()))


@keras.saving.register_keras_serializable("keras_seg")
class QuantizedDepthwiseConv2D(RoundedKernel, layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with a kernel rounded per channel; (B, H, W, C) → (B, h, w, M
    C).

    With one step for all channels, TFLite would compute a depthwise convolution in float.
    """

    def call(self, inputs: Tensor) -> Tensor:
        outputs = ops.depthwise_conv(
            inputs,
            self.rounded_kernel(),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        return self._finished(outputs)

    def _rounded(self, kernel: Tensor) -> Tensor:  # (rows, columns, C, M): C * M output channels
        flat = ops.reshape(kernel, (*self.kernel_size, -1))
        return ops.reshape(rounded_by_channel(flat), kernel.shape)


@keras.saving.register_keras_serializable("keras_seg")
class QuantizedConv2DTranspose(RoundedKernel, layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` rounded per filter; (B, H, W, C) → (B, h, w, F)."""

    def call(self, inputs: Tensor) -> Tensor:
        outputs = ops.conv_transpose(
            inputs,
            self.rounded_kernel(),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
        )
        return self._finished(outputs)

    def _rounded(self, kernel: Tensor) -> Tensor:  # (rows, columns, F, C)
        last = ops.transpose(kernel, (0, 1, 3, 2))
        return ops.transpose(rounded_by_channel(last), (0, 1, 3, 2))


@keras.saving.register_keras_serializable("keras_seg")
class QuantizedDense(RoundedKernel, layers.Dense):
    """`keras.layers.Dense` with a kernel rounded per unit; (..., C) → (..., units)."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self._finished(ops.matmul(inputs, self.rounded_kernel()))
