"""Pooling with places and unpooling to them equal PyTorch and TensorFlow Addons."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import inference
from keras_seg.export import export
from keras_seg.layers import LocalResponseNormalization, MaxPoolingWithIndices2D, MaxUnpooling2D
from tests.helpers.shapes import Shapes
from tests.helpers.slow_cases import all_but

ARRAYS = Path(__file__).parents[1] / "golden" / "arrays"
TORCH = np.load(ARRAYS / "max_pool_unpool.npz")
"""Outputs of PyTorch's max_pool2d, max_unpool2d and local_response_norm; `meta` has the options."""
META = json.loads(str(TORCH["meta"]))
TILES = [case for case, options in META.items() if options.get("kernel") == 2]
ADDONS = np.load(ARRAYS / "addons_unpooling.npz")
"""Outputs of tf.nn.max_pool_with_argmax and of tensorflow_addons.layers.MaxUnpooling2D."""
ADDONS_CASES = {
    "k2s2_same": (2, "SAME"),
    "k2s2_valid": (2, "VALID"),
    "k3s2_same": (3, "SAME"),
    "k3s2_valid": (3, "VALID"),
    "k2s2_same_odd": (2, "SAME"),
}


def torch_case(case):
    return {key.removeprefix(f"{case}."): TORCH[key] for key in TORCH.files if case in key}


def addons_case(case):
    return {
        name: ADDONS[f"unpool_{case}_{name}"]
        for name in ("x", "pooled", "argmax", "updates", "out", "out_weights", "grad_updates")
    }


def pool_and_unpool(padding, pool_size=2, strides=2, dtype=None, training=False):
    """Function (x, values) → (maxima, places, unpooled values)."""
    pool = MaxPoolingWithIndices2D(pool_size, strides, padding, dtype=dtype)
    unpool = MaxUnpooling2D(pool_size, strides, padding, dtype=dtype)

    def both(x, values):
        maxima, places = pool(x)
        return maxima, places, unpool(values, places, like=x, training=training)

    return both


def free_sizes(function, channels):
    signature = [tf.TensorSpec((None, None, None, channels))] * 2
    return tf.function(function, input_signature=signature)


MODES = {
    "eager": lambda function, channels: function,
    "graph": lambda function, channels: tf.function(function),
    "free size": free_sizes,
    "XLA": lambda function, channels: tf.function(function, jit_compile=True),
}


TRACED = {"odd_ceil_ties", "odd_floor"}
"""Cases of both kinds of padding, which the default suite traces; the others run eagerly."""


def in_modes(quick):
    """Parameters (case, mode): quick cases in all modes but "graph", like "free size"."""
    return [
        pytest.param(
            case,
            mode,
            marks=[]
            if mode == "eager" or (case in quick and mode != "graph")
            else [pytest.mark.slow],
        )
        for case in TILES
        for mode in MODES
    ]


class TestAgainstPyTorch:
    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize(("case", "mode"), in_modes(TRACED))
    def test_maxima_places_and_unpooled_map_are_bit_equal(self, case, mode, training):
        arrays = torch_case(case)
        padding = "same" if META[case]["ceil_mode"] else "valid"
        run = MODES[mode](pool_and_unpool(padding, training=training), arrays["x"].shape[-1])
        maxima, places, unpooled = run(tf.constant(arrays["x"]), tf.constant(arrays["decoder"]))
        np.testing.assert_array_equal(maxima, arrays["pooled"])
        np.testing.assert_array_equal(places, arrays["code"])
        np.testing.assert_array_equal(unpooled, arrays["unpooled"])
        assert places.dtype == "uint8"

    @pytest.mark.parametrize(("case", "mode"), in_modes(TRACED))
    def test_gradients_go_to_the_winner_and_come_from_it(self, case, mode):
        """PyTorch's backward scatters to, and gathers from, its stored flat indices."""
        arrays = torch_case(case)
        padding = "same" if META[case]["ceil_mode"] else "valid"
        both = pool_and_unpool(padding)
        rng = np.random.default_rng(0)
        upstream = rng.normal(size=arrays["pooled"].shape).astype("float32")
        upstream_map = rng.normal(size=arrays["x"].shape).astype("float32")

        def gradients(x, values):
            with tf.GradientTape() as tape:
                tape.watch([x, values])
                maxima, _, unpooled = both(x, values)
                loss = tf.reduce_sum(maxima * upstream) + tf.reduce_sum(unpooled * upstream_map)
            return tape.gradient(loss, [x, values])

        run = MODES[mode](gradients, arrays["x"].shape[-1])
        dx, dvalues = run(tf.constant(arrays["x"]), tf.constant(arrays["decoder"]))
        _, height, width, _ = arrays["x"].shape
        at = np.indices(arrays["indices"].shape)
        places = (at[0], *np.unravel_index(arrays["indices"], (height, width)), at[3])
        expected = np.zeros_like(arrays["x"])
        expected[places] = upstream
        np.testing.assert_array_equal(dx, expected)
        np.testing.assert_array_equal(dvalues, upstream_map[places])

    @pytest.mark.parametrize("case", ["lrn", "lrn9"])
    def test_local_response_normalisation_divides_alpha_by_the_size(self, case):
        options = META[case]
        layer = LocalResponseNormalization(
            options["size"], options["alpha"], options["beta"], options["k"]
        )
        expected = TORCH[f"{case}.y"]
        found = layer(TORCH[f"{case}.x"])
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


class TestAgainstTensorFlowAddons:
    @pytest.mark.parametrize("case", ADDONS_CASES)
    def test_positions_of_argmax_give_its_map_and_its_gradient(self, case):
        size, padding = ADDONS_CASES[case]
        arrays = addons_case(case)
        updates = tf.Variable(arrays["updates"])
        with tf.GradientTape() as tape:
            out = MaxUnpooling2D(size, 2, padding)([updates, arrays["argmax"]])
            loss = tf.reduce_sum(out * arrays["out_weights"])
        np.testing.assert_allclose(out, arrays["out"], atol=1e-6)
        np.testing.assert_array_equal(tape.gradient(loss, updates), arrays["grad_updates"])

    @pytest.mark.parametrize("case", [c for c in ADDONS_CASES if c != "k2s2_same_odd"])
    def test_own_places_give_the_same_map_and_gradient(self, case):
        size, padding = ADDONS_CASES[case]
        arrays = addons_case(case)
        updates = tf.Variable(arrays["updates"])
        with tf.GradientTape() as tape:
            both = pool_and_unpool(padding, size)
            maxima, _, out = both(tf.constant(arrays["x"]), updates)
            loss = tf.reduce_sum(out * arrays["out_weights"])
        np.testing.assert_array_equal(maxima, arrays["pooled"])
        np.testing.assert_allclose(out, arrays["out"], atol=1e-6)
        np.testing.assert_array_equal(tape.gradient(loss, updates), arrays["grad_updates"])

    def test_an_odd_map_comes_back_in_its_size_where_addons_lost_it(self):
        arrays = addons_case("k2s2_same_odd")
        layer = MaxUnpooling2D(2, 2, "SAME")
        own = pool_and_unpool("same")(tf.constant(arrays["x"]), arrays["updates"])[2]
        out = layer(arrays["updates"], arrays["argmax"], like=arrays["x"])
        assert out.shape == arrays["x"].shape
        np.testing.assert_array_equal(out, own)
        np.testing.assert_array_equal(np.asarray(out) != 0, _at(arrays["argmax"], out.shape))


def _at(positions, shape):
    mask = np.zeros((shape[0], np.prod(shape[1:])), bool)
    np.put_along_axis(mask, positions.reshape(shape[0], -1), True, axis=1)
    return mask.reshape(shape)


GENERAL = [(3, 2), (2, 1), ((3, 2), (2, 3)), (2, 3), (3, 3)]


def general_windows():
    """Parameters (size, strides, padding, mode); two windows are traced in the default suite."""
    for size, strides in GENERAL:
        for padding in ("same", "valid"):
            for mode in ("eager", "free size", "XLA"):
                traced = (size, padding) in ((3, "same"), ((3, 2), "valid")) and mode != "XLA"
                marks = [] if mode == "eager" or traced else [pytest.mark.slow]
                yield pytest.param(size, strides, padding, mode, marks=marks)


@pytest.mark.parametrize(("size", "strides", "padding", "mode"), general_windows())
class TestGeneralWindows:
    """Whole numbers, so that many are equal and sums of those that overlap are exact."""

    X = np.random.default_rng(0).integers(0, 4, (2, 10, 8, 3)).astype("float32")

    def expected(self, size, strides, padding):
        """Maxima, and for each the position in the flat map of its image."""
        return tf.nn.max_pool_with_argmax(
            self.X, size, strides, padding.upper(), include_batch_in_index=False
        )

    @pytest.mark.parametrize("training", [False, True])
    def test_maxima_and_unpooled_map_equal_tensorflows(
        self, size, strides, padding, mode, training
    ):
        maxima, positions = self.expected(size, strides, padding)
        both = pool_and_unpool(padding, size, strides, training=training)
        found, _, unpooled = MODES[mode](both, 3)(tf.constant(self.X), maxima + 1)
        np.testing.assert_array_equal(found, maxima)
        scattered = np.zeros((2, self.X[0].size), "float32")
        for image, at, values in zip(scattered, positions, maxima + 1, strict=True):
            np.add.at(image, np.ravel(at), np.ravel(values))
        np.testing.assert_array_equal(unpooled, scattered.reshape(self.X.shape))

    def test_gradients_go_to_the_winner_and_come_from_it(self, size, strides, padding, mode):
        maxima, positions = self.expected(size, strides, padding)
        both = pool_and_unpool(padding, size, strides)
        rng = np.random.default_rng(1)
        upstream = rng.integers(-4, 5, maxima.shape).astype("float32")
        upstream_map = rng.integers(-4, 5, self.X.shape).astype("float32")

        def gradients(x, values):
            with tf.GradientTape() as tape:
                tape.watch([x, values])
                maxima, _, unpooled = both(x, values)
            return tape.gradient((maxima, unpooled), [x, values], (upstream, upstream_map))

        dx, dvalues = MODES[mode](gradients, 3)(tf.constant(self.X), maxima)
        expected = np.zeros((2, self.X[0].size), "float32")
        for image, at, values in zip(expected, positions, upstream, strict=True):
            np.add.at(image, np.ravel(at), np.ravel(values))
        np.testing.assert_array_equal(dx, expected.reshape(self.X.shape))
        flat = upstream_map.reshape(2, -1)
        picked = [image[at] for image, at in zip(flat, np.asarray(positions), strict=True)]
        np.testing.assert_array_equal(dvalues, picked)


WINDOWS = {"3x3 by 2": (3, 2, "same"), "2x2 ceil": (2, 2, "same"), "3x3 floor": (3, 3, "valid")}


@pytest.fixture(scope="module", params=all_but({"3x3 by 2", "2x2 ceil"}, WINDOWS))
def pooling_model(request):
    """Pooling and unpooling of an image of odd height: pixels / 256 and zeros.

    Not the pixels themselves: TFLite aborts where it compares int8 values of a scale from 1 on.
    """
    options = WINDOWS[request.param]
    image = keras.Input((41, 34, 3))
    before = image / 256
    x, places = MaxPoolingWithIndices2D(*options)(before)
    return keras.Model(image, MaxUnpooling2D(*options)(x, places, like=before))


class TestExport:
    @pytest.mark.parametrize("file", ["float.tflite", "int8.tflite", "float.onnx"])
    def test_files_give_the_very_pixels_that_keras_does(self, pooling_model, file, tmp_path):
        """In int8 to a step of the output, whose range is wider where windows overlap and add up,
        but for the few pixels where grey levels that became equal chose another winner."""
        images = Shapes("val", 4, (41, 34))
        int8 = {"quantize": "int8", "calibration": images, "max_drop": 100.0}
        report = export(
            pooling_model,
            tmp_path / file,
            input_shape=(41, 34, 3),
            evaluation=images,
            scores="logits",  # its values lie in 0..1, as probabilities do
            **int8 if "int8" in file else {},
        )
        assert report.audit.problems == ()
        if "int8" in file:
            assert report.audit.islands == ()
        expected = pooling_model(images[0].image[None].astype("float32"))[0]
        difference = np.abs(inference.load(report.path).run(images[0].image) - expected)
        step = np.max(expected) / 255 if "int8" in file else 0
        assert np.mean(difference <= step) > (0.99 if "int8" in file else 0.99999)


class TestLayers:
    def test_places_take_a_byte_a_window_in_symbols_too(self):
        x = keras.Input((5, None, 4))
        maxima, places = MaxPoolingWithIndices2D()(x)
        assert maxima.shape == places.shape == (None, 3, None, 4)
        assert (maxima.dtype, places.dtype) == ("float32", "uint8")
        assert MaxUnpooling2D()(maxima, places, like=x).shape == x.shape
        assert MaxUnpooling2D()([maxima, places]).shape == (None, 6, None, 4)

    @pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
    def test_reduced_precision_goes_through(self, dtype):
        x = np.arange(20, dtype="float32").reshape(1, 4, 5, 1)
        maxima, places, unpooled = pool_and_unpool("same", dtype=dtype)(x, np.ones((1, 2, 3, 1)))
        np.testing.assert_array_equal(np.ravel(maxima), [6, 8, 9, 16, 18, 19])
        assert (unpooled.dtype, places.dtype) == (dtype.removeprefix("mixed_"), "uint8")

    def test_layers_survive_saving(self, tmp_path):
        x = keras.Input((None, None, 2))
        maxima, places = MaxPoolingWithIndices2D((3, 2), 2, "valid")(x)
        y = MaxUnpooling2D((3, 2), 2, "valid")(maxima, places, like=x)
        model = keras.Model(x, LocalResponseNormalization(3, 0.1)(y))
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
        image = np.random.default_rng(0).normal(size=(1, 7, 8, 2))
        np.testing.assert_array_equal(loaded(image), model(image))

    @pytest.mark.parametrize("layer", [MaxPoolingWithIndices2D, MaxUnpooling2D])
    def test_windows_that_are_none_are_refused(self, layer):
        for wrong in (0, (2,), 2.5, "2"):
            with pytest.raises(ValueError, match="pool_size must be"):
                layer(wrong)
            with pytest.raises(ValueError, match="strides must be"):
                layer(2, wrong)
        with pytest.raises(ValueError, match="padding must be"):
            layer(padding="ceil")
        with pytest.raises(ValueError, match="at most 256"):
            layer(17)

    def test_wrong_inputs_are_refused(self):
        with pytest.raises(ValueError, match="does not fit"):
            MaxPoolingWithIndices2D(padding="valid")(np.zeros((1, 1, 4, 1)))
        values = np.zeros((1, 2, 2, 1), "float32")
        with pytest.raises(ValueError, match="no places"):
            MaxUnpooling2D()(values)
        with pytest.raises(ValueError, match="Received: .*float32"):
            MaxUnpooling2D()(values, tf.constant(values))
        with pytest.raises(ValueError, match="size must be an odd"):
            LocalResponseNormalization(4)
