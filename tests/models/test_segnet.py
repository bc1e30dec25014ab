"""What is special to SegNet and DeconvNet: VGG16's weights, odd sizes, dropout that stays on."""

from unittest import mock

import keras
import numpy as np
import pytest

from keras_seg import backbones, layers, models
from keras_seg.backbones import vgg16_weights
from tests.helpers.networks import trainable_parameters

NARROW = ((2, 2), (4, 4), (4, 4, 4), (8, 8, 8), (8, 8, 8))
PIXELS = np.random.default_rng(0).uniform(0, 255, (1, 45, 61, 3)).astype("float32")
TARGET = np.random.default_rng(1).normal(size=(1, 14, 14, 4))
SLOW = pytest.mark.slow
MODES = [pytest.param(mode, marks=SLOW) for mode in (None, "unit", "symmetric", "caffe")]
"""The test of a file of Keras takes the default, and compares the first map, too."""


@pytest.fixture(scope="module")
def vgg16():
    """Random weights of torchvision's vgg16_bn as {name: array}."""
    rng, tensors, place = np.random.default_rng(0), {}, 0
    before = 3
    for widths in ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3):
        for width in widths:
            kernel = rng.standard_normal((width, before, 3, 3)) / np.sqrt(9 * before)
            tensors[f"features.{place}.weight"] = kernel.astype("float32")
            tensors[f"features.{place}.bias"] = rng.uniform(-1, 1, width).astype("float32")
            for leaf in ("weight", "bias", "running_mean", "running_var"):
                values = rng.uniform(0.5, 1.5, width).astype("float32")
                tensors[f"features.{place + 1}.{leaf}"] = values
            before, place = width, place + 3
        place += 1  # a pooling
    return tensors


def inside(model, layer, pixels):
    """The map behind a layer, without the border, where zeros stand for another color."""
    found = keras.Model(model.input, model.get_layer(layer).output)(pixels)
    return np.asarray(found)[:, 1:-1, 1:-1]


class TestVgg16Weights:
    @pytest.mark.parametrize("mode", MODES)
    def test_first_map_is_that_of_vgg16_whatever_pixels_the_network_takes(self, vgg16, mode):
        expected = backbones.build("vgg16_bn", weights=vgg16, preprocessing="imagenet")
        model = models.segnet(backbone_weights=vgg16, preprocessing=mode)
        # the network itself begins with its own normalisation of pixels in 0..255
        found, wanted = inside(model, "conv1_1_bn", PIXELS), inside(expected, "features.1", PIXELS)
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())

    @pytest.mark.parametrize(
        ("network", "options", "last"),
        [
            ("segnet", {}, "conv5_3_bn.act"),
            pytest.param("deconvnet", {"fc": 0}, "bn5_3.act", marks=SLOW),
        ],
    )
    def test_all_layers_get_their_own_weights(self, vgg16, network, options, last):
        options |= {"preprocessing": "imagenet", "backbone_weights": vgg16}
        model = models.build(network, (32, 32, 3), 2, **options)
        expected = backbones.build("vgg16_bn", (32, 32, 3), weights=vgg16, preprocessing="imagenet")
        found = keras.Model(model.input, model.get_layer(last).output)(PIXELS[:, :32, :32])
        wanted = expected(PIXELS[:, :32, :32])["stride_16"]
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())

    def test_a_file_of_keras_gives_its_first_map_at_the_size_of_its_kernel(self, tmp_path):
        keras.utils.set_random_seed(0)
        theirs = keras.applications.VGG16(include_top=False, weights=None)
        theirs.get_layer("block1_conv1").bias.assign(np.linspace(-1, 1, 64))
        theirs.save_weights(tmp_path / "vgg16.weights.h5")
        model = models.segnet(backbone_weights=tmp_path / "vgg16.weights.h5")
        kernels = theirs.get_layer("block1_conv1").kernel, model.get_layer("conv1_1").kernel
        sizes = [np.linalg.norm(kernel) for kernel in kernels]
        assert sizes[0] == pytest.approx(sizes[1], rel=1e-5)
        # pixels in 0..1 give a 255th of the published map, which the batch norm does not see
        found = 255 * inside(model, "conv1_1", PIXELS)
        ready = keras.applications.vgg16.preprocess_input(PIXELS.copy())
        activated = keras.Model(theirs.input, theirs.get_layer("block1_conv1").output)(ready)
        wanted = np.asarray(activated)[:, 1:-1, 1:-1]  # with its ReLU
        np.testing.assert_allclose(np.maximum(found, 0), wanted, atol=1e-5 * np.abs(wanted).max())

    def test_plain_weights_leave_the_norms_alone(self, vgg16):
        names = [name for name, tensor in vgg16.items() if tensor.ndim == 4]
        places = [int(name.split(".")[1]) for name in names]
        plain = {f"features.{p}.{leaf}": vgg16[f"features.{p}.{leaf}"]
                 for p in places for leaf in ("weight", "bias")}  # fmt: skip
        model = models.segnet(backbone_weights=plain)
        assert (np.asarray(model.get_layer("conv3_2_bn").moving_variance) == 1).all()
        kernel = np.asarray(model.get_layer("conv5_3").kernel)
        np.testing.assert_array_equal(kernel, vgg16["features.40.weight"].transpose(2, 3, 1, 0))

    @pytest.mark.parametrize(
        ("mode", "largest"), [("caffe", 1e-6), ("unit", 5e-3), ("imagenet", 2e-2)]
    )
    def test_first_kernel_learns_alike_whatever_pixels_the_network_takes(self, mode, largest):
        """A step of SGD turns the kernel by the same angle as in the authors' network.

        The deviations of ImageNet's colours differ by 2 %; on pixels of 0..1 epsilon is visible.
        """
        rng = np.random.default_rng(0)
        kernel, bias = rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)

        def step(mode):
            """The angle between the kernel before and after a step, per filter."""
            x = image = keras.Input((16, 16, 3))
            x = layers.Preprocessing(mode, dtype="float64")(x)
            x = keras.layers.Conv2D(4, 3, name="conv1_1", dtype="float64")(x)
            x = layers.BatchNormalization(epsilon=1e-5, name="conv1_1_bn", dtype="float64")(x)
            model = keras.Model(image, x)
            ready = [("1_1", kernel, bias, None)]
            with mock.patch.object(vgg16_weights, "_from_keras", return_value=ready):
                vgg16_weights.load_vgg16(model, "imagenet", mode, norm_name="conv{}_bn")
            model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
            before = model.get_layer("conv1_1").get_weights()[0].reshape(-1, 4)
            model.train_on_batch(PIXELS[:, :16, :16], TARGET)
            after = model.get_layer("conv1_1").get_weights()[0].reshape(-1, 4)
            lengths = np.linalg.norm(before, axis=0) * np.linalg.norm(after, axis=0)
            return np.arccos(np.clip((before * after).sum(0) / lengths, -1, 1))

        np.testing.assert_allclose(step(mode), step("caffe"), rtol=largest)

    def test_what_does_not_fit_is_refused(self, vgg16):
        with pytest.raises(ValueError, match=r"13 convolutions .*Received: 12"):
            less = {k: v for k, v in vgg16.items() if not k.startswith("features.40.")}
            models.segnet(backbone_weights=less)
        with pytest.raises(ValueError, match="fit its own widths"):
            models.segnet(widths=NARROW, backbone_weights=vgg16)
        with pytest.raises(ValueError, match="and 1 channels"):
            models.deconvnet((224, 224, 1), backbone_weights=vgg16, fc=0)


class TestParameters:
    @pytest.mark.parametrize(("num_classes", "count"), [(11, 29_449_355)])
    def test_segnet_has_those_of_the_authors_network(self, num_classes, count):
        assert trainable_parameters(lambda: models.segnet((32, 32, 3), num_classes)) == count

    @pytest.mark.parametrize(("num_classes", "count"), [(11, 1_416_587), (12, 1_416_652)])
    def test_segnet_basic_too(self, num_classes, count):
        assert trainable_parameters(lambda: models.segnet_basic((32, 32, 3), num_classes)) == count

    @pytest.mark.parametrize(
        ("fc", "num_classes", "count"),
        [
            (128, 4, 35_921_540),
            (0, 21, 29_481_429),
            (4096, 21, 251_805_653),
        ],
    )
    def test_deconvnet_at_any_width_of_its_bottom(self, fc, num_classes, count):
        found = trainable_parameters(lambda: models.deconvnet((224, 224, 3), num_classes, fc=fc))
        assert found == count


class TestSizes:
    @pytest.mark.parametrize("rounding", ["ceil", pytest.param("floor", marks=SLOW)])
    def test_odd_sizes_give_a_mask_of_the_image(self, rounding):
        free = models.segnet((None, None, 3), 3, widths=NARROW, rounding=rounding)
        assert free(PIXELS).shape == (1, 45, 61, 3)
        fixed = models.segnet((45, 61, 3), 3, widths=NARROW, rounding=rounding)
        fixed.set_weights(free.get_weights())
        np.testing.assert_array_equal(fixed(PIXELS), free(PIXELS))

    @pytest.mark.parametrize(("name", "smallest"), [("segnet", 32), ("segnet_basic", 16)])
    def test_images_that_rounding_down_would_use_up_are_refused(self, name, smallest):
        shape = (64, smallest - 1, 3)
        with pytest.raises(ValueError, match=f"input_shape must be at least {smallest} pixels"):
            models.build(name, shape, 3, **models.find(name).tiny, rounding="floor")

    def test_fc6_needs_images_of_224_pixels(self):
        with pytest.raises(ValueError, match=r"at least 224 pixels\. Received: 223"):
            models.deconvnet((224, 223, 3), 2, widths=NARROW, fc=8)
        assert models.deconvnet((256, 224, 3), 2, widths=NARROW, fc=8).output.shape == (
            None, 256, 224, 2,
        )  # fmt: skip


class TestBayesian:
    @pytest.mark.parametrize(
        ("network", "options", "places"),
        [
            pytest.param("segnet", {"widths": NARROW}, "enc3 enc4 enc5 dec5 dec4 dec3", marks=SLOW),
            ("segnet_basic", {"widths": (4, 4, 4, 4)}, "enc3 enc4 dec4 dec3"),
        ],
    )
    def test_dropout_stands_where_the_authors_have_it_and_stays_on(self, network, options, places):
        model = models.build(network, (None, None, 3), 3, bayesian=True, **options)
        names = [layer.name for layer in model.layers if "drop" in layer.name]
        assert names == [place[:3] + "drop" + place[3] for place in places.split()]
        assert np.abs(model(PIXELS) - model(PIXELS)).max() > 0
        mean, variance = models.predict_with_uncertainty(model, PIXELS, samples=4)
        assert mean.shape == variance.shape == (1, 45, 61, 3)
        np.testing.assert_allclose(mean.sum(-1), 1, atol=1e-5)
        assert variance.min() >= 0 and variance.max() > 0

    def test_plain_networks_take_the_same_weights_and_have_no_uncertainty(self):
        bayesian = models.segnet((None, None, 3), 3, widths=NARROW, bayesian=True)
        plain = models.segnet((None, None, 3), 3, widths=NARROW)
        for layer in plain.layers:
            layer.set_weights(bayesian.get_layer(layer.name).get_weights())
        np.testing.assert_array_equal(plain(PIXELS), plain(PIXELS))
        with pytest.raises(ValueError, match="bayesian=True"):
            models.predict_with_uncertainty(plain, PIXELS)
