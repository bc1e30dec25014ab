"""Batch norm in one operator gives the numbers of Keras' batch norm in pieces."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg.layers import BatchNormalization


def step(kind, images, **options):
    """Outputs, gradients of image and weights, and weights after one training step."""
    layer = kind(momentum=0.9, epsilon=1e-5, **options)
    layer.build(images.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.weights])
    image = tf.Variable(images)
    scores = tf.constant(rng.normal(size=images.shape), tf.float32)
    with tf.GradientTape() as tape:
        outputs = layer(image, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * scores)
    gradients = tape.gradient(loss, [image, *layer.trainable_variables])
    return [np.asarray(each, np.float32) for each in (outputs, *gradients, *layer.get_weights())]


def images(shape=(4, 6, 5, 3)):
    return np.random.default_rng(0).normal(3, 2, shape).astype("float32")


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}], ids=str)
@pytest.mark.parametrize("shape", [(4, 6, 5, 3), (2, 1, 1, 3), (1, 7, 1, 8)], ids=str)
def test_outputs_gradients_and_averages_equal_those_of_keras(shape, options):
    ours = step(BatchNormalization, images(shape), **options)
    theirs = step(keras.layers.BatchNormalization, images(shape), **options)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-4, atol=1e-4)


def test_a_single_pixel_has_no_variance_rather_than_nan():
    ours = step(BatchNormalization, images((1, 1, 1, 3)))
    assert all(np.isfinite(each).all() for each in ours)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_statistics_in_float32(policy):
    ours = step(BatchNormalization, images(), dtype=policy)
    theirs = step(keras.layers.BatchNormalization, images(), dtype=policy)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=0.03, atol=0.03 * np.abs(their).max())


def test_training_takes_one_operator_and_prediction_keras_own():
    layer = BatchNormalization()
    layer.build((None, None, None, 3))

    def operators(training):
        graph = tf.function(lambda x: layer(x, training=training)).get_concrete_function(
            tf.TensorSpec((None, None, None, 3))
        )
        return {operation.type for operation in graph.graph.get_operations()}

    assert "FusedBatchNormV3" in operators(True)
    assert "FusedBatchNormV3" not in operators(False)


def test_a_frozen_one_keeps_its_averages():
    layer = BatchNormalization(trainable=False)
    layer.build((None, None, None, 3))
    before = layer.get_weights()
    layer(images(), training=True)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


RENORM = [{"renorm": True}] if "renorm" in BatchNormalization().get_config() else []  # Keras 3.14


@pytest.mark.parametrize("options", [{"synchronized": True}, {"axis": 1}, *RENORM], ids=str)
def test_what_the_operator_cannot_do_is_done_by_keras(options):
    layer = BatchNormalization(**options)
    layer.build((None, 4, 4, 4))
    assert not layer._is_fusible(tf.zeros((1, 4, 4, 4)))


def test_xla_compiles_it():
    layer = BatchNormalization(momentum=0.9)
    layer.build((None, None, None, 3))
    compiled = tf.function(lambda x: layer(x, training=True), jit_compile=True)
    other = keras.layers.BatchNormalization(momentum=0.9)
    np.testing.assert_allclose(compiled(images()), other(images(), training=True), atol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, other.moving_variance, rtol=1e-5)
