"""The table of kinds: every row is complete, and a new row with a converter is a new kind."""

import dataclasses
from typing import get_type_hints

import pytest

from keras_seg import cli, inference, models
from keras_seg.card import ModelCard
from keras_seg.data import ClassTable
from keras_seg.export import FORMATS, INPUTS, QUANTIZATIONS, ExportOptions, export
from keras_seg.export.converters import CONVERTERS, converter_of
from keras_seg.export.kinds import AXIS_ORDERS, KINDS, SUFFIXES, Kind
from keras_seg.export.options import ExportWords, with_words
from keras_seg.export.proof.audit import AUDITS
from keras_seg.export.proof.gate import remedy
from keras_seg.export.tflite.convert import as_fp16, tflite_converter
from tests.helpers.colour_blocks import ColourBlocks, card_of

ROWS = [pytest.param(kind, id=f"{kind.format}-{kind.label}") for kind in KINDS.values()]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    models.save(models.unet((16, 16, 3), 3, widths=(2, 4)), path, card_of(ColourBlocks()))
    return path


class TestRows:
    @pytest.mark.parametrize("kind", ROWS)
    def test_a_row_is_complete(self, kind):
        assert callable(converter_of(kind))
        assert kind.remedy.endswith(".")
        assert kind.format in AXIS_ORDERS and SUFFIXES[kind.format] in AUDITS
        assert set(kind.images) <= {*INPUTS} and "uint8" in kind.images
        assert kind.attention_in_float is None or (kind.format, kind.attention_in_float) in KINDS
        assert kind.needs_calibration or not kind.takes_trained_ranges
        assert kind.is_exact == (kind.quantize is None)

    @pytest.mark.parametrize("kind", ROWS)
    def test_the_docstring_that_the_command_line_shows_names_it(self, kind):
        names = ExportOptions.__doc__.split("quantize:")[1].split("input_shape:")[0]
        assert f'"{kind.quantize}"' in names or kind.label in names

    def test_there_is_a_row_for_every_converter_and_none_is_left_over(self):
        pairs = {(format, name) for format, table in CONVERTERS.items() for name in table}
        assert pairs == set(KINDS)

    @pytest.mark.parametrize("kind", [row for row in ROWS if row.values[0].format != "coreml"])
    def test_a_small_network_is_exported_in_every_kind(self, kind, model_file, tmp_path):
        path = tmp_path / f"m.{kind.format}"
        data = ColourBlocks(length=2, size=(16, 16))
        report = export(model_file, path, quantize=kind.quantize, calibration=data, max_drop=100)
        assert inference.load(path).card.quantize == kind.quantize
        assert (report.calibration_images > 0) == kind.needs_calibration

    def test_every_list_is_a_view_of_the_table(self):
        assert QUANTIZATIONS == {
            "tflite": (None, "fp16", "dynamic", "int8", "int16x8", "mixed"),
            "onnx": (None, "fp16", "int8"),
            "coreml": (None, "fp16", "dynamic"),
        }
        assert FORMATS == ("tflite", "onnx", "coreml") and INPUTS == ("float32", "uint8", "int8")


class TestNewKind:
    """A kind that nothing but a row and a converter knows."""

    @pytest.fixture
    def half(self, monkeypatch):
        kind = Kind("tflite", "half", "Use another half.", images=("float32",))
        monkeypatch.setitem(KINDS, ("tflite", "half"), kind)
        monkeypatch.setitem(CONVERTERS["tflite"], "half", tflite_converter(as_fp16))
        return kind

    @pytest.mark.usefixtures("half")
    def test_a_file_is_written_and_says_its_kind(self, model_file, tmp_path):
        report = export(model_file, tmp_path / "m.tflite", quantize="half")
        assert "FLOAT16" in report.audit.tensors
        assert inference.load(report.path).card.quantize == "half"
        assert report.to_dict()["quantize"] == "half"

    @pytest.mark.usefixtures("half")
    def test_the_command_line_offers_and_writes_it(self, model_file, capsys):
        with pytest.raises(SystemExit):
            cli.main(["export", "--help"])
        assert "|mixed|half" in capsys.readouterr().out
        assert cli.main(["export", str(model_file), "--quantize", "half"]) == cli.DONE
        assert model_file.with_name("model_half.tflite").exists()

    @pytest.mark.usefixtures("half")
    def test_requests_that_the_row_excludes_are_refused(self, model_file, tmp_path):
        with pytest.raises(ValueError, match="one of 'fp16' or 'int8'. Received: quantize='half'"):
            export(model_file, tmp_path / "m.onnx", quantize="half")
        with pytest.raises(ValueError, match=r"Received: quantize='half' for a tflite file"):
            export(model_file, tmp_path / "m.tflite", quantize="half", input="uint8")

    @pytest.mark.usefixtures("half")
    def test_the_gate_says_what_the_row_says(self):
        options = ExportOptions(format="tflite", quantize="half")
        assert remedy(options) == "Use another half."


class TestOptions:
    def test_editors_are_told_every_field(self):
        assert get_type_hints(ExportWords) == get_type_hints(ExportOptions)

    def test_words_replace_fields(self, tmp_path):
        options = ExportOptions(quantize="fp16", head="argmax")
        assert with_words(options, {"quantize": None}) == ExportOptions(head="argmax")
        assert with_words(None, {"input": "uint8"}) == ExportOptions(input="uint8")
        model = models.unet((16, 16, 3), 2, widths=(2, 4))
        card = ModelCard(ClassTable.numbered(2))
        report = export(model, tmp_path / "m.tflite", options, quantize=None, card=card)
        assert (report.quantize, report.head, report.input_shape) == (None, "argmax", (16, 16, 3))
        assert report.options == dataclasses.replace(
            options, quantize=None, format="tflite", input_shape=(16, 16, 3)
        )

    def test_an_unknown_word_is_answered_with_the_nearest(self, tmp_path):
        model = models.unet((16, 16, 3), 2, widths=(2, 4))
        with pytest.raises(TypeError, match="Unknown keyword of export 'quantise'. Did you mean"):
            export(model, tmp_path / "m.tflite", quantise="int8")
        with pytest.raises(TypeError, match=r"ExportOptions\(quantize='int8'\)\. Received: 'int8'"):
            export(model, tmp_path / "m.tflite", "int8")

    @pytest.mark.parametrize("shape", [(32, 48), [32, 48], (32, 48, 3)])
    def test_channels_of_the_input_shape_may_be_left_out(self, tmp_path, shape):
        model = models.unet((None, None, 3), 2, widths=(2, 4))
        report = export(model, tmp_path / "m.tflite", input_shape=shape)
        assert report.input_shape == (32, 48, 3)

    @pytest.mark.parametrize("shape", [(32,), (32, 0), (32, 1.5), "32", (32, -1), (1, 2, 3, 4)])
    def test_other_input_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match="input_shape is .*Received"):
            ExportOptions(input_shape=shape)

    @pytest.mark.parametrize("option", ["limit", "threads"])
    def test_counts_are_whole_numbers_of_at_least_one(self, option):
        for wrong in (0, -1, 1.5, "many"):
            with pytest.raises(ValueError, match=f"{option} must be"):
                ExportOptions(**{option: wrong})

    def test_a_record_is_kept_as_json(self):
        options = ExportOptions(quantize="int8", input_shape=[32, 48], input="int8", threads=2)
        assert ExportOptions(**options.to_dict()) == options
        assert hash(options) == hash(ExportOptions(**options.to_dict()))
