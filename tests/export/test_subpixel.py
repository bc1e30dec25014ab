"""Networks whose convolutions see small maps in place of enlarged ones put out the same numbers."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_seg import models
from keras_seg.export.network.subpixel import with_subpixel_convolutions
from keras_seg.layers import DepthToSpace, Resize

ENLARGING = (kl.Conv2DTranspose, kl.UpSampling2D, Resize)


def randomized(model):
    """Every weight random, so that folded norms and the order of channels count."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        drawn = [random.normal(0.2, 0.5, w.shape) for w in layer.get_weights()]
        if isinstance(layer, kl.BatchNormalization):
            drawn[3] = random.uniform(0.5, 2.0, drawn[3].shape)  # the variance
        layer.set_weights(drawn)
    return model


def outputs(model, shape=(1, 6, 8, 3)):
    image = np.random.default_rng(1).normal(size=shape).astype("float32")
    return [np.asarray(x) for x in keras.tree.flatten(model(image, training=False))]


def kinds(model):
    return {type(layer) for layer in model.layers}


def assert_equal(model, copy, shape=(1, 6, 8, 3)):
    for expected, found in zip(outputs(model, shape), outputs(copy, shape), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def doubled(x, kind):
    if kind == "UpSampling2D":
        return kl.UpSampling2D(2)(x)
    return Resize(2, interpolation="nearest", grid=kind)(x)


def network(*body, shape=(6, 8, 3)):
    image = keras.Input(shape, batch_size=1)
    x = image
    for layer in body:
        x = layer(x)
    return randomized(keras.Model(image, x))


class TestDoubledMaps:
    @pytest.mark.parametrize("kind", ["UpSampling2D", "half_pixel", "top_left"])
    @pytest.mark.parametrize("size", [1, 3, 5, 7])
    def test_convolution_of_a_doubled_map_is_one_of_the_small_map(self, kind, size):
        model = network(
            lambda x: doubled(x, kind), kl.Conv2D(5, size, padding="same", activation="relu")
        )
        copy = with_subpixel_convolutions(model, largest=7)
        assert_equal(model, copy)
        assert DepthToSpace in kinds(copy) and not kinds(copy) & {*ENLARGING}

    @pytest.mark.parametrize("order", ["udd", "dud", "ddu", "udu"])
    def test_what_is_concatenated_with_it_keeps_its_weights(self, order):
        """u: up-sampled, d: of the same size already; each with channels of its own."""
        image = keras.Input((6, 8, 3), batch_size=1)
        maps = []
        for i, letter in enumerate(order):
            x = kl.Conv2D(2 + i, 1, strides=2 if letter == "u" else 1)(image)
            maps.append(doubled(x, "half_pixel") if letter == "u" else x)
        x = kl.Conv2D(4, 3, padding="same")(kl.Concatenate()(maps))
        model = randomized(keras.Model(image, kl.ReLU()(kl.BatchNormalization()(x))))
        copy = with_subpixel_convolutions(model)
        assert_equal(model, copy)
        assert not kinds(copy) & {*ENLARGING, kl.BatchNormalization}

    def test_norms_and_relus_between_come_first(self):
        """As in pre-activated residual units, whose shortcut takes the same maps."""
        image = keras.Input((6, 8, 3), batch_size=1)
        small = kl.Conv2D(4, 3, strides=2, padding="same")(image)
        joined = kl.Concatenate()([doubled(small, "half_pixel"), image])
        x = kl.ReLU()(kl.BatchNormalization()(joined))
        x = kl.Conv2D(5, 3, padding="same")(x)
        x = kl.Add()([x, kl.BatchNormalization()(kl.Conv2D(5, 1)(joined))])
        model = randomized(keras.Model(image, x))
        copy = with_subpixel_convolutions(model)
        assert_equal(model, copy)
        assert not kinds(copy) & {*ENLARGING}

    def test_frozen_convolutions_stay_frozen(self):
        model = network(kl.UpSampling2D(2), kl.Conv2D(4, 3, padding="same", trainable=False))
        copy = with_subpixel_convolutions(model)
        assert copy is not model and not copy.trainable_weights

    def test_nested_models_may_use_the_same_names(self):
        image = keras.Input((6, 8, 3), batch_size=1)
        x = image
        for _ in range(2):
            inside = keras.Input((None, None, x.shape[-1]), batch_size=1)
            y = kl.Conv2D(4, 1, name="first")(inside)
            y = kl.Conv2D(2, 3, padding="same", name="last")(doubled(y, "half_pixel"))
            x = keras.Model(inside, y)(x)
        model = keras.Model(image, x)
        copy = with_subpixel_convolutions(model)
        assert_equal(model, copy)
        assert DepthToSpace in kinds(copy)

    def test_a_map_that_others_take_stays_for_them(self):
        image = keras.Input((6, 8, 3), batch_size=1)
        large = doubled(image, "half_pixel")
        model = randomized(keras.Model(image, [kl.Conv2D(4, 3, padding="same")(large), large]))
        copy = with_subpixel_convolutions(model)
        assert_equal(model, copy)
        assert {DepthToSpace, Resize} <= kinds(copy)

    @pytest.mark.parametrize(
        "body",
        [
            (Resize(2), kl.Conv2D(4, 3, padding="same")),
            (Resize(2, interpolation="nearest", grid="align_corners"), kl.Conv2D(4, 1)),
            (kl.UpSampling2D(3), kl.Conv2D(4, 3, padding="same")),
            (kl.UpSampling2D(2), kl.Conv2D(4, 3, padding="same", strides=2)),
            (kl.UpSampling2D(2), kl.Conv2D(4, 3, padding="same", dilation_rate=2)),
            (kl.UpSampling2D(2), kl.Conv2D(4, 3)),
            (kl.UpSampling2D(2), kl.Conv2D(4, 5, padding="same")),
            (kl.UpSampling2D(2), kl.MaxPooling2D(2)),
        ],
    )
    def test_other_layers_stay_as_they_are(self, body):
        model = network(*body)
        assert with_subpixel_convolutions(model) is model


class TestTransposedConvolutions:
    @pytest.mark.parametrize(
        ("kernel", "stride", "shape"),
        [
            *((2, 2, (6, 8, 3)), (3, 3, (6, 8, 3)), (3, 2, (6, 8, 3)), (5, 2, (6, 8, 3))),
            *((3, 1, (6, 8, 3)), (7, 1, (1, 1, 3)), (4, 3, (1, 1, 3))),
        ],
    )
    def test_they_become_convolutions_whose_channels_are_pixels(self, kernel, stride, shape):
        model = network(
            kl.Conv2DTranspose(4, kernel, strides=stride),
            kl.BatchNormalization(),
            kl.ReLU(),
            shape=shape,
        )
        copy = with_subpixel_convolutions(model)
        assert_equal(model, copy, (1, *shape))
        assert kinds(copy) <= {
            *(kl.InputLayer, kl.ZeroPadding2D, kl.Conv2D, kl.ReLU, DepthToSpace, kl.Cropping2D)
        }

    def test_padded_ones_and_unwanted_ones_stay(self):
        padded = network(kl.Conv2DTranspose(4, 3, strides=2, padding="same"))
        assert with_subpixel_convolutions(padded) is padded
        gaps = network(kl.Conv2DTranspose(4, 2, strides=3))
        assert with_subpixel_convolutions(gaps) is gaps
        model = network(kl.Conv2DTranspose(4, 2, strides=2))
        assert with_subpixel_convolutions(model, transposed=False) is model


QUICK = ("icnn", "unet", "unetplusplus")
"""For the others see conformance/test_exported_models.py: their files are rewritten like these."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in models.list_models()
    ],
)
def test_tiny_network_puts_out_the_same_logits(name, tiny_model):
    network = tiny_model(name, input_shape=(64, 96, 3))
    copy = with_subpixel_convolutions(network, largest=9)
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3)).astype("float32")
    for expected, found in zip(
        *(keras.tree.flatten(x(image, training=False)) for x in (network, copy)), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
