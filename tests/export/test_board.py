"""The board pack: its program predicts as the runner of this package, and needs no keras_seg."""

import ast
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_seg import cli, inference, models
from keras_seg.export import ExportOptions, export
from keras_seg.export.board import pack
from keras_seg.export.board.facts import why_no_cpp
from keras_seg.export.board.pack import TEMPLATES, board_folder, check_board
from keras_seg.inference.files.predict import predict_files
from keras_seg.masks.confusion import confusion_matrix, mean_iou
from tests.helpers.board_models import FormulaModel, FormulaSession, imported
from tests.helpers.colour_blocks import ColourBlocks, card_of

SIZES = [(16, 24), (9, 11), (40, 31), (33, 100)]
MODELS = {
    "tiles": {},
    "tiles of probabilities": {"head": "probabilities"},
    "tiles of classes": {"head": "argmax", "types": ("uint8", "uint8")},
    "tiles of a single logit": {"scores": 1},
    "tiles, coarse": {"step": 4, "size": (16, 32)},
    "tiles of coarse classes": {"step": 2, "head": "argmax", "types": ("uint8", "uint8")},
    "tiles, threshold": {"scores": 2, "threshold": 0.3},
    "tiles of classes, threshold": {
        "scores": 2,
        "threshold": 0.3,
        "head": "argmax",
        "types": ("int8", "int8"),
    },
    "tiles of labels": {"multi_label": True, "threshold": (0.3, 0.5, 0.8)},
    "tiles of integers": {"types": ("uint8", "int8")},
    "resized": {"sizing": "resize"},
    "resized, auto": {"sizing": "auto", "image_size": (16, 24)},
    "resized classes": {"sizing": "resize", "head": "argmax", "types": ("uint8", "uint8")},
    "resized, coarse": {"sizing": "resize", "step": 4},
    "resized, single logit": {"sizing": "resize", "scores": 1, "threshold": 0.7},
    "resized, threshold": {"sizing": "resize", "scores": 2, "threshold": 0.3},
    "resized probabilities, threshold": {
        "sizing": "resize",
        "scores": 2,
        "threshold": 0.3,
        "head": "probabilities",
    },
    "resized labels": {"sizing": "resize", "multi_label": True},
    "meeting": {"margin": (2, 4), "size": (16, 24)},
    "meeting, resized": {"margin": (2, 4), "sizing": "resize"},
    "meeting classes": {"margin": (2, 4), "head": "argmax", "types": ("uint8", "uint8")},
    "onnx": {"format": "onnx", "types": ("uint8", "float32")},
    "onnx, channels first": {"format": "onnx", "layout": "nchw", "sizing": "resize"},
    "onnx classes, channels first": {
        "format": "onnx",
        "layout": "nchw",
        "head": "argmax",
        "types": ("float32", "uint8"),
    },
    "grey": {"channels": 1},
    "many channels": {"channels": 5, "sizing": "resize"},
}
EVERY_MODEL = pytest.mark.parametrize("words", [pytest.param(w, id=n) for n, w in MODELS.items()])


def random_image(size, channels=3):
    """Smooth noise, so that neighbouring windows agree about most pixels."""
    small = np.random.default_rng(7).integers(0, 256, (5, 6, channels), np.uint8)
    planes = [Image.fromarray(plane).resize(size[::-1]) for plane in np.moveaxis(small, -1, 0)]
    return np.stack(planes, -1)


class TestProgram:
    @EVERY_MODEL
    def test_it_predicts_as_the_runner(self, words, tmp_path):
        model = FormulaModel(**words)
        board, runner = model.board(tmp_path), model.runner()
        for size in SIZES:
            image = random_image(size, model.channels)
            expected = runner.predict(image, sizing=model.sizing)
            np.testing.assert_array_equal(board.predict(image), expected, str(size))

    def test_each_class_occurs_in_these_tests(self, tmp_path):
        """So that the comparison above cannot pass on constant masks."""
        mask = FormulaModel().board(tmp_path).predict(random_image((33, 100)))
        assert set(np.unique(mask)) == {0, 1, 2}

    def test_resizing_and_tiling_give_other_masks(self, tmp_path):
        image = random_image((33, 100))
        tiles, resized = (
            FormulaModel(sizing=sizing).board(tmp_path).predict(image)
            for sizing in ("tile", "resize")
        )
        assert (tiles != resized).mean() > 0.05

    @EVERY_MODEL
    def test_parts_that_do_not_apply_are_left_out(self, words, tmp_path):
        FormulaModel(**words).board(tmp_path)
        text = (tmp_path / "board.py").read_text()
        assert len(text.splitlines()) < 250
        assert "keras_seg" not in text
        model = FormulaModel(**words)
        assert ("gaussian" in text) == (model.sizing == "tile" and not any(model.margin))
        assert ("onnxruntime" in text) == (model.format == "onnx")
        assert ("MARGIN" in text) == any(model.margin)
        assert ("ENDINGS" in text) == bool(words.get("multi_label"))
        tree = ast.parse(text)
        constants = [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign)]
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert {*constants} <= read

    @pytest.mark.parametrize("name", ["tiles", "resized labels", "meeting", "onnx"])
    def test_the_template_itself_runs(self, name, tmp_path):
        """Its constants, set to those of a model, give what the written program gives."""
        model = FormulaModel(**MODELS[name])
        board = model.board(tmp_path)
        template = imported(TEMPLATES / "board.py")
        for constant, value in model.constants.items():
            setattr(template, constant, value)
        template.open_model = board.open_model
        image = random_image((33, 40))
        np.testing.assert_array_equal(template.predict(image), board.predict(image))

    @pytest.mark.parametrize("other", [{"size": (32, 32)}, {"types": ("float32", "uint8")}])
    def test_another_model_is_refused(self, tmp_path, monkeypatch, other):
        session = FormulaSession(None, *FormulaModel(**other).ends)
        session.allocate_tensors = lambda: None
        runtime = type(sys)("ai_edge_litert.interpreter")
        runtime.Interpreter = lambda path, num_threads: session
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", runtime)
        board = imported(FormulaModel().write(tmp_path / "board.py"))
        with pytest.raises(
            ValueError, match=r"is another model: it has .* instead of \(\(\(1, 16,"
        ):
            board.predict(random_image((16, 24)))


class TestPictures:
    def test_every_kind_of_picture_is_read_as_by_the_runner(self, tmp_path):
        model = FormulaModel()
        board, runner = model.board(tmp_path), model.runner()
        image = Image.fromarray(random_image((20, 30)))
        opaque = image.convert("RGBA")
        rotated = Image.Exif()
        rotated[0x0112] = 6
        image.save(tmp_path / "rotated.jpg", exif=rotated)
        image.convert("L").save(tmp_path / "grey.png")
        image.convert("P").save(tmp_path / "palette.png")
        image.convert("1").save(tmp_path / "bits.png")
        image.convert("CMYK").save(tmp_path / "print.jpg")
        opaque.save(tmp_path / "opaque.png")
        for path in sorted(tmp_path.glob("*.[pj]*g")):
            expected = runner.predict(path, sizing="tile")
            np.testing.assert_array_equal(board.predict(path), expected, path.name)
        np.save(tmp_path / "array.npy", np.array(image))
        expected = runner.predict(tmp_path / "array.npy", sizing="tile")
        np.testing.assert_array_equal(board.predict(tmp_path / "array.npy"), expected)

    def test_transparent_and_deep_pictures_are_refused(self, tmp_path):
        board = FormulaModel().board(tmp_path)
        Image.new("RGBA", (24, 16), (9, 9, 9, 128)).save(tmp_path / "clear.png")
        with pytest.raises(ValueError, match="is transparent. Save it without"):
            board.predict(tmp_path / "clear.png")
        Image.fromarray(np.full((16, 24), 900, np.uint16)).save(tmp_path / "deep.png")
        with pytest.raises(ValueError, match="pixels of 8 bits. Received: uint16"):
            board.predict(tmp_path / "deep.png")
        with pytest.raises(ValueError, match=r"takes 3 channels. Received: shape \(16, 24, 4\)"):
            board.predict(np.zeros((16, 24, 4), np.uint8))

    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_range_of_values_is_mapped_as_by_the_runner(self, tmp_path, channels):
        model = FormulaModel(channels=channels, value_range=(100.0, 4095.0))
        board, runner = model.board(tmp_path), model.runner()
        deep = np.asarray(random_image((20, 30), 1)[..., 0], np.uint16) * 17
        Image.fromarray(deep).save(tmp_path / "deep.png")
        expected = runner.predict(tmp_path / "deep.png", sizing="tile")
        np.testing.assert_array_equal(board.predict(tmp_path / "deep.png"), expected)

    def test_a_range_per_band_is_mapped_as_by_the_runner(self, tmp_path):
        pairs = ((0.0, 900.0), (50.0, 1000.0), (0.0, 4000.0), (1.0, 2.0))
        model = FormulaModel(channels=4, value_range=pairs)
        image = random_image((20, 30), 4).astype(np.uint16) * 9
        np.save(tmp_path / "bands.npy", image)
        expected = model.runner().predict(tmp_path / "bands.npy", sizing="tile")
        np.testing.assert_array_equal(
            model.board(tmp_path).predict(tmp_path / "bands.npy"), expected
        )

    def test_pixels_without_data_are_unknown(self, tmp_path):
        model = FormulaModel(nodata=0.0)
        image = random_image((20, 30))
        image[3:9, 4:20] = 0
        Image.fromarray(image).save(tmp_path / "holes.png")
        mask = model.board(tmp_path).predict(tmp_path / "holes.png")
        assert (mask[3:9, 4:20] == 255).all() and (mask == 255).sum() == 6 * 16
        expected = model.runner().predict(tmp_path / "holes.png", sizing="tile")
        np.testing.assert_array_equal(mask, expected)


class TestCommand:
    @pytest.mark.parametrize("multi_label", [False, True])
    def test_masks_of_a_folder_equal_those_of_the_command_line(
        self, tmp_path, monkeypatch, multi_label
    ):
        model = FormulaModel(multi_label=multi_label)
        board = model.board(tmp_path)
        (tmp_path / "photos").mkdir()
        for i in range(2):
            Image.fromarray(random_image((20, 30 + i))).save(tmp_path / f"photos/{i}.png")
        (tmp_path / "photos/notes.txt").write_text("no picture")
        monkeypatch.setattr(sys, "argv", ["board.py", "m", *map(str, folders(tmp_path))])
        board.main()
        predict_files(model.runner(), [tmp_path / "photos"], tmp_path / "expected", sizing="tile")
        expected = sorted((tmp_path / "expected").glob("*.png"))
        assert len(expected) == (6 if multi_label else 2)
        for path in expected:
            with Image.open(path) as own, Image.open(tmp_path / "masks" / path.name) as other:
                np.testing.assert_array_equal(np.asarray(own), np.asarray(other))
                assert own.mode == other.mode == "P"
                assert own.convert("RGB").tobytes() == other.convert("RGB").tobytes()

    def test_one_picture_and_equal_stems(self, tmp_path, monkeypatch):
        board = FormulaModel().board(tmp_path)
        photos, masks = folders(tmp_path)
        photos.mkdir()
        Image.fromarray(random_image((20, 30))).save(photos / "a.png")
        Image.fromarray(random_image((20, 30))).save(photos / "a.jpg")
        monkeypatch.setattr(sys, "argv", ["board.py", "m", str(photos), str(masks)])
        board.main()
        assert sorted(path.name for path in masks.iterdir()) == ["a.jpg_mask.png", "a.png_mask.png"]
        one = tmp_path / "one.png"
        monkeypatch.setattr(sys, "argv", ["board.py", "m", str(photos / "a.png"), str(one)])
        board.main()
        assert one.read_bytes() == (masks / "a.png_mask.png").read_bytes()
        monkeypatch.setattr(sys, "argv", ["board.py"])
        with pytest.raises(SystemExit, match=r"board.py model.tflite photo.png mask.png"):
            board.main()


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """An exported file with its pack, written by the command line."""
    folder = tmp_path_factory.mktemp("packed")
    data = ColourBlocks(length=2, size=(16, 16))
    models.save(models.unet((16, 16, 3), 3, widths=(2, 4)), folder / "model.keras", card_of(data))
    arguments = ["export", str(folder / "model.keras"), "--input", "uint8", "--board"]
    assert cli.main([*arguments, "--json_file", str(folder / "report.json")]) == cli.DONE
    return folder / "model.tflite"


class TestPack:
    def test_its_files(self, packed):
        folder = board_folder(packed)
        assert folder.name == "model.tflite.board"
        assert {path.name for path in folder.iterdir()} == {
            *("model.tflite", "board.py", "segment.cc", "CMakeLists.txt", "labels.txt"),
            "README.md",
        }
        assert (folder / "model.tflite").read_bytes() == packed.read_bytes()
        assert (folder / "labels.txt").read_text() == "a\nb\nc\n"
        assert [path.name for path in packed.parent.iterdir() if path.name[0] == "."] == []

    def test_its_page_has_input_output_memory_and_time(self, packed):
        text = (board_folder(packed) / "README.md").read_text()
        assert (
            "| input | `image` | 1 x 16 x 16 x 3 | uint8 | none | none | pixels 0 to 255 |" in text
        )
        assert "| output | `logits` | 1 x 16 x 16 x 3 | float32 | none | none | logits" in text
        assert re.search(r"maps of one run, planned \| 0.0\d\d MB", text)
        assert re.search(r"\| one run where the file was exported \| .* ms on \d+ thread", text)
        assert re.search(r"photo of 4000 x 3000 \| \d+ MB", text)
        assert "Do not resize." in text and "In training the model saw parts" in text
        assert "accuracy unmeasured" in text.lower()

    def test_the_report_names_the_folder(self, packed):
        record = json.loads((packed.parent / "report.json").read_text())
        assert record["board"] is True
        assert record["board_folder"] == str(board_folder(packed))

    def test_the_program_runs_without_keras_seg(self, packed, tmp_path):
        """Modules other than NumPy's, Pillow's and LiteRT's are made impossible to import."""
        image = random_image((40, 33))
        Image.fromarray(image).save(tmp_path / "photo.png")
        run = f"import sys; sys.modules.update(dict.fromkeys({OTHERS})); import board; board.main()"
        arguments = [sys.executable, "-c", run, packed, tmp_path / "photo.png", tmp_path / "m.png"]
        subprocess.run(arguments, check=True, cwd=board_folder(packed))
        expected = inference.load(packed).predict(image)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "m.png")), expected)

    def test_its_accuracy_is_that_of_the_evaluation(self, packed):
        data = ColourBlocks(length=4, size=(40, 48))
        board = imported(board_folder(packed) / "board.py")
        confusion = sum(
            confusion_matrix(sample.mask, board.predict(sample.image), 3)
            for sample in (data[i] for i in range(len(data)))
        )
        evaluation = inference.evaluate(packed, data)
        assert mean_iou(confusion) == pytest.approx(evaluation.miou, abs=1e-9)

    def test_a_newer_pack_replaces_an_older_one_as_a_whole(self, packed, monkeypatch):
        folder = board_folder(packed)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        words = {"card": card_of(ColourBlocks()), "board": True, "head": "argmax"}
        model = models.unet((16, 16, 3), 3, widths=(2, 4))
        monkeypatch.setattr(pack, "_rendered", failing)
        with pytest.raises(OSError, match="no space"):
            export(model, packed, **words)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert [path.name for path in packed.parent.iterdir() if path.name[0] == "."] == []


OTHERS = ["keras_seg", "keras", "tensorflow", "onnxruntime", "scipy"]
"""Packages that a device does not have."""


def failing(name, words):
    raise OSError("no space")


def folders(folder):
    return folder / "photos", folder / "masks"


class TestRefusals:
    def test_a_folder_with_other_files_is_left_alone(self, tmp_path):
        folder = board_folder(tmp_path / "m.tflite")
        folder.mkdir()
        (folder / "board.py").write_text("")
        check_board(tmp_path / "m.tflite", (16, 16, 3))
        (folder / "notes.txt").write_text("")
        model = models.unet((16, 16, 3), 2, widths=(2, 4))
        with pytest.raises(FileExistsError, match=r"a folder that also holds notes.txt"):
            export(model, tmp_path / "m.tflite", board=True)
        assert not (tmp_path / "m.tflite").exists()
        (folder / "notes.txt").unlink()
        (folder / "board.py").unlink()
        folder.rmdir()
        folder.write_text("")
        with pytest.raises(FileExistsError, match=r"Received: there, no folder"):
            check_board(tmp_path / "m.tflite", (16, 16, 3))

    def test_free_sizes_and_other_values_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"file of free size, \(None, None, 3\)"):
            check_board(tmp_path / "m.onnx", (None, None, 3))
        with pytest.raises(ValueError, match=r"board must be .*Received"):
            ExportOptions(board="yes")

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            ({"margin": (2, 2)}, "the network has no padding"),
            ({"channels": 5}, "no common format of pictures has 5 channels"),
            ({"nodata": 0.0}, "pixels without data"),
            ({"types": ("float16", "float32")}, "no type float16"),
            ({}, None),
        ],
    )
    def test_the_reason_for_no_cpp_program_is_given(self, words, reason):
        received = why_no_cpp(FormulaModel(**words).constants)
        assert received == reason if reason is None else reason in received
