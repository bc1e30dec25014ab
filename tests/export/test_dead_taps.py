"""Weights of dilated kernels that only meet padding leave exported files, and nothing changes."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_seg import models
from keras_seg.export import export
from keras_seg.export.network.dead_taps import without_dead_taps
from keras_seg.export.network.deployed import deployed_model
from keras_seg.export.tflite.graph import read_graphs

RNG = np.random.default_rng(0)


def network(layer, size) -> keras.Model:
    image = keras.Input((*size, 3), batch_size=1)
    return keras.Model(image, layer(image))


def kernel_sizes(model) -> set:
    return {layer.kernel_size for layer in model.layers if hasattr(layer, "kernel_size")}


@pytest.mark.parametrize("kind", [kl.Conv2D, kl.DepthwiseConv2D])
@pytest.mark.parametrize(
    ("size", "kernel", "rate", "left"),
    [
        ((8, 8), 3, 8, (1, 1)),
        ((8, 8), 3, 7, (3, 3)),
        ((8, 9), 3, 8, (1, 3)),
        ((9, 9), 5, 4, (5, 5)),
        ((9, 9), 5, 5, (3, 3)),
        ((1, 6), (3, 5), 1, (1, 5)),
    ],
)
def test_what_is_left_computes_the_same(kind, size, kernel, rate, left):
    words = {"kernel_size": kernel, "dilation_rate": rate, "padding": "same"}
    words |= {"bias_initializer": "random_normal"} | ({"filters": 4} if kind is kl.Conv2D else {})
    model = network(kind(**words), size)
    trimmed = without_dead_taps(model)
    assert kernel_sizes(trimmed) == {left}
    image = RNG.normal(size=(1, *size, 3)).astype("float32")
    np.testing.assert_allclose(trimmed(image), model(image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "words",
    [
        {"padding": "valid", "dilation_rate": 2},
        {"padding": "same", "strides": 2},
        {"padding": "same", "kernel_size": 2, "dilation_rate": 9},
    ],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(words):
    model = network(kl.Conv2D(**{"filters": 4, "kernel_size": 3} | words), (8, 8))
    assert without_dead_taps(model) is model


def test_a_layer_of_two_maps_stays_as_it_is():
    shared = kl.Conv2D(3, 3, dilation_rate=4, padding="same")
    image = keras.Input((8, 8, 3), batch_size=1)
    model = keras.Model(image, shared(kl.MaxPooling2D(2)(shared(image))))
    assert without_dead_taps(model) is model


@pytest.mark.parametrize(
    "layout", ["tensorflow", pytest.param("jfzhang95", marks=pytest.mark.slow)]
)
def test_the_pyramid_of_deeplab_at_a_small_size(layout, tmp_path):
    """Rates 6, 12 and 18 on a map of 6x6: only the centres are left."""
    options = models.find("deeplabv3plus").tiny | {"layout": layout}
    model = models.deeplabv3plus((96, 96, 3), 3, **options)
    deployed = deployed_model(model, (96, 96, 3))
    trimmed = without_dead_taps(deployed)
    image = RNG.uniform(0, 255, (1, 96, 96, 3)).astype("float32")
    expected = np.asarray(deployed(image))
    np.testing.assert_allclose(trimmed(image), expected, atol=1e-5 * np.abs(expected).max())
    export(model, tmp_path / "m.tflite")
    (graph,) = read_graphs((tmp_path / "m.tflite").read_bytes())
    pyramid = [
        graph.tensors[operator.inputs[1]].shape[1:3]
        for operator in graph.operators
        if "CONV" in operator.kind and "aspp.conv" in graph.tensors[operator.outputs[0]].name
    ]
    assert len(pyramid) >= 4
    assert {tuple(size) for size in pyramid} == {(1, 1)}
