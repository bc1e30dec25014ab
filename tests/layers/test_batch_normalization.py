"""Batch norm in one operator gives the numbers of Keras' batch norm in pieces."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import losses, models
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


class TestSingleValuePerChannel:
    """Keras' layer would put out beta alone and let its moving variance fall to 0."""

    SIGNATURES = (
        (1, 1, 1, 3),  # as for arrays of one image
        (None, 1, 1, 3),  # behind a global pooling
        (None, None, None, 3),  # images of any size
    )

    @staticmethod
    def layer(kind=BatchNormalization, shape=(None, None, None, 3), **options):
        made = kind(momentum=0.9, epsilon=1e-3, **options)
        made.build(shape)
        rng = np.random.default_rng(1)
        made.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in made.weights])
        return made

    @pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
    @pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
    @pytest.mark.parametrize("signature", SIGNATURES, ids=str)
    def test_is_normalised_as_in_prediction(self, signature, policy, compiled):
        layer, value = self.layer(dtype=policy), images((1, 1, 1, 3))
        before = layer.get_weights()

        @tf.function(input_signature=[tf.TensorSpec(signature)], jit_compile=compiled)
        def step_of(image):
            with tf.GradientTape() as tape:
                tape.watch(image)
                outputs = tf.cast(layer(image, training=True), tf.float32)
            return outputs, tape.gradient(outputs, [image, layer.gamma.value, layer.beta.value])

        outputs, (to_image, to_gamma, to_beta) = step_of(tf.constant(value))
        gamma, beta, mean, variance = before
        normalised = (value[0, 0, 0] - mean) / np.sqrt(variance + 1e-3)
        near = {"rtol": 1e-5, "atol": 1e-6}
        if policy != "float32":
            near = {"rtol": 0.02, "atol": 0.05}
        np.testing.assert_allclose(outputs[0, 0, 0], normalised * gamma + beta, **near)
        np.testing.assert_allclose(to_image[0, 0, 0], gamma / np.sqrt(variance + 1e-3), **near)
        np.testing.assert_allclose(to_gamma, normalised, **near)
        np.testing.assert_allclose(to_beta, np.ones(3), **near)
        for old, new in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    @pytest.mark.parametrize("signature", SIGNATURES[1:], ids=str)
    def test_two_values_are_a_batch_as_before(self, signature):
        ours, theirs = self.layer(), self.layer(keras.layers.BatchNormalization)
        compiled = tf.function(
            lambda image: ours(image, training=True), input_signature=[tf.TensorSpec(signature)]
        )
        values = images((2, 1, 1, 3))
        np.testing.assert_allclose(compiled(values), theirs(values, training=True), atol=1e-5)
        np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)

    @pytest.mark.parametrize("number", [1, 2])
    def test_vectors(self, number):
        ours, theirs = (
            self.layer(shape=(None, 3)),
            self.layer(keras.layers.BatchNormalization, shape=(None, 3)),
        )
        compiled = tf.function(
            lambda x: ours(x, training=True), input_signature=[tf.TensorSpec((None, 3))]
        )
        values, before = images((number, 3)), ours.get_weights()
        expected = theirs(values, training=number > 1)
        np.testing.assert_allclose(compiled(values), expected, atol=1e-5)
        after = before if number == 1 else theirs.get_weights()
        np.testing.assert_allclose(ours.moving_mean, after[2], rtol=1e-5)
        np.testing.assert_allclose(ours.moving_variance, after[3], rtol=1e-5)

    def test_large_maps_take_no_further_operator(self):
        layer = self.layer()

        def operators(signature):
            graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(
                tf.TensorSpec(signature)
            )
            return {operation.type for operation in graph.graph.get_operations()}

        assert "SelectV2" in operators((None, 1, 1, 3))
        assert "SelectV2" not in operators((None, 2, 1, 3))
        assert "SelectV2" not in operators((2, None, None, 3))


@pytest.mark.slow  # the layer alone is trained on single values above
@pytest.mark.parametrize("size", [(64, 64), (33, 40)], ids=str)
def test_deeplab_trains_on_single_images_as_it_predicts(size):
    keras.utils.set_random_seed(0)
    model = models.deeplabv3plus(
        (None, None, 3),
        2,
        backbone="resnet18",
        backbone_weights=None,
        backbone_options={"width": 4},
        channels=8,
    )
    norm = model.get_layer("aspp.pool_bn")
    norm.gamma.assign(np.full(norm.gamma.shape, 0.5))
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (3, *size, 3)).astype("float32")
    mask = rng.integers(0, 2, (3, *size))
    model.compile("adam", losses.get("cross_entropy"), run_eagerly=True)
    model.fit(image, mask, batch_size=1, epochs=2, verbose=0)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(8))
    np.testing.assert_array_equal(norm.moving_variance, np.ones(8))
    assert np.ptp(norm.gamma.numpy()) > 0  # it has a gradient
    model.fit(image, mask, batch_size=2, verbose=0)  # the last batch holds one image
    assert norm.moving_variance.numpy().min() > 0 and norm.moving_variance.numpy().max() < 1
    np.testing.assert_array_less(0.85, norm.moving_variance)  # one step of momentum 0.9


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
