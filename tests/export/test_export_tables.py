"""Every combination of options that an export can be asked for reaches a file or a message."""

import itertools
import zipfile
from importlib.metadata import PackageNotFoundError

import pytest

from keras_seg import inference, models
from keras_seg.card import ModelCard
from keras_seg.data import ClassTable
from keras_seg.export import (
    FORMATS,
    HEADS,
    INPUTS,
    QUANTIZATIONS,
    ExportError,
    ExportOptions,
    export,
)
from keras_seg.export.aware.trained_ranges import has_trained_ranges
from keras_seg.export.int8.calibration import check_ranges
from keras_seg.export.kinds import AXIS_ORDERS, KINDS, SUFFIXES
from keras_seg.export.network_to_export import MAX_CLASSES, check_class_map, check_head
from keras_seg.export.proof.gate import GateResult, refusal, remedy
from keras_seg.export.run_folder import file_name
from keras_seg.export.tflite.convert import image_dtype, types_of_ends
from keras_seg.export.tflite.graph import BYTES, DTYPES, Tensor, read_graphs
from keras_seg.export.tflite.model_metadata import model_metadata
from keras_seg.report import page
from keras_seg.training.engines.tf_config import workers_of_environment
from tests.helpers.shapes import Shapes

pytestmark = pytest.mark.xdist_group("export_tables")  # one worker, so that fixtures are made once


EVERY_QUANTIZATION = (*QUANTIZATIONS["tflite"], "int4")
EVERY_LAYOUT = (*AXIS_ORDERS["onnx"], "chwn")
PAIRS = [(format, quantize) for format in FORMATS for quantize in QUANTIZATIONS[format]]


def asked(tmp_path, format, quantize, head="logits", layout="nhwc", input="float32", **words):
    words = {"calibration": Shapes(), "has_trained_ranges": False} | words
    options = ExportOptions(quantize=quantize, head=head, layout=layout, input=input)
    options = options.for_file(tmp_path / f"m{SUFFIXES[format]}")
    check_ranges(options.kind, **words)
    return options


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "m.tflite"
    export(models.unet((16, 16, 3), 2, widths=(4, 8)), path)
    return path


class TestOptions:
    def test_every_combination_is_taken_or_refused_in_words(self, tmp_path):
        taken = 0
        for words in itertools.product(
            FORMATS, EVERY_QUANTIZATION, (*HEADS, "masks"), EVERY_LAYOUT, (*INPUTS, "int16")
        ):
            for more in ({}, {"calibration": None}, {"has_trained_ranges": True}):
                try:
                    options = asked(tmp_path, *words, **more)
                except ValueError as error:
                    assert "Received: " in str(error) or "Known: " in str(error), words
                    continue
                taken += 1
                assert options.runner_head in ("logits", "probabilities", "argmax")
                assert options.class_dtype in MAX_CLASSES
                if options.format == "tflite":
                    types = types_of_ends(options)
                    assert image_dtype(options) in INPUTS and len(types) == 2
        heads = len(HEADS)
        # with calibration images: float32 and uint8 for each (float32 is taken as uint8 by Core
        # ML), int8 for int8 and mixed of TFLite
        with_images = heads * (6 * 2 + 2 + 2 * 3 * 2 + 3 * 2)
        # without: what needs no ranges; with trained ranges: TFLite in int8 alone
        assert taken == with_images + heads * (3 * 2 + 2 * 2 * 2 + 3 * 2) + heads * 3

    @pytest.mark.parametrize(
        "words",
        [
            {"subpixel": "no"},
            {"max_drop": "much"},
            {"max_drop": -1},
            {"card": {}},
            {"multi_label": "yes"},
        ],
        ids=str,
    )
    def test_words_of_another_type_are_refused(self, tmp_path, words):
        model = models.unet((16, 16, 3), 2, widths=(2, 4))
        with pytest.raises(ValueError, match=rf"{next(iter(words))}.*Received"):
            export(model, tmp_path / "m.tflite", **words)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("head", HEADS)
    @pytest.mark.parametrize("own", ["logits", "probabilities", "argmax"])
    @pytest.mark.parametrize("classes", [1, 128, 129, 255])
    def test_heads_that_a_model_cannot_have_are_refused_in_words(
        self, tmp_path, head, own, classes
    ):
        card = ModelCard(ClassTable.numbered(max(2, classes)), head=own)
        for format, quantize in PAIRS:
            for input in INPUTS:
                if input == "int8" and (format, quantize) not in (
                    ("tflite", "int8"),
                    ("tflite", "mixed"),
                ):
                    continue
                options = asked(tmp_path, format, quantize, head, input=input)
                try:
                    check_head(options, card)
                    check_class_map(options, classes)
                except (ValueError, ExportError) as error:
                    assert "head=" in str(error)
                    continue
                assert own != "argmax" and (own, head) != ("probabilities", "logits")
                assert not options.puts_out_classes or classes <= MAX_CLASSES[options.class_dtype]

    def test_names_of_files_tell_combinations_apart(self, tmp_path):
        names = {
            file_name(
                tmp_path / "model.keras",
                ExportOptions(format=format, quantize=quantize, head=head, layout=layout),
            )
            for format, quantize in PAIRS
            for head in HEADS
            for layout in AXIS_ORDERS[format]
        }
        assert len(names) == len(HEADS) * sum(
            len(QUANTIZATIONS[format]) * len(AXIS_ORDERS[format]) for format in FORMATS
        )

    @pytest.mark.parametrize("head", ["logits", "probabilities", "argmax"])
    def test_metadata_of_every_head_are_written(self, head):
        card = ModelCard(ClassTable.numbered(3), head=head)
        shape = (1, 8, 8) if head == "argmax" else (1, 8, 8, 3)
        assert len(model_metadata(card, (1, 8, 8, 3), shape, "out")) > 100


class TestGate:
    @pytest.mark.parametrize("fused", [False, True])
    @pytest.mark.parametrize(("format", "quantize"), PAIRS)
    def test_every_refusal_says_what_to_try(self, format, quantize, fused):
        result = GateResult(False, "at most 1 points of mIoU lost", 0.9, 5.0, comparison=None)
        head = "fused_argmax" if fused else "argmax"
        options = ExportOptions(format=format, quantize=quantize, head=head)
        text = refusal(result, 0.9, 0.85, options)
        assert "mIoU 85.00 % after 90.00 % in Keras (5.00 points lost)" in text
        assert text.endswith(remedy(options))
        assert "max_drop" in text or "please report" in text

    @pytest.mark.parametrize(("format", "quantize"), PAIRS)
    def test_no_remedy_names_what_the_format_lacks(self, format, quantize):
        text = KINDS[format, quantize].remedy
        if format == "onnx":
            text = text.replace("write a .tflite file with quantize='mixed'", "")
        for other in {"fp16", "dynamic", "int8", "int16x8", "mixed"} - {*QUANTIZATIONS[format]}:
            assert f"'{other}'" not in text
        assert f"'{quantize}'" not in text


class TestNeighbours:
    """Other tables and defaults that an unusual name or an empty list once fell through."""

    def test_a_tensor_type_that_the_schema_lacks_is_named(self, exported, monkeypatch):
        number = next(number for number, name in DTYPES.items() if name == "FLOAT32")
        monkeypatch.delitem(DTYPES, number)
        found = {tensor.dtype for tensor in read_graphs(exported.read_bytes())[0].tensors}
        assert found == {f"type {number}"}

    def test_memory_counts_every_type_of_whole_bytes(self):
        for dtype, size in {"BFLOAT16": 2, "UINT32": 4, "COMPLEX64": 8, "BOOL": 1}.items():
            assert Tensor("x", dtype, (2, 3), False, None, None).size_bytes == 6 * size
        assert set(DTYPES.values()) >= {*BYTES}

    def test_report_of_a_machine_with_other_packages_is_written(self, monkeypatch):
        def version(name):
            raise PackageNotFoundError(name)

        monkeypatch.setattr(page, "version", version)
        assert "not installed under this name" in page._environment().values()

    @pytest.mark.parametrize(
        "text", ["[]", '"worker"', '{"cluster": null}', '{"cluster": {"worker": "a:1"}}']
    )
    def test_cluster_of_another_form_is_refused_in_words(self, monkeypatch, text):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(ValueError, match=r"TF_CONFIG must look like \{") as refusal:
            workers_of_environment()
        assert text in str(refusal.value)

    @pytest.mark.parametrize(
        "config", ["{", "[]", '{"config": null}', '{"config": {"layers": [1]}}', "{}"]
    )
    def test_ranges_are_looked_for_in_files_of_any_configuration(self, tmp_path, config):
        path = tmp_path / "m.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", config)
        assert not has_trained_ranges(path)

    def test_names_that_no_table_can_hold_are_refused_as_unknown(self):
        for wrong in (["unet"], {"name": "unet"}):
            with pytest.raises(ValueError, match="Unknown model"):
                models.build(wrong)
            with pytest.raises(ValueError, match="variant must be|Unknown field"):
                models.deeplabv3plus((64, 64, 3), 2, layout=wrong, backbone_weights=None)
        for option, wrong in (("preprocessing", ["unit"]), ("backbone", {})):
            with pytest.raises(ValueError, match=f"{option} must be"):
                models.unet((64, 64, 3), 2, **{option: wrong})
        with pytest.raises(ValueError, match="rounding must be one of"):
            models.segnet((64, 64, 3), 2, rounding=["ceil"])

    def test_mirror_of_names_that_differ_in_case_keeps_every_class(self):
        table = ClassTable(("Left eye", "right eye", "left eye", "nose"))
        assert len(table.mirrored()) == 4 and table.mirrored()[3] == 3

    def test_stage_of_a_face_parser_is_refused_with_the_kind_of_its_file(self, exported):
        parts = dict.fromkeys(("brows", "eyes", "nose", "mouth"), exported)
        with pytest.raises(ValueError, match=r"a \.tflite file that outputs logits"):
            inference.load_face_parser(exported, parts)
