"""Models that no builder of this package makes are exported as they are."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_seg import export as room
from keras_seg import inference
from keras_seg.export.aware.rewrite import quantization_aware
from keras_seg.export.network.dead_taps import without_dead_taps
from keras_seg.export.network.deployed import deployed_model, float32_model
from keras_seg.export.network.subpixel import with_subpixel_convolutions
from keras_seg.layers import DepthToSpace

SHAPE = (12, 16, 3)


def foreign(body):
    """A network of random weights; `body` makes the scores of the image."""
    image = keras.Input(SHAPE)
    model = keras.Model(image, body(image))
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, kl.Normalization):
            continue
        drawn = [random.normal(0.1, 0.4, w.shape) for w in layer.get_weights()]
        if isinstance(layer, kl.BatchNormalization):
            drawn[3] = random.uniform(0.5, 2.0, drawn[3].shape)
        layer.set_weights(drawn)
    return model


def image_of(seed=0):
    return np.random.default_rng(seed).integers(0, 256, SHAPE, "uint8")


def scores(model):
    return np.asarray(model(image_of()[None].astype("float32"), training=False))


def half(x, channels=4):
    return kl.Conv2D(channels, 3, strides=2, padding="same", activation="relu")(x)


def joined(image):
    return kl.Concatenate()([kl.UpSampling2D(2)(half(image)), image])


def adapted():
    layer = kl.Normalization()
    layer.adapt(np.random.default_rng(0).uniform(0, 255, (50, 4, 4, 3)).astype("float32"))
    return layer


class TestFunctionsOfSeveralChannels:
    """Softmax over the channels of a pixel is not one over those of the square it comes from."""

    @pytest.mark.parametrize(
        "activation", ["softmax", "log_softmax", "sparsemax", kl.PReLU, kl.Softmax]
    )
    @pytest.mark.parametrize("transposed", [True, False])
    def test_they_see_the_pixels_of_the_large_map(self, activation, transposed):
        function = activation if isinstance(activation, str) else activation()

        def body(image):
            x = half(image)
            if transposed:
                return kl.Conv2DTranspose(5, 2, strides=2, activation=function)(x)
            return kl.Conv2D(5, 3, padding="same", activation=function)(kl.UpSampling2D(2)(x))

        model = foreign(body)
        copy = with_subpixel_convolutions(deployed_model(model, SHAPE))
        expected = scores(model)
        assert np.abs(scores(copy) - expected).max() < 1e-4 * np.abs(expected).max()
        rewritten = any(isinstance(layer, DepthToSpace) for layer in copy.layers)
        assert rewritten == (activation != kl.PReLU)  # whose weights a copy would not have

    @pytest.mark.parametrize("words", [{"activation": "softmax"}, {"depth_multiplier": 2}])
    def test_a_depthwise_convolution_of_joined_maps_sees_all_of_them(self, words):
        model = foreign(
            lambda image: kl.Conv2D(5, 3, padding="same")(
                kl.DepthwiseConv2D(1, **words)(joined(image))
            )
        )
        copy = with_subpixel_convolutions(deployed_model(model, SHAPE))
        expected = scores(model)
        assert np.abs(scores(copy) - expected).max() < 1e-4 * np.abs(expected).max()


class TestBatchNormsOfAnotherAxis:
    @staticmethod
    def network():
        def body(image):
            x = kl.Conv2D(SHAPE[0], 3, padding="same")(kl.UpSampling2D(2)(half(image)))
            return kl.Conv2D(5, 1)(kl.BatchNormalization(axis=1)(x))

        return foreign(body)

    def test_their_rows_do_not_become_channels_of_the_convolution(self):
        model = self.network()
        copy = deployed_model(model, SHAPE, norms_to_convolutions=True)
        expected = scores(model)
        found = scores(with_subpixel_convolutions(copy))
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()

    def test_they_stay_in_quantization_aware_training(self):
        copy = quantization_aware(self.network())
        assert any(type(layer) is kl.BatchNormalization for layer in copy.layers)


class TestAdaptedNormalization:
    """What `adapt` measured is in weights, but Keras computes with a copy of them."""

    @staticmethod
    def network():
        return foreign(lambda image: kl.Conv2D(5, 3, padding="same")(adapted()(image)))

    @pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
    def test_it_is_in_the_file(self, suffix, tmp_path):
        model = self.network()
        path = tmp_path / f"model{suffix}"
        room.export(model, path, input_shape=SHAPE)
        found = inference.load(path).run(image_of())
        np.testing.assert_allclose(found, scores(model)[0], rtol=1e-4, atol=1e-4)

    def test_it_outlives_the_cutting_of_dilated_kernels(self):
        def body(image):
            return kl.Conv2D(5, 3, dilation_rate=16, padding="same")(adapted()(image))

        model = foreign(body)
        copy = without_dead_taps(deployed_model(model, SHAPE))
        assert copy.layers[-1].kernel_size == (1, 1)
        expected = scores(model)
        assert np.abs(scores(copy) - expected).max() < 1e-5 * np.abs(expected).max()

    def test_the_model_that_files_are_compared_with_has_it(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            model = self.network()
        finally:
            keras.config.set_dtype_policy("float32")
        np.testing.assert_allclose(scores(float32_model(model)), scores(model), atol=0.1)

    def test_quantization_aware_training_has_it(self):
        copy = quantization_aware(self.network())
        (layer,) = (layer for layer in copy.layers if isinstance(layer, kl.Normalization))
        assert np.all(np.asarray(layer.mean) > 100)


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("words", [{}, {"strides": 2}, {"dilation_rate": 2}, {"padding": "valid"}])
def test_grouped_convolutions_are_in_the_file(suffix, words, tmp_path):
    """As a call of a compiled function, which ONNX has not, Keras would compute them."""

    def body(image):
        x = kl.Conv2D(6, 3, padding="same")(image)
        return kl.Conv2D(9, 3, groups=3, **{"padding": "same"} | words)(x)

    model, path = foreign(body), tmp_path / f"model{suffix}"
    room.export(model, path, input_shape=SHAPE)
    expected = scores(model)[0]
    assert (
        np.abs(inference.load(path).run(image_of()) - expected).max()
        < 1e-5 * np.abs(expected).max()
    )
