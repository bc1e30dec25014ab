"""Core ML packages: with coremltools converted for real, without it by stand-ins."""

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keras_seg import inference, models
from keras_seg.export import ExportError, ExportOptions, audit, export
from keras_seg.export.conversion import ConvertedFile
from keras_seg.export.converters import CONVERTERS
from keras_seg.export.coreml import package
from keras_seg.export.coreml.package import packed, unpack
from keras_seg.export.coreml.runner import CoreMLRunner
from keras_seg.export.kinds import KINDS, UNCOMPARED
from keras_seg.export.proof import publish
from keras_seg.export.proof.audit import AUDITS, Audit
from tests.helpers.colour_blocks import ColourBlocks, card_of

DATA = ColourBlocks(length=2, size=(16, 16))


@pytest.fixture(scope="module")
def model():
    return models.unet((16, 16, 3), 3, widths=(2, 4))


def stand_in(deployed, network, images=(), evaluation=None):
    """A converter that writes a package of one file, the card."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Data").mkdir()
        (Path(folder) / "Data" / "card.json").write_text(network.card.to_json())
        return ConvertedFile(packed(Path(folder)))


@pytest.fixture
def without_coremltools(monkeypatch):
    monkeypatch.setitem(CONVERTERS["coreml"], "fp16", stand_in)
    audited = {"conv": 4}, {"FLOAT16": 9}
    monkeypatch.setitem(
        AUDITS, ".mlpackage", lambda path: Audit(str(path), "coreml", 7, *audited, (), ())
    )


class TestOptions:
    def test_the_suffix_is_that_of_a_package(self, tmp_path):
        options = ExportOptions(quantize="fp16").for_file(tmp_path / "m.mlpackage")
        assert (options.format, options.input, options.class_dtype) == ("coreml", "uint8", "int32")
        with pytest.raises(ValueError, match=r"A coreml file is written to a path ending in .mlp"):
            ExportOptions(format="coreml").for_file(tmp_path / "m.tflite")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ({"quantize": "int8"}, "one of 'fp16' or 'dynamic'. Received: quantize='int8'"),
            ({"layout": "nchw"}, "Received: layout='nchw'"),
            ({"input": "int8"}, "input='int8' is for .tflite files"),
            ({"board": True}, "board=True writes programs for .tflite and .onnx files"),
        ],
    )
    def test_what_a_package_does_not_have_is_refused(self, words, message):
        with pytest.raises(ValueError, match=message):
            ExportOptions(format="coreml", **words)

    def test_without_coremltools_the_remedy_is_named(self, model, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "coremltools", None)
        with pytest.raises(ImportError, match="pip install coremltools"):
            export(model, tmp_path / "m.mlpackage", card=card_of(DATA))
        assert list(tmp_path.iterdir()) == []

    def test_other_channels_than_those_of_a_picture_are_refused(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "coremltools", SimpleNamespace())
        model = models.unet((16, 16, 4), 2, widths=(2, 4))
        with pytest.raises(ExportError, match="1 or 3 channels. Received: a network of 4"):
            export(model, tmp_path / "m.mlpackage")


@pytest.mark.usefixtures("without_coremltools")
class TestComparison:
    def test_elsewhere_it_is_converted_and_not_compared(self, model, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "platform", "linux")
        path = tmp_path / "m.mlpackage"
        report = export(model, path, quantize="fp16", card=card_of(DATA), evaluation=DATA)
        assert report.gate is None
        assert report.accuracy == UNCOMPARED == report.to_dict()["accuracy"]
        cells = [cell for column in report.table().columns for cell in column.cells]
        assert UNCOMPARED in cells
        assert json.loads((path / "Data/card.json").read_text())["head"] == "logits"

    def test_on_macos_it_is_compared(self, model, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "platform", "darwin")
        opened = []

        def open_package(path, threads):
            opened.append(path.name)
            runner = inference.load(model, card=card_of(DATA))
            runner.format = "coreml"
            return runner

        monkeypatch.setattr(publish, "CoreMLRunner", open_package)
        path = tmp_path / "m.mlpackage"
        words = {"quantize": "fp16", "card": card_of(DATA)}
        report = export(model, path, **words, evaluation=DATA)
        assert opened == ["m.mlpackage"] and report.gate.agreement == 1
        assert report.accuracy.startswith("mIoU ")
        assert "unmeasured" in export(model, path, **words).accuracy

    def test_a_package_replaces_an_older_one(self, model, tmp_path):
        path = tmp_path / "m.mlpackage"
        for head in ("logits", "argmax"):
            export(model, path, quantize="fp16", card=card_of(DATA), head=head)
            assert json.loads((path / "Data/card.json").read_text())["head"] == head
        assert [each.name for each in tmp_path.iterdir()] == ["m.mlpackage"]


class FakeModel:
    """Stands in for coremltools' MLModel of a network of three classes."""

    def __init__(self, path, compute_units):
        self.compute_units = compute_units
        self.user_defined_metadata = {"keras_seg": card_of(DATA).to_json()}

    def get_spec(self):
        picture = SimpleNamespace(height=16, width=24, colorSpace=20, GRAYSCALE=10)
        scores = SimpleNamespace(shape=[1, 16, 24, 3])
        ends = {
            "input": [SimpleNamespace(type=SimpleNamespace(imageType=picture))],
            "output": [SimpleNamespace(name="logits", type=SimpleNamespace(multiArrayType=scores))],
        }
        return SimpleNamespace(description=SimpleNamespace(**ends))

    def predict(self, inputs):
        pixels = np.asarray(inputs["image"], np.float16)
        assert inputs["image"].mode == "RGB"
        return {"logits": pixels[None] - np.float16([0, 9, 18])}


class TestRunner:
    def test_a_picture_becomes_scores(self, tmp_path, monkeypatch):
        ct = SimpleNamespace(
            models=SimpleNamespace(MLModel=FakeModel),
            ComputeUnit=SimpleNamespace(CPU_ONLY="cpu"),
        )
        monkeypatch.setitem(sys.modules, "coremltools", ct)
        runner = CoreMLRunner(tmp_path / "m.mlpackage")
        assert (runner.input_shape, runner.num_classes, runner.card.head) == (
            (16, 24, 3),
            3,
            "logits",
        )
        image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
        scores = runner.run(image)
        assert scores.dtype == np.float32
        np.testing.assert_array_equal(scores, image - np.float32([0, 9, 18]))

    def test_packages_are_packed_and_unpacked(self, tmp_path):
        (tmp_path / "a/Data/weights").mkdir(parents=True)
        (tmp_path / "a/Data/weights/weight.bin").write_bytes(b"123")
        (tmp_path / "a/Manifest.json").write_text("{}")
        unpack(packed(tmp_path / "a"), tmp_path / "b")
        assert packed(tmp_path / "b") == packed(tmp_path / "a")
        assert package.package_bytes(tmp_path / "b") == 5


@pytest.mark.toolchains
class TestConversion:
    @pytest.fixture(scope="class", autouse=True)
    def coremltools(self):
        return pytest.importorskip("coremltools", reason="needs the extra `coreml`")

    @pytest.mark.parametrize("quantize", [kind.quantize for kind in KINDS.values() if kind.system])
    def test_every_kind_is_written_and_audited(self, tmp_path, quantize, coremltools):
        model = models.unet((16, 16, 3), 3, widths=(16, 32))  # larger weights become int8
        path = tmp_path / "m.mlpackage"
        report = export(model, path, quantize=quantize, card=card_of(DATA))
        assert report.audit == audit(path)
        assert report.audit.operators["conv"] >= 4
        assert not [name for name in report.audit.operators if name.startswith("const")]
        tensors = {None: "FLOAT32", "fp16": "FLOAT16", "dynamic": "INT8"}
        assert tensors[quantize] in report.audit.tensors
        spec = coremltools.models.utils.load_spec(str(path))
        (image,), (output,) = spec.description.input, spec.description.output
        assert (image.name, output.name) == ("image", "logits")
        assert image.type.imageType.colorSpace == image.type.imageType.RGB
        assert list(output.type.multiArrayType.shape) == [1, 16, 16, 3]
        metadata = spec.description.metadata
        assert UNCOMPARED[1:] in metadata.shortDescription or sys.platform == "darwin"
        shown = json.loads(metadata.userDefined["com.apple.coreml.model.preview.params"])
        assert shown["labels"] == ["a", "b", "c"] and len(shown["colors"]) == 3
        card = json.loads(metadata.userDefined["keras_seg"])
        assert card["quantize"] == quantize
        assert card.get("comparison") == (None if sys.platform == "darwin" else UNCOMPARED)

    @pytest.mark.parametrize("head", ["probabilities", "argmax"])
    def test_heads(self, model, tmp_path, head, coremltools):
        path = tmp_path / "m.mlpackage"
        export(model, path, quantize="fp16", head=head, card=card_of(DATA))
        output = coremltools.models.utils.load_spec(str(path)).description.output[0]
        classes = head == "argmax"
        assert output.name == ("classes" if classes else "probabilities")
        assert list(output.type.multiArrayType.shape) == (
            [1, 16, 16] if classes else [1, 16, 16, 3]
        )

    @pytest.mark.parametrize("name", models.list_models())
    def test_every_network_is_written(self, tiny_model, name, tmp_path):
        report = export(
            tiny_model(name), tmp_path / "m.mlpackage", quantize="fp16", input_shape=(64, 64)
        )
        assert report.audit.operators["conv"] > 3
