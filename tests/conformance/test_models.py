"""Promises that every registered network keeps."""

import inspect
import itertools
import textwrap

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg import losses, metrics, models
from keras_seg.layers import Preprocessing, Resize, SizeGuard
from keras_seg.models.output_activation import model_output_activation
from tests.helpers.shapes import TINY_SIZE
from tests.helpers.slow_cases import all_but
from tests.helpers.without_values import without_values

IMAGE = np.random.default_rng(0).integers(0, 256, (2, *TINY_SIZE, 3)).astype("float32")
MASK = np.random.default_rng(1).integers(0, 3, (2, *TINY_SIZE)).astype("int32")

every_model = pytest.mark.parametrize("name", models.list_models())


def built(name, policy):
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        return models.build(name, (*TINY_SIZE, 3), 3, **models.find(name).tiny)
    finally:
        keras.config.set_dtype_policy("float32")


def fitted(name, policy="float32", images=2, epochs=8, **options):
    """(network, its losses): SGD, since the graph of Adam takes minutes to build for some."""
    model = built(name, policy)
    scores = [metrics.MeanIoU(3)]
    model.compile("sgd", losses.CrossEntropy(), metrics=scores, **options)
    image, mask = IMAGE[:images], MASK[:images]
    history = model.fit(image, mask, epochs=epochs, verbose=0, shuffle=False).history
    return model, history["loss"]


def falls(history):
    """Of several steps, since dropout makes single ones go up and down."""
    return np.mean(history[len(history) // 2 :]) < history[0]


@every_model
def test_fit_takes_a_step(name):
    model, history = fitted(name, images=1, epochs=1, run_eagerly=True)
    assert np.isfinite(history).all()
    before = built(name, "float32")
    kernels = zip(model.trainable_weights, before.trainable_weights, strict=True)
    moved = [not np.array_equal(new, old) for new, old in kernels if len(new.shape) == 4]
    assert np.mean(moved) > 0.95  # dropout of a whole branch leaves its kernels alone


@pytest.mark.parametrize("name", all_but({"deeplabv3plus", "icnn"}, models.list_models()))
def test_fit_lowers_the_loss(name):
    model, history = fitted(name, run_eagerly=True)
    assert falls(history)
    assert np.isfinite(model.evaluate(IMAGE, MASK, verbose=0)[0])


@pytest.mark.parametrize("name", all_but({"icnn"}, models.list_models()))
def test_fit_in_half_precision_lowers_the_loss(name):
    """It is slow on a CPU, and takes one image; the dropout of DeconvNet needs more steps."""
    epochs = 8 if name == "deconvnet" else 4
    _, history = fitted(name, "mixed_float16", 1, epochs, run_eagerly=True)
    assert falls(history)


@pytest.mark.parametrize("name", all_but({"unet"}, models.list_models()))
def test_fit_compiled_by_xla_lowers_the_loss(name):
    assert falls(fitted(name, jit_compile=True)[1])


@pytest.mark.parametrize("name", all_but({"unet"}, models.list_models()))
def test_xla_gives_the_same_logits(name, tiny_model):
    import tensorflow as tf

    model = tiny_model(name)
    plain = model(IMAGE)
    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True)(IMAGE)
    np.testing.assert_allclose(compiled, plain, atol=1e-4 * np.abs(plain).max())


@every_model
class TestGraphOfEveryModel:
    """What the graph of a network shows before its weights have values."""

    @pytest.fixture(autouse=True)
    def no_values(self):
        with without_values():
            yield

    def test_outputs_are_float32_in_mixed_precision(self, name):
        assert built(name, "mixed_float16").output.dtype == "float32"

    def test_the_example_of_the_docstring_runs(self, name):
        namespace = {"keras_seg": keras_seg}
        exec(example_of(models.find(name).build), namespace)
        assert namespace["model"].name == name

    @pytest.mark.parametrize("channels", [1, pytest.param(4, marks=pytest.mark.slow)])
    def test_other_channel_counts_work_without_imagenet_weights(self, name, channels):
        options = models.find(name).tiny
        model = models.build(name, (64, 64, channels), 2, preprocessing="unit", **options)
        assert model.input.shape == (None, 64, 64, channels)
        assert model.output.shape == (None, 64, 64, 2)

    def test_the_activation_is_the_last_operation(self, name):
        options = models.find(name).tiny
        for activation, function in (("softmax", "softmax"), (None, "linear")):
            model = models.build(name, (None, None, 3), 3, activation=activation, **options)
            assert model_output_activation(model.output).function == function
        with pytest.raises(ValueError, match="num_classes=1 needs activation 'sigmoid'"):
            models.build(name, (64, 64, 3), 1, activation="softmax", **options)

    def test_impossible_size_is_refused_with_the_nearest_that_work(self, name):
        network = models.find(name)
        if network.size_multiple == 1:
            assert models.build(name, (65, 97, 3), 2, **network.tiny).output.shape[1:3] == (65, 97)
            return
        wrong = 4 * network.size_multiple + 1
        with pytest.raises(ValueError, match=rf"Received: {wrong}.* {wrong - 1} and "):
            models.build(name, (wrong, 64, 3), 2, **network.tiny)


@pytest.mark.parametrize("name", all_but({"deconvnet", "unet"}, models.list_models()))
def test_probabilities_of_a_softmax_sum_to_one(name):
    model = models.build(name, (64, 64, 3), 3, activation="softmax", **models.find(name).tiny)
    np.testing.assert_allclose(keras.ops.sum(model(IMAGE[:, :, :64]), -1), 1, atol=1e-5)


@every_model
class TestEveryModel:
    def test_mask_has_the_size_of_the_image(self, name, tiny_model):
        assert tiny_model(name)(IMAGE).shape == (2, *TINY_SIZE, 3)

    def test_free_size_model_takes_other_sizes(self, name, tiny_model):
        model, step = tiny_model(name), 2 * models.find(name).size_multiple
        image = np.zeros((1, 64 + step, 32 + step, 3))
        assert model(image).shape == (1, 64 + step, 32 + step, 3)

    def test_impossible_size_is_refused_by_a_free_model_too(self, name, tiny_model):
        multiple = models.find(name).size_multiple
        if multiple > 1:
            with pytest.raises(ValueError, match="must be a multiple of"):
                tiny_model(name)(np.zeros((1, 64, 4 * multiple + 1, 3)))

    def test_keras_file_round_trip_is_bit_equal_in_safe_mode(self, name, tiny_model, tmp_path):
        model = tiny_model(name)
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
        np.testing.assert_array_equal(model(IMAGE), loaded(IMAGE))

    def test_gradients_reach_every_trainable_weight(self, name, tiny_model):
        import tensorflow as tf

        model = tiny_model(name)
        with tf.GradientTape() as tape:
            loss = losses.CrossEntropy()(MASK, model(IMAGE, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        dead = [
            variable.path
            for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
            if gradient is None or not np.abs(gradient).max() > 0
        ]
        assert dead == []

    def test_output_of_an_image_does_not_depend_on_its_batch(self, name, tiny_model):
        model = tiny_model(name)
        alone, together = model(IMAGE[:1]), model(IMAGE)[:1]
        np.testing.assert_allclose(alone, together, atol=1e-4 * np.abs(together).max())

    def test_docstring_gives_shapes_errors_and_source(self, name):
        text = models.find(name).build.__doc__
        for part in ("Shapes:", "Returns:", "Raises:", "Differs from the paper:"):
            assert part in text


def example_of(function) -> str:
    """The code under "Example:" in a docstring."""
    after = inspect.getdoc(function).partition("Example:\n\n")[2]
    lines = itertools.takewhile(lambda x: not x or x.startswith("    "), after.splitlines())
    return textwrap.dedent("\n".join(lines))


@pytest.mark.parametrize("function", [models.build, models.prune], ids=lambda f: f.__name__)
def test_examples_of_other_functions_run(function):
    namespace = {"keras_seg": keras_seg}
    exec(example_of(function), namespace)
    assert isinstance(namespace["model"], keras.Model)


class TestRegistry:
    def test_unknown_name_is_answered_with_the_nearest(self):
        with pytest.raises(ValueError, match="Unknown model 'unett'. Did you mean 'unet'"):
            models.build("unett")

    def test_unknown_option_is_answered_with_the_nearest(self):
        with pytest.raises(ValueError, match="'widhts'. Did you mean 'widths'"):
            models.build("unet", (64, 64, 3), 2, widhts=(8, 16))

    def test_builders_are_functions_of_the_package(self):
        for name in models.list_models():
            assert getattr(keras_seg.models, name) is models.find(name).build

    @pytest.mark.parametrize("shape", [(64, 64), (64, 64, 0), (64, -1, 3), ("64", 64, 3), None])
    def test_a_shape_that_is_none_is_refused(self, shape):
        with pytest.raises(ValueError, match=r"input_shape is \(height, width, channels\)"):
            models.unet(shape, 2)

    @pytest.mark.parametrize("num_classes", [0, -1, 2.5, "2"])
    def test_a_class_count_that_is_none_is_refused(self, num_classes):
        with pytest.raises(ValueError, match="num_classes must be"):
            models.unet((64, 64, 3), num_classes)


class TestUNet:
    @pytest.mark.parametrize(
        ("upsampling", "num_classes", "parameters"),
        [("transposed", 2, 31_037_698), ("bilinear", 1, 17_262_977)],
    )
    def test_default_has_the_parameters_of_the_reference(self, upsampling, num_classes, parameters):
        with without_values():
            model = models.unet((None, None, 3), num_classes, upsampling=upsampling)
        assert sum(np.prod(weight.shape) for weight in model.trainable_weights) == parameters

    def test_depth_follows_widths(self):
        model = models.unet((24, 40, 3), 2, widths=(4, 8, 8, 8))
        assert model.output.shape == (None, 24, 40, 2)

    def test_skip_comes_before_the_upsampled_map(self, tiny_model):
        concat = tiny_model("unet").get_layer("up4.concat")
        first, second = (tensor._keras_history.operation.name for tensor in concat.input)
        assert (first, second) == ("inc.double_conv.4.act", "up4.up")

    @pytest.mark.parametrize("options", [{"widths": (8,)}, {"upsampling": "nearest"}])
    def test_options_that_make_no_unet_are_refused(self, options):
        with pytest.raises(ValueError, match=next(iter(options))):
            models.unet((64, 64, 3), 2, **options)


class TestDeepLabV3Plus:
    @pytest.mark.parametrize("output_stride", [8, pytest.param(16, marks=pytest.mark.slow), 32])
    def test_encoder_stops_at_the_output_stride(self, output_stride):
        with without_values():
            model = models.deeplabv3plus(
                (64, 96, 3), 3, backbone_weights=None, channels=16, output_stride=output_stride
            )
        shape = model.get_layer("aspp.concat").output.shape
        assert shape[1:3] == (64 // output_stride, 96 // output_stride)

    def test_logits_can_stay_at_stride_4(self):
        with without_values():
            model = models.deeplabv3plus(
                (64, 96, 3), 3, backbone_weights=None, channels=16, upsample_logits=False
            )
        assert model.output.shape == (None, 16, 24, 3)

    def test_backbone_names_and_strides_are_checked(self):
        with pytest.raises(ValueError, match="Nearest: mobilenetv2"):
            models.deeplabv3plus((64, 64, 3), 2, backbone="mobilenet2")
        with pytest.raises(ValueError, match="output_stride must be 8, 16 or 32. Received: 4"):
            keras_seg.backbones.build("mobilenetv2", output_stride=4)

    def test_imagenet_weights_without_a_network_say_what_to_do(self, monkeypatch):
        def fail(*args, **kwargs):
            raise Exception("URL fetch failure on https://example.org: None -- no route")

        monkeypatch.setattr("keras.utils.get_file", fail)
        monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
        with pytest.raises(RuntimeError, match=r"could not be downloaded.*backbone_weights=None"):
            models.deeplabv3plus((64, 64, 3), 2)

    def test_imagenet_weights_of_a_file_are_loaded(self, tmp_path):
        source = keras.applications.MobileNetV2(
            include_top=False, weights=None, input_shape=(None, None, 3)
        )
        source.save_weights(tmp_path / "mobilenetv2.weights.h5")
        model = models.deeplabv3plus(
            (64, 64, 3), 2, backbone_weights=str(tmp_path / "mobilenetv2.weights.h5")
        )
        for name in ("Conv1", "block_16_depthwise", "Conv_1"):
            np.testing.assert_array_equal(
                model.get_layer(name).get_weights()[0], source.get_layer(name).get_weights()[0]
            )


class TestFiles:
    def test_card_travels_with_the_model(self, tmp_path, tiny_model, shapes):
        card = models.ModelCard(shapes[0].classes, network="unet", size_multiple=16)
        models.save(tiny_model("unet"), tmp_path / "m.keras", card)
        assert models.read_card(tmp_path / "m.keras") == card
        np.testing.assert_array_equal(
            models.load(tmp_path / "m.keras")(IMAGE), tiny_model("unet")(IMAGE)
        )

    def test_foreign_model_has_no_card(self, tmp_path, tiny_model):
        tiny_model("unet").save(tmp_path / "m.keras")
        assert models.read_card(tmp_path / "m.keras") is None

    def test_failed_save_leaves_the_older_file(self, tmp_path, tiny_model, shapes, monkeypatch):
        path = tmp_path / "m.keras"
        card = models.ModelCard(shapes[0].classes)
        models.save(tiny_model("unet"), path, card)
        before = path.read_bytes()
        monkeypatch.setattr(models.ModelCard, "to_json", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            models.save(tiny_model("unet"), path, card)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no\.keras"):
            models.load(tmp_path / "no.keras")

    def test_a_keras_file_that_is_none_is_refused(self, tmp_path, tiny_model, shapes):
        text, cut = tmp_path / "text.keras", tmp_path / "cut.keras"
        text.write_text("not a model")
        models.save(tiny_model("unet"), cut, models.ModelCard(shapes[0].classes))
        cut.write_bytes(cut.read_bytes()[:-500])
        for path in (text, cut):
            with pytest.raises(ValueError, match=r"is not a \.keras file"):
                models.load(path)


class TestLayers:
    def test_preprocessing_modes_map_pixels_as_stated(self):
        pixels = np.array([[[[0, 127.5, 255]]]], "float32")
        np.testing.assert_allclose(Preprocessing("unit")(pixels).numpy().ravel(), [0, 0.5, 1])
        np.testing.assert_allclose(Preprocessing("symmetric")(pixels).numpy().ravel(), [-1, 0, 1])
        expected = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        np.testing.assert_allclose(Preprocessing("imagenet")(pixels), expected, atol=1e-6)

    def test_preprocessing_refuses_what_it_cannot_do(self):
        with pytest.raises(ValueError, match="preprocessing must be"):
            Preprocessing("tf")
        with pytest.raises(ValueError, match="3 channels"):
            Preprocessing("imagenet")(np.zeros((1, 2, 2, 4)))

    @pytest.mark.parametrize("grid", ["half_pixel", "align_corners"])
    def test_bilinear_resize_samples_the_stated_grid(self, grid):
        x = np.random.default_rng(0).normal(size=(1, 5, 7, 2)).astype("float32")
        like = np.zeros((1, 9, 20, 1), "float32")
        expected = _bilinear(x, (9, 20), grid)
        np.testing.assert_allclose(Resize(grid=grid)(x, like=like), expected, atol=1e-5)
        np.testing.assert_allclose(Resize(3, grid=grid)(x), _bilinear(x, (15, 21), grid), atol=1e-5)

    @pytest.mark.parametrize("grid", ["half_pixel", "align_corners"])
    @pytest.mark.parametrize(("before", "after"), [(8, 64), (17, 65), (9, 50), (5, 1)])
    def test_bilinear_resize_takes_the_same_rows_under_xla(self, grid, before, after):
        import tensorflow as tf

        x = np.random.default_rng(0).normal(size=(1, before, before, 2)).astype("float32")
        like = np.zeros((1, after, after, 1), "float32")
        resize = tf.function(Resize(grid=grid), jit_compile=True)
        np.testing.assert_allclose(resize(x, like=like), Resize(grid=grid)(x, like=like), atol=1e-5)

    def test_nearest_resize_repeats_pixels(self):
        x = np.arange(6, dtype="float32").reshape(1, 2, 3, 1)
        expected = x.repeat(2, 1).repeat(2, 2)
        np.testing.assert_array_equal(Resize(2, interpolation="nearest")(x), expected)

    def test_resize_refuses_what_it_cannot_do(self):
        x = np.zeros((1, 2, 2, 1))
        for wrong in ({"grid": "corners"}, {"interpolation": "cubic"}):
            with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
                Resize(2, **wrong)
        with pytest.raises(ValueError, match="either `scale` or"):
            Resize()(x)
        with pytest.raises(ValueError, match="either `scale` or"):
            Resize(2)(x, like=x)

    def test_size_guard_passes_multiples_unchanged(self):
        x = np.ones((1, 8, 12, 1))
        np.testing.assert_array_equal(SizeGuard(4)(x), x)
        with pytest.raises(ValueError, match="width.*Received: 3.*work are 4"):
            SizeGuard(4)(np.ones((1, 8, 3, 1)))


def _bilinear(x, size, grid):
    """Separable linear interpolation written out, one axis after the other."""
    for axis, target in zip((1, 2), size, strict=True):
        source = x.shape[axis]
        if grid == "align_corners":
            position = np.arange(target) * (source - 1) / (target - 1)
        else:
            position = (np.arange(target) + 0.5) * source / target - 0.5
        position = position.clip(0, source - 1)
        below = np.floor(position).astype(int)
        above = np.minimum(below + 1, source - 1)
        share = (position - below).reshape([-1 if a == axis else 1 for a in range(4)])
        x = np.take(x, below, axis) * (1 - share) + np.take(x, above, axis) * share
    return x
