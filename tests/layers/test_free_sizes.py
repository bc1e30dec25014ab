"""Layers traced with free heights and widths, as `predict` traces images of several sizes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import layers, models

SIZES = [(8, 8), (9, 7), (12, 5), (1, 16)]


def traced(layer, count):
    """The layer compiled once, for maps of any height and width."""
    free = tf.TensorSpec((None, None, None, 3), tf.float32)
    return tf.function(lambda *maps: layer(*maps), input_signature=[free] * count)


def maps(size, seed=0):
    return np.random.default_rng(seed).normal(size=(2, *size, 3)).astype("float32")


@pytest.mark.parametrize(
    "layer",
    [
        layers.CropOrPad(),
        layers.CropOrPad("top_left"),
        layers.Resize(),
        layers.Resize(grid="top_left", interpolation="nearest"),
    ],
    ids=lambda layer: layer.name,
)
def test_maps_take_the_size_of_another(layer):
    call = traced(layer, 2)
    for size in SIZES:
        for other in SIZES:
            x, like = maps(size), maps(other, 1)
            np.testing.assert_array_equal(call(x, like), layer(x, like))


@pytest.mark.parametrize("stride", [1, 2])
def test_pooling_of_even_and_odd_sizes(stride):
    layer = layers.PaddedMaxPooling2D(stride)
    call = traced(layer, 1)
    for size in SIZES:
        np.testing.assert_array_equal(call(maps(size)), layer(maps(size)))


def test_one_model_predicts_images_of_several_sizes():
    keras.utils.set_random_seed(0)
    tiny = models.find("icnn").tiny
    model = models.icnn((None, None, 3), 2, **tiny)
    for size in [(32, 32), (40, 36), (37, 51)]:  # the third is traced with free sizes
        image = np.full((1, *size, 3), 100, "float32")
        expected = np.asarray(model(image))
        found = model.predict(image, verbose=0)
        assert found.shape == (1, *size, 2)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * abs(expected).max())
