"""The command line takes a user from a folder of images to an exported file and masks."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_seg import cli
from keras_seg.cli.verbs.train import report_training
from keras_seg.data.reading.masks import read_mask
from tests.helpers.folders import write_folder, write_splits
from tests.helpers.shapes import TINY_SIZE, Shapes

pytestmark = pytest.mark.xdist_group("cli")  # one worker, so that fixtures are made once


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A data folder and a run that was trained by the command line."""
    root = tmp_path_factory.mktemp("cli")
    folder = write_splits(root / "shapes", Shapes("train"), Shapes("val", 4))
    config = root / "recipe.yaml"
    config.write_text("model: unet\nlearning_rate: 0.5\nbatch_size: 4\n")
    code = cli.main(
        [
            *("train", "--config", str(config), "--data", str(folder)),
            *("--output", str(root / "run"), "--epochs", "15", "--learning_rate", "0.02"),
            *("--overlays", "1"),
            *("--crop", "[64,96]", "--model_options.widths", "[8,16,16]"),
            *("--augmentation.scale", "[0.8,1.25]"),
        ]
    )
    assert code == 0
    return root


class TestLine:
    def test_flags_win_over_the_config_file(self, run):
        recipe = (run / "run" / "recipe.yaml").read_text()
        assert "learning_rate: 0.02" in recipe and "batch_size: 4" in recipe

    def test_evaluate_measures_the_run_on_its_own_data(self, run):
        report = run / "evaluation.json"
        model = str(run / "run" / "model.keras")
        assert cli.main(["evaluate", model, "--json_file", str(report)]) == 0
        result = json.loads(report.read_text())
        assert result["miou"] > 0.9 and result["images"] == 4
        assert set(result["per_class_iou"]) == {"background", "square", "ring"}

    @pytest.mark.slow
    def test_quantize_aware_trains_on_and_its_export_needs_no_calibration(self, run):
        model, tuned = run / "run" / "model.keras", run / "run_int8" / "model.keras"
        assert cli.main(["quantize-aware", str(model), "--epochs", "1"]) == 0
        report = run / "export.json"
        words = ["--quantize", "int8", "--json_file", str(report)]
        assert cli.main(["export", str(tuned), *words]) == 0
        result = json.loads(report.read_text())
        assert result["calibration_images"] == 0
        assert result["gate"]["comparison"]["evaluations"]["tflite"]["miou"] > 0.9

    def test_quantize_aware_needs_a_run(self, run, tmp_path, capsys):
        model = tmp_path / "model.keras"
        model.write_bytes((run / "run" / "model.keras").read_bytes())
        assert cli.main(["quantize-aware", str(model)]) == 2
        assert "is not in a run folder" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            (["--quantize", "int8", "--input", "uint8", "--head", "argmax"], "int8_argmax.tflite"),
            pytest.param(
                ["--format", "onnx", "--layout", "nchw"], "nchw.onnx", marks=pytest.mark.slow
            ),
            pytest.param(
                ["--quantize", "mixed", "--head", "fused_argmax"],
                "mixed_fused_argmax.tflite",
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_export_evaluate_predict(self, run, options, name):
        model = run / "run" / "model.keras"
        exported = model.with_name(f"model_{name}")
        assert cli.main(["export", str(model), *options]) == 0
        assert exported.exists()
        report = run / "exported.json"
        assert cli.main(["evaluate", str(exported), "--json_file", str(report)]) == 0
        assert json.loads(report.read_text())["miou"] > 0.9

        image = run / "photo.png"
        Image.fromarray(Shapes("val", 1, (100, 150))[0].image).save(image)
        masks = run / f"masks{name}"
        assert (
            cli.main(["predict", str(exported), str(image), "--output", str(masks), "--overlay"])
            == 0
        )
        mask = read_mask(masks / "photo_mask.png")
        assert mask.shape == (100, 150) and set(np.unique(mask)) <= {0, 1, 2}
        assert Image.open(masks / "photo_overlay.png").size == (150, 100)

    def test_predict_goes_on_past_unreadable_images(self, run, capsys):
        (run / "broken.png").write_text("no image")
        good = run / "shapes" / "images" / "val0.png"
        code = cli.main(
            [
                *("predict", str(run / "run" / "model.keras"), str(run / "broken.png"), str(good)),
                *("--output", str(run / "masks")),
            ]
        )
        assert code == cli.REFUSED
        assert read_mask(run / "masks" / "val0_mask.png").shape == TINY_SIZE
        assert "broken.png cannot be read" in capsys.readouterr().err

    def test_gate_refusal_has_its_own_exit_code(self, run, capsys):
        model = str(run / "run" / "model.keras")
        wrong = write_folder(run / "noise", _unlearnable())
        code = cli.main(
            [
                *("export", model, "--quantize", "int8", "--output", str(run / "refused.tflite")),
                *("--data", str(wrong), "--max_drop", "0"),
            ]
        )
        # Noise images make int8 differ in some pixel; whichever way mIoU goes, no half file stays.
        assert code in (cli.DONE, cli.REFUSED)
        assert (run / "refused.tflite").exists() == (code == cli.DONE)


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["evaluate", "nowhere.keras"], r"nowhere\.keras"),
            (["evaluate", "nowhere.tflite", "--data", "builtin:cells"], r"nowhere\.tflite"),
            (["predict", "nowhere.onnx", "a.png"], r"nowhere\.onnx"),
            (["train", "--data", "nowhere", "--output", "run"], "no data folder nowhere"),
            (["train", "--data", "builtin:cell", "--output", "run"], "cells"),
            (["train", "--data", "cells", "--output", "run"], "Did you mean builtin:cells"),
            (["verify-dataset", "nowhere"], "no data folder nowhere"),
            (["report", "sett"], "There is no folder sett. Did you mean set?"),
            (["quantize-aware", "b.keras"], "There is no model file 'b.keras'"),
            (
                ["train", "--data", "set", "--output", "r", "--initial_weights", "b.keras"],
                "initial_weights: There is no model file",
            ),
            (["verify-dataset", "coco:nowhere"], "no folder nowhere"),
            (["evaluate", "a.keras", "--data", "nowhere"], "no data folder nowhere"),
            (["export", "a.keras", "--data", "voc:nowhere"], "no data folder nowhere"),
            (["predict", "a.keras", "nowhere"], "There is no file or folder nowhere"),
            (["predict", "a.keras", "c.png"], "There is no file c.png. Did you mean b.png"),
            (["train", "--data", "set/images", "--output", "run"], r"Pass set$"),
            (
                ["train", "--data", "builtin:cells", "--output", "run", "--model", "unett"],
                "Did you mean 'unet'",
            ),
        ],
    )
    def test_wrong_input_is_one_line_and_exit_code_2(
        self, arguments, message, capsys, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        for folder in ("set/images", "set/masks"):
            (tmp_path / folder).mkdir(parents=True)
        for file in ("a.keras", "b.png", "set/images/a.png", "set/masks/a.png"):
            (tmp_path / file).touch()
        assert cli.main(arguments) == cli.WRONG_INPUT
        output = capsys.readouterr()
        error = output.err
        assert output.out == "" and error.startswith(f"keras-seg {arguments[0]}: ")
        assert re.search(message, error)
        assert "Traceback" not in error

    def test_traceback_can_be_asked_for(self, capsys):
        assert cli.main(["--traceback", "evaluate", "nowhere.keras"]) == cli.WRONG_INPUT
        assert "Traceback" in capsys.readouterr().err


class TestStart:
    def test_help_says_what_each_option_means(self, capsys):
        with pytest.raises(SystemExit, match="0"):
            cli.main(["predict", "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert "folder for X_mask.png" in text and "of the faces that the parts" in text
        assert "<function" not in text

    @pytest.mark.parametrize(
        "arguments",
        ["--help", "train --help", "convert --help", "export --help", "audit --help"],
    )
    def test_help_does_not_import_tensorflow(self, arguments):
        code = (
            "import sys; from keras_seg.cli import main\n"
            f"try: main({arguments.split()!r})\n"
            "except SystemExit: pass\n"
            "slow = {'tensorflow', 'keras', 'matplotlib', 'onnx', 'scipy.ndimage'}\n"
            "slow &= set(sys.modules)\n"
            "sys.exit(f'imported {slow}' if slow else 0)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    def test_the_list_of_verbs_is_quick(self):
        code = (
            "import sys; from keras_seg.cli.quick_help import quick_help\n"
            "quick_help()\n"
            "slow = {'jsonargparse', 'rich', 'numpy', 'yaml'} & set(sys.modules)\n"
            "sys.exit(f'imported {slow}' if slow else 0)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    def test_measuring_an_exported_file_does_not_import_tensorflow(self):
        code = (
            "import sys, keras_seg.inference, keras_seg.inference.files.predict, keras_seg.data\n"
            "sys.exit('tensorflow' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def _unlearnable():
    for sample in Shapes("val", 6):
        noise = np.random.default_rng(0).integers(0, 256, sample.image.shape)
        yield sample._replace(image=noise.astype(np.uint8))


def test_a_finished_run_names_only_options_of_its_verb(capsys, tmp_path):
    # Given: the result of a run that had nothing left to train.
    model = tmp_path / "model.keras"
    result = SimpleNamespace(
        finished=True,
        new_steps=0,
        interrupted=False,
        model_path=model,
        best_miou=0.5,
        best_epoch=1,
    )
    # When, then: each verb gives advice of its own.
    assert report_training(result, tmp_path, "Pass another --output.") == cli.DONE
    said = " ".join(capsys.readouterr().out.split())
    assert "was finished before. Pass another --output. Best validation mIoU 0.5000" in said
    assert "--overwrite" not in said


@pytest.mark.parametrize(
    "line",
    [
        "train --model unet --data builtin:cells --output run --epoch 1",
        "export model.keras --quant int8",
        "predict model.keras a.png --output masks --over true",
    ],
)
def test_a_shortened_option_is_refused(line, capsys):
    with pytest.raises(SystemExit):
        cli.main(line.split())
    assert "unknown option --" in capsys.readouterr().err
