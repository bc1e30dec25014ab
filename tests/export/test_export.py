"""Exported files: equal to Keras, made of built-in operators, refused when they are not equal."""

import dataclasses
import hashlib
import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl
from rich.console import Console

from keras_seg import export as room
from keras_seg import inference
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.export import ExportError
from keras_seg.export.int8 import calibration, clipped_ranges
from keras_seg.export.network.deployed import deployed_model
from keras_seg.export.proof import publish
from keras_seg.export.tflite import convert, metadata
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.inference.scores import class_map
from keras_seg.layers import DepthToSpace, LayerScale
from keras_seg.models import files
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network, trained

pytestmark = pytest.mark.xdist_group("export")  # one worker, so that fixtures are made once

SHAPE = (32, 48, 3)
INTEGERS = {"INT8", "INT32", "UINT8"}


@pytest.fixture(scope="module")
def data():
    return ColourBlocks()


@pytest.fixture(scope="module")
def model(data):
    return trained(small_network(), data)


@pytest.fixture(scope="module")
def image(data):
    return data[0].image[:32]


@pytest.fixture(scope="module")
def logits(model, image):
    return KerasRunner(model, input_shape=SHAPE).run(image)


@pytest.fixture(scope="module")
def make(model, data, tmp_path_factory):
    """Exports once for each set of words and keeps the file."""
    made = {}

    def make(suffix, **words):
        key = (suffix, *sorted(words.items(), key=str))
        if key not in made:
            path = tmp_path_factory.mktemp("exported") / f"model{suffix}"
            made[key] = room.export(
                model,
                path,
                input_shape=SHAPE,
                calibration=data,
                evaluation=data,
                card=card_of(data),
                **words,
            )
        return made[key]

    return make


class TestFilesAnswerAsKeras:
    def test_float32_logits_are_equal(self, make, image, logits):
        runner = inference.load(make(".tflite").path)
        assert np.abs(runner.run(image) - logits).max() <= 1e-4 * np.abs(logits).max()

    def test_uint8_image_and_class_map(self, make, image, logits):
        runner = inference.load(make(".tflite", input="uint8", head="argmax").path)
        assert runner.card.head == "argmax"
        classes = runner.run(image)
        assert classes.dtype == np.uint8
        np.testing.assert_array_equal(classes, logits.argmax(-1))

    @pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
    def test_probabilities(self, make, image, logits, suffix):
        runner = inference.load(make(suffix, head="probabilities").path)
        expected = tf.nn.softmax(logits).numpy()
        np.testing.assert_allclose(runner.run(image), expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("quantize", "tolerance"), [("fp16", 2e-3), ("dynamic", 5e-2), ("int8", 8e-2)]
    )
    def test_quantized_logits_are_near(self, make, image, logits, quantize, tolerance):
        report = make(".tflite", quantize=quantize)
        difference = inference.load(report.path).run(image) - logits
        assert np.abs(difference).max() <= tolerance * np.abs(logits).max()
        assert report.gate.drop <= 1.0

    @pytest.mark.parametrize(
        ("quantize", "head"),
        [
            *((None, "argmax"), ("int8", "argmax")),
            pytest.param(None, "logits", marks=pytest.mark.slow),
            pytest.param(None, "probabilities", marks=pytest.mark.slow),
            pytest.param("int8", "logits", marks=pytest.mark.slow),
            pytest.param("int8", "probabilities", marks=pytest.mark.slow),
        ],
    )
    def test_single_logit_means_two_classes(self, tmp_path, binary, quantize, head):
        model, data = binary
        report = room.export(
            model,
            tmp_path / "m.tflite",
            head=head,
            quantize=quantize,
            input="uint8",
            calibration=data,
            evaluation=data,
            card=card_of(data),
        )
        assert report.gate.agreement > (0.999 if quantize is None else 0.98)
        runner = inference.load(report.path)
        scores = KerasRunner(model).run(data[0].image)
        agreement = class_map(runner.run(data[0].image), head) == class_map(scores, "logits")
        assert agreement.mean() > (0.999 if quantize is None else 0.98)

    def test_onnx_takes_single_logit_and_one_channel(self, tmp_path):
        data = ColourBlocks(num_classes=2, channels=1)
        report = room.export(
            small_network(1, channels=1),
            tmp_path / "m.onnx",
            head="argmax",
            input="uint8",
            input_shape=(40, 48, 1),
            evaluation=data,
            card=card_of(data),
        )
        assert report.gate.agreement >= 0.999

    @pytest.mark.parametrize(
        "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
    )
    def test_reduced_precision_is_exported_in_float32(self, tmp_path, image, data, policy):
        model = small_network(policy=policy)
        exact = small_network()
        exact.set_weights(model.get_weights())
        report = room.export(
            model, tmp_path / "m.tflite", input_shape=SHAPE, evaluation=data, card=card_of(data)
        )
        expected = KerasRunner(exact, input_shape=SHAPE).run(image)
        answer = inference.load(report.path).run(image)
        assert np.abs(answer - expected).max() <= 1e-4 * np.abs(expected).max()

    def test_extra_outputs_of_training_are_gone(self, tmp_path, data):
        model = small_network(extra_output=True)
        report = room.export(
            model, tmp_path / "m.tflite", input_shape=SHAPE, evaluation=data, card=card_of(data)
        )
        assert report.audit.operators["CONV_2D"] == 4  # first, down, up, head
        assert report.gate.agreement >= 0.999

    def test_nested_models_are_rebuilt(self, tmp_path, image):
        inner = small_network()
        outside = keras.Input((None, None, 3))
        model = keras.Model(outside, inner(outside))
        report = room.export(model, tmp_path / "m.tflite", input_shape=SHAPE)
        expected = KerasRunner(inner, input_shape=SHAPE).run(image)
        np.testing.assert_allclose(inference.load(report.path).run(image), expected, atol=1e-3)

    def test_size_of_training_is_the_default(self, tmp_path, model, data):
        card = dataclasses.replace(card_of(data), image_size=(24, 32))
        report = room.export(model, tmp_path / "m.onnx", evaluation=data, card=card, limit=3)
        assert report.input_shape == (24, 32, 3)
        sides = report.gate.comparison.evaluations
        assert {(side.images, side.sizing) for side in sides.values()} == {(3, "resize")}

    def test_saved_file_is_exported_with_its_card(self, tmp_path, model, data):
        source = tmp_path / "model.keras"
        files.save(model, source, card_of(data))
        for suffix in (".tflite", ".onnx"):
            room.export(source, tmp_path / f"m{suffix}", input_shape=SHAPE)
            card = inference.load(tmp_path / f"m{suffix}").card
            assert card.classes == data.classes
            assert (card.network, card.size_multiple) == ("small", 2)
            assert card.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def binary():
    data = ColourBlocks(num_classes=2, size=(32, 32))
    return trained(small_network(1, size=(32, 32)), data), data


class TestWhatFilesAreMadeOf:
    def test_normalisation_and_batch_norm_are_folded(self, make):
        operators = {
            "CONV_2D": 4,
            "DEPTHWISE_CONV_2D": 2,  # the normalisation and the dilated one
            "DEPTH_TO_SPACE": 1,
            "RESIZE_BILINEAR": 1,
            "CONCATENATION": 1,
        }
        assert make(".tflite").audit.operators == operators
        own = operators | {"CONV_2D": 3, "TRANSPOSE_CONV": 1}
        del own["DEPTH_TO_SPACE"]
        assert make(".tflite", subpixel=False).audit.operators == own

    def test_own_operators_stay_where_others_cannot_be_written(self, model, tmp_path, monkeypatch):
        def refusing(model, *arguments):
            if any(isinstance(layer, DepthToSpace) for layer in model.layers):
                raise ExportError("no")
            return graph(model, *arguments)

        graph = convert.tflite_graph
        monkeypatch.setattr(convert, "tflite_graph", refusing)
        report = room.export(model, tmp_path / "m.tflite", input_shape=SHAPE)
        assert report.audit.operators["TRANSPOSE_CONV"] == 1
        assert not report.options.subpixel

    @pytest.mark.parametrize(("input", "zero"), [("uint8", 0), ("int8", -128)])
    @pytest.mark.parametrize("head", ["logits", "probabilities", "argmax"])
    def test_int8_is_integer_throughout(self, make, head, input, zero):
        # in steps of 1/256, probabilities tie where an image is resized
        report = make(".tflite", quantize="int8", input=input, head=head, max_drop=5.0)
        assert set(report.audit.tensors) <= INTEGERS
        assert report.audit.islands == report.audit.problems == ()
        image, output = inference.load(report.path)._details()
        assert (image["dtype"], image["quantization"]) == (np.dtype(input), (1.0, zero))
        assert output["dtype"] == np.dtype(input)

    @pytest.mark.parametrize("head", ["logits", "argmax", "fused_argmax"])
    def test_int8_class_maps_run_on_tflite_micro(self, make, image, head):
        runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
        report = make(".tflite", quantize="int8", input="int8", head=head, max_drop=100.0)
        micro = runtime.Interpreter.from_file(str(report.path), arena_size=4 << 20)
        micro.set_input((image[None] ^ np.uint8(128)).view(np.int8), 0)
        micro.invoke()
        (found,) = micro.get_output(0)
        assert found.dtype == np.int8
        expected = class_map(inference.load(report.path).run(image), "logits")
        assert (class_map(found, "logits") == expected).mean() > 0.99

    def test_an_int8_image_is_converted_nowhere(self, make, image):
        found = {}
        for input in ("int8", "float32"):
            report = make(".tflite", quantize="int8", input=input)
            found[input] = inference.load(report.path).run(image)
            converted = {"QUANTIZE", "DEQUANTIZE"} & {*report.audit.operators}
            assert bool(converted) == (input == "float32")
        np.testing.assert_array_equal(found["int8"], found["float32"])

    def test_int8_converts_at_both_ends_for_a_float_image(self, make):
        audit = make(".tflite", quantize="int8").audit
        assert audit.islands == ()
        assert audit.tensors["FLOAT32"] == 2
        assert audit.operators["QUANTIZE"] == audit.operators["DEQUANTIZE"] == 1

    def test_tensors_and_signature_have_names(self, make):
        content = make(".tflite").path
        interpreter = inference.load(content)._interpreter
        signature = interpreter.get_signature_list()["serving_default"]
        assert signature == {"inputs": ["image"], "outputs": ["logits"]}

    def test_weights_lie_at_multiples_of_16_bytes(self, make):
        schema = metadata.schema
        model = schema.Model.GetRootAs(Path(make(".tflite").path).read_bytes())
        buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
        filled = [buffer for buffer in buffers if buffer.DataLength()]
        assert {buffer._tab.Vector(buffer._tab.Offset(4)) % 16 for buffer in filled} == {0}

    def test_audit_counts_what_the_table_and_json_say(self, make):
        audit = make(".onnx").audit
        assert json.loads(json.dumps(audit.to_dict()))["operators"]["Conv"] == 5
        assert "Conv" in _text(audit.table())


def scrambled(content, *_):
    """A .tflite file's bytes with the weights of its largest buffer in another order."""
    model = metadata.read_model(content)
    largest = max(model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    values = np.array(largest.data).view(np.float32)
    largest.data = np.random.default_rng(0).permutation(values).view(np.uint8)
    return metadata.write_model(model)


class TestNormsAlone:
    """A batch norm that follows no convolution is a convolution itself where that is better."""

    @pytest.fixture(scope="class")
    def network(self):
        keras.utils.set_random_seed(0)
        image = keras.Input((None, None, 3), name="image")
        x = skip = kl.Conv2D(8, 3, padding="same", activation="relu", name="first")(image)
        x = kl.ReLU()(kl.BatchNormalization(name="alone")(x))
        x = kl.BatchNormalization(name="folds")(kl.Conv2D(8, 1, use_bias=False)(x))
        x = LayerScale(name="scale")(kl.Add()([x, skip]))
        model = keras.Model(image, kl.Conv2D(3, 1, name="head")(x))
        spread = 10.0 ** np.linspace(-2, 2, 8)  # of the channels: what one range cannot hold
        first, alone = model.get_layer("first"), model.get_layer("alone")
        first.kernel.assign(first.kernel * spread / 100)
        alone.moving_variance.assign(spread**2)
        alone.beta.assign(np.linspace(-1, 1, 8))
        model.get_layer("scale").gamma.assign(np.linspace(-2, 2, 8))
        return model

    def test_the_deployed_network_is_the_same_function(self, network, image):
        pixels = image[None].astype("float32")
        deployed = deployed_model(network, SHAPE, norms_to_convolutions=True)
        kinds = {layer.name: type(layer) for layer in deployed.layers}
        assert issubclass(kinds["alone"], kl.DepthwiseConv2D)
        assert issubclass(kinds["scale"], kl.DepthwiseConv2D)
        assert issubclass(kinds["folds"], kl.BatchNormalization)
        expected = np.asarray(network(pixels, training=False))
        found = np.asarray(deployed(pixels, training=False))
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())

    def test_int8_multiplies_nothing_that_it_has_to_round(self, network, data, tmp_path):
        operators = room.export(
            network, tmp_path / "m.tflite", quantize="int8", input_shape=SHAPE, calibration=data
        ).audit.operators
        assert "MUL" not in operators
        assert operators["DEPTHWISE_CONV_2D"] == 2

    def test_onnx_has_convolutions_for_them_in_float_too(self, network, tmp_path):
        report = room.export(network, tmp_path / "m.onnx", input_shape=SHAPE)
        assert not {"Mul", "BatchNormalization"} & set(report.audit.operators)
        assert report.audit.operators["Conv"] == 5


class TestGate:
    def test_refuses_a_tampered_file_and_leaves_the_old_one(
        self, model, data, tmp_path, monkeypatch
    ):
        path = tmp_path / "model.tflite"
        path.write_bytes(b"the file of yesterday")
        graph = convert.tflite_graph
        monkeypatch.setattr(convert, "tflite_graph", lambda *args: scrambled(graph(*args)))
        with pytest.raises(room.GateError, match=r"mIoU \d.*same class on \d") as refusal:
            room.export(model, path, input_shape=SHAPE, evaluation=data, card=card_of(data))
        assert not refusal.value.result.passed
        assert refusal.value.result.agreement < 0.99
        assert path.read_bytes() == b"the file of yesterday"
        assert list(tmp_path.iterdir()) == [path]

    def test_refuses_a_quantized_file_that_loses_too_much(self, model, data, tmp_path, monkeypatch):
        path = tmp_path / "model.tflite"
        graph = convert.tflite_graph
        # the weights as the converter would make them of a worse network
        monkeypatch.setattr(
            convert, "tflite_graph", lambda network, *args: graph(_with_noise(network), *args)
        )
        monkeypatch.setattr(clipped_ranges, "ACCEPTED", 100.0)  # ranges are not to blame
        words = {"quantize": "int8", "calibration": data, "evaluation": data}
        with pytest.raises(room.GateError, match="Calibrate on images that look more like these"):
            room.export(model, path, input_shape=SHAPE, card=card_of(data), **words)
        assert list(tmp_path.iterdir()) == []
        report = room.export(
            model, path, input_shape=SHAPE, card=card_of(data), max_drop=100, **words
        )
        assert report.gate.drop > 1

    def test_says_when_nothing_was_measured(self, model, tmp_path):
        report = room.export(model, tmp_path / "model.onnx", input_shape=SHAPE)
        assert report.gate is None
        assert "accuracy unmeasured" in report.accuracy
        assert "accuracy unmeasured" in _text(report.table())

    def test_interruption_leaves_nothing_behind(self, model, data, tmp_path, monkeypatch):
        def interrupted(*args, **words):
            raise KeyboardInterrupt

        monkeypatch.setattr(publish, "judge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            room.export(
                model, tmp_path / "m.onnx", input_shape=SHAPE, evaluation=data, card=card_of(data)
            )
        assert list(tmp_path.iterdir()) == []

    def test_refuses_weights_that_are_not_finite(self, tmp_path):
        model = small_network()
        model.get_layer("head").bias.assign([np.nan, 0, 0])
        with pytest.raises(room.ExportError, match="not finite"):
            room.export(model, tmp_path / "m.tflite", input_shape=SHAPE)

    def test_report_says_everything(self, make):
        report = make(".tflite", quantize="int8")
        record = json.loads(json.dumps(report.to_dict()))
        assert record["gate"]["comparison"]["evaluations"]["tflite"]["images"] == 12
        assert record["card"]["quantize"] == "int8"
        assert record["calibration_images"] == 12
        text = _text(report.table())
        assert "every class occurs" in text
        assert "after" in text


class TestCalibration:
    def test_extremes_are_in_and_the_choice_repeats(self, data):
        chosen = calibration.choose_images(data, SHAPE, count=4)
        assert min(image.min() for image in chosen.images) == 0
        assert max(image.max() for image in chosen.images) == 255
        assert len(chosen.images) == 5
        assert {image.shape for image in chosen.images} == {SHAPE}
        again = calibration.choose_images(data, SHAPE, count=4)
        assert again.names == chosen.names
        assert chosen.names != calibration.choose_images(data, SHAPE, count=4, seed=1).names

    def test_rare_classes_are_searched_for(self):
        class OneOfTwelve(ColourBlocks):
            def __getitem__(self, index):
                sample = super().__getitem__(index)
                mask = np.where(sample.mask == 2, 0 if index != 5 else 2, sample.mask)
                return sample._replace(mask=mask)

        chosen = calibration.choose_images(OneOfTwelve(length=12), SHAPE, count=3)
        assert "5" in chosen.names
        assert chosen.missing == []

    def test_missing_classes_are_named(self, data):
        class WithoutLast(ColourBlocks):
            def __getitem__(self, index):
                sample = super().__getitem__(index)
                return sample._replace(mask=np.where(sample.mask == 2, 1, sample.mask))

        assert calibration.choose_images(WithoutLast(), SHAPE, count=3).missing == ["c"]

    def test_tiles_are_windows_of_the_image(self):
        data = ColourBlocks(size=(80, 96))
        chosen = calibration.choose_images(data, SHAPE, sizing="tile", count=2)
        for name, view in zip(chosen.names, chosen.images, strict=False):
            windows = np.lib.stride_tricks.sliding_window_view(data[int(name)].image, SHAPE)
            assert (windows[:, :, 0] == view).all((-3, -2, -1)).any()


class TestErrors:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ({"path": "model.tflit"}, r"Unknown suffix.*'\.tflit'.*\.tflite"),
            ({"format": "onnyx"}, "Unknown format 'onnyx'. Did you mean 'onnx'"),
            ({"format": "onnx"}, r"path ending in \.onnx"),
            ({"quantize": "int4"}, "Unknown quantize 'int4'. Did you mean 'int8'"),
            ({"path": "m.onnx", "quantize": "dynamic"}, "onnx files are .*one of 'fp16' or 'int8'"),
            ({"path": "m.onnx", "quantize": "int8"}, "needs real images"),
            ({"path": "m.onnx", "layout": "nchv"}, "Unknown layout 'nchv'. Did you mean 'nchw'"),
            ({"layout": "nchw"}, r"tflite files hold images as \(height, width, channels\)"),
            ({"quantize": "int8"}, "needs real images"),
            ({"input": "int8"}, "quantize=None for a tflite file. Take input='uint8'"),
            ({"path": "m.onnx", "quantize": "int8", "input": "int8"}, "'int8' for a onnx file"),
            ({"head": "logit"}, "Unknown head 'logit'. Did you mean 'logits'"),
            ({"input": "uint16"}, "Unknown input 'uint16'. Did you mean 'uint8'"),
            ({"sizing": "crop"}, "Unknown sizing 'crop'. Known: auto"),
            ({"limit": 0, "evaluation": ColourBlocks()}, "limit must be"),
            ({"max_drop": -1}, "max_drop is in points"),
            ({"input_shape": None}, "has a fixed size"),
            ({"input_shape": (33, 48, 3)}, "Received: 33 .* nearest valid sizes are 32 and 34"),
            ({"input_shape": (32, 48, 1)}, r"takes images of 3 channels.*\(32, 48, 3\)"),
            ({"path": "none/m.tflite"}, "Cannot write into the folder"),
            ({"evaluation": ColourBlocks(4)}, r"predicts 3 classes .*with 4 \(a, b, c, d\)"),
            ({"card": ModelCard(ClassTable.numbered(5))}, "outputs 3 classes but its card na"),
        ],
    )
    def test_asked_wrongly(self, model, data, tmp_path, words, message):
        words = {"path": "m.tflite", "input_shape": SHAPE, "card": card_of(data)} | words
        path = tmp_path / words.pop("path")
        with pytest.raises((ValueError, OSError), match=message):
            room.export(model, path, **words)
        assert list(tmp_path.iterdir()) == []

    def test_path_that_is_a_folder(self, model, tmp_path):
        with pytest.raises(IsADirectoryError, match="is a folder"):
            (tmp_path / "m.tflite").mkdir()
            room.export(model, tmp_path / "m.tflite", input_shape=SHAPE)

    @pytest.mark.parametrize(("input", "most"), [("float32", 255), ("uint8", 255), ("int8", 128)])
    def test_class_map_of_too_many_classes(self, data, tmp_path, input, most):
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, keras.layers.Conv2D(most + 1, 1)(image))
        words = {"input": input, "head": "argmax", "quantize": "int8", "calibration": data}
        with pytest.raises(ValueError, match=rf"at most {most} of them\. Received: {most + 1} cl"):
            room.export(
                model, tmp_path / "m.tflite", card=ModelCard(ClassTable.numbered(most)), **words
            )

    def test_operator_that_tflite_does_not_have_is_named(self, tmp_path):
        image = keras.Input((8, 8, 3))
        pooled = IndexPooling(name="indices")(image)
        model = keras.Model(image, keras.layers.Conv2D(2, 1)(pooled))
        with pytest.raises(room.ExportError, match=r"MaxPoolWithArgmax.*layers use: indices"):
            room.export(model, tmp_path / "m.tflite")
        assert list(tmp_path.iterdir()) == []

    def test_operator_that_stays_float_in_int8_is_named(self, tmp_path, data):
        image = keras.Input((32, 48, 3))
        x = keras.layers.Conv2D(4, 3, activation="elu")(image)
        model = keras.Model(image, keras.layers.Conv2DTranspose(3, 3)(x))
        with pytest.raises(room.ExportError, match="ELU"):
            room.export(model, tmp_path / "m.tflite", quantize="int8", calibration=data)
        assert list(tmp_path.iterdir()) == []

    def test_missing_and_damaged_sources(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            room.export(tmp_path / "none.keras", tmp_path / "m.tflite")
        (tmp_path / "a.keras").write_text("no archive")
        with pytest.raises(ValueError, match=r"is not a \.keras file"):
            room.export(tmp_path / "a.keras", tmp_path / "m.tflite")


@keras.saving.register_keras_serializable("tests")
class IndexPooling(keras.layers.Layer):
    def call(self, x):
        pooled, indices = tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")
        return pooled + tf.cast(indices, pooled.dtype)

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] // 2, shape[2] // 2, shape[3])


def _with_noise(network):
    noisy = keras.models.clone_model(network)  # the network shares its weights with the model
    noisy.set_weights(network.get_weights())
    kernel = noisy.get_layer("first").kernel
    noise = np.random.default_rng(0).normal(0, np.std(kernel), kernel.shape)
    kernel.assign(kernel + noise)
    return noisy


def _text(table):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()
