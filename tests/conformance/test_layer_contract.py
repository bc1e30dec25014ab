"""Every layer passes the test that Keras gives its own, and keeps positions under every policy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

from keras_seg import layers, metrics, models
from keras_seg.layers.pooling_windows import _count_type, _in_batch

MAP = (2, 8, 6, 4)
LIKE = (2, 16, 12, 3)
WINDOW = (2, 2, 3)

CASES = {
    # name: (arguments, shapes of the inputs)
    "BatchNormalization": ({}, MAP),
    "ChannelAttention": ({"initial_scale": 0.5}, MAP),
    "ChannelNormalization": ({}, MAP),
    "CropOrPad": ({"align": "top_left"}, {"x": MAP, "like": (2, 5, 9, 3)}),
    "CutWindow": ({"size": 5}, {"image": MAP, "window": WINDOW}),
    "DepthToSpace": ({"scale": 2}, MAP),
    "EdgePadding2D": ({}, MAP),
    "FakeQuantize": ({"members": 2}, MAP),
    "LayerScale": ({}, MAP),
    "LocalResponseNormalization": ({}, MAP),
    "MaxPoolingWithIndices2D": ({"pool_size": (3, 2)}, MAP),
    "MaxUnpooling2D": ({}, {"values": MAP, "places": MAP, "like": LIKE}),
    "MonteCarloDropout": ({"rate": 0.5}, MAP),
    "ObjectAttention": ({}, {"queries": MAP, "keys": (2, 3, 1, 4), "values": (2, 3, 1, 5)}),
    "ObjectRegions": ({}, {"features": MAP, "scores": (2, 8, 6, 3)}),
    "PaddedMaxPooling2D": ({}, MAP),
    "ParityPlanes": ({}, MAP),
    "PartWindows": (
        {"parts": [[1], [2, 3]], "sides": [4, 5]},
        {"probabilities": MAP, "like": LIKE},
    ),
    "PasteWindow": ({"outside": 1.0}, {"patch": MAP, "window": WINDOW, "like": LIKE}),
    "PositionAttention": (
        {"initial_scale": 0.5, "query_chunk": 5},
        {"x": MAP, "query": (2, 8, 6, 3), "key": (2, 8, 6, 3), "value": MAP},
    ),
    "Preprocessing": ({"mode": "unit"}, MAP),
    "QuantizedConv2D": ({"filters": 3, "kernel_size": 3, "activation": "relu"}, MAP),
    "QuantizedConv2DTranspose": ({"filters": 3, "kernel_size": 3, "strides": 2}, MAP),
    "QuantizedDense": ({"units": 3}, MAP),
    "QuantizedDepthwiseConv2D": ({"kernel_size": 3, "depth_multiplier": 2}, MAP),
    "Resize": ({"grid": "align_corners"}, {"x": MAP, "like": LIKE}),
    "ScaleBreak": ({}, MAP),
    "SizeGuard": ({"multiple": 2}, MAP),
    "TotalDropout": ({"rate": 0.5}, MAP),
}
TYPES = {"places": "uint8"}
WITHOUT_GRADIENT = ("ParityPlanes",)
IN_FLOAT32 = ("FakeQuantize", "PartWindows")
"""Layers whose result is float32 whatever the policy: ranges of integer files, and positions."""
ANY_TYPE = (
    *("CropOrPad", "DepthToSpace", "EdgePadding2D", "MaxPoolingWithIndices2D", "MaxUnpooling2D"),
    *("PaddedMaxPooling2D", "ParityPlanes", "SizeGuard", "TotalDropout"),
)
"""Layers that move values and compute none: integers pass as integers."""

every_layer = pytest.mark.parametrize("name", sorted(CASES))
policies = pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
EPSILON = {"mixed_float16": 2.0**-10, "mixed_bfloat16": 2.0**-7, "float64": 2.0**-22}
"""Distance of neighbouring numbers around 1; float64 is held against what float32 computes."""


def test_every_layer_has_a_case():
    kinds = {name for name in vars(layers) if isinstance(getattr(layers, name), type)}
    assert kinds == {*CASES}, "Give a new layer an entry in CASES."
    assert {*layers.__all__} <= kinds


def case_of(name: str):
    return getattr(layers, name), *CASES[name]


def example(name: str, dtype: str = "float32"):
    """Whole numbers 0..3 as the layer takes them: one tensor, or several by name."""
    shapes, rng = CASES[name][1], np.random.default_rng(0)
    if not isinstance(shapes, dict):
        return rng.integers(0, 4, shapes).astype(dtype)
    inputs = {
        key: rng.integers(0, 4, shape).astype(TYPES.get(key, dtype))
        for key, shape in shapes.items()
    }
    if "window" in inputs:
        inputs["window"] = np.tile(np.float32([[0.5, 0, 0.25], [0, 0.75, -0.125]]), (2, 1, 1))
    return inputs


def called(layer, inputs):
    return layer(**inputs) if isinstance(inputs, dict) else layer(inputs)


def types(outputs) -> list[str]:
    return [keras.backend.standardize_dtype(x.dtype) for x in keras.tree.flatten(outputs)]


@every_layer
@pytest.mark.parametrize(
    "policy",
    [
        "float32",
        "mixed_float16",
        pytest.param("mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param("float64", marks=pytest.mark.slow),
    ],
)
def test_keras_own_test_passes(name, policy):
    kind, arguments, shapes = case_of(name)
    kinds = None
    if isinstance(shapes, dict):
        shapes = {f"{key}_shape": shape for key, shape in shapes.items()}
        kinds = {key: TYPES.get(key.removesuffix("_shape"), "float32") for key in shapes}
    trainable = not isinstance(shapes, dict) and name not in WITHOUT_GRADIENT
    TestCase().run_layer_test(
        kind,
        arguments | {"dtype": policy},
        input_shape=shapes,
        input_dtype=kinds,
        run_training_check=trainable and policy in ("float32", "mixed_float16"),
    )


@every_layer
@policies
def test_policy_changes_the_values_by_its_rounding_alone(name, policy):
    keras.utils.set_random_seed(0)  # a weight between two int8 steps can fall to either side
    kind, arguments, _ = case_of(name)
    inputs = example(name)
    exact = kind(**arguments)
    expected = called(exact, inputs)
    layer = kind(**arguments, dtype=policy)
    called(layer, inputs)
    layer.set_weights(exact.get_weights())
    if name == "MonteCarloDropout":
        return  # draws anew
    results = keras.tree.flatten(called(layer, inputs))
    for found, wanted in zip(results, keras.tree.flatten(expected), strict=True):
        found, wanted = np.asarray(found, "float64"), np.asarray(wanted, "float64")
        assert abs(found - wanted).max() <= 4 * EPSILON[policy] * max(1, abs(wanted).max())


@every_layer
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "float64"])
def test_declared_type_is_returned(name, policy):
    kind, arguments, _ = case_of(name)
    layer, inputs = kind(**arguments, dtype=policy), example(name)
    symbols = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], batch_size=len(x), dtype=str(x.dtype)), inputs
    )
    declared = types(called(layer, symbols))
    assert declared == types(called(layer, inputs))
    if name not in IN_FLOAT32:
        assert declared[0] == layer.compute_dtype
    else:
        assert declared[0] == "float32"


@pytest.mark.parametrize("name", ANY_TYPE)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_integers_stay_integers(name, policy):
    kind, arguments, _ = case_of(name)
    layer, inputs = kind(**arguments, dtype=policy), example(name, "int32")
    symbols = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], batch_size=len(x), dtype=str(x.dtype)), inputs
    )
    expected = keras.tree.flatten(called(kind(**arguments), example(name)))
    found = called(layer, inputs)
    assert types(found)[0] == "int32" and types(called(layer, symbols)) == types(found)
    for one, other in zip(keras.tree.flatten(found), expected, strict=True):
        np.testing.assert_array_equal(one, other)


class TestIntegersThatAreComputedWith:
    """They become numbers of the policy, where a factor below 1 would have become 0."""

    @pytest.mark.parametrize(
        "layer",
        [
            layers.LayerScale(0.5),
            layers.Resize(2, grid="align_corners"),
            layers.ChannelAttention(initial_scale=0.5),
            layers.ChannelNormalization(),
        ],
        ids=lambda layer: type(layer).__name__,
    )
    def test_result_is_that_of_floats(self, layer):
        pixels = np.random.default_rng(0).integers(0, 9, MAP)
        expected = layer(pixels.astype("float32"))
        found = layer(pixels.astype("int32"))
        assert types(found) == ["float32"]
        np.testing.assert_array_equal(found, expected)
        assert np.asarray(found % 1).any()

    def test_nearest_pixels_stay_classes(self):
        classes = np.arange(8, dtype="uint8").reshape(1, 2, 4, 1)
        found = layers.Resize(2, interpolation="nearest")(classes)
        assert types(found) == ["uint8"]
        np.testing.assert_array_equal(found, classes.repeat(2, 1).repeat(2, 2))


WHOLE = np.array([[[1, 0, 0], [0, 1, 0]]], "float32")
half_policies = pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])


class TestPositions:
    """Of a ramp from left to right, every value is the place that it was taken from."""

    @half_policies
    @pytest.mark.parametrize("window", [None, WHOLE, [[[0.1, 0, 0.173], [0, 0.1, -0.077]]]])
    def test_window_of_a_wide_image_is_cut_where_it_lies(self, policy, window):
        ramp = np.tile(np.arange(1000, dtype="float32")[:, None], (1, 8, 1, 1))
        window = None if window is None else np.asarray(window, "float32")
        found = np.asarray(layers.CutWindow(250, dtype=policy)(ramp, window), "float64")
        exact = np.asarray(layers.CutWindow(250)(ramp, window), "float64")
        rounded = tf.cast(tf.constant(exact), policy.removeprefix("mixed_"))
        np.testing.assert_array_equal(found, np.asarray(rounded, "float64"))
        scale, shift = (1, 0) if window is None else (window[0, 0, 0], window[0, 0, 2])
        places = ((scale * ((2 * np.arange(250) + 1) / 250 - 1) + shift + 1) * 1000 - 1) / 2
        # the outermost pixels are means of what lies inside the image
        np.testing.assert_allclose(exact[0, 100, 1:-1, 0], places[1:-1], atol=0.01)

    @half_policies
    def test_patch_is_pasted_on_every_pixel_of_its_window(self, policy):
        patch = np.ones((1, 64, 64, 1), "float32")
        # 64 pixels of 2100, from 2000 on: beyond 2048, float16 has even numbers alone
        scale, shift = 64 / 2100, (2 * 2032) / 2100 - 1
        window = np.array([[[scale, 0, shift], [0, 1, 0]]], "float32")
        like = np.zeros((1, 4, 2100, 1), "float32")
        found = np.asarray(layers.PasteWindow(dtype=policy)(patch, window, like), "float64")
        expected = np.zeros((1, 4, 2100, 1))
        expected[:, :, 2000:2064] = 1
        np.testing.assert_allclose(found, expected, atol=2e-3)

    @half_policies
    def test_parts_of_a_large_image_get_windows_to_a_hundredth_of_a_pixel(self, policy):
        mask = np.zeros((1, 8, 3000, 2), "float32")
        mask[:, :, 2501, 1] = 1
        layer = layers.PartWindows([[1]], [64], dtype=policy)
        window = layer(mask, like=np.zeros((1, 8, 3000, 3), "float32"))
        assert window.dtype == "float32"
        x = (float(window[0, 0, 0, 2]) + 1) * 1500 - 0.5
        assert x == pytest.approx(2501, abs=0.01)
        assert float(window[0, 0, 0, 0]) == pytest.approx(64 / 3000)

    @half_policies
    def test_window_reaches_the_layer_in_float32(self, policy):
        ramp = keras.Input((4, 1000, 1))
        window = keras.Input((2, 3))
        model = keras.Model([ramp, window], layers.CutWindow(4, dtype=policy)(ramp, window))
        pixels = np.tile(np.arange(1000, dtype="float32")[:, None], (1, 4, 1, 1))
        shifts = [1 / 3000, 2 / 3000]  # a third of a pixel apart, around 500
        found = [
            float(model([pixels, np.array([[[1e-3, 0, shift], [0, 1, 0]]], "float32")])[0, 0, 0, 0])
            for shift in shifts
        ]
        exact = [500 * (1 + shift) - 0.5 - 0.375 for shift in shifts]
        spacing = 0.5 if policy == "mixed_float16" else 4
        assert found == pytest.approx(exact, abs=spacing / 2)

    def test_part_locator_tells_places_in_float32_under_a_mixed_policy(self):
        exact = models.part_locator()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            mixed = models.part_locator()
        finally:
            keras.config.set_dtype_policy("float32")
        mixed.set_weights(exact.get_weights())
        scores = np.random.default_rng(0).uniform(0, 1, (1, 128, 128, 9)).astype("float32")
        found = mixed(scores)
        assert found.dtype == "float32"
        values = np.asarray(found[..., 0, 0])
        assert (values != values.astype("float16").astype("float32")).any()
        np.testing.assert_allclose(found, exact(scores), atol=0.01)

    def test_patches_to_learn_from_do_not_depend_on_the_policy(self):
        rng = np.random.default_rng(0)
        images = rng.uniform(0, 255, (2, 90, 700, 3)).astype("float32")
        masks = np.zeros((2, 90, 700), "int32")
        masks[:, 30:50, 601:640] = 5
        exact = models.part_patches(images, masks, "nose", size=32)
        keras.config.set_dtype_policy("mixed_float16")
        try:
            found = models.part_patches(images, masks, "nose", size=32)
        finally:
            keras.config.set_dtype_policy("float32")
        assert found[0].dtype == "float32"
        for one, other in zip(found, exact, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_places_are_counted_beyond_32_bits_where_a_batch_is_that_large(self):
        values = tf.zeros((4, 1, 1, 1))
        found = _in_batch(tf.constant(7, shape=(4, 1, 1, 1)), 4, 2**30, "int64")
        assert np.ravel(found).tolist() == [7 + i * 2**30 for i in range(4)]
        assert _count_type(values, (2**15, 2**15)) == "int64"
        assert _count_type(values, (2**14, 2**14)) == "int32"
        assert _count_type(values, (tf.constant(2), 2)) == "int64"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_images_are_counted_in_float32_by_a_metric_of_half_precision(dtype):
    metric = metrics.BoundaryF1(2, dtype=dtype)
    masks = np.zeros((3, 8, 8), "int32")
    masks[:, 2:6, 2:6] = 1
    metric.images.assign(2048)
    metric.total.assign(2048)
    metric.update_state(masks, masks)
    assert float(metric.images) == 2051
    assert float(metric.result()) == 1


class TestFiles:
    def test_attention_of_older_files_is_built_as_they_say(self):
        for config in ({"input_shape": [[2, 8, 6, 4]] * 4}, {"input_shape": [2, 8, 6, 4]}):
            layer = layers.PositionAttention()
            layer.build_from_config(config)
            assert [tuple(weight.shape) for weight in layer.weights] == [(1,)]

    @pytest.mark.parametrize("name", [name for name, (_, given) in CASES.items() if given != MAP])
    def test_layers_of_several_inputs_are_built_as_their_own_file_says(self, name):
        kind, arguments, _ = case_of(name)
        layer = kind(**arguments)
        called(layer, example(name))
        again = kind.from_config(layer.get_config())
        again.build_from_config(layer.get_build_config())
        assert again.built and len(again.weights) == len(layer.weights)


class TestChannelNormalization:
    def test_center_and_scale_can_be_left_out_as_for_keras(self):
        x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
        for options in ({"center": False}, {"scale": False}, {"center": False, "scale": False}):
            expected = keras.layers.LayerNormalization(**options)(x)
            found = layers.ChannelNormalization(**options)(x)
            np.testing.assert_allclose(found, expected, atol=1e-6)

    @pytest.mark.parametrize("options", [{"axis": 1}, {"axis": [1, 2, 3]}])
    def test_other_axes_are_refused(self, options):
        with pytest.raises(ValueError, match="which are the last axis. Received: axis="):
            layers.ChannelNormalization(**options)(np.zeros((2, 3, 4, 5)))
