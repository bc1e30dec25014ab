"""Models as backbones: of Keras Applications, with `pyramid_outputs`, and with named maps."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

from keras_seg import backbones, models
from keras_seg.backbones.given import encoder_of
from keras_seg.backbones.given_pixels import normalising_layer
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.layers import Preprocessing
from keras_seg.models.freezing import backbone_layers

FREE = (None, None, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype("float32")


def strided_model(*, name="own", first="stem", shape=FREE, before=(), padding="same"):
    """A plain encoder: a convolution of stride 2 and one of stride 1 per resolution."""
    image = x = keras.Input(shape)
    for layer in before:
        x = layer(x)
    for level, width in enumerate((3, 4, 4, 4, 32)):
        stem = first if level == 0 else f"down{level}"
        x = layers.Conv2D(4, 3, 2, padding=padding, name=stem)(x)
        x = layers.Conv2D(width, 1, padding=padding, activation="relu", name=f"same{level}")(x)
    return keras.Model(image, x, name=name)


class Pyramid(keras.Model):
    """As keras-hub's `FeaturePyramidBackbone`: a functional model with a dict of levels."""

    def __init__(self, shape=FREE):
        model = strided_model(shape=shape)
        super().__init__(model.input, model.output, name="pyramid")
        levels = [model.get_layer(f"same{level}").output for level in range(1, 5)]
        self.pyramid_outputs = {f"P{i}": x for i, x in enumerate(levels, start=2)}


def outputs(model, level, pixels):
    return np.asarray(keras.Model(model.input, model.get_layer(f"same{level}").output)(pixels))


def test_the_maps_of_a_plain_model_are_its_last_at_each_stride():
    model = strided_model()
    encoder = encoder_of(model, FREE, preprocessing="unit")
    maps = encoder(IMAGES)
    assert [*maps] == [f"stride_{stride}" for stride in (2, 4, 8, 16, 32)]
    for level, features in enumerate(maps.values()):
        expected = outputs(model, level, IMAGES / 255)
        np.testing.assert_allclose(np.asarray(features), expected, atol=1e-5)


def test_a_model_is_copied():
    model = strided_model()
    encoder = encoder_of(model, FREE, preprocessing=None)
    ours, theirs = encoder.get_layer("stem").kernel, model.get_layer("stem").kernel
    theirs.assign(theirs * 0)
    assert np.abs(np.asarray(ours)).max() > 0


@pytest.mark.parametrize("kind", [strided_model, Pyramid])
def test_output_stride_dilates_a_plain_model_and_a_pyramid(kind):
    encoder = encoder_of(kind(), FREE, preprocessing=None, output_stride=8)
    shapes = encoder.compute_output_shape((1, 64, 64, 3))
    assert (shapes["stride_32"][1], shapes["stride_4"][1]) == (8, 16)


def test_a_network_on_a_pyramid_is_equal_after_loading(tmp_path):
    model = models.deeplabv3plus(
        (32, 32, 3), 2, backbone=Pyramid(), channels=4, aspp_rates=(1,), preprocessing="symmetric"
    )
    path = tmp_path / "model.keras"
    models.save(model, path, ModelCard(ClassTable.numbered(2)))
    image = IMAGES[:, :32, :32]
    np.testing.assert_array_equal(*(np.asarray(m(image)) for m in (model, models.load(path))))
    layers_of_encoder = [layer.name for layer in backbone_layers(model)]
    assert "stem" in layers_of_encoder and "aspp.conv0" not in layers_of_encoder


@pytest.mark.parametrize(
    "name", ["unet", pytest.param("unetplusplus", marks=pytest.mark.slow), "danet"]
)
def test_other_networks_take_a_model(name):
    options = {"danet": {"multi_grid": None}}.get(name, {"decoder_widths": (2, 2, 2, 2, 2)})
    model = models.build(name, FREE, 2, backbone=Pyramid(), preprocessing=None, **options)
    assert model.compute_output_shape((1, 64, 64, 3)) == (1, 64, 64, 2)


class TestPixels:
    def test_a_model_that_does_not_show_its_pixels_is_asked_for(self):
        for model in (strided_model(), Pyramid()):
            with pytest.raises(ValueError, match="not known. .* preprocessing='symmetric'"):
                models.deeplabv3plus(FREE, 2, backbone=model)

    def test_a_model_that_normalises_itself_gets_pixels_as_they_are(self):
        model = strided_model(before=[layers.Rescaling(1 / 255)])
        encoder = encoder_of(model, FREE, preprocessing="backbone")
        assert not [x for x in encoder.layers if isinstance(x, Preprocessing)]
        with pytest.raises(ValueError, match="normalises pixels itself.*would do it twice"):
            encoder_of(model, FREE, preprocessing="unit")

    def test_an_application_gets_what_its_own_function_gives(self):
        """Keras' ResNet50 takes blue first and without the mean of ImageNet."""
        model = strided_model(name="resnet50", first="conv1_conv")
        encoder = encoder_of(model, FREE, preprocessing="backbone")
        pixels = keras.applications.resnet.preprocess_input(IMAGES.copy())
        actual = np.asarray(encoder(IMAGES)["stride_2"])
        np.testing.assert_allclose(actual, outputs(model, 0, pixels), atol=1e-3)

    def test_caffe_weights_of_keras_take_blue_first_under_any_name(self):
        model = strided_model(name="encoder", first="conv1_conv")
        pixels = keras.applications.resnet.preprocess_input(IMAGES.copy())
        expected = outputs(model, 0, pixels)
        image, stem = model.input, model.get_layer("same0").output
        named = keras.Model(image, {"stride_2": stem, "stride_32": model.output})
        kernel = model.get_layer("conv1_conv").get_weights()[0]
        for given in (model, named):
            encoder = encoder_of(given, FREE, preprocessing="caffe")
            actual = np.asarray(encoder(IMAGES)["stride_2"])
            np.testing.assert_allclose(actual, expected, atol=1e-3)
            np.testing.assert_array_equal(model.get_layer("conv1_conv").get_weights()[0], kernel)

    def test_a_name_alone_is_no_application(self):
        with pytest.raises(ValueError, match="Which pixels the backbone 'resnet50' takes"):
            encoder_of(strided_model(name="resnet50"), FREE, preprocessing="backbone")

    def test_named_maps_are_used_as_they_are_unless_a_mode_is_given(self):
        encoder = backbones.build("resnet18", FREE, width=4)
        assert encoder_of(encoder, FREE, preprocessing="backbone") is encoder
        changed = encoder_of(encoder, FREE, preprocessing="unit")
        expected = np.asarray(encoder(IMAGES / 255)["stride_32"])
        np.testing.assert_allclose(np.asarray(changed(IMAGES)["stride_32"]), expected, atol=1e-4)

    def test_arithmetic_on_the_image_is_not_done_twice(self):
        image = keras.Input((64, 64, 3))
        x = keras.applications.mobilenet_v2.preprocess_input(image)
        for i in range(5):
            name = None if i else "Conv1"
            x = layers.Conv2D(2, 3, strides=2, padding="same", name=name)(x)
        model = keras.Model([image], x, name="mobilenetv2_0.35_64")  # as with input_tensor=
        assert isinstance(model.input, list)
        encoder = encoder_of(model, (64, 64, 3), preprocessing="backbone")
        maps = encoder(IMAGES)["stride_32"]
        np.testing.assert_allclose(np.asarray(maps), np.asarray(model([IMAGES])), atol=1e-5)

    def test_padding_of_the_image_does_not_normalise(self):
        image = keras.Input(FREE)
        padded = keras.ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
        model = keras.Model(image, keras.layers.Conv2D(2, 3)(padded), name="own")
        assert normalising_layer(model) is None

    def test_named_maps_of_an_application_without_normalisation_are_told(self):
        image = keras.Input(FREE)
        stem = keras.layers.Conv2D(2, 3, strides=2, padding="same", name="conv1_conv")(image)
        model = keras.Model(image, {"stride_2": stem})
        with pytest.warns(UserWarning, match="looks like a model of keras.applications"):
            assert encoder_of(model, FREE, preprocessing="backbone") is model
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert encoder_of(model, FREE, preprocessing=None) is model


class TestRefused:
    @pytest.mark.parametrize(
        ("backbone", "message"),
        [
            (lambda: keras.Input(FREE), r"backbone must be a name .*ResNet50\(include_top=False\)"),
            (
                lambda: keras.Model(x := keras.Input(FREE), layers.GlobalAveragePooling2D()(x)),
                r"not in a feature map.*include_top=False",
            ),
            (
                lambda: keras.Model(x := keras.Input(FREE), layers.Conv2D(2, 3, 2)(x)),
                "strides up to 2, and a map at stride 32",
            ),
            (lambda: strided_model(padding="valid"), "convolutions without padding"),
            (lambda: strided_model(shape=(96, 96, 3)), "contradicts the backbone 'own', .*96, 96"),
        ],
        ids=["tensor", "classifier", "shallow", "unpadded", "size"],
    )
    def test_a_model_that_does_not_fit(self, backbone, message):
        with pytest.raises(ValueError, match=message):
            models.deeplabv3plus((256, 256, 3), 2, backbone=backbone(), preprocessing=None)

    def test_options_of_a_backbone_by_name(self):
        with pytest.raises(ValueError, match="backbone_options are for a backbone by name"):
            models.unet(FREE, 2, backbone=Pyramid(), backbone_options={"width": 4})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("application", "module"),
    [
        ("ResNet50", "resnet"),
        ("ResNet50V2", "resnet_v2"),
        ("VGG16", "vgg16"),
        ("MobileNet", "mobilenet"),
        ("MobileNetV2", "mobilenet_v2"),
        ("MobileNetV3Small", "mobilenet_v3"),
        ("DenseNet121", "densenet"),
        ("Xception", "xception"),
        ("EfficientNetB0", "efficientnet"),
        ("EfficientNetV2B0", "efficientnet_v2"),
        ("ConvNeXtTiny", "convnext"),
    ],
)
def test_applications_of_keras(application, module):
    """The last map, for pixels of 0..255, equals that of the application for its own pixels."""
    model = getattr(keras.applications, application)(include_top=False, weights=None)
    encoder = encoder_of(model, FREE, preprocessing="backbone")
    assert "stride_4" in encoder.output
    pixels = getattr(keras.applications, module).preprocess_input(IMAGES.copy())
    actual = np.asarray(encoder(IMAGES)["stride_32"])
    expected = np.asarray(model(pixels))
    if application == "Xception":  # its first convolutions have no padding, which the copy has
        assert actual.shape == expected.shape
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * expected.std())
