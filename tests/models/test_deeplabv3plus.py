"""DeepLabV3+ has the parts that the paper and its codes give it, on any encoder."""

import keras
import pytest

from keras_seg import blocks, models
from tests.helpers.networks import trainable_parameters

SMALL = {"backbone": "resnet18", "backbone_weights": None, "backbone_options": {"width": 8}}


def small_deeplab(input_shape=(64, 96, 3), num_classes=3, **options):
    return models.deeplabv3plus(input_shape, num_classes, **SMALL | {"channels": 8} | options)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"backbone": "resnet50", "layout": "vainf"}, 39_761_845),
        pytest.param(
            {"backbone": "resnet101", "layout": "vainf"}, 58_753_973, marks=pytest.mark.slow
        ),
        pytest.param(
            {"backbone": "resnet101", "layout": "jfzhang95"}, 59_344_309, marks=pytest.mark.slow
        ),
        pytest.param(
            {
                "backbone": "xception65",
                "backbone_options": {"jfzhang95": True},
                "layout": "jfzhang95",
            },
            54_705_317,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_published_networks_have_the_published_parameters(options, parameters):
    options = options | {"backbone_weights": None}
    count = trainable_parameters(lambda: models.deeplabv3plus((None, None, 3), 21, **options))
    assert count == parameters


class TestPyramid:
    @pytest.mark.parametrize(
        ("output_stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))]
    )
    def test_rates_keep_their_reach_in_the_image(self, output_stride, rates):
        model = small_deeplab(output_stride=output_stride, upsample_logits=False)
        found = [model.get_layer(f"aspp.conv{i}.depthwise").dilation_rate for i in (1, 2, 3)]
        assert found == [(rate, rate) for rate in rates]
        assert model.get_layer("aspp.concat").output.shape[1] == 64 // output_stride
        assert model.output.shape == (None, 16, 24, 3)

    def test_a_norm_stands_between_depthwise_and_pointwise_convolution(self):
        model = small_deeplab()
        for unit in ("aspp.conv1", "decoder.conv0", "decoder.conv1"):
            layer, path = model.get_layer(f"{unit}.pointwise"), []
            for _ in range(3):
                layer = layer.input._keras_history.operation
                path.append(type(layer).__name__)
            assert path == ["ReLU", "BatchNormalization", "DepthwiseConv2D"]

    def test_the_skip_is_narrowed_to_48_channels(self):
        assert small_deeplab().get_layer("decoder.low_level").filters == 48


class TestEncoders:
    def test_an_encoder_of_your_own_may_have_any_maps_at_strides_4_and_its_last(self):
        image, x = blocks.image_input((64, 96, 3), preprocessing=None)
        low = blocks.conv2d(x, 8, stride=4, name="low")
        encoder = keras.Model(image, {"stride_4": low, "stride_32": low})
        assert small_deeplab(
            backbone=encoder, backbone_options=None, output_stride=8
        ).output.shape == (None, 64, 96, 3)

    @pytest.mark.parametrize("maps", [lambda x: x, lambda x: {"stride_8": x}])
    def test_an_encoder_without_these_maps_is_refused(self, maps):
        image = keras.Input((64, 96, 3))
        encoder = keras.Model(image, maps(keras.layers.Conv2D(4, 1)(image)))
        with pytest.raises(ValueError, match="stride_4.*stride_32"):
            small_deeplab(backbone=encoder, backbone_options=None)

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"output_stride": 4}, "output_stride must be"),
            ({"variant": "jfzhang"}, "Did you mean 'jfzhang95'"),
            ({"backbone": "resnet19"}, "Did you mean 'resnet18'"),
            ({"backbone_options": {"widht": 8}}, "Did you mean 'width'"),
            ({"backbone": "hrnet_w18", "backbone_options": None}, "output_stride must be 32"),
        ],
    )
    def test_options_that_make_no_network_are_refused(self, option, message):
        with pytest.raises(ValueError, match=message):
            small_deeplab(**option)

    def test_rates_for_a_stride_that_has_none_are_refused(self):
        image = keras.Input((64, 96, 3))
        feature_map = keras.layers.Identity()(image)
        encoder = keras.Model(image, dict.fromkeys(("stride_4", "stride_32"), feature_map))
        with pytest.raises(ValueError, match="output_stride must be one of"):
            small_deeplab(backbone=encoder, backbone_options=None, output_stride=4)
