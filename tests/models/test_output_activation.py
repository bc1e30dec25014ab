"""What a network ends in is read from its graph: sigmoid, softmax, or scores without bounds."""

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers as kl
from keras import ops
from onnx import TensorProto, helper

from keras_seg import models
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.inference.onnx_output_activation import onnx_output_activation
from keras_seg.inference.tflite_output_activation import tflite_output_activation
from keras_seg.models.output_activation import model_output_activation
from keras_seg.output_activation import OutputActivation

SHAPE = (16, 24, 3)


def conv(channels, activation=None):
    return kl.Conv2D(channels, 1, activation=activation)


class Squashed(kl.Layer):
    """A layer of someone's own."""

    def call(self, x):
        return tf.nn.softmax(x)


class SquashedConvolution(kl.Conv2D):
    def call(self, x):
        return ops.sigmoid(super().call(x))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.last, self.up = conv(3, "softmax"), kl.UpSampling2D(2, interpolation="bilinear")

    def call(self, x):
        return self.up(self.last(x))


def nested(x):
    inside = keras.Sequential([kl.Input(SHAPE), conv(2), kl.Softmax()])
    return inside(x)


def outside(x):
    image = keras.Input((16, 24, 3))
    return keras.Model(image, kl.Reshape((16, 24, 3))(image))(conv(3, "sigmoid")(x))


def flat(x):
    return kl.Reshape((16, 24, 3))(kl.Softmax()(kl.Reshape((16 * 24, 3))(conv(3)(x))))


def channels_first(x):
    return kl.Permute((2, 3, 1))(kl.Softmax(axis=1)(kl.Permute((3, 1, 2))(conv(3)(x))))


PROBABILITIES = {
    "argument": (lambda x: conv(1, "sigmoid")(x), "sigmoid"),
    "transposed convolution": (
        lambda x: kl.Conv2DTranspose(3, 2, 2, activation="softmax")(x),
        "softmax",
    ),
    "dense": (lambda x: kl.Dense(3, activation="softmax")(x), "softmax"),
    "Activation": (lambda x: kl.Activation("softmax")(conv(3)(x)), "softmax"),
    "Softmax": (lambda x: kl.Softmax()(conv(3)(x)), "softmax"),
    "layer as activation": (lambda x: conv(3, kl.Softmax())(x), "softmax"),
    "hard": (lambda x: conv(1, "hard_sigmoid")(x), "hard_sigmoid"),
    "sparsemax": (lambda x: conv(3, "sparsemax")(x), "sparsemax"),
    "ops.sigmoid": (lambda x: ops.sigmoid(conv(1)(x)), "sigmoid"),
    "ops.softmax": (lambda x: ops.softmax(conv(3)(x)), "softmax"),
    "exponential": (lambda x: ops.exp(ops.log_softmax(conv(3)(x))), "softmax"),
    "TensorFlow's": (lambda x: conv(3, tf.nn.softmax)(x), "softmax"),
    "lambda as activation": (lambda x: conv(1, lambda y: tf.sigmoid(y))(x), "sigmoid"),
    "Lambda": (lambda x: kl.Lambda(lambda y: tf.nn.softmax(y))(conv(3)(x)), "softmax"),
    "Lambda behind": (lambda x: kl.Lambda(lambda y: y[:, 1:])(conv(1, "sigmoid")(x)), "sigmoid"),
    "custom layer": (lambda x: Squashed()(conv(3)(x)), "softmax"),
    "custom convolution": (lambda x: SquashedConvolution(1, 1)(x), "sigmoid"),
    "wrapped": (lambda x: kl.SpectralNormalization(conv(3, "softmax"))(x), "softmax"),
    "subclassed model": (lambda x: Subclassed()(x), "softmax"),
    "nested model": (nested, "softmax"),
    "before a nested model": (outside, "sigmoid"),
    "flat": (flat, "softmax"),
    "channels first": (channels_first, "softmax"),
    "resized": (lambda x: kl.Resizing(32, 48)(conv(3, "softmax")(x)), "softmax"),
    "upsampled": (lambda x: kl.UpSampling2D(2)(conv(3, "softmax")(x)), "softmax"),
    "cropped": (lambda x: kl.Cropping2D(1)(conv(1, "sigmoid")(x)), "sigmoid"),
    "padded": (lambda x: kl.ZeroPadding2D(1)(conv(1, "sigmoid")(x)), "sigmoid"),
    "pooled": (lambda x: kl.AveragePooling2D(2)(conv(1, "sigmoid")(x)), "sigmoid"),
    "cast": (lambda x: ops.cast(conv(3, "softmax")(x), "float16"), "softmax"),
    "dropped": (lambda x: kl.Dropout(0.5)(conv(3, "softmax")(x)), "softmax"),
    "clipped": (lambda x: ops.clip(conv(3, "softmax")(x), 0.01, 0.99), "softmax"),
    "mean of two": (
        lambda x: kl.Average()([conv(3, "softmax")(x), conv(3, "softmax")(x)]),
        "softmax",
    ),
    "side by side": (
        lambda x: kl.Concatenate()([conv(1, "sigmoid")(x), conv(1, "sigmoid")(x)]),
        "sigmoid",
    ),
    "one of two": (lambda x: kl.Softmax()(conv(2)(x))[..., 1:], "softmax"),
    "dict": (lambda x: {"out": conv(3, "softmax")(x), "other": conv(3)(x)}, "softmax"),
    "dict with logits": (lambda x: {"a": conv(3)(x), "logits": conv(3, "softmax")(x)}, "softmax"),
}
SCORES = {
    "convolution": lambda x: conv(3)(x),
    "sum": lambda x: kl.Add()([conv(3)(x), conv(3)(x)]),
    "resized": lambda x: kl.UpSampling2D(2, interpolation="bilinear")(conv(3)(x)),
    "behind a sigmoid inside": lambda x: conv(3)(kl.Multiply()([x, conv(1, "sigmoid")(x)])),
    "custom layer": lambda x: kl.Lambda(lambda y: y * 2)(conv(3)(x)),
}
UNTOLD = {
    "scaled": lambda x: kl.Lambda(lambda y: tf.sigmoid(y) * 255)(conv(1)(x)),
    "reversed": lambda x: 1 - conv(1, "sigmoid")(x),
    "smoothed by fixed weights": lambda x: kl.DepthwiseConv2D(3)(conv(3, "softmax")(x)),
    "clipped scores": lambda x: ops.clip(conv(1)(x), 0, 1),
    "relu": lambda x: conv(1, "relu")(x),
    "product": lambda x: kl.Multiply()([conv(1, "sigmoid")(x), conv(1, "sigmoid")(x)]),
}


def output_of(body):
    return body(keras.Input(SHAPE))


class TestKeras:
    @pytest.mark.parametrize("name", PROBABILITIES)
    def test_probabilities_are_recognised(self, name):
        body, function = PROBABILITIES[name]
        ending = model_output_activation(output_of(body))
        assert ending.function == function
        assert ending.are_probabilities

    @pytest.mark.parametrize("name", SCORES)
    def test_scores_are_none(self, name):
        assert not model_output_activation(output_of(SCORES[name])).are_probabilities

    @pytest.mark.parametrize("name", UNTOLD)
    def test_what_the_graph_does_not_tell_is_left_open(self, name):
        assert model_output_activation(output_of(UNTOLD[name])).function is None

    def test_place_is_the_layer(self):
        ending = model_output_activation(
            kl.Resizing(8, 8)(kl.Softmax(name="last")(keras.Input(SHAPE)))
        )
        assert str(ending) == "softmax (last)"

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_half_precision(self, policy):
        keras.config.set_dtype_policy(policy)
        try:
            output = output_of(lambda x: kl.Activation("softmax", dtype="float32")(conv(3)(x)))
        finally:
            keras.config.set_dtype_policy("float32")
        assert model_output_activation(output).function == "softmax"

    def test_loaded_models(self, tmp_path):
        model = keras.Model(image := keras.Input(SHAPE), flat(image))
        model.save(tmp_path / "m.keras")
        assert (
            model_output_activation(models.load(tmp_path / "m.keras").output).function == "softmax"
        )

    def test_softmax_over_rows_is_told(self):
        assert (
            model_output_activation(output_of(lambda x: kl.Softmax(axis=1)(conv(3)(x)))).axis == 1
        )
        assert model_output_activation(output_of(channels_first)).axis is None


def converted(body, quantize=False):
    """(bytes of the .tflite file of a network, number of its output)."""
    image = keras.Input((16, 24, 3), batch_size=1)
    model = keras.Model(image, body(image))
    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, 16, 24, 3)))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        images = np.random.default_rng(0).uniform(0, 255, (4, 1, 16, 24, 3)).astype("float32")
        converter.representative_dataset = lambda: ([x] for x in images)
        converter.inference_output_type = tf.int8 if quantize == "int8" else tf.float32
    content = converter.convert()
    details = Interpreter(model_content=content).get_output_details()
    return content, details[0]["index"]


class TestTFLite:
    @pytest.mark.parametrize(
        ("name", "function"),
        [
            ("argument", "sigmoid"),
            ("Softmax", "softmax"),
            ("flat", "softmax"),
            ("channels first", "softmax"),
            ("upsampled", "softmax"),
            ("cropped", "sigmoid"),
            ("side by side", "sigmoid"),
            ("exponential", "softmax"),
        ],
    )
    def test_probabilities_are_recognised(self, name, function):
        assert tflite_output_activation(*converted(PROBABILITIES[name][0])).function == function

    @pytest.mark.parametrize("quantize", ["int8", "float32"])
    @pytest.mark.parametrize(("name", "function"), [("argument", "sigmoid"), ("flat", "softmax")])
    def test_integer_files(self, name, function, quantize):
        assert (
            tflite_output_activation(*converted(PROBABILITIES[name][0], quantize)).function
            == function
        )

    @pytest.mark.parametrize("name", ["convolution", "resized", "behind a sigmoid inside"])
    def test_scores_are_none(self, name):
        assert tflite_output_activation(*converted(SCORES[name])).function == "linear"

    @pytest.mark.parametrize("name", ["reversed", "scaled", "relu", "clipped scores"])
    def test_what_the_graph_does_not_tell_is_left_open(self, name):
        assert tflite_output_activation(*converted(UNTOLD[name])).function is None


CONV = ("Conv", ["image", "kernel"], {})
CHAINS = {
    "Sigmoid": ([CONV, ("Sigmoid", [-1], {})], "sigmoid"),
    "HardSigmoid": ([CONV, ("HardSigmoid", [-1], {})], "hard_sigmoid"),
    "Softmax": ([CONV, ("Softmax", [-1], {"axis": 1})], "softmax"),
    "LogSoftmax": ([CONV, ("LogSoftmax", [-1], {"axis": 1})], "log_softmax"),
    "Exp": ([CONV, ("LogSoftmax", [-1], {"axis": 1}), ("Exp", [-1], {})], "softmax"),
    "Transpose": (
        [CONV, ("Sigmoid", [-1], {}), ("Transpose", [-1], {"perm": [0, 2, 3, 1]})],
        "sigmoid",
    ),
    "Cast": ([CONV, ("Sigmoid", [-1], {}), ("Cast", [-1], {"to": TensorProto.FLOAT})], "sigmoid"),
    "Identity": ([CONV, ("Softmax", [-1], {"axis": 1}), ("Identity", [-1], {})], "softmax"),
    "DequantizeLinear": (
        [
            *(CONV, ("Sigmoid", [-1], {}), ("QuantizeLinear", [-1, "scale"], {})),
            ("DequantizeLinear", [-1, "scale"], {}),
        ],
        "sigmoid",
    ),
    "Resize": (
        [CONV, ("Sigmoid", [-1], {}), ("Resize", [-1, "", "scales"], {"mode": "linear"})],
        "sigmoid",
    ),
    "Conv": ([CONV], "linear"),
    "Add": ([CONV, ("Add", [-1, "bias"], {})], "linear"),
    "Sub": ([CONV, ("Sigmoid", [-1], {}), ("Sub", ["bias", -1], {})], None),
    "Tanh": ([CONV, ("Tanh", [-1], {})], "tanh"),
}


def onnx_file(path, chain):
    """Writes the nodes of a chain; -1 stands for the output of the one before."""
    numbers = {
        "kernel": np.ones((3, 3, 1, 1), np.float32),
        "bias": np.ones((3, 1, 1), np.float32),
        "scale": np.float32(1 / 255),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        helper.make_node(kind, [f"t{i - 1}" if x == -1 else x for x in inputs], [f"t{i}"], **words)
        for i, (kind, inputs, words) in enumerate(chain)
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 16, 24))],
        [helper.make_tensor_value_info(f"t{len(chain) - 1}", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(x), name) for name, x in numbers.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path, f"t{len(chain) - 1}"


class TestONNX:
    @pytest.mark.parametrize("name", CHAINS)
    def test_the_last_operators_tell(self, name, tmp_path):
        chain, function = CHAINS[name]
        assert onnx_output_activation(*onnx_file(tmp_path / "m.onnx", chain)).function == function


class TestRunner:
    """What the graph leaves open is seen in values, or asked."""

    @staticmethod
    def model(body):
        image = keras.Input(SHAPE)
        return keras.Model(image, body(kl.Rescaling(1 / 255)(image)))

    @staticmethod
    def of_sum_one(x):
        return kl.Lambda(lambda y: tf.exp(y) / tf.reduce_sum(tf.exp(y), -1, keepdims=True))(
            conv(3)(x)
        )

    def test_several_values_whose_sum_is_1_are_probabilities(self):
        model = self.model(self.of_sum_one)
        assert model_output_activation(model.output).function is None
        assert KerasRunner(model).card.head == "probabilities"

    def test_values_beyond_0_to_1_are_scores(self):
        model = self.model(lambda x: kl.Lambda(lambda y: 3 * y - 1)(x))
        assert KerasRunner(model).card.head == "logits"

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (UNTOLD["reversed"], r"outputs .* on a test image. These may be probabilities"),
            (UNTOLD["scaled"], "never below 0, where a logit separates two classes"),
            (lambda x: -kl.Lambda(tf.sigmoid)(conv(1)(x)) * 2, "never above 0"),
            (lambda x: conv(1, "tanh")(x), r"tanh \(.*\), whose values are in -1..1"),
        ],
    )
    def test_otherwise_the_caller_is_asked(self, body, message):
        model = self.model(body)
        with pytest.raises(ValueError, match=message) as error:
            KerasRunner(model)
        assert "scores='probabilities' or scores='logits' (--scores" in str(error.value)
        assert KerasRunner(model, scores="logits").card.head == "logits"

    def test_said_probabilities_count_where_the_graph_is_open(self):
        model = self.model(UNTOLD["reversed"])
        assert KerasRunner(model, scores="probabilities").card.head == "probabilities"

    def test_networks_trained_to_0_and_1_directly(self):
        model = self.model(lambda x: x)  # of pixels in 0..1, without any squashing
        assert KerasRunner(model, scores="probabilities").card.head == "probabilities"

    @pytest.mark.parametrize(
        ("body", "words", "message"),
        [
            (lambda x: conv(1, "softmax")(x), {}, "of one channel, which is always 1"),
            (lambda x: conv(1, "log_softmax")(x), {}, "of one channel, which is always 0"),
            (lambda x: kl.Softmax(axis=2)(conv(3)(x)), {}, "over axis 2, which is not the chan"),
            (lambda x: conv(1, "log_sigmoid")(x), {}, "are logarithms of probabilities"),
            (lambda x: conv(1, "sigmoid")(x), {"scores": "logits"}, "its values are probabilities"),
            (lambda x: conv(1, "sigmoid")(x), {"head": "logits"}, "cannot be turned into logits"),
            (lambda x: 300 * x, {"scores": "probabilities"}, "which cannot be probabilities"),
            (lambda x: conv(3, "softmax")(x), {"multi_label": True}, "classes mutually exclusive"),
            (lambda x: conv(3)(x), {"scores": "logit"}, "scores must be one of"),
            (lambda x: conv(3)(x), {"multi_label": True, "head": "argmax"}, "has no single class"),
        ],
    )
    def test_what_cannot_be_is_refused(self, body, words, message):
        with pytest.raises(ValueError, match=message):
            KerasRunner(self.model(body), **words)

    def test_log_softmax_is_as_good_as_logits(self):
        model = self.model(lambda x: conv(3, "log_softmax")(x))
        image = np.random.default_rng(0).integers(0, 256, SHAPE, "uint8")
        found = KerasRunner(model).predict(image, probabilities=True)
        expected = np.exp(model(image[None].astype("float32")))[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_several_sigmoids_are_told_in_one_line(self):
        model = self.model(lambda x: conv(3, "sigmoid")(x))
        with pytest.warns(UserWarning, match="sigmoid of several channels.*multi_label=True") as w:
            runner = KerasRunner(model)
        assert len(w) == 1
        assert "\n" not in str(w[0].message)
        assert (runner.card.head, runner.card.multi_label) == ("probabilities", False)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("said", [True, False])
    def test_nothing_is_told_when_it_was_said(self, said):
        model = self.model(lambda x: conv(3, "sigmoid")(x))
        assert KerasRunner(model, multi_label=said).card.multi_label == said


def test_ending_without_a_function_says_nothing():
    assert not OutputActivation().are_probabilities
