"""What is special to U-Net: the paper's network, odd sizes, encoders of other papers."""

import keras
import numpy as np
import pytest

from keras_seg import inference, models
from keras_seg.export import export
from keras_seg.layers import CropOrPad, SizeGuard
from keras_seg.models.variants import UNetVariant
from tests.helpers.shapes import Shapes
from tests.helpers.without_values import without_values

NARROW = (2, 2, 2, 2, 2)
BACKBONE = {
    "backbone": "resnet18",
    "backbone_weights": None,
    "backbone_options": {"width": 4},
    "decoder_widths": (8, 8, 4, 4, 4),
}
PIXELS = np.random.default_rng(0).integers(0, 256, (1, 220, 236, 3)).astype("float32")


class TestPaperNetwork:
    def test_it_has_the_parameters_and_sizes_of_the_paper(self):
        with without_values():
            model = models.unet((572, 572, 1), 2, padding="valid")
        assert sum(np.prod(w.shape) for w in model.trainable_weights) == 31_030_658
        assert model.output.shape == (None, 388, 388, 2)

    def test_a_tile_equals_its_part_of_a_larger_image(self):
        model = models.unet((None, None, 3), 2, widths=NARROW, padding="valid", dropout=0.0)
        whole = np.asarray(model(PIXELS))
        tile = model(PIXELS[:, 16:204, 32:220])
        assert whole.shape == (1, 36, 52, 2) and tile.shape == (1, 4, 4, 2)
        np.testing.assert_allclose(tile, whole[:, 16:20, 32:36], atol=2e-6 * np.abs(whole).max())

    @pytest.mark.parametrize(("size", "near"), [(572 + 8, "572 and 588"), (100, "188")])
    def test_impossible_sizes_are_refused_with_the_nearest_that_work(self, size, near):
        with pytest.raises(ValueError, match=rf"plus 60\. Received: {size}\..* work are {near}\."):
            models.unet((572, size, 3), 2, widths=NARROW, padding="valid")

    @pytest.mark.parametrize(("depth", "size", "out"), [(1, 18, 2), (2, 44, 4), (3, 92, 4)])
    def test_the_smallest_size_follows_the_depth(self, depth, size, out):
        widths = NARROW[: depth + 1]
        assert (
            models.unet((size, size, 1), 2, widths=widths, padding="valid").output.shape[1] == out
        )
        with pytest.raises(ValueError, match=f"work are {size}"):
            step = 2**depth
            models.unet((size - step, size, 1), 2, widths=widths, padding="valid")

    def test_it_has_biases_and_dropout_instead_of_norm(self):
        model = models.unet((188, 188, 1), 2, widths=NARROW, padding="valid")
        norms = keras.layers.BatchNormalization
        assert not any(isinstance(layer, norms) for layer in model.layers)
        assert all(layer.use_bias for layer in model.layers if hasattr(layer, "use_bias"))
        dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
        assert [layer.name for layer in dropouts] == ["down3.dropout", "down4.dropout"]
        assert [layer.rate for layer in dropouts] == [0.5, 0.5]
        skip = model.get_layer("up1.crop").input[0]
        assert skip._keras_history.operation.name == "down3.dropout"


class TestOptions:
    def test_norm_and_bias_are_free(self):
        both = UNetVariant(norm=True, use_bias=True)
        model = models.unet((32, 32, 3), 2, widths=NARROW, variant=both)
        assert model.get_layer("inc.double_conv.0").use_bias
        assert model.get_layer("inc.double_conv.1").epsilon == 1e-5
        plain = models.unet((32, 32, 3), 2, widths=NARROW, variant=UNetVariant(norm=False))
        assert plain.get_layer("inc.double_conv.0").use_bias

    def test_resize_grid_and_concat_order_reach_the_layers(self):
        variant = UNetVariant(resize_grid="align_corners", concat="up_first")
        model = models.unet((32, 32, 3), 2, widths=NARROW, upsampling="bilinear", variant=variant)
        assert model.get_layer("up2.up").grid == "align_corners"
        names = [t._keras_history.operation.name for t in model.get_layer("up2.concat").input]
        assert names[0] == "up2.up"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"padding": "full"}, "padding must be one of"),
            ({"variant": {"concat": "skip"}}, "concat must be one of"),
            ({"upsampling": "bilinear", "widths": (3, 5)}, "must be even"),
            ({"decoder_widths": (8, 8)}, "decoder_widths must have 4 entries"),
            ({"variant": {"centre": True}}, "centre=True needs a backbone"),
            (BACKBONE | {"decoder_widths": (8, 8)}, "or 3 or 4 for an encoder"),
            (BACKBONE | {"decoder_widths": (8,) * 6}, "decoder_widths must have 5 entries"),
            ({"backbone": "resnet18", "padding": "valid"}, "A backbone has its own"),
            ({"backbone": "resnet18", "widths": NARROW}, "A backbone has its own"),
            ({"backbone": "resnet17"}, "Did you mean 'resnet1"),
            ({"backbone": "resnet18", "upsampling": "cubic"}, "upsampling must be one of"),
        ],
    )
    def test_options_that_make_no_unet_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            models.unet((64, 64, 3), 2, **options)


class TestAnySize:
    def test_sizes_that_pooling_rounds_down_give_a_mask_of_the_image(self):
        options = {"widths": NARROW, "variant": UNetVariant(any_size=True)}
        model = models.unet((None, None, 3), 2, **options)
        assert model(PIXELS[:, :43, :50]).shape == (1, 43, 50, 2)
        assert models.unet((43, 50, 3), 2, **options).output.shape[1:3] == (43, 50)

    def test_sizes_that_fit_give_what_the_plain_network_gives(self):
        keras.utils.set_random_seed(0)
        plain = models.unet((None, None, 3), 2, widths=NARROW)
        any_size = UNetVariant(any_size=True)
        model = models.unet((None, None, 3), 2, widths=NARROW, variant=any_size)
        model.set_weights(plain.get_weights())
        np.testing.assert_array_equal(model(PIXELS[:, :48, :64]), plain(PIXELS[:, :48, :64]))


class TestBackbone:
    @pytest.mark.parametrize(
        "upsampling", ["nearest", pytest.param("bilinear", marks=pytest.mark.slow), "transposed"]
    )
    def test_mask_has_the_size_of_the_image_whatever_it_is(self, upsampling):
        model = models.unet((None, None, 3), 2, upsampling=upsampling, **BACKBONE)
        assert model(PIXELS[:, :75, :109]).shape == (1, 75, 109, 2)
        with without_values():
            static = models.unet((75, 109, 3), 2, upsampling=upsampling, **BACKBONE)
        assert static.output.shape == (None, 75, 109, 2)

    def test_pixels_are_normalised_as_for_imagenet(self):
        for options, mode in ((BACKBONE, "imagenet"), ({"widths": NARROW}, "unit")):
            with without_values():
                model = models.unet((64, 64, 3), 2, **options)
            assert model.get_layer("preprocessing").mode == mode

    @pytest.mark.parametrize("network", ["unet", "unetplusplus"])
    @pytest.mark.parametrize("steps", [3, 4])
    def test_fewer_steps_up_cut_the_encoder_off(self, network, steps):
        options = BACKBONE | {"decoder_widths": (8, 4, 4, 4)[:steps]}
        with without_values():
            model = models.build(network, (75, 109, 3), 2, **options)
        assert model.output.shape == (None, 75, 109, 2)
        names = [layer.name for layer in model.layers]
        stages = {int(name[5]) for name in names if name.startswith("layer")}
        assert max(stages) == steps - 1

    @pytest.mark.parametrize(
        "network", ["unet", pytest.param("unetplusplus", marks=pytest.mark.slow)]
    )
    def test_convnext_which_begins_at_stride_4_makes_unets(self, network):
        options = BACKBONE | {"backbone": "convnext_tiny", "backbone_options": None}
        with without_values():
            model = models.build(network, (64, 96, 3), 2, **options)
        assert model.output.shape == (None, 64, 96, 2)

    def test_a_centre_stands_between_encoder_and_decoder(self):
        model = models.unet((64, 96, 3), 2, variant=UNetVariant(centre=True), **BACKBONE)
        first = model.get_layer("centre.double_conv.0")
        assert first.kernel.shape[2:] == (32, 32)
        assert first.input is model.get_layer("layer4.1.act").output

    def test_steps_without_a_map_of_the_encoder_have_no_skip(self):
        image = x = keras.Input((None, None, 3))
        maps = {}
        for stride in (4, 8, 16, 32):
            x = keras.layers.Conv2D(4, 3, 4 if stride == 4 else 2, "same")(x)
            maps[f"stride_{stride}"] = x
        model = models.unet(backbone=keras.Model(image, maps), num_classes=2)
        assert model(PIXELS[:, :75, :109]).shape == (1, 75, 109, 2)
        names = {layer.name for layer in model.layers}
        assert "up3.concat" in names and not names & {"up4.concat", "up5.concat"}

    @pytest.mark.parametrize("kind", ["tflite", pytest.param("onnx", marks=pytest.mark.slow)])
    def test_odd_sizes_leave_as_files_that_compute_the_same(self, kind, tmp_path):
        keras.utils.set_random_seed(0)
        variant = UNetVariant(resize_grid="top_left")
        options = BACKBONE | {"decoder_widths": (8, 4, 4)}
        model = models.unet((35, 45, 3), 3, variant=variant, **options)
        path = tmp_path / f"model.{kind}"
        report = export(model, path, evaluation=Shapes("val", 1, size=(35, 45)))
        assert report.audit.problems == ()
        expected = np.asarray(model(PIXELS[:, :35, :45]))[0]
        found = inference.load(path).run(PIXELS[0, :35, :45].astype("uint8"))
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


class TestLayers:
    @pytest.mark.parametrize("free", [False, True])
    @pytest.mark.parametrize(
        ("align", "rows", "expected"),
        [
            ("centre", 6, [0, 1, 2, 3, 0, 0]),
            ("centre", 2, [1, 2]),
            ("top_left", 5, [1, 2, 3, 0, 0]),
            ("top_left", 2, [1, 2]),
            ("centre", 3, [1, 2, 3]),
        ],
    )
    def test_crop_or_pad_fits_a_map_to_another(self, free, align, rows, expected):
        x, like = np.array([1.0, 2, 3]).reshape(1, 3, 1, 1), np.zeros((1, rows, 1, 2))
        layer = CropOrPad(align)
        if free:
            inputs = [keras.Input((None, None, 1)), keras.Input((None, None, 2))]
            layer = keras.Model(inputs, layer(inputs[0], like=inputs[1]))
            assert layer([x, like]).numpy().ravel().tolist() == expected
        else:
            assert layer(x, like=like).numpy().ravel().tolist() == expected

    def test_crop_or_pad_refuses_another_alignment(self):
        with pytest.raises(ValueError, match="align must be one of"):
            CropOrPad("left")

    def test_size_guard_passes_multiples_plus_an_offset(self):
        guard = SizeGuard(16, 60, 188)
        assert guard(np.zeros((1, 204, 188, 1))).shape == (1, 204, 188, 1)
        again = SizeGuard.from_config(guard.get_config())
        for size in (172, 192):
            with pytest.raises(ValueError, match=f"Received: {size}"):
                again(np.zeros((1, 204, size, 1)))


class TestWrongSizes:
    """A size that does not fit is refused in the words of this package, not wrapped by Keras."""

    @pytest.mark.parametrize(
        ("shape", "line"),
        [
            (
                (100, 96, 3),
                "Received: 100. The nearest that work are 96 and 112. Write input_shape=",
            ),
            ((3, 128, 160), "channels seem to come first. Write (128, 160, 3)."),
            ((3, None, None), "channels seem to come first. Write (None, None, 3)."),
        ],
    )
    def test_before_the_graph_is_built(self, shape, line):
        with pytest.raises(ValueError) as error:
            models.unet(shape, 2, widths=NARROW)
        assert line in str(error.value)
        assert "encountered" not in str(error.value)

    def test_in_a_call_and_in_predict_of_a_free_model(self):
        model = models.unet((None, None, 3), 2, widths=(2, 2))
        for run in (model, model.predict_on_batch):
            with pytest.raises(ValueError, match="^The height of the image must be a multiple"):
                run(np.zeros((1, 7, 8, 3), "float32"))
