"""Multiply-adds are those that were measured on the reference implementations."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_seg import models
from keras_seg.models import multiply_adds, multiply_adds_by_layer

AT_512, AT_513 = (512, 512, 3), (513, 513, 3)
RANDOM = {"backbone_weights": None}
JFZHANG95 = {"layout": "jfzhang95"}
MEASURED = [
    # network, options, classes, image, 10^9 multiply-adds of the reference
    ("hrnet", {"backbone": "hrnet_w18_small_v1"}, 19, AT_512, 4.17),
    ("hrnet", {"backbone": "hrnet_w18_small_v1"}, 19, (1024, 2048, 3), 33.4),
    ("hrnet", {"backbone": "hrnet_w18"}, 19, AT_512, 18.4),
    ("hrnet", {"backbone": "hrnet_w32"}, 19, AT_512, 45.2),
    ("hrnet", {"backbone": "hrnet_w48"}, 19, AT_512, 93.4),
    ("ocrnet", {"backbone": "hrnet_w18"}, 19, AT_512, 53.3),
    ("ocrnet", {"backbone": "hrnet_w48"}, 19, AT_512, 162.2),
    ("danet", {"backbone": "resnet101", "auxiliary_head": True}, 19, AT_512, 287.2),
    ("deeplabv3plus", {"backbone": "resnet50", "layout": "vainf"}, 21, AT_513, 62.4),
    ("deeplabv3plus", {"backbone": "resnet101", "layout": "vainf"}, 21, AT_513, 83.0),
    ("deeplabv3plus", {"backbone": "resnet101"} | JFZHANG95, 21, AT_513, 92.8),
    (
        "deeplabv3plus",
        {"backbone": "xception65", "backbone_options": {"jfzhang95": True}} | JFZHANG95,
        21,
        AT_513,
        86.6,
    ),
]
QUICK = [MEASURED[i] for i in (0, 7, 8)]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=f"{case[0]}, {case[1]['backbone']}, {case[3][0]}x{case[3][1]}",
            marks=[] if case in QUICK else [pytest.mark.slow],
        )
        for case in MEASURED
    ],
)
def test_multiply_adds_are_those_of_the_reference(case):
    network, options, num_classes, shape, expected = case
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = models.build(network, (None, None, 3), num_classes, **options | RANDOM)
    finally:
        keras.utils.clear_session(free_memory=False)
    # the references are known to three figures
    assert float(f"{multiply_adds(model, shape) / 1e9:.3g}") == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("name", models.list_models())
def test_products_grow_with_the_area_of_the_image(tiny_model, name):
    """Attention over positions grows with the square of it."""
    small, large = (multiply_adds(tiny_model(name), (side, side, 3)) for side in (64, 128))
    assert small > 0
    if name == "danet":
        assert large > 4.05 * small
    else:
        # what works on whole maps or borders costs the same at both sizes
        assert 3.9 * small < large <= 4 * small


def _single(layer, shape):
    image = keras.Input(shape, name="image")
    return keras.Model(image, layer(image))


@pytest.mark.parametrize(
    "layer, expected",
    [
        (layers.Conv2D(5, 3, strides=2, padding="same"), 6 * 4 * 5 * 3 * 9),
        (layers.Conv2D(6, 3, groups=3, padding="same"), 12 * 8 * 6 * 9),
        (layers.Conv2D(5, 3, dilation_rate=2), 8 * 4 * 5 * 3 * 9),
        (layers.Conv2DTranspose(5, 2, strides=2), 12 * 8 * 3 * 5 * 4),
        (layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), 12 * 8 * 6 * 9),
        (layers.SeparableConv2D(5, 3, padding="same"), 12 * 8 * 3 * (9 + 5)),
        (layers.Dense(7), 12 * 8 * 3 * 7),
        (layers.BatchNormalization(), 0),
        (layers.PReLU(shared_axes=[1, 2]), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.Layer) else "",
)
def test_layers_are_counted_by_hand(layer, expected):
    assert multiply_adds(_single(layer, (12, 8, 3)), (12, 8, 3)) == expected


@pytest.mark.parametrize(
    "nested", [_single, lambda layer, shape: keras.Sequential([keras.Input(shape), layer])]
)
def test_layers_are_named_and_nested_models_looked_into(nested):
    inner = nested(layers.Conv2D(2, 1, name="inner"), (8, 8, 3))
    image = keras.Input((8, 8, 3), name="image")
    outer = keras.Model(image, layers.Conv2D(4, 1, name="outer")(inner(image)))
    found = multiply_adds_by_layer(outer, (8, 8, 3))
    assert found == {"inner": 64 * 3 * 2, "outer": 64 * 2 * 4}


def test_counting_leaves_the_model_as_it_was(tiny_model):
    model = tiny_model("unet")
    image = np.zeros((1, 32, 32, 3), np.float32)
    before, nodes = model(image).numpy(), [len(layer._inbound_nodes) for layer in model.layers]
    multiply_adds(model, (64, 64, 3))
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    np.testing.assert_array_equal(model(image).numpy(), before)


def test_unknown_products_are_refused_by_name():
    class Product(layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(shape=(shape[-1], 2))

        def call(self, x):
            return x @ self.matrix

    with pytest.raises(ValueError, match="layer 'mixer' with a weight of more than one axis"):
        multiply_adds(_single(Product(name="mixer"), (8, 8, 3)), (8, 8, 3))
