"""ONNX files in float16 and int8, in both layouts: near Keras, standard, without stray nodes."""

import dataclasses
import sys

import keras
import numpy as np
import onnx
import pytest

from keras_seg import export as room
from keras_seg import inference
from keras_seg.card import ModelCard
from keras_seg.export.int8 import clipped_ranges
from keras_seg.export.network.deployed import deploy
from keras_seg.export.network_to_export import open_network
from keras_seg.export.onnx import convert
from keras_seg.export.onnx.precision import to_fp16, to_int8
from keras_seg.inference.keras_runner import KerasRunner
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network, trained
from tests.helpers.slow_cases import all_but

pytestmark = pytest.mark.xdist_group("onnx")  # one worker, so that fixtures are made once

SHAPE = (32, 48, 3)
QUANTIZATIONS = [None, "fp16", "int8"]
LAYOUTS = ["nhwc", "nchw"]


@pytest.fixture(scope="module")
def data():
    return ColourBlocks()


@pytest.fixture(scope="module")
def model(data):
    return trained(small_network(), data)


@pytest.fixture(scope="module")
def logits(model, data):
    return KerasRunner(model, input_shape=SHAPE).run(data[0].image[:32])


@pytest.fixture(scope="module")
def make(model, data, tmp_path_factory):
    """Exports once for each set of words and keeps the report."""
    made = {}

    def make(**words):
        key = tuple(sorted(words.items(), key=str))
        if key not in made:
            path = tmp_path_factory.mktemp("onnx") / "model.onnx"
            made[key] = room.export(
                *(model, path),
                input_shape=SHAPE,
                calibration=data,
                evaluation=data,
                limit=4,
                card=card_of(data),
                **words,
            )
        return made[key]

    return make


class TestAnswers:
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize(
        ("quantize", "tolerance"), [(None, 1e-4), ("fp16", 2e-3), ("int8", 8e-2)]
    )
    def test_logits_are_near_those_of_keras(self, make, data, logits, quantize, tolerance, layout):
        report = make(quantize=quantize, layout=layout)
        found = inference.load(report.path).run(data[0].image[:32])
        assert np.abs(found - logits).max() <= tolerance * np.abs(logits).max()
        assert report.gate.drop <= 1.0

    @pytest.mark.parametrize(
        ("quantize", "layout"),
        [
            (None, "nchw"),
            ("int8", "nhwc"),
            *(
                pytest.param(*pair, marks=pytest.mark.slow)
                for pair in ((None, "nhwc"), ("fp16", "nhwc"), ("fp16", "nchw"), ("int8", "nchw"))
            ),
        ],
    )
    def test_class_map_of_a_uint8_image(self, make, data, logits, quantize, layout):
        report = make(quantize=quantize, layout=layout, input="uint8", head="argmax")
        classes = inference.load(report.path).run(data[0].image[:32])
        assert (classes == logits.argmax(-1)).mean() >= (0.98 if quantize == "int8" else 0.999)

    def test_int8_probabilities_are_computed_in_float(self, make, data, logits):
        report = make(quantize="int8", head="probabilities")
        found = inference.load(report.path).run(data[0].image[:32])
        np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
        assert (found.argmax(-1) == logits.argmax(-1)).mean() > 0.98

    def test_calibration_is_that_of_tflite(self, make):
        report = make(quantize="int8")
        assert report.calibration_images == 12
        assert report.missing_classes == ()

    def test_gate_refuses_what_loses_too_much(self, model, data, tmp_path, monkeypatch):
        def of_a_worse_network(network, *arguments):
            worse = keras.models.clone_model(network)  # the network shares its weights
            worse.set_weights(network.get_weights())
            kernel, random = worse.get_layer("first").kernel, np.random.default_rng(0)
            kernel.assign(kernel + random.normal(0, np.std(kernel), kernel.shape))
            return float_graph(worse, *arguments)

        float_graph = clipped_ranges.float_graph
        monkeypatch.setattr(clipped_ranges, "float_graph", of_a_worse_network)
        monkeypatch.setattr(clipped_ranges, "ACCEPTED", 100.0)  # ranges are not to blame
        words = {"quantize": "int8", "calibration": data, "evaluation": data}
        with pytest.raises(room.GateError, match=r"points lost.*try quantize='fp16', write"):
            room.export(model, tmp_path / "m.onnx", input_shape=SHAPE, card=card_of(data), **words)
        assert list(tmp_path.iterdir()) == []


class TestOneGraphInManyRanges:
    @pytest.fixture(scope="class")
    def graph(self, model, data):
        """Its weights are too large for ONNX Runtime to leave them in a graph in memory."""
        options = room.ExportOptions("onnx", "int8", SHAPE)
        network = open_network(model, options, card_of(data))
        found = convert.float_graph(deploy(model, SHAPE, network.options), network)
        assert max(tensor.ByteSize() for tensor in found.graph.initializer) > 2**11
        return found

    def test_quantized_again_with_the_same_images_it_is_the_same(self, graph, data):
        images = [data[i].image[None, :32].astype("float32") for i in range(2)]
        files = [to_int8(graph, some) for some in (images, images[:1], images)]
        assert parameters(files[0]) == parameters(files[2]) != parameters(files[1])

    def test_ranges_of_many_images_are_those_of_each_put_together(self, graph, data):
        images = [data[i].image[None, :32].astype("float32") for i in range(3)]
        widest = ends_of_ranges(to_int8(graph, images))
        single = [ends_of_ranges(to_int8(graph, [image])) for image in images]
        for name, (low, high) in widest.items():
            assert low == pytest.approx(min(ends[name][0] for ends in single), rel=0.01, abs=1e-6)
            assert high == pytest.approx(max(ends[name][1] for ends in single), rel=0.01, abs=1e-6)


def parameters(proto):
    """Name → bytes of everything constant in a graph."""
    return {tensor.name: tensor.raw_data for tensor in proto.graph.initializer}


def ends_of_ranges(proto):
    """Name of a quantized map → smallest and largest value that it can hold."""
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    found = {}
    for node in proto.graph.node:
        if node.op_type == "QuantizeLinear":
            scale, zero = (constants[name] for name in node.input[1:3])
            found[node.input[0]] = (-float(zero) * scale, (255 - float(zero)) * scale)
    return found


class TestWhatFilesAreMadeOf:
    @pytest.mark.parametrize(
        ("layout", "shape"), [("nhwc", (1, 32, 48, 3)), ("nchw", (1, 3, 32, 48))]
    )
    def test_image_and_scores_have_the_layout(self, make, layout, shape):
        graph = onnx.load(make(layout=layout).path).graph
        for value in (*graph.input, *graph.output):
            assert tuple(d.dim_value for d in value.type.tensor_type.shape.dim) == shape
        assert inference.load(make(layout=layout).path).input_shape == SHAPE

    @pytest.mark.parametrize("quantize", QUANTIZATIONS)
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("head", ["logits", pytest.param("argmax", marks=pytest.mark.slow)])
    def test_no_stray_transposes(self, make, quantize, layout, head):
        ends = {"logits": 2, "argmax": 1}[head]  # a class map has no axis to move
        words = {"input": "uint8"} if head == "argmax" else {}
        report = make(quantize=quantize, layout=layout, head=head, **words)
        assert report.audit.operators.get("Transpose", 0) == (ends if layout == "nhwc" else 0)

    @pytest.mark.parametrize("quantize", QUANTIZATIONS)
    def test_batch_norms_are_folded_and_operators_are_of_opset_18(self, make, quantize):
        report = make(quantize=quantize)
        assert not {"Mul", "Add", "Sub", "BatchNormalization"} & set(report.audit.operators)
        versions = onnx.load(report.path).opset_import
        assert [(entry.domain, entry.version) for entry in versions] == [("", 18)]

    def test_float16_is_everywhere_but_at_the_ends(self, make):
        proto = onnx.load(make(quantize="fp16").path)
        weights = [t for t in proto.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
        factors = {node.input[2] for node in proto.graph.node if node.op_type == "Resize"}
        assert {tensor.name for tensor in weights} <= factors
        for value in (*proto.graph.input, *proto.graph.output):
            assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert make(quantize="fp16").size_bytes < make().size_bytes

    def test_float16_leaves_the_search_path_of_modules_alone(self, make):
        before = list(sys.path)
        to_fp16(onnx.load(make().path))
        assert sys.path == before

    def test_int8_convolutions_have_a_scale_a_channel_and_7_bits(self, make):
        graph = onnx.load(make(quantize="int8").path).graph
        makers = {output: node for node in graph.node for output in node.output}
        values = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        found = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
        assert len(found) == 6
        for node in found:
            image, weights = (makers[name] for name in node.input[:2])
            assert image.op_type == weights.op_type == "DequantizeLinear"
            axis = 1 if node.op_type == "ConvTranspose" else 0
            kernel, scale, zero_point = (values[name] for name in weights.input)
            assert kernel.dtype == np.int8
            # beyond 7 bits, processors without VNNI overflow
            assert np.abs(kernel.astype(int)).max() <= 64
            assert scale.shape == (kernel.shape[axis],)
            assert not zero_point.any()

    @pytest.mark.parametrize("layout", all_but({"nhwc"}, LAYOUTS))
    def test_uint8_image_is_the_quantized_map(self, make, layout):
        report = make(quantize="int8", layout=layout, input="uint8", head="argmax")
        graph = onnx.load(report.path).graph
        makers = {output: node for node in graph.node for output in node.output}
        values = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        pixels = [
            node
            for node in graph.node
            if node.op_type == "DequantizeLinear"
            and _source(node.input[0], makers) == graph.input[0].name
        ]
        assert [values[node.input[1]] for node in pixels] == [1.0]
        assert report.audit.operators["Cast"] == 1  # of the classes, at the end

    def test_nearest_neighbours_are_spelled_as_opset_18_does(self, tmp_path):
        image = keras.Input((8, 12, 3))
        x = keras.layers.Conv2D(4, 3, padding="same")(image)
        model = keras.Model(image, keras.layers.UpSampling2D(2)(keras.layers.MaxPooling2D()(x)))
        resized = keras.Model(image, keras.ops.image.resize(model.output, (20, 30), "nearest"))
        report = room.export(resized, tmp_path / "m.onnx")
        modes = {
            attribute.s
            for node in onnx.load(report.path).graph.node
            for attribute in node.attribute
            if attribute.name == "coordinate_transformation_mode"
        }
        assert modes == {b"half_pixel"}
        pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
        expected = KerasRunner(resized).run(pixels)
        np.testing.assert_allclose(inference.load(report.path).run(pixels), expected, atol=1e-3)

    @pytest.mark.parametrize(("width", "operators"), [(1, {"Pad"}), (2, {"Pad", "Compress"})])
    def test_mirrored_pixels_are_padded(self, tmp_path, width, operators):
        image = keras.Input((8, 12, 3))
        pads = ((0, 0), (width, width), (0, width), (0, 0))
        model = keras.Model(
            image, keras.layers.Conv2D(2, 3)(keras.ops.pad(image, pads, "symmetric"))
        )
        report = room.export(model, tmp_path / "m.onnx", layout="nchw")
        assert operators == {"Pad", "Compress"} & set(report.audit.operators)
        pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
        expected = KerasRunner(model).run(pixels)
        np.testing.assert_allclose(inference.load(report.path).run(pixels), expected, atol=1e-3)


class TestCard:
    def test_layout_travels_with_the_file(self, make):
        assert inference.load(make(layout="nchw").path).card.layout == "nchw"
        assert inference.load(make().path).card.layout == "nhwc"

    def test_cards_of_older_files_are_read(self, data):
        text = dataclasses.replace(card_of(data), layout="nhwc").to_json()
        older = text.replace('"layout": "nhwc",', "")
        assert older != text
        assert ModelCard.from_json(older) == card_of(data)


def _source(name, makers):
    """The graph's input that a tensor comes from by transposes alone, or the tensor itself."""
    while name in makers and makers[name].op_type == "Transpose":
        name = makers[name].input[0]
    return name
