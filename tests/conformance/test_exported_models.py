"""Every registered network leaves as a file of built-in operators that computes the same."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_seg import inference, models
from keras_seg.export import export
from keras_seg.export.int8 import clipped_ranges
from keras_seg.export.tflite.metadata import read_model, write_model
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.layers import Preprocessing
from tests.helpers.shapes import TINY_SIZE, Shapes

FILES = {
    "float.tflite": {},
    "int8.tflite": {"quantize": "int8", "input": "uint8", "max_drop": 100.0},
    "float.onnx": {},
}
"""Each network is converted once per file; all tests look at the same three."""
FLOAT = ("float.tflite", "float.onnx")
FLATTENED = {"danet": 9, "ocrnet": 9, "segnet_basic": 2}
"""Transposes of networks that make lists of pixels, or whose norm tf2onnx does not look through."""
NOT_IN_MICRO = ("deconvnet", "segnet", "segnet_basic")
"""Networks with SELECT, which TFLite Micro does not have; files with target="tflm" have masks."""
ARENA = 32 << 20
"""Bytes for all maps of a tiny network on TFLite Micro."""


LIKE_ANOTHER = {
    "gridnet": "unet",
    "hrnet": "deeplabv3plus",
    "ocrnet": "danet",
    "resunet": "unet",
    "resunetplusplus": "deeplabv3plus",
    "segnet": "deconvnet",
    "segnet_basic": "deconvnet",
    "unetplusplus": "unet",
}
"""Networks whose ONNX and int8 files the slow suite makes, and one with the same operators."""
MOBILE = "deeplabv3plus-mobilenetv2"
"""The encoder of inverted residuals has 200 layers, whose export takes as long as five others."""


def networks(slow):
    names = [*models.list_models(), MOBILE]
    marked = [pytest.param(n, marks=pytest.mark.slow if n in slow else []) for n in names]
    return pytest.mark.parametrize("exported", marked, indirect=True)


every_network = networks(slow={MOBILE})
every_kind_of_network = networks(slow={MOBILE, *LIKE_ANOTHER})


class Files(dict):
    """Name of a file → its report; each file is made when it is first asked for."""

    def __init__(self, make):
        self.make = make

    def __missing__(self, name):
        self[name] = self.make(name)
        return self[name]


@pytest.fixture(scope="module")
def exported(request, tmp_path_factory, tiny_model):
    """(Keras runner, files, folder, facts) of one network."""
    name, options = request.param, {}
    if name == MOBILE:
        name, options = "deeplabv3plus", {"backbone": "mobilenetv2", "backbone_options": None}
    folder, network = tmp_path_factory.mktemp(request.param), models.find(name)
    model, size = tiny_model(name, **options), (*TINY_SIZE, 3)

    def make(file):
        with pytest.MonkeyPatch.context() as patch:
            # Integers change many classes of random weights. The search for better ranges has
            # tests of its own, export/test_clipped_ranges.py, and would double the time.
            patch.setattr(clipped_ranges, "ACCEPTED", 100.0)
            return export(
                model,
                folder / file,
                input_shape=size,
                calibration=Shapes("train"),
                evaluation=Shapes("val", 2),
                **FILES[file],
            )

    return KerasRunner(model, input_shape=size), Files(make), folder, network


def float_files():
    """(network, file): the default suite has a TFLite file of each, and ONNX files of a few."""
    for file in FLOAT:
        slow = {MOBILE, *(LIKE_ANOTHER if file.endswith("onnx") else ())}
        for network in [*models.list_models(), MOBILE]:
            marks = [pytest.mark.slow] if network in slow else []
            yield pytest.param(network, file, marks=marks, id=f"{file}-{network}")


@pytest.mark.parametrize(("exported", "name"), float_files(), indirect=["exported"])
class TestFloatFiles:
    def test_logits_are_those_of_keras(self, exported, name):
        keras_runner, files, _, _ = exported
        for sample in Shapes("val", 2):
            expected = keras_runner.run(sample.image)
            found = inference.load(files[name].path).run(sample.image)
            np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())

    def test_classes_are_those_of_keras(self, exported, name):
        assert exported[1][name].gate.agreement >= 0.999

    def test_operators_are_built_in(self, exported, name):
        check_operators(exported[1][name])

    def test_classes_travel_with_the_file(self, exported, name):
        assert len(inference.load(exported[1][name].path).card.classes) == 3

    def test_openvino_names_the_same_classes(self, exported, name):
        check_openvino(exported[1], name, agreement=0.999)


def check_operators(report):
    assert report.audit.problems == ()
    assert not any("BATCH_ND" in operator for operator in report.audit.operators)


def check_openvino(files, name, agreement):
    """In float also for int8 files: its integers overflow on processors without VNNI."""
    openvino = pytest.importorskip("openvino")
    exact = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "NO"}
    path = files[name].path
    compiled = openvino.Core().compile_model(path, "CPU", exact)
    for sample in Shapes("val", 2):
        image = sample.image[None].astype(np.uint8 if "int8" in name else np.float32)
        (scores,) = compiled(image).values()
        expected = inference.load(path).run(sample.image)
        assert (scores[0].argmax(-1) == expected.argmax(-1)).mean() >= agreement


@every_network
def test_normalisation_costs_one_operator(exported):
    if not any(isinstance(layer, Preprocessing) for layer in exported[0].model.layers):
        return  # SegNet-Basic normalises by a local response of its own
    interpreter = Interpreter(
        str(exported[1]["float.tflite"].path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    (image,) = interpreter.get_input_details()
    operators = interpreter._get_ops_details()
    takers = [operator for operator in operators if image["index"] in operator["inputs"]]
    assert [operator["op_name"] for operator in takers] == ["DEPTHWISE_CONV_2D"]


@every_kind_of_network
def test_onnx_files_transpose_at_their_ends_only(exported):
    keras_runner, files, _, _ = exported
    operators = files["float.onnx"].audit.operators
    assert operators["Transpose"] == 2 + FLATTENED.get(keras_runner.model.name, 0)


@every_kind_of_network
class TestInt8Files:
    @pytest.fixture
    def int8(self, exported):
        return exported[1]["int8.tflite"]

    def test_everything_is_computed_in_integers(self, int8):
        check_operators(int8)
        assert int8.audit.islands == ()
        # BOOL: the masks that say which pixel of a window was its maximum
        assert set(int8.audit.tensors) <= {"INT8", "INT32", "UINT8", "BOOL"}

    def test_logits_stay_near_those_of_keras(self, int8, exported):
        """Random weights give the signal-to-noise ratio; what it costs in mIoU the gate says."""
        keras_runner, _, _, network = exported
        image, runner = Shapes("val", 1)[0].image, inference.load(int8.path)
        expected = keras_runner.run(image)
        error = runner.run(image) - expected
        assert 10 * np.log10(expected.var() / error.var()) > network.int8_decibels
        assert len(runner.card.classes) == 3

    def test_openvino_names_the_same_classes(self, int8, exported):
        """It rounds otherwise, and the classes of random weights are a few steps apart.

        97.2 to 100 % of an image.
        """
        check_openvino(exported[1], "int8.tflite", agreement=0.95)

    def test_attention_is_told_to_be_slow(self, int8, exported):
        attentive = exported[0].model.name in ("danet", "ocrnet")
        assert ("quantize='mixed'" in (int8.advice or "")) == attentive
        assert exported[1]["float.tflite"].advice is None

    def test_tflite_micro_computes_what_litert_does(self, int8, exported):
        """Bit by bit what LiteRT's reference kernels give; XNNPACK rounds otherwise."""
        runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
        path = Path(int8.path)
        if exported[0].model.name in NOT_IN_MICRO:
            with pytest.raises(RuntimeError, match="failed to allocate"):
                runtime.Interpreter.from_file(str(path), arena_size=ARENA)
            return
        micro = runtime.Interpreter.from_file(str(path), arena_size=ARENA)
        litert = Interpreter(
            model_content=with_first_versions(path, "DEPTH_TO_SPACE"),
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        )
        litert.allocate_tensors()
        (image,), (output,) = litert.get_input_details(), litert.get_output_details()
        for sample in Shapes("val", 2):
            micro.set_input(sample.image[None], 0)
            litert.set_tensor(image["index"], sample.image[None])
            micro.invoke()
            litert.invoke()
            np.testing.assert_array_equal(micro.get_output(0), litert.get_tensor(output["index"]))


def with_first_versions(path, operator):
    """A file whose operators of that kind say to be the first version of it.

    LiteRT's list of reference kernels has the first version of depth-to-space alone, the one for
    floats, though the kernel that it names takes integers too.
    """
    model = read_model(path.read_bytes())
    for code in model.operatorCodes:
        if code.builtinCode == getattr(schema.BuiltinOperator, operator):
            code.version = 1
    return write_model(model)
