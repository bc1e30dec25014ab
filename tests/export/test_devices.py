"""The table of devices, and what an audit says of a file for one."""

import ast
import datetime
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_seg import cli
from keras_seg.export import QUANTIZATIONS, TARGETS, ExportOptions, audit
from keras_seg.export.devices.device import Device, Resizes
from keras_seg.export.devices.table import DEVICES
from keras_seg.export.network_to_export import MAX_CLASSES
from keras_seg.export.tflite.graph import OPERATORS
from keras_seg.export.tflite.placement import left_over
from keras_seg.export.tflite.spellings.editor import FileEditor
from tests.helpers.tiny_tflite import bilinear, depth_to_space, empty, one_operator

ROOT = Path(__file__).parents[2]
every_device = pytest.mark.parametrize("device", DEVICES.values(), ids=TARGETS)


class TestTable:
    @every_device
    def test_a_row_is_complete(self, device):
        assert device.title and device.source and device.basis
        assert datetime.date.fromisoformat(device.date)
        assert set(device.kinds) <= set(QUANTIZATIONS["tflite"])
        assert not device.note or device.note.endswith(".")
        assert not device.command or "FILE" in device.command

    @every_device
    def test_operators_are_those_of_the_format(self, device):
        operators = device.operators or frozenset()
        named = operators | device.unread | device.scaled | device.vectors | set(device.types)
        assert named <= set(OPERATORS.values())
        assert not operators & device.unread
        assert device.scaled | device.vectors <= operators

    @every_device
    def test_the_page_has_a_row_and_the_source(self, device):
        page = (ROOT / "docs/devices.md").read_text()
        assert f"| `{device.name}` |" in page

    def test_it_imports_no_tensorflow(self):
        for path in (ROOT / "export/devices").glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    first = (node.module or "").split(".")[0]
                    assert first in ("__future__", "collections", "dataclasses", "types") or (
                        node.module.startswith("keras_seg.export.devices")
                    )

    def test_no_other_code_names_a_device(self):
        """Decisions are the table's: a device is added by a row alone."""
        names = {f'"{name}"' for name in TARGETS if name != "cpu"}
        for path in (ROOT / "export").rglob("*.py"):
            code = ast.unparse(_without_docstrings(ast.parse(path.read_text())))
            words = {word.replace("'", '"') for word in code.replace(",", " ").split()}
            assert path.name == "table.py" or not words & names, path

    @every_device
    def test_class_maps_have_a_type(self, device):
        for image in ("int8", "uint8"):
            options = ExportOptions("tflite", "int8", input=image, target=device.name)
            assert options.class_dtype in MAX_CLASSES

    def test_accelerators_without_a_cast_get_int32(self):
        dtypes = {
            name: ExportOptions("tflite", "int8", input="int8", target=name).class_dtype
            for name in TARGETS
        }
        assert {name for name, dtype in dtypes.items() if dtype == "int32"} == {
            "ethos-u55",
            "ethos-u65",
            "ethos-u85",
        }

    @pytest.mark.parametrize("quantize", [None, "int8"])
    def test_micro_controllers_get_int8(self, quantize):
        options = ExportOptions("tflite", quantize, input="float32", target="tflm")
        assert options.class_dtype == "int8"

    def test_masks_are_for_devices_that_compare_but_do_not_count(self):
        masked = {name for name, device in DEVICES.items() if device.compares_by_masks}
        assert masked == {"ethos-u85", "tflm"}


def _without_docstrings(tree):
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                part
                for part in body
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ] or [ast.Pass()]
    return tree


class TestResizes:
    RULES = Resizes(frozenset({2}), frozenset({2, 4, 8}), frozenset(), equal_axes=True)

    @pytest.mark.parametrize(
        ("grid", "before", "after"),
        [
            ("half_pixel", (4, 5), (8, 10)),
            ("half_pixel", (1, 1), (17, 23)),
            ("half_pixel", (6, 6), (6, 6)),
            ("align_corners", (5, 5), (33, 33)),
            ("align_corners", (17, 21), (129, 161)),
        ],
    )
    def test_what_is_taken(self, grid, before, after):
        assert self.RULES.refusal(grid, before, after) is None

    @pytest.mark.parametrize(
        ("grid", "before", "after", "why"),
        [
            ("half_pixel", (4, 4), (16, 16), "half-pixel resize by 4; taken are 2"),
            ("align_corners", (16, 20), (128, 160), "resize by 8.467 x 8.368; taken are 2, 4, 8"),
            ("align_corners", (3, 3), (5, 9), "resize by 2 x 4; taken are 2, 4, 8"),
            ("top_left", (4, 4), (8, 8), "no factor of this grid is taken"),
        ],
    )
    def test_what_is_not(self, grid, before, after, why):
        assert why in self.RULES.refusal(grid, before, after)

    def test_many_factors_are_shortened(self):
        factors = DEVICES["ethos-u85"].bilinear
        assert "2, 4, 8, 16 ... 1024" in factors.refusal("half_pixel", (4, 4), (12, 12))

    def test_none_is_any(self):
        assert Resizes().refusal("align_corners", (3, 4), (7, 31)) is None


def only(content, target):
    """The single entry of a file's audit."""
    (entry,) = left_over(content, DEVICES[target])
    return entry


class TestLeftOver:
    def test_nothing_on_a_cpu(self):
        assert left_over(depth_to_space((1, 2, 2, 4), 2), DEVICES["cpu"]) == ()

    def test_an_operator_with_another_spelling(self):
        entry = only(depth_to_space((1, 2, 2, 4), 2), "ethos-u55")
        assert (entry.operator, entry.count) == ("DEPTH_TO_SPACE", 1)
        assert "not in the table" in entry.why
        assert "Export with target='ethos-u55'" in entry.remedy

    def test_one_that_only_another_option_avoids(self):
        bare = Device("bare", "Bare", "a test", "2026-01-01", "a test", operators=frozenset())
        (entry,) = left_over(depth_to_space((1, 2, 2, 4), 2), bare)
        assert "subpixel=False" in entry.remedy

    def test_a_resize(self):
        entry = only(bilinear((16, 20), (128, 160), "align_corners"), "ethos-u85")
        assert "aligned-corner resize by 8.467 x 8.368" in entry.why
        assert "32k+1" in entry.remedy
        assert (
            left_over(bilinear((17, 21), (129, 161), "align_corners"), DEVICES["ethos-u85"]) == ()
        )

    def test_a_resize_without_products(self):
        entry = only(bilinear((4, 4), (8, 8), "half_pixel"), "coral")
        assert "no factor of this grid" in entry.why
        assert entry.remedy.startswith("A network with variant={'resize_grid': 'align_corners'}")

    def test_floats(self):
        entry = only(
            one_operator("RELU", (1, 2, 2, 1), (1, 2, 2, 1), dtype=np.float32), "ethos-u85"
        )
        assert entry.why == "its maps are FLOAT32"
        assert entry.remedy == "Export with quantize='int8'"

    def test_a_float_image(self):
        editor = FileEditor(empty((1, 2, 2, 1), np.float32))
        output = FileEditor(empty((1, 2, 2, 1))).graph.tensors[0]
        editor.graph.tensors.append(output)
        editor.graph.operators = [editor.new_operator("QUANTIZE", [0], [1])]
        editor.graph.outputs = np.array([1], np.int32)
        assert only(editor.content(), "ethos-u55").remedy == "Export with input='int8'"

    def test_a_cast_behind_argmax(self):
        options = schema.ArgMaxOptionsT()
        options.outputType = schema.TensorType.INT32
        content = one_operator("ARG_MAX", (1, 2, 2, 3), (1, 2, 2), options, [3])
        editor = FileEditor(content)
        classes = int(editor.graph.outputs[0])
        editor.graph.tensors[classes].type = schema.TensorType.INT32
        editor.graph.tensors[classes].quantization = None
        small = editor.new_map(classes, (1, 2, 2), "classes")
        editor.graph.operators.append(editor.new_operator("CAST", [classes], [small]))
        for target, why in {
            "ethos-u55": "it is not in the table of the device",
            "ethos-u85": "its maps have no scale",
        }.items():
            entry = only(editor.content(), target)
            assert (entry.operator, entry.why) == ("CAST", why)
            assert entry.remedy == f"Export with target='{target}', whose class maps are int32"
        for target in ("mediatek", "coral"):
            entries = {e.operator: e for e in left_over(editor.content(), DEVICES[target])}
            assert "head='logits'" in entries["ARG_MAX"].remedy
        assert "head='logits'" in entries["CAST"].remedy
        assert left_over(editor.content(), DEVICES["tflm"]) == ()

    def test_a_cast_to_bytes(self):
        """TFLite Micro prints that it cannot, and returns what was in the memory."""
        editor = FileEditor(
            one_operator("ARG_MAX", (1, 2, 2, 3), (1, 2, 2), schema.ArgMaxOptionsT(), [3])
        )
        classes = int(editor.graph.outputs[0])
        small = editor.new_map(classes, (1, 2, 2), "classes")
        editor.graph.tensors[small].type = schema.TensorType.UINT8
        editor.graph.operators.append(editor.new_operator("CAST", [classes], [small]))
        entry = only(editor.content(), "tflm")
        assert (entry.operator, entry.why) == ("CAST", "its maps are UINT8")
        assert entry.remedy == "Export with target='tflm', whose class maps are int8"

    def test_float_scores(self):
        editor = FileEditor(one_operator("DEQUANTIZE", (1, 2, 2, 1), (1, 2, 2, 1)))
        output = editor.graph.tensors[int(editor.graph.outputs[0])]
        output.type, output.quantization = schema.TensorType.FLOAT32, None
        assert only(editor.content(), "ethos-u55").remedy == "Export with input='int8'"
        editor.graph.tensors[0].type = schema.TensorType.INT16
        remedy = only(editor.content(), "ethos-u55").remedy
        assert remedy == "Export with quantize='int8' and input='int8'"

    def test_a_softmax_over_a_map(self):
        options = schema.SoftmaxOptionsT()
        content = one_operator("SOFTMAX", (1, 2, 2, 3), (1, 2, 2, 3), options)
        entry = only(content, "coral")
        assert entry.why == "it runs on one pixel; the map has 4"
        assert "head='logits'" in entry.remedy
        one = one_operator("SOFTMAX", (1, 1, 1, 3), (1, 1, 1, 3), options)
        assert left_over(one, DEVICES["coral"]) == ()

    def test_many_classes(self):
        content = one_operator("ARG_MAX", (1, 2, 2, 128), (1, 2, 2), schema.ArgMaxOptionsT(), [3])
        assert "128 classes, more than 127" in only(content, "ethos-u65").why

    def test_weights_per_channel_and_dilations(self):
        editor = FileEditor(empty((1, 8, 8, 1)))
        kernel = np.ones((2, 3, 3, 1), np.int8)
        weights = editor.new_constant(kernel, "kernel", np.array([0.1, 0.2]))
        output = editor.new_map(0, (1, 8, 8, 2), "output")
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = 1
        options.dilationHFactor = options.dilationWFactor = 6
        editor.graph.operators = [editor.new_operator("CONV_2D", [0, weights], [output], options)]
        content = editor.content()
        assert "a scale per channel" in only(content, "stm32mp2").why
        assert only(content, "mediatek").why == "its dilation is 6; taken are 1, 2, 4, 8"
        assert left_over(content, DEVICES["ethos-u85"]) == ()

    def test_what_could_not_be_read_is_told_apart(self):
        options = schema.TransposeOptionsT()
        content = one_operator("TRANSPOSE", (1, 2, 3, 4), (1, 3, 2, 4), options, [[0, 2, 1, 3]])
        assert "could not be read" in only(content, "coral").why

    def test_equal_reasons_are_counted(self):
        editor = FileEditor(depth_to_space((1, 2, 2, 4), 2))
        again = editor.new_map(0, (1, 4, 4, 1), "again")
        options = editor.graph.operators[0].builtinOptions
        editor.graph.operators.append(editor.new_operator("DEPTH_TO_SPACE", [0], [again], options))
        assert str(only(editor.content(), "ethos-u85")).startswith("DEPTH_TO_SPACE x 2: ")

    def test_maps_of_many_axes(self):
        device = Device("flat", "Flat", "a test", "2026-01-01", "a test", kinds=("int8",), rank=3)
        (entry,) = left_over(depth_to_space((1, 2, 2, 4), 2), device)
        assert "4 axes, more than 3" in entry.why


class TestAudit:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "m.tflite"
        path.write_bytes(depth_to_space((1, 2, 2, 4), 2))
        return path

    def test_it_names_what_is_left(self, path):
        audited = audit(path, target="ethos-u55")
        assert (audited.target, audited.placed) == ("ethos-u55", 0)
        assert audited.placement_in_words().startswith("0 of 1 operators, by Vela 5.2.0")
        assert audited.to_dict()["left_over"][0]["operator"] == "DEPTH_TO_SPACE"

    def test_without_a_target_nothing_changes(self, path):
        audited = audit(path)
        assert (audited.target, audited.left_over, audited.placed) == (None, (), 1)
        assert audited.placement_in_words() is None

    def test_an_unread_table_is_told(self, path):
        assert "could not be read" in audit(path, target="st-neural-art").placement_in_words()

    def test_the_command_line_prints_it(self, path, capsys):
        assert cli.main(["audit", str(path), "--target", "ethos-u55"]) == cli.DONE
        printed = " ".join(capsys.readouterr().out.split())
        assert "on ethos-u55: 0 of 1 operators" in printed
        assert "on the CPU: DEPTH_TO_SPACE x 1" in printed

    def test_unknown_targets_and_other_files_are_refused(self, path, tmp_path):
        with pytest.raises(ValueError, match="Unknown target 'ethos-u56'. Did you mean"):
            audit(path, target="ethos-u56")


class TestOptions:
    def test_a_file_of_which_nothing_runs_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="Received: quantize=None. Write quantize='int8'"):
            ExportOptions(format="tflite", target="ethos-u55")
        with pytest.raises(ValueError, match="not those in dynamic. Received: quantize='dynamic'"):
            ExportOptions(quantize="dynamic", target="coral").for_file(tmp_path / "m.tflite")

    def test_other_formats_have_no_target(self, tmp_path):
        with pytest.raises(ValueError, match="target='tflm' is for .tflite files"):
            ExportOptions(target="tflm").for_file(tmp_path / "m.onnx")

    def test_an_unknown_target_is_answered_with_the_nearest(self):
        with pytest.raises(ValueError, match="Unknown target 'ethosu55'. Did you mean"):
            ExportOptions(target="ethosu55")
