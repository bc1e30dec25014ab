"""Every registered network leaves as a file of built-in operators that computes the same."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_seg import inference, models
from keras_seg.export import ExportError, export
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
"""Each network is converted once a file; all tests look at the same three."""
FLATTENED = {"danet": 9, "ocrnet": 9, "segnet_basic": 2}
"""Transposes of networks that make lists of pixels, or whose norm tf2onnx does not look through."""
NOT_IN_MICRO = {"deconvnet": "SELECT", "segnet": "SELECT"}
"""Operators that TFLite Micro does not have."""
ARENA = 32 << 20
"""Bytes for all maps of a tiny network on TFLite Micro."""


MOBILE = "deeplabv3plus-mobilenetv2"
"""The encoder of inverted residuals has 200 layers, whose export takes as long as five others."""


@pytest.fixture(
    scope="module", params=[*models.list_models(), pytest.param(MOBILE, marks=pytest.mark.slow)]
)
def exported(request, tmp_path_factory, tiny_model):
    """(Keras runner, {file: report}, folder, facts) of one network."""
    name, options = request.param, {}
    if name == MOBILE:
        name, options = "deeplabv3plus", {"backbone": "mobilenetv2", "backbone_options": None}
    folder, network = tmp_path_factory.mktemp(request.param), models.find(name)
    model, size = tiny_model(name, **options), (*TINY_SIZE, 3)
    with pytest.MonkeyPatch.context() as patch:
        # Integers change many classes of random weights. The search for better ranges has tests
        # of its own, export/test_clipped_ranges.py, and would double the time.
        patch.setattr(clipped_ranges, "ACCEPTED", 100.0)
        reports = {
            name: export(
                model,
                folder / name,
                input_shape=size,
                calibration=Shapes("train"),
                evaluation=Shapes("val", 2),
                **options,
            )
            for name, options in FILES.items()
            if network.int8_decibels is not None or "int8" not in name
        }
    return KerasRunner(model, input_shape=size), reports, folder, network


@pytest.mark.parametrize("name", ["float.tflite", "float.onnx"])
def test_float_files_give_the_logits_of_keras(exported, name):
    keras_runner, _, folder, _ = exported
    for sample in Shapes("val", 2):
        expected = keras_runner.run(sample.image)
        found = inference.load(folder / name).run(sample.image)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["float.tflite", "float.onnx"])
def test_float_files_name_the_same_classes(exported, name):
    assert exported[1][name].gate.agreement >= 0.999


def test_files_hold_built_in_operators_only(exported):
    for report in exported[1].values():
        assert report.audit.problems == ()
        assert not any("BATCH_ND" in operator for operator in report.audit.operators)


def test_int8_files_compute_in_integers_only_or_the_export_says_what_cannot(exported):
    keras_runner, reports, folder, network = exported
    if network.int8_decibels is None:
        with pytest.raises(ExportError, match="not everything in it is computed in integers"):
            export(
                keras_runner.model,
                folder / "int8.tflite",
                input_shape=keras_runner.input_shape,
                calibration=Shapes("train"),
                **FILES["int8.tflite"],
            )
        assert not (folder / "int8.tflite").exists()
        return
    audit = reports["int8.tflite"].audit
    assert audit.islands == ()
    # BOOL: the masks that say which pixel of a window was its maximum
    assert set(audit.tensors) <= {"INT8", "INT32", "UINT8", "BOOL"}


def test_int8_files_stay_near_the_logits_of_keras(exported):
    """Random weights give the signal-to-noise ratio; what it costs in mIoU is the gate's to say."""
    keras_runner, reports, folder, network = exported
    if network.int8_decibels is None:
        assert "int8.tflite" not in reports
        return
    image = Shapes("val", 1)[0].image
    expected = keras_runner.run(image)
    error = inference.load(folder / "int8.tflite").run(image) - expected
    assert 10 * np.log10(expected.var() / error.var()) > network.int8_decibels


def test_normalisation_costs_one_operator(exported):
    if not any(isinstance(layer, Preprocessing) for layer in exported[0].model.layers):
        return  # SegNet-Basic normalises by a local response of its own
    interpreter = Interpreter(
        str(exported[2] / "float.tflite"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    (image,) = interpreter.get_input_details()
    operators = interpreter._get_ops_details()
    takers = [operator for operator in operators if image["index"] in operator["inputs"]]
    assert [operator["op_name"] for operator in takers] == ["DEPTHWISE_CONV_2D"]


def test_classes_travel_with_the_file(exported):
    for name in exported[1]:
        assert len(inference.load(exported[2] / name).card.classes) == 3


def test_onnx_files_transpose_at_their_ends_only(exported):
    keras_runner, reports, _, _ = exported
    operators = reports["float.onnx"].audit.operators
    assert operators["Transpose"] == 2 + FLATTENED.get(keras_runner.model.name, 0)


@pytest.mark.parametrize("name", FILES)
def test_openvino_names_the_same_classes(exported, name):
    """In float also for int8 files: its integers overflow on processors without VNNI.

    There it rounds otherwise, and the classes of random weights lie a few steps apart: 97.2 to
    100 % of an image.
    """
    openvino = pytest.importorskip("openvino")
    _, reports, folder, _ = exported
    if name not in reports:
        pytest.skip("this network has no int8 file")
    exact = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "NO"}
    compiled = openvino.Core().compile_model(folder / name, "CPU", exact)
    for sample in Shapes("val", 2):
        image = sample.image[None].astype(np.uint8 if "int8" in name else np.float32)
        (scores,) = compiled(image).values()
        expected = inference.load(folder / name).run(sample.image)
        agreement = (scores[0].argmax(-1) == expected.argmax(-1)).mean()
        assert agreement >= (0.95 if "int8" in name else 0.999)


def test_int8_attention_is_told_to_be_slow(exported):
    keras_runner, reports, *_ = exported
    if "int8.tflite" not in reports:
        pytest.skip("this network has no int8 file")
    report = reports["int8.tflite"]
    attentive = keras_runner.model.name in ("danet", "ocrnet")
    assert ("quantize='mixed'" in (report.advice or "")) == attentive
    assert reports["float.tflite"].advice is None


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


def test_tflite_micro_computes_what_litert_does(exported):
    """Bit by bit what LiteRT's reference kernels give; XNNPACK rounds otherwise."""
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    keras_runner, reports, folder, _ = exported
    path = str(folder / "int8.tflite")
    if "int8.tflite" not in reports:
        pytest.skip("this network has no int8 file")
    if keras_runner.model.name in NOT_IN_MICRO:
        with pytest.raises(RuntimeError, match="failed to allocate"):
            runtime.Interpreter.from_file(path, arena_size=ARENA)
        return
    micro = runtime.Interpreter.from_file(path, arena_size=ARENA)
    litert = Interpreter(
        model_content=with_first_versions(folder / "int8.tflite", "DEPTH_TO_SPACE"),
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
