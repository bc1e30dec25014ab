"""What may be computed while the pixels of a square still are channels of the small map."""

from __future__ import annotations

import keras
from keras import layers

from keras_seg.export.network.layer_rules import by_channel, function_of

FUNCTIONS = ("linear", "relu", "relu6")
"""What can be done to the four equal pixels before they are four, beside numbers a channel."""
EACH_VALUE = {
    keras.activations.get(name)
    for name in (
        *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish"),
        *("sigmoid", "log_sigmoid", "hard_sigmoid", "hard_silu", "tanh", "hard_tanh"),
        *("softplus", "softsign", "exponential"),
    )
}
"""Activations that look at one value; softmax, say, looks at those of all channels."""
LAYERS = (layers.ReLU, layers.LeakyReLU, layers.ELU)
"""Layers that are the same."""


def of_each_value(activation) -> bool:
    """Whether a convolution's activation looks at no other value, as far as is known."""
    return isinstance(activation, LAYERS) or activation in EACH_VALUE


def may_have_weights(activation) -> bool:
    """Whether it is a layer like PReLU, whose weights Keras makes when it is called first."""
    return isinstance(activation, keras.layers.Layer) and not isinstance(
        activation, (*LAYERS, layers.Softmax)
    )


def keeps_apart(operation: keras.Operation) -> bool:
    """Whether a layer computes each value from that value and numbers of its channel."""
    if isinstance(operation, layers.BatchNormalization):
        return by_channel(operation)
    if isinstance(operation, layers.DepthwiseConv2D):
        return (
            operation.kernel_size == operation.strides == (1, 1)
            and operation.depth_multiplier == 1
            and of_each_value(operation.activation)
        )
    return function_of(operation) in FUNCTIONS
