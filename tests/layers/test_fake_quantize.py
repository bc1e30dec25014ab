"""Layers that round as integer kernels do, against the rounding written out in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg.layers import (
    FakeQuantize,
    QuantizedConv2D,
    QuantizedConv2DTranspose,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
)
from keras_seg.layers.quantized_convolutions import rounded_by_channel

RANDOM = np.random.default_rng(0)
LAYERS = {
    # name: (layer, the one that it rounds the kernel of, axes of the kernel inside a channel)
    "conv": (QuantizedConv2D(4, 3, bias_initializer="ones"), keras.layers.Conv2D, (0, 1, 2)),
    "dilated": (
        QuantizedConv2D(4, 3, padding="same", dilation_rate=2),
        keras.layers.Conv2D,
        (0, 1, 2),
    ),
    "grouped": (QuantizedConv2D(6, 3, groups=3), keras.layers.Conv2D, (0, 1, 2)),
    "depthwise": (
        QuantizedDepthwiseConv2D(3, strides=2, depth_multiplier=2, bias_initializer="ones"),
        keras.layers.DepthwiseConv2D,
        (0, 1),
    ),
    "transposed": (
        QuantizedConv2DTranspose(4, 2, 2, bias_initializer="ones"),
        keras.layers.Conv2DTranspose,
        (0, 1, 3),
    ),
    "dense": (QuantizedDense(4, activation="elu"), keras.layers.Dense, (0,)),
}


def fresh(name):
    layer = LAYERS[name][0]
    return type(layer).from_config(layer.get_config())


def rounded(x, low, high):
    """To the 256 steps of a range that begins at a whole number of steps below zero."""
    step = (high - low) / 255
    zero = np.round(-low / step)
    return (np.clip(np.round(x / step) + zero, 0, 255) - zero) * step


def test_values_are_rounded_to_the_steps_of_a_fixed_range():
    x = RANDOM.uniform(-2, 3, (2, 5, 5, 3)).astype("float32")
    found = FakeQuantize(fixed=(-1.0, 127 / 128))(x)
    np.testing.assert_allclose(found, rounded(x, -1, 127 / 128), atol=1e-6)


def test_the_first_batch_counts_whole_and_later_ones_by_their_share():
    layer = FakeQuantize(momentum=0.75)
    layer(np.float32([[-1, 3]]), member=0, training=True)
    assert layer.range() == (-1.0, 3.0)
    layer(np.float32([[-2, 7]]), member=0, training=True)
    assert layer.range() == (-1.25, 4.0)
    found = layer(np.float32([[9.0, 0.1]]))
    np.testing.assert_allclose(found, rounded(np.float32([[9.0, 0.1]]), -1.25, 4.0), atol=1e-6)


def test_a_range_holds_zero_and_all_of_its_members():
    layer = FakeQuantize(3)
    layer(np.float32([2, 4]), member=0, training=True)
    assert layer.range() == (0.0, 4.0)
    layer(np.float32([-5, 1]), member=2, training=True)
    assert layer.range() == (-5.0, 4.0)


def test_nothing_is_rounded_before_a_range_is_known():
    x = np.float32([0.123456, -7.5])
    layer = FakeQuantize()
    np.testing.assert_array_equal(layer(x, member=0), x)
    assert layer.range() is None


@pytest.mark.parametrize("how", ["inference", "frozen", "no member"])
def test_a_range_moves_in_training_alone(how):
    layer = FakeQuantize()
    layer(np.float32([1]), member=0, training=True)
    layer.trainable = how != "frozen"
    layer(np.float32([5]), member=None if how == "no member" else 0, training=how != "inference")
    assert layer.range() == (0.0, 1.0)


def test_gradients_pass_inside_the_range_only():
    layer = FakeQuantize(momentum=0.0)
    layer(np.float32([-1, 1]), member=0, training=True)
    x = tf.constant([-3.0, -0.5, 0.3, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 1, 1, 0])


@pytest.mark.parametrize("words", [{"fixed": (1.0, 2.0)}, {"momentum": 1.0}])
def test_ranges_that_cannot_be_are_refused(words):
    with pytest.raises(ValueError, match="Received"):
        FakeQuantize(**words)


@pytest.mark.parametrize("name", LAYERS)
class TestKernels:
    def test_each_channel_has_its_own_255_steps(self, name):
        _, plain, axes = LAYERS[name]
        layer = fresh(name)
        x = RANDOM.normal(size=(2, 9, 9, 6)).astype("float32")
        layer.build(x.shape)
        kernel = RANDOM.normal(size=layer.kernel.shape).astype("float32")
        layer.kernel.assign(kernel)
        step = np.abs(kernel).max(axes, keepdims=True) / 127
        reference = plain.from_config(layer.get_config())
        reference.build(x.shape)
        reference.set_weights(layer.get_weights())
        reference.kernel.assign(np.round(kernel / step) * step)
        np.testing.assert_allclose(layer(x), reference(x), atol=1e-4)

    def test_gradients_reach_every_weight(self, name):
        layer, x = fresh(name), RANDOM.uniform(0.1, 1, (2, 9, 9, 6)).astype("float32")
        layer(x)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x))
        assert np.all(tape.gradient(loss, layer.kernel.value) != 0)

    def test_a_settled_kernel_gives_the_same(self, name):
        layer = fresh(name)
        x = RANDOM.normal(size=(1, 9, 9, 6)).astype("float32")
        expected = layer(x)
        before = np.array(layer.kernel)
        layer.settle()
        np.testing.assert_array_equal(layer(x), expected)
        assert not np.array_equal(layer.kernel, before)


def test_gradients_pass_as_if_nothing_were_rounded():
    """The operator alone finds the largest weight of one channel in twelve out of its range."""
    kernel = tf.constant(np.random.default_rng(0).uniform(-1, 1, (3, 3, 6, 4000)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        rounded = rounded_by_channel(kernel)
    np.testing.assert_array_equal(tape.gradient(rounded, kernel), np.ones(kernel.shape))
