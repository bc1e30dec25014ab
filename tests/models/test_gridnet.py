"""GridNet: its grid, its total dropout, and the forms that others gave it."""

import keras
import numpy as np
import pytest

from keras_seg import models
from keras_seg.layers import TotalDropout
from keras_seg.models.variants import GridNetVariant
from tests.helpers.without_values import without_values

IMAGE = np.random.default_rng(0).uniform(0, 255, (1, 16, 24, 3)).astype("float32")
PLAIN = GridNetVariant(norm=False)
BILINEAR = {"variant": PLAIN, "upsampling": "bilinear", "dropout": 0.0}
ROWS = BILINEAR | {"variant": GridNetVariant(norm=False, stem="rows")}


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


class TestGrid:
    @pytest.mark.parametrize(
        ("options", "num_classes", "parameters"),
        [
            pytest.param({}, 19, 13_181_097, marks=pytest.mark.slow),
            ({"features": (16, 32, 64)}, 19, 809_769),
            ({"features": 8, "rows": 3}, 5, 203_157),
            (
                {
                    "features": (32, 64, 96),
                    "upsampling": "bilinear",
                    "variant": GridNetVariant(
                        norm=False, nonlinearity="prelu_shared", stem="residual", head="residual"
                    ),
                },
                19,
                2_259_076,
            ),
        ],
    )
    def test_parameters_are_those_of_the_references(self, options, num_classes, parameters):
        with without_values():
            model = models.gridnet((32, 32, 3), num_classes, **options)
        assert trainable(model) == parameters

    def test_grid_has_the_rows_and_columns_that_are_asked_for(self):
        with without_values():
            names = {layer.name for layer in _tiny(rows=4, features=2, columns=8).layers}
        for present in ("lateral_3_6.5", "down_2_3.5", "up_2_7.5", "up_0_4.5"):
            assert present in names
        for absent in ("lateral_4_0.5", "lateral_0_7.5", "down_3_0.5", "down_0_4.5", "up_0_3.5"):
            assert absent not in names

    def test_bilinear_grid_takes_odd_sizes(self):
        model = _tiny(**BILINEAR)
        assert model(np.zeros((1, 33, 47, 3))).shape == (1, 33, 47, 2)

    def test_rows_can_take_feature_maps(self):
        model = models.gridnet((34, 50, 4), 2, features=(4, 6), columns=2, **ROWS)
        assert [tensor.shape[1:] for tensor in model.inputs] == [(34, 50, 4), (17, 25, 6)]
        same = models.gridnet([(34, 50, 4), (17, 25, 6)], 2, features=(4, 6), columns=2, **ROWS)
        assert same.output.shape == (None, 34, 50, 2)
        with pytest.raises(ValueError, match="channels of each row"):
            models.gridnet([(34, 50, 4), (17, 25, 5)], 2, features=(4, 6), columns=2, **ROWS)

    @pytest.mark.parametrize(
        ("shape", "upsampling"),
        [
            ((17, 24, 4), "transposed"),
            ([(16, 24, 4), (16, 24, 6)], "transposed"),
            ([(34, 50, 4), (17, 24, 6)], "bilinear"),
        ],
    )
    def test_rows_of_sizes_that_are_no_halves_are_refused(self, shape, upsampling):
        with pytest.raises(ValueError, match="input_shape to halve"):
            models.gridnet(
                shape, 2, features=(4, 6), columns=2, **ROWS | {"upsampling": upsampling}
            )

    @pytest.mark.parametrize(
        "wrong",
        [
            {"columns": 5},
            {"columns": 0},
            {"rows": 2},
            {"upsampling": "nearest"},
        ],
        ids=str,
    )
    def test_options_that_make_no_grid_are_refused(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            _tiny(**wrong)

    @pytest.mark.parametrize("field", ["nonlinearity", "stem", "head"])
    def test_variants_that_make_no_grid_are_refused(self, field):
        with pytest.raises(ValueError, match=f"{field} must be one of"):
            _tiny(variant={field: "conv"})

    @pytest.mark.parametrize(
        "nonlinearity", ["prelu", pytest.param("prelu_shared", marks=pytest.mark.slow)]
    )
    def test_prelu_grid_leaves_as_built_in_operators(self, nonlinearity, tmp_path):
        from keras_seg.export import export
        from tests.helpers.shapes import Shapes

        options = BILINEAR | {"variant": GridNetVariant(norm=False, nonlinearity=nonlinearity)}
        model = models.gridnet((None, None, 3), 3, features=(4, 4), columns=2, **options)
        report = export(
            model, tmp_path / "m.tflite", input_shape=(33, 47, 3), evaluation=Shapes("val", 1)
        )
        assert report.audit.problems == ()


class TestTotalDropout:
    X = np.ones((4, 3, 5, 2), "float32")

    def test_keeps_or_zeroes_the_whole_batch_without_rescaling(self):
        layer = TotalDropout(0.4, seed=1)
        draws = [np.unique(layer(self.X, training=True)) for _ in range(200)]
        assert all(values.tolist() in ([0.0], [1.0]) for values in draws)
        assert 0.45 < np.mean([values[0] for values in draws]) < 0.75

    def test_is_the_identity_at_inference(self):
        np.testing.assert_array_equal(TotalDropout(0.9)(self.X), self.X)
        np.testing.assert_array_equal(TotalDropout(0.0)(self.X, training=True), self.X)

    def test_draws_anew_in_every_call_of_a_graph(self):
        import tensorflow as tf

        layer = TotalDropout(0.5, seed=0)
        for jit in (False, True):
            step = tf.function(lambda x: layer(x, training=True), jit_compile=jit)
            assert {float(step(self.X)[0, 0, 0, 0]) for _ in range(30)} == {0.0, 1.0}

    def test_a_dropped_overflow_is_zero_in_mixed_precision(self):
        layer = TotalDropout(0.99, seed=0, dtype="mixed_float16")
        y = layer(np.full((1, 2), np.inf, "float32"), training=True)
        assert y.dtype == "float16" and np.array_equal(y, [[0, 0]])

    def test_shortcut_stays_when_the_branch_is_dropped(self):
        keras.utils.set_random_seed(0)  # one branch in a thousand stays
        model = _tiny(dropout=0.999, variant=PLAIN)
        for layer in model.layers:
            if layer.name.startswith("lateral") and layer.name.endswith(".5"):
                layer.bias.assign_add(np.full(layer.bias.shape, 7.0))
        bare = _tiny(dropout=0.0, variant=PLAIN)
        bare.set_weights([np.array(w) for w in model.weights if "seed" not in w.path])
        for layer in bare.layers:
            if layer.name.startswith("lateral") and layer.name.endswith(".5"):
                layer.set_weights([0 * w for w in layer.get_weights()])
        np.testing.assert_allclose(model(IMAGE, training=True), bare(IMAGE), rtol=1e-5, atol=1e-5)

    def test_configuration_round_trip_and_wrong_rates(self):
        layer = TotalDropout.from_config(TotalDropout(0.3, seed=5).get_config())
        assert (layer.rate, layer.seed) == (0.3, 5)
        for rate in (-0.1, 1.0):
            with pytest.raises(ValueError, match="rate must be a probability"):
                TotalDropout(rate)


def _tiny(**options):
    defaults = {"features": (4, 4, 4), "columns": 4} if "features" not in options else {}
    return models.gridnet((None, None, 3), 2, **defaults | options)
