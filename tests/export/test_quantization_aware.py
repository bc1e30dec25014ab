"""Quantization-aware networks: built from all networks, trained, saved, and found in the file."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers as kl

from keras_seg import export as room
from keras_seg import inference, layers, models
from keras_seg.export import ExportError
from keras_seg.export.aware.trained_ranges import NEVER_USED
from keras_seg.inference.keras_runner import KerasRunner, first_output
from keras_seg.layers import FakeQuantize, quantized_convolutions
from keras_seg.models import files
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network, trained
from tests.helpers.shapes import TINY_SIZE, Shapes

pytestmark = pytest.mark.xdist_group("quantization_aware")

SHAPE = (32, 48, 3)
FLOAT_LAYERS = {
    "danet": {"PositionAttention", "ChannelAttention"},
    "ocrnet": {"ObjectRegions", "ObjectAttention"},
    "segnet_basic": {"LocalResponseNormalization"},
}
"""Kinds of layers that stay float in each network; none in the others."""


def with_statistics(model, seed=0):
    """Batch norms that do something, as after training."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, kl.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(random.normal(0, 0.2, shape))
            layer.moving_variance.assign(random.uniform(0.5, 2, shape))
            layer.gamma.assign(random.uniform(0.5, 1.5, shape) * random.choice([-1, 1], shape))
            layer.beta.assign(random.normal(0, 0.2, shape))
    return model


def tiny(name):
    keras.utils.set_random_seed(0)
    return with_statistics(models.build(name, (None, None, 3), 3, **models.find(name).tiny))


def pictures(count=2):
    return np.stack([Shapes("train")[i].image for i in range(count)]).astype("float32")


def step(model):
    """One training step; {trainable variable: gradient}."""
    masks = np.stack([Shapes("train")[i].mask for i in range(2)]) % 255
    with tf.GradientTape() as tape:
        outputs = keras.tree.flatten(model(pictures(), training=True))
        loss = sum(
            tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(masks, logits))
            for logits in outputs
        )
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign_sub(1e-4 * gradient)
    return {
        variable.path: gradient for variable, gradient in zip(variables, gradients, strict=True)
    }


QUICK = ("unet",)
"""Networks that every run of the tests takes; `-m slow` takes the others."""


@pytest.fixture(
    scope="module",
    params=[
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in models.list_models()
    ],
)
def network(request):
    """(name, network, its quantization-aware copy before any step)."""
    model = tiny(request.param)
    return request.param, model, room.quantization_aware(model)


class TestEveryNetwork:
    def test_folding_changes_nothing(self, network, monkeypatch):
        """Without any rounding, the copy is the network."""
        _, model, aware = network
        monkeypatch.setattr(FakeQuantize, "call", lambda self, x, member=None, training=False: x)
        monkeypatch.setattr(quantized_convolutions, "rounded_by_channel", lambda kernel: kernel)
        expected = first_output(model(pictures(1), training=False)).numpy()
        found = first_output(aware(pictures(1), training=False)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())

    def test_no_batch_norm_is_left_and_float_layers_are_named(self, network):
        name, _, aware = network
        kinds = {type(aware.get_layer(layer)).__name__ for layer in room.float_layers(aware)}
        assert kinds == FLOAT_LAYERS.get(name, set())
        assert not any(isinstance(layer, kl.BatchNormalization) for layer in aware.layers)

    def test_a_step_trains_every_kernel_and_the_copy_survives_saving(self, network, tmp_path):
        _, model, aware = network
        before = [np.array(weight) for weight in model.weights]
        gradients = step(aware)
        assert all(np.isfinite(gradient).all() for gradient in gradients.values())
        moved = [np.any(gradient != 0) for path, gradient in gradients.items() if "kernel" in path]
        assert np.mean(moved) > 0.95  # a ReLU or two of a tiny random network may be dead
        ranges = [layer.range() for layer in aware.layers if isinstance(layer, FakeQuantize)]
        assert np.mean([known is not None for known in ranges]) > 0.95
        aware.save(tmp_path / "aware.keras")
        loaded = keras.saving.load_model(tmp_path / "aware.keras", safe_mode=True)
        for found, expected in zip(
            keras.tree.flatten(loaded(pictures(1), training=False)),
            keras.tree.flatten(aware(pictures(1), training=False)),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)
        for weight, value in zip(model.weights, before, strict=True):
            np.testing.assert_array_equal(weight, value)


def int8_scales(path):
    """(scale, zero point) of the int8 tensors of a file that have one of each: all but kernels."""
    interpreter = Interpreter(
        str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    return {
        tensor["quantization"]
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] == np.int8 and len(tensor["quantization_parameters"]["scales"]) == 1
    }


def trained_scales(aware):
    """(scale, zero point before rounding) of each range of a quantization-aware model, as int8."""
    found = []
    for layer in aware.layers:
        if isinstance(layer, FakeQuantize):
            low, high = layer.range() or NEVER_USED
            scale = (high - low) / 255
            found.append((scale, -low / scale - 128))
    return found


def same(found, trained):
    """Equal scales, and the nearest zero point: of two as near, either."""
    (scale, zero), (trained_scale, trained_zero) = found, trained
    return scale == pytest.approx(trained_scale, rel=1e-6) and abs(zero - trained_zero) < 0.501


def check_scales(aware, path):
    """Every trained range is in the file, and no other."""
    found, expected = int8_scales(path), trained_scales(aware)
    assert [pair for pair in expected if not any(same(other, pair) for other in found)] == []
    assert [pair for pair in found if not any(same(pair, other) for other in expected)] == []


def decibels(expected, found):
    return 10 * np.log10(expected.var() / ((found - expected).var() + 1e-12))


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in models.list_models()
    ],
)
def test_the_file_has_the_trained_ranges_and_gives_the_numbers_of_training(name, tmp_path):
    network, shape, path = models.find(name), (*TINY_SIZE, 3), tmp_path / "m.tflite"
    aware = room.quantization_aware(tiny(name))
    step(aware)
    report = room.export(aware, path, quantize="int8", input_shape=shape)
    assert report.calibration_images == 0
    if name in FLOAT_LAYERS:
        names = room.float_layers(aware)
        assert all(any(f"/{name}" in island for name in names) for island in report.audit.islands)
    else:
        assert report.audit.islands == ()
        check_scales(aware, path)
    image = Shapes("val", 1)[0].image
    expected = KerasRunner(aware, input_shape=shape).run(image)
    # roundings that fall the other way grow in random networks; see the registry for ties of pools
    if network.int8_decibels is not None:
        assert decibels(expected, inference.load(path).run(image)) > network.int8_decibels


def one_wide_channel(model, factor=600.0):
    """The same function, with one channel so wide that the others get none of its 256 steps."""
    norm, depthwise = model.get_layer("norm"), model.get_layer("wide")
    for weight in (norm.gamma, norm.beta):
        weight.assign(np.array(weight) * np.where(np.arange(8) == 0, factor, 1))
    kernel = np.array(depthwise.kernel)
    kernel[:, :, 0] /= factor
    depthwise.kernel.assign(kernel)
    head = np.array(model.get_layer("head").kernel)
    head[:, :, 0] /= factor  # the skip comes first in the concatenation
    model.get_layer("head").kernel.assign(head)
    return model


@pytest.fixture(scope="module")
def data():
    return ColourBlocks()


@pytest.fixture(scope="module")
def wide(data):
    """A trained network that int8 hurts."""
    return one_wide_channel(trained(small_network(), data))


@pytest.fixture(scope="module")
def aware(wide, data):
    """Its quantization-aware copy, trained on."""
    return trained(room.quantization_aware(wide), data)


@pytest.fixture(scope="module")
def saved(aware, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "aware.keras"
    files.save(aware, path, card_of(data))
    return path


class TestExport:
    @pytest.mark.parametrize(
        "head",
        [
            pytest.param("logits", marks=pytest.mark.slow),
            pytest.param("probabilities", marks=pytest.mark.slow),
            "argmax",
        ],
    )
    def test_a_saved_model_needs_no_calibration(self, saved, data, tmp_path, head):
        path = tmp_path / "m.tflite"
        report = room.export(
            saved,
            path,
            quantize="int8",
            input="uint8",
            head=head,
            evaluation=data,
            input_shape=SHAPE,
        )
        assert report.calibration_images == 0
        assert report.audit.islands == ()
        assert report.gate.agreement > 0.995
        assert inference.load(path).card.quantize == "int8"

    @pytest.mark.parametrize(("input", "zero"), [("uint8", 0), ("int8", -128)])
    def test_pixels_are_the_input_as_they_are(self, aware, saved, tmp_path, input, zero):
        path = tmp_path / "m.tflite"
        room.export(saved, path, quantize="int8", input=input, input_shape=SHAPE)
        check_scales(aware, path)
        (image,) = Interpreter(str(path)).get_input_details()
        assert image["dtype"] == np.dtype(input)
        assert image["quantization"] == (1.0, zero)

    def test_connected_tensors_have_one_range(self, aware):
        """A concatenation and the only one of its inputs that nothing else takes."""
        shared = [
            layer
            for layer in aware.layers
            if isinstance(layer, FakeQuantize) and layer.fixed is None and layer.members > 1
        ]
        assert [(layer.name, layer.members) for layer in shared] == [("up.windows.range", 2)]

    def test_means_are_rounded_in_the_range_of_what_they_are_means_of(self, aware):
        shared = aware.get_layer("down.range")
        assert shared.members == 1
        assert len(shared._inbound_nodes) == 2  # the convolution, and its map after the resizing

    @pytest.mark.parametrize(
        ("suffix", "quantize"), [(".tflite", None), (".tflite", "fp16"), (".onnx", None)]
    )
    def test_other_files_are_refused(self, saved, tmp_path, suffix, quantize):
        with pytest.raises(ValueError, match="TFLite with quantize='int8'"):
            room.export(saved, tmp_path / f"m{suffix}", quantize=quantize, input_shape=SHAPE)

    def test_an_untrained_copy_is_refused(self, tmp_path):
        aware = room.quantization_aware(small_network())
        with pytest.raises(ExportError, match="at least one step"):
            room.export(aware, tmp_path / "m.tflite", quantize="int8", input_shape=SHAPE)
        assert not list(tmp_path.iterdir())

    def test_exporting_leaves_the_model_as_it_was(self, aware, tmp_path):
        before = [np.array(weight) for weight in aware.weights]
        image = np.full((1, *SHAPE), 90, "float32")
        answer = aware(image, training=False)
        room.export(aware, tmp_path / "m.tflite", quantize="int8", input_shape=SHAPE)
        for weight, value in zip(aware.weights, before, strict=True):
            np.testing.assert_array_equal(weight, value)
        np.testing.assert_array_equal(aware(image, training=False), answer)


def test_training_wins_back_what_int8_loses(wide, aware, data, tmp_path):
    words = {"quantize": "int8", "input_shape": SHAPE, "evaluation": data, "max_drop": 100.0}
    plain = room.export(wide, tmp_path / "plain.tflite", calibration=data, **words).gate
    regained = room.export(aware, tmp_path / "aware.tflite", **words).gate
    before = plain.comparison.evaluations["keras"].miou
    after = regained.comparison.evaluations["tflite"].miou
    assert plain.drop > 20
    assert 100 * (before - after) < 0.5
    assert abs(regained.drop) < 0.5


class TestSoftLabels:
    """The network itself teaches its copy, of whatever outputs."""

    @pytest.mark.parametrize("outputs", [1, 3])
    def test_they_are_the_probabilities_of_each_output(self, outputs):
        model = small_network(outputs, extra_output=True)
        (found,) = tf.data.Dataset.from_tensors(pictures()).map(room.soft_labels(model))
        image, labels = found
        for name, logits in model(image, training=False).items():
            wanted = tf.sigmoid(logits) if logits.shape[-1] == 1 else tf.nn.softmax(logits)
            np.testing.assert_allclose(labels[name], wanted, atol=1e-6)

    def test_probabilities_stay_and_masks_are_replaced(self):
        model = keras.Sequential([keras.Input((8, 8, 3)), kl.Conv2D(2, 1), kl.Softmax()])
        images = np.ones((1, 8, 8, 3), np.uint8)
        image, labels = room.soft_labels(model, from_logits=False)(images, np.zeros((1, 8, 8)))
        np.testing.assert_allclose(labels, model(images.astype("float32")), atol=1e-6)
        np.testing.assert_array_equal(image, images)

    @pytest.mark.slow
    def test_they_win_back_what_int8_loses(self, wide, data, tmp_path):
        images = np.stack([sample.image for sample in data]).astype("float32")
        batches = tf.data.Dataset.from_tensor_slices(images).repeat().batch(4)
        words = {"quantize": "int8", "input_shape": SHAPE, "evaluation": data, "max_drop": 100.0}
        aware = room.quantization_aware(wide, momentum=0.9)
        aware.compile(
            keras.optimizers.Adam(0.01),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            jit_compile=False,
        )
        mious = []
        for steps in (1, 100):
            aware.fit(batches.map(room.soft_labels(wide)), steps_per_epoch=steps, verbose=0)
            gate = room.export(aware, tmp_path / "aware.tflite", **words).gate
            mious.append(gate.comparison.evaluations["tflite"].miou)
        before = inference.evaluate(KerasRunner(wide, card_of(data)), data).miou
        assert before - mious[0] > 0.1
        assert before - mious[1] < 0.5 * (before - mious[0])


class TestRewriting:
    def rewritten(self, layer, *, before=None):
        image = keras.Input((8, 8, 3), name="image")
        x = kl.Conv2D(4, 1, name="start")(image)
        x = layer(x) if before is None else layer(before(x))
        return room.quantization_aware(keras.Model(image, kl.Conv2D(2, 1, name="end")(x)))

    def ranges(self, aware):
        return [layer for layer in aware.layers if isinstance(layer, FakeQuantize)]

    @pytest.mark.parametrize(
        ("function", "bounds"),
        [("sigmoid", (0, 255 / 256)), ("tanh", (-1, 127 / 128)), ("hard_sigmoid", (0, 1))],
    )
    def test_functions_have_the_ranges_that_tflite_prescribes(self, function, bounds):
        aware = self.rewritten(kl.Activation(function, name="gate"))
        assert [x.fixed for x in self.ranges(aware)] == [(0, 255), None, bounds, None]

    def test_the_activation_of_a_convolution_is_taken_out_of_it(self):
        aware = self.rewritten(kl.Conv2D(4, 1, activation="tanh", name="gate"))
        assert [x.fixed for x in self.ranges(aware)] == [
            (0, 255),
            None,
            None,
            (-1, 127 / 128),
            None,
        ]

    def test_relu_is_part_of_the_operator_before_it(self):
        aware = self.rewritten(kl.ReLU(name="relu"))
        assert len(self.ranges(aware)) == 3  # image, relu, end

    def test_swish_is_rounded_inside(self):
        x = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype("float32")
        aware = self.rewritten(kl.Activation("silu", name="swish"))
        aware(x, training=True)
        assert len(self.ranges(aware)) == 5  # image, start, its sigmoid, the product, end

    def test_a_break_of_scales_begins_a_new_range(self):
        one = self.rewritten(kl.MaxPooling2D(name="pool"))
        two = self.rewritten(layers.ScaleBreak(name="break"), before=kl.MaxPooling2D(name="pool"))
        assert len(self.ranges(two)) == len(self.ranges(one)) + 1

    def test_sums_of_many_are_sums_of_two(self):
        image = keras.Input((8, 8, 3), name="image")
        maps = [kl.Conv2D(4, 1, name=f"map{i}")(image) for i in range(4)]
        aware = room.quantization_aware(keras.Model(image, kl.Add(name="sum")(maps)))
        sums = [layer for layer in aware.layers if isinstance(layer, kl.Add)]
        assert len(sums) == 3
        assert len(self.ranges(aware)) == 1 + 4 + 3

    def test_nested_models_and_shared_layers_are_taken_apart(self):
        inner = keras.Input((None, None, 4))
        head = keras.Model(inner, kl.ReLU()(kl.Conv2D(4, 3, padding="same", name="shared")(inner)))
        image = keras.Input((8, 8, 3), name="image")
        x = kl.Conv2D(4, 1, name="start")(image)
        model = keras.Model(image, head(head(x)))
        aware = room.quantization_aware(model)
        assert len(aware.get_layer("shared")._inbound_nodes) == 2
        x = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype("float32")
        assert decibels(model(x).numpy(), aware(x).numpy()) > 25

    def test_all_outputs_stay(self):
        model = small_network(extra_output=True)
        aware = room.quantization_aware(model)
        assert list(aware.output) == ["logits", "auxiliary"]

    def test_half_precision_becomes_float32(self):
        aware = room.quantization_aware(small_network(policy="mixed_float16"))
        assert {layer.compute_dtype for layer in aware.layers} == {"float32"}

    def test_twice_is_refused(self):
        aware = room.quantization_aware(small_network())
        with pytest.raises(ValueError, match="already"):
            room.quantization_aware(aware)

    def test_a_model_without_weights_is_refused(self):
        class Subclassed(keras.Model):
            def call(self, x):
                return x

        with pytest.raises(ExportError, match="was never called"):
            room.quantization_aware(Subclassed())

    def test_channels_first_is_refused(self):
        image = keras.Input((3, 8, 8))
        model = keras.Model(image, kl.Conv2D(2, 1, data_format="channels_first")(image))
        with pytest.raises(ExportError, match="channels_last"):
            room.quantization_aware(model)


def test_the_first_batches_of_its_training_see_the_normalisation():
    from keras_seg.data.first_batch.network import pixel_range

    network = models.unet((None, None, 3), 2, widths=(4, 8))
    aware = room.quantization_aware(network)
    assert pixel_range(network) == pixel_range(aware) == "0..255"
    image = keras.Input((8, 8, 3))
    trained_layer = keras.Model(image, kl.DepthwiseConv2D(1)(image))
    assert pixel_range(trained_layer) == "raw"
