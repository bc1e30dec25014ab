"""What ResUNet and ResUNet++ promise beyond the promises of every network."""

import keras
import numpy as np
import pytest

from keras_seg import blocks, models
from keras_seg.checkpoints import convert
from keras_seg.checkpoints.keras_layout import by_order_of_creation
from keras_seg.checkpoints.sources.resunet import debeshjha_keras_names
from keras_seg.weights.loading import tensor_name
from tests.helpers.reference import CASES, read_golden, state_dict
from tests.helpers.without_values import without_values

NARROW = (4, 8, 12, 16)
PIXELS = np.random.default_rng(0).uniform(-1, 1, (1, 32, 40, 3)).astype("float32")


def parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def operations(model):
    return {layer.name: layer for layer in model.layers}


def randomized(model):
    """The model with weights away from their first values, so that nothing cancels."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        low, high = (
            (0.5, 1.5) if "variance" in weight.name or "gamma" in weight.name else (-0.4, 0.4)
        )
        weight.assign(rng.uniform(low, high, weight.shape))
    return model


class TestResUNet:
    @pytest.mark.parametrize(
        ("options", "trainable", "all_weights"),
        [
            ({}, 8_220_993, 8_227_393),
            ({"variant": {"shortcut_norm": "all"}}, 8_223_809, 8_233_025),
            (
                {
                    "variant": {"shortcut_kernel": 3, "shortcut_norm": "units"},
                    "upsampling": "transposed",
                },
                13_043_009,
                None,
            ),
        ],
        ids=["default", "normed shortcuts", "rishikksh20"],
    )
    def test_parameters_are_those_of_published_code(self, options, trainable, all_weights):
        with without_values():
            model = models.resunet((None, None, 3), 1, **options)
        assert parameters(model) == trainable
        assert all_weights in (None, model.count_params())

    def test_has_fifteen_convolutions_beside_the_shortcuts(self):
        model = models.resunet((64, 64, 3), 2, widths=NARROW)
        names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        assert len([name for name in names if "skip" not in name]) == 15
        assert len([name for name in names if "skip" in name]) == 7

    def test_head_sees_the_raw_sum_and_the_first_unit_the_raw_image(self):
        layers = operations(models.resunet((64, 64, 3), 2, widths=NARROW, preprocessing=None))
        before_head = layers["output_layer.0"].input._keras_history.operation
        assert before_head.name == "up_residual_conv3.conv_block.add"
        for first in ("input_layer.0", "input_skip.0"):
            assert layers[first].input._keras_history.operation.name == "size_guard"

    def test_upsampled_map_comes_before_the_skip(self):
        layers = operations(models.resunet((64, 64, 3), 2, widths=NARROW))
        names = [tensor._keras_history.operation.name for tensor in layers["concat_3"].input]
        assert names == ["upsample_3.upsample", "input_layer.add"]

    def test_depth_follows_widths(self):
        assert models.resunet((20, 12, 3), 2, widths=(4, 8, 8)).output.shape == (None, 20, 12, 2)

    @pytest.mark.parametrize(
        "options",
        [
            {"widths": (8,)},
            {"upsampling": "cubic"},
            {"variant": {"shortcut_kernel": 2}},
            {"variant": {"shortcut_norm": True}},
            {"variant": {"padding": "valid"}},
        ],
        ids=str,
    )
    def test_options_that_make_no_resunet_are_refused(self, options):
        option = next(iter(options.get("variant", options)))
        with pytest.raises(ValueError, match=f"{option} must be .* Received"):
            models.resunet((64, 64, 3), 2, **options)


class TestResUNetPlusPlus:
    @pytest.mark.parametrize(
        ("options", "trainable", "all_weights"),
        [
            ({}, 4_062_993, 4_070_385),
            ({"widths": (32, 64, 128, 256, 512)}, 16_228_001, 16_242_785),
            (
                {"variant": {"shortcut_norm": "none", "squeeze_excite": "before"}},
                4_086_193,
                4_092_657,
            ),
        ],
        ids=["default", "follow-up code of the authors", "nikhilroxtomar"],
    )
    def test_parameters_are_those_of_published_code(self, options, trainable, all_weights):
        with without_values():
            model = models.resunetplusplus((None, None, 3), 1, **options)
        assert (parameters(model), model.count_params()) == (trainable, all_weights)

    def test_squeeze_and_excitation_stands_where_it_is_put(self):
        def squeezed(place):
            with without_values():
                model = models.resunetplusplus(
                    (64, 64, 3), 2, widths=(*NARROW, 16), variant={"squeeze_excite": place}
                )
            return {name.split(".attn")[0] for name in operations(model) if ".attn.net.0" in name}

        decoder = {"d1.r1", "d2.r1", "d3.r1"}
        assert squeezed("after") == {"c1", "c2", "c3", "c4"} | decoder
        assert squeezed("before") == {"c2", "c3", "c4"} | decoder
        assert squeezed("before_strided") == {"c2", "c3", "c4"}

    @pytest.mark.parametrize(("attention", "channels"), [("channels", 16), ("single", 1)])
    def test_attention_has_as_many_factors_as_said_and_no_sigmoid(self, attention, channels):
        variant = {"attention": attention}
        model = models.resunetplusplus((64, 64, 3), 2, widths=(*NARROW, 16), variant=variant)
        factors, gated = operations(model)["d1.a1.gate"].input
        assert factors._keras_history.operation.name == "d1.a1.gc_conv.2"
        assert (factors.shape[-1], gated.shape[-1]) == (channels, 16)

    @pytest.mark.parametrize(
        "options",
        [
            {"widths": (8, 8)},
            {"variant": {"squeeze_excite": "none"}},
            {"variant": {"attention": "sigmoid"}},
            {"variant": {"aspp_merge": "mean"}},
            {"variant": {"shortcut_norm": "some"}},
        ],
        ids=str,
    )
    def test_options_that_make_no_resunetplusplus_are_refused(self, options):
        option = next(iter(options.get("variant", options)))
        with pytest.raises(ValueError, match=f"{option} must be .* Received"):
            models.resunetplusplus((64, 64, 3), 2, **options)


class TestBlocks:
    def test_squeeze_and_excitation_follows_its_formula(self):
        image = keras.Input((6, 5, 12))
        model = randomized(keras.Model(image, blocks.squeeze_excite(image, ratio=4, name="se")))
        x = np.random.default_rng(1).normal(size=(2, 6, 5, 12)).astype("float32")
        squeeze, excite = (weight.numpy() for weight in model.weights)
        hidden = np.maximum(x.mean((1, 2)) @ squeeze, 0)
        factors = 1 / (1 + np.exp(-hidden @ excite))
        np.testing.assert_allclose(model(x), x * factors[:, None, None], rtol=1e-5, atol=1e-6)

    def test_squeeze_and_excitation_keeps_a_hidden_unit(self):
        image = keras.Input((6, 5, 4))
        model = keras.Model(image, blocks.squeeze_excite(image, ratio=8, name="se"))
        assert model.get_layer("se.0").units == 1

    def test_keras_padding_sees_one_pixel_further_below_and_right(self):
        """At stride 2 the two paddings give the same values one pixel apart, away from borders."""
        image = keras.Input((16, 16, 2))
        maps = {
            padding: keras.Model(
                image, blocks.conv2d(image, 3, stride=2, padding=padding, name=f"{padding}.conv")
            )
            for padding in ("same", "keras_same")
        }
        maps["keras_same"].set_weights(maps["same"].get_weights())
        x = np.random.default_rng(0).normal(size=(1, 16, 16, 2)).astype("float32")
        shifted = np.roll(x, (-1, -1), axis=(1, 2))
        np.testing.assert_allclose(
            maps["keras_same"](x)[:, 1:-1, 1:-1], maps["same"](shifted)[:, 1:-1, 1:-1], atol=1e-5
        )

    @pytest.mark.parametrize("size", [(8, 10), (7, 9)])
    @pytest.mark.parametrize("channels", [4, 16])
    def test_strided_pointwise_convolution_of_narrow_maps_is_the_same(self, size, channels):
        image = keras.Input((*size, channels))
        model = keras.Model(image, blocks.conv2d(image, 5, kernel=1, stride=2, name="conv"))
        x = np.random.default_rng(0).normal(size=(2, *size, channels)).astype("float32")
        expected = x[:, ::2, ::2] @ model.get_layer("conv").kernel.numpy()[0, 0]
        np.testing.assert_allclose(model(x), expected, atol=1e-5)


@pytest.fixture(scope="module")
def keras_checkpoint():
    """(tensors in PyTorch's layout under Keras' names, logits of our model made from them)."""
    path = next(path for path in CASES if path.stem == "resunetplusplus_debeshjha_keras_narrow")
    facts, _ = read_golden(path)
    tensors = state_dict(facts["manifest"], facts["seed"])
    return tensors, np.asarray(convert(tensors, "debeshjha")(PIXELS))


def as_keras_writes_it(tensors, name="{layer}/{leaf}:0"):
    """The same checkpoint with Keras' leaf names and kernel layout."""
    leaves = {"running_mean": "moving_mean", "running_var": "moving_variance", "bias": "bias"}
    written = {}
    for key, array in tensors.items():
        layer, leaf = key.split(".")
        norm = layer.startswith("batch")
        leaf = (
            {"weight": "gamma", "bias": "beta"}.get(leaf, leaves.get(leaf))
            if norm
            else ({"weight": "kernel"}.get(leaf, leaf))
        )
        axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim, (0,))
        written[name.format(layer=layer, leaf=leaf)] = array.transpose(axes)
    return written


class TestSources:
    def test_names_of_keras_cover_every_layer_once(self):
        model = models.resunetplusplus((64, 64, 3), 1, widths=(*NARROW, 16))
        weighted = {
            tensor_name(layer, weight).rpartition(".")[0]
            for layer in model.layers
            for weight in layer.weights
        }
        named = [name for names in debeshjha_keras_names().values() for name in names]
        assert sorted(named) == sorted(weighted)

    @pytest.mark.parametrize(
        "name",
        [
            "{layer}/{leaf}:0",
            pytest.param("{layer}/{layer}/{leaf}", marks=pytest.mark.slow),
            pytest.param("{layer}.{leaf}", marks=pytest.mark.slow),
        ],
    )
    def test_own_layout_of_keras_gives_the_same_model(self, keras_checkpoint, name):
        tensors, expected = keras_checkpoint
        written = as_keras_writes_it(tensors, name)
        np.testing.assert_array_equal(convert(written, "debeshjha")(PIXELS), expected)

    def test_h5_file_of_keras_gives_the_same_model(self, keras_checkpoint, tmp_path):
        import h5py

        tensors, expected = keras_checkpoint
        with h5py.File(tmp_path / "model.h5", "w") as file:
            for key, array in as_keras_writes_it(tensors).items():
                layer = key.split("/")[0]
                file[f"model_weights/{layer}/{key}"] = array
                file[f"optimizer_weights/adam/{layer}/{key}"] = array
        np.testing.assert_array_equal(convert(tmp_path / "model.h5", "debeshjha")(PIXELS), expected)

    def test_automatic_names_need_not_begin_at_zero(self, keras_checkpoint):
        tensors, expected = keras_checkpoint

        def later(name):
            layer, leaf = name.split(".")
            kind, _, count = (
                layer.rpartition("_") if layer[-1].isdigit() and "_" in layer else (layer, "", "0")
            )
            if layer == "conv2d":
                kind, count = "conv2d", "0"
            return f"{kind}_{int(count) + 95}.{leaf}"

        renamed = {later(name): array for name, array in tensors.items()}
        assert len(renamed) == len(tensors)
        np.testing.assert_array_equal(convert(renamed, "debeshjha")(PIXELS), expected)

    def test_layers_too_many_keep_their_names_and_are_refused(self, keras_checkpoint):
        extra = keras_checkpoint[0] | {"conv2d_99.bias": np.zeros(3, "float32")}
        with pytest.raises(ValueError, match="no weight takes.*conv2d_99.bias"):
            convert(extra, "debeshjha")
        assert "other/name" in by_order_of_creation({"other/name": np.zeros(2)}, {"conv2d": []})

    def test_keras_layout_is_padded_and_normalised_as_keras_does(self, keras_checkpoint):
        layers = operations(convert(keras_checkpoint[0], "debeshjha"))
        assert layers["c1.c1.1"].epsilon == 1e-3
        assert layers["c2.c1.2"].padding == "same"

    def test_a_checkpoint_of_neither_network_is_refused(self):
        with pytest.raises(ValueError, match="no tensor like .* It begins with: .'layer1.weight'"):
            convert({"layer1.weight": np.zeros(3)}, "rishikksh20")

    def test_hidden_units_of_squeeze_and_excitation_come_from_the_checkpoint(self):
        model = models.resunetplusplus(
            (None, None, 3), 1, widths=(8, 16, 24, 32, 8), squeeze_ratio=4
        )
        tensors = {}
        for layer in randomized(model).layers:
            for weight in layer.weights:
                array = weight.numpy()
                axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, (0,))
                tensors[tensor_name(layer, weight)] = array.transpose(axes)
        found = convert(tensors, "debeshjha", preprocessing="unit")
        np.testing.assert_allclose(found(PIXELS), model(PIXELS), rtol=1e-5)
