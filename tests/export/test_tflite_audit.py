"""What the audit says of a .tflite file's cost, and which files it refuses."""

import io
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers as kl
from rich.console import Console

from keras_seg import export as room
from keras_seg import inference
from keras_seg.export.tflite import metadata
from keras_seg.export.tflite.cost import arena_bytes
from keras_seg.export.tflite.graph import Graph, Operator, Tensor
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.layers import MaxPoolingWithIndices2D
from keras_seg.models import multiply_adds
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network

pytestmark = pytest.mark.xdist_group("tflite_audit")  # one worker, so that fixtures are made once


SHAPE = (32, 48, 3)


@pytest.fixture(scope="module")
def network():
    return small_network(size=SHAPE[:2])


@pytest.fixture(scope="module")
def audits(network, tmp_path_factory):
    """quantization → (report, path) of one network with a class map."""
    data, made = ColourBlocks(), {}
    for quantize in (None, "int8", "int16x8"):
        path = tmp_path_factory.mktemp("audit") / f"{quantize}.tflite"
        made[quantize] = room.export(
            network,
            path,
            quantize=quantize,
            calibration=data,
            card=card_of(data),
            input="uint8",
            head="argmax",
        ).audit
    return made


class TestCost:
    def test_multiply_adds_are_those_of_the_network(self, network, audits):
        normalisation = np.prod(SHAPE)  # a 1x1 depthwise convolution in the file
        expected = multiply_adds(network, SHAPE) + normalisation
        assert {audit.multiply_adds for audit in audits.values()} == {expected}

    def test_what_xnnpack_leaves_is_named(self, audits):
        assert audits["int8"].partitions == 1
        assert audits["int8"].undelegated.keys() >= {"ARG_MAX"}
        assert "CONV_2D" not in audits["int8"].undelegated

    def test_nothing_of_16_bits_is_delegated(self, audits):
        assert audits["int16x8"].undelegated["CONV_2D"] == audits["int16x8"].operators["CONV_2D"]

    def test_memory_is_about_what_litert_takes(self, audits):
        """LiteRT's own also holds what single kernels need beside the maps, so it is no less."""
        interpreter = Interpreter(
            audits[None].path,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        maps = {
            int(tensor) for node in interpreter._get_ops_details() for tensor in node["outputs"]
        } | {interpreter.get_input_details()[0]["index"]}
        places = []
        for tensor in maps:
            view = interpreter.tensor(tensor)()
            places.append((view.__array_interface__["data"][0], view.nbytes))
        taken = max(place + size for place, size in places) - min(place for place, _ in places)
        assert audits[None].arena_bytes == pytest.approx(taken, rel=0.15)

    def test_table_and_json_have_it_all(self, audits):
        audit = audits["int8"]
        record = json.loads(json.dumps(audit.to_dict()))
        assert record["partitions"] == 1
        assert record["undelegated"] == audit.undelegated
        console = Console(width=160, record=True, file=io.StringIO())
        console.print(audit.table())
        text = console.export_text()
        for part in ("memory for maps", "multiply-adds", "parts run by XNNPACK", "ARG_MAX x 1"):
            assert part in text


class TestProblems:
    def test_space_to_batch(self, network, tmp_path):
        path = tmp_path / "free_batch.tflite"
        free = tf.function(lambda x: network(x, training=False))
        concrete = free.get_concrete_function(tf.TensorSpec((None, *SHAPE)))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        path.write_bytes(converter.convert())
        problems = room.audit(path).problems
        assert any(text.startswith("SPACE_TO_BATCH_ND x 1") for text in problems)

    def test_operators_that_are_not_built_in(self, audits, tmp_path):
        path = tmp_path / "custom.tflite"
        content = metadata.read_model(Path(audits[None].path).read_bytes())
        code = content.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = metadata.schema.BuiltinOperator.CUSTOM
        code.customCode = "FlexErf"
        path.write_bytes(metadata.write_model(content))
        assert any("custom FlexErf" in text for text in room.audit(path).problems)
        with pytest.raises(ValueError, match=r"custom\.tflite is no \.tflite file, or it is dam"):
            inference.load(path)

    def test_other_files_are_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="No exported file"):
            room.audit(tmp_path / "none.tflite")
        (tmp_path / "a.keras").write_text("x")
        with pytest.raises(ValueError, match=r"reads \.tflite, \.onnx, \.mlpackage"):
            room.audit(tmp_path / "a.keras")
        for suffix in (".tflite", ".onnx"):
            (tmp_path / f"a{suffix}").write_text("no model at all")
            with pytest.raises(ValueError, match="or it is damaged"):
                room.audit(tmp_path / f"a{suffix}")


def chain(sizes, skips=()):
    """A graph of maps of so many bytes, each made of the one before, and of a third one."""
    tensors = tuple(Tensor(str(i), "UINT8", (n,), False, None, None) for i, n in enumerate(sizes))
    operators = tuple(
        Operator("ADD", (i, *(a for a, b in skips if b == i + 1)), (i + 1,))
        for i in range(len(sizes) - 1)
    )
    return Graph(tensors, operators, (0,), (len(sizes) - 1,))


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        # the image stays to the end; both large maps share a place, and both small ones
        (chain([64, 640, 64, 640, 64]), 64 + 640 + 64),
        # a skip over two operators keeps its map beside both
        (chain([64, 640, 640, 640, 64], skips=[(1, 4)]), 64 + 3 * 640),
        # 65 bytes fill two of the 64-byte steps
        (chain([64, 65]), 64 + 128),
    ],
)
def test_memory_by_hand(graph, expected):
    assert arena_bytes(graph) == expected


def greater(largest):
    """An int8 file that compares two rows of numbers up to `largest`."""

    @tf.function
    def compared(a, b):
        return tf.cast(a > b, tf.int32)

    concrete = compared.get_concrete_function(*[tf.TensorSpec((1, 64), tf.float32)] * 2)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rising = np.linspace(0, largest, 64, dtype=np.float32)[None]
    converter.representative_dataset = lambda: [[rising, rising[:, ::-1]]]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


RUN = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1])
interpreter.allocate_tensors()
rising = np.linspace(0, float(sys.argv[2]), 64, dtype=np.float32)[None]
for image, values in zip(interpreter.get_input_details(), (rising, rising[:, ::-1])):
    interpreter.set_tensor(image["index"], values)
interpreter.invoke()
print(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).sum())
"""


@pytest.mark.parametrize(("largest", "right"), [(200, True), (300, False)])
def test_comparisons_that_int8_breaks_are_problems(tmp_path, largest, right):
    """The audit says what LiteRT does: in a process of its own, since some builds die of it."""
    path = tmp_path / "m.tflite"
    path.write_bytes(greater(largest))
    run = subprocess.run(
        [sys.executable, "-c", RUN, path, str(largest)], capture_output=True, check=False, text=True
    )
    assert (run.stdout.strip() == "32") is right  # half of the numbers are the greater
    problems = room.audit(path).problems
    assert (problems == ()) is right
    assert all("which LiteRT treats as equal" in problem for problem in problems)


class TestInt16x8:
    def test_is_more_exact_than_int8(self, network, tmp_path):
        data = ColourBlocks()
        image = data[0].image[:32]
        expected, errors = KerasRunner(network).run(image), {}
        for quantize in ("int8", "int16x8"):
            path = tmp_path / f"{quantize}.tflite"
            room.export(network, path, quantize=quantize, calibration=data, card=card_of(data))
            errors[quantize] = np.abs(inference.load(path).run(image) - expected).max()
        assert errors["int16x8"] < 0.5 * errors["int8"]

    def test_operators_without_such_a_form_are_named(self, tmp_path):
        image = keras.Input(SHAPE)
        x, _ = MaxPoolingWithIndices2D(name="pool")(kl.Conv2D(4, 3, padding="same")(image))
        model = keras.Model(image, kl.Conv2D(3, 1)(x))
        with pytest.raises(
            room.ExportError, match=r"int16x8 form of .*SPACE_TO_DEPTH.*use quantiz"
        ):
            room.export(
                model, tmp_path / "m.tflite", quantize="int16x8", calibration=ColourBlocks()
            )
        assert list(tmp_path.iterdir()) == []
