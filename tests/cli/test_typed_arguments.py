"""What people type is understood, or answered in two lines with what to type instead."""

import os
import shutil
import subprocess
import sys

import pytest

from keras_seg import cli
from keras_seg.cli.completion import completion_script
from keras_seg.cli.parser import make_parser


def parsed(line):
    words = line.split()
    return make_parser(words[0]).parse_args(words)[words[0]]


class TestForms:
    @pytest.mark.parametrize(
        "typed",
        [
            *(" [96,128]", " [96, 128]", " (96,128)", " 96 128", " 96,128", " 96, 128"),
            *(" 96x128", " 96X128", " 96\N{MULTIPLICATION SIGN}128", "=96x128", "=[96,128]"),
        ],
    )
    def test_a_size_in_any_usual_form(self, typed):
        options = parsed(f"train --crop{typed} --data d --output o")
        assert options.crop == (96, 128)
        assert (options.data, options.output) == ("d", "o")

    def test_one_number_is_a_square(self):
        options = parsed("train --crop 128 --resize 64 --data d --output o")
        assert (options.crop, options.resize) == ((128, 128), (64, 64))
        assert parsed("train --resize null --data d --output o").resize is None

    def test_lists_of_any_length_end_before_the_next_argument(self):
        assert parsed("models --input_shape 256 256 3 unet").input_shape == [256, 256, 3]
        assert parsed("models --input_shape 256x256x3 unet").name == "unet"
        options = parsed("predict m.keras a.png --scales 0.5 1 1.5 --output masks")
        assert options.scales == (0.5, 1.0, 1.5)
        options = parsed("predict m.keras --output masks --scales [0.5,1] 0")
        assert options.scales == (0.5, 1.0) and options.inputs == ["0"]
        assert parsed("train --augmentation.scale 0.5 2 --data d --output o")["augmentation"][
            "scale"
        ] == (0.5, 2.0)

    @pytest.mark.parametrize(
        ("typed", "callbacks"),
        [
            ("a.b:C", ["a.b:C"]),
            ("a.b:C d:E", ["a.b:C", "d:E"]),
            ('{"path":"a.b:C","rate":0.5}', [{"path": "a.b:C", "rate": 0.5}]),
            ('["d:E",{"path":"a.b:C"}]', ["d:E", {"path": "a.b:C"}]),
        ],
    )
    def test_a_list_of_names_or_mappings(self, typed, callbacks):
        options = parsed(f"train --callbacks {typed} --data d --output o")
        assert options.callbacks == callbacks

    def test_one_number_stays_one_where_a_list_is_an_alternative(self):
        assert parsed("evaluate m.keras --threshold 0.7").threshold == 0.7
        assert parsed("evaluate m.keras --threshold 0.7 0.2").threshold == [0.7, 0.2]
        assert parsed("evaluate m.keras --threshold [0.7,0.2]").threshold == [0.7, 0.2]

    @pytest.mark.parametrize("option", ["--batch-size", "--batch_size"])
    @pytest.mark.parametrize("joined", [" ", "="])
    def test_hyphens_and_underscores_are_alike(self, option, joined):
        assert parsed(f"train {option}{joined}4 --data d --output o").batch_size == 4

    @pytest.mark.parametrize("typed", ["128 x 128", "128*128", "[128 128]", "128, 128", "+128"])
    def test_a_size_in_odd_forms(self, typed):
        assert parsed(f"train --crop {typed} --data d --output o").crop == (128, 128)
        assert parsed("train --crop=128 96 --data d --output o").crop == (128, 96)

    @pytest.mark.parametrize(
        "typed",
        ["road car", "road,car", "[road,car]", "[road, car]", '["road","car"]', "road, car"],
    )
    def test_names_in_any_usual_form(self, typed):
        line = f"convert a.pth --classes {typed} --source milesial --output c.keras"
        assert parsed(line).classes == ["road", "car"]

    def test_names_keep_spaces_and_what_yaml_would_read_as_another_type(self):
        words = ["verify-dataset", "d", "--classes", "traffic sign", "no", "1.5"]
        assert make_parser("verify-dataset").parse_args(words)["verify-dataset"].classes == [
            *("traffic sign", "no", "1.5")
        ]
        assert parsed("verify-dataset --classes road,car d").classes == ["road", "car"]
        assert parsed("verify-dataset --classes null d").classes is None

    @pytest.mark.parametrize("typed", [" 4 8", " 4,8", " [4,8]", "=[4,8]"])
    @pytest.mark.parametrize("option", ["--model_options", "--model-options"])
    def test_lists_in_a_mapping(self, option, typed):
        options = parsed(f"train {option}.widths{typed} --data d --output o").model_options
        assert options == {"widths": [4, 8]}

    @pytest.mark.parametrize(
        ("typed", "value"),
        [
            ("3", 3),
            ("0.5", 0.5),
            ("1e-3", 1e-3),
            ("false", False),
            ("null", None),
            ("unit", "unit"),
        ],
    )
    def test_values_in_a_mapping_have_their_types(self, typed, value):
        line = f"train --model_options.a {typed} --model_options.b x --data d --output o"
        assert parsed(line).model_options == {"a": value, "b": "x"}
        line = f"convert a.pth --options.a {typed} --source s --output o"
        assert parsed(line).options == {"a": value}
        assert parsed(f"models --options.a {typed}").options == {"a": value}

    @pytest.mark.parametrize("typed", [" -100 200", "=-100,200", " -100,200", " [-100,200]"])
    def test_a_pair_of_values(self, typed):
        options = parsed(f"predict m.keras --value_range{typed} 12.png")
        assert (options.value_range, options.inputs) == ([-100, 200], ["12.png"])
        assert parsed("train --value_range 0 4095 --data d --output o").value_range == [0, 4095]

    def test_paths_with_spaces_hyphens_and_equals_signs(self):
        words = ["predict", "m=1.keras", "--output=-my out=3", "--", "my photos/a=b.png", "-c.png"]
        options = make_parser("predict").parse_args(words)["predict"]
        assert [str(options.file), *options.inputs] == ["m=1.keras", "my photos/a=b.png", "-c.png"]
        assert str(options.output) == "-my out=3"

    def test_traceback_may_follow_the_verb(self):
        words = ["models", "--traceback"]
        assert make_parser("models").parse_args(words).traceback

    def test_values_keep_their_hyphens(self):
        options = parsed("train --data some-folder --output=my-run --model unet")
        assert (options.data, options.output) == ("some-folder", "my-run")


class TestErrors:
    @pytest.mark.parametrize(
        ("line", "answer"),
        [
            ("train --batchsize 4", "unknown option --batchsize. Did you mean --batch_size?"),
            ("train --epochs many", "--epochs must be a whole number. Received: many."),
            ("train --crop 1 2 3", "unexpected argument '3'"),
            ("train --crop wide", "as in --crop 256 256. Received: wide."),
            ("train --flip_vertical true", "Did you mean --augmentation.flip_vertical?"),
            ("train --loss", "--loss needs a value: text"),
            ("train --schedule_options.power x", "--schedule_options.power must be a number"),
            ("export m.keras m.tflite", "unexpected argument 'm.tflite'. Is it the output?"),
            ("export m.keras --quantize int9", "Received: int9. Did you mean int8?"),
            ("predict", "missing: file, inputs"),
            ("train --encoder_name r", "Did you mean --model_options.backbone?"),
            ("train --encoder-weights r", "Did you mean --model_options.backbone_weights?"),
            ("train --classes 3 --data d --output o", "For a number: --num_classes 3."),
            ("train --img-size 256", "Did you mean --crop?"),
            ("train --gpus 1", "TensorFlow takes the GPUs that it finds"),
            ("train --resume true", "the same command resumes a stopped training"),
            ("train --class_weights balanced", '"class_weights": "balanced"'),
            ("train --amp", "Did you mean --mixed_precision?"),
            ("train --project runs", "Did you mean --output?"),
            ("predict --weights m.keras a.png", "The model is the first argument"),
            ("predict m.keras --source a.png", "Images follow the model"),
            ("predict m.keras a.png --conf 0.5", "Did you mean --threshold?"),
            ("export m.keras --int8", "Did you mean --quantize int8?"),
            ("evaluate m.keras --batch_size 3", "it does not change the result"),
            ("train --crop=", "as in --crop 256 256. Received: an empty text."),
            ("train --epochs=", "--epochs must be a whole number. Received: an empty text."),
            (
                "export m.keras --format onxx",
                "one of tflite, onnx, coreml. Received: onxx. Did you mean onnx?",
            ),
            ("evaluate m.keras --threshold 50%", "a number or a list of numbers. Received: 50%."),
            ("train --classes 3", "as in --classes NAME NAME. Received: 3."),
            ("train --lr 1", "unknown option --lr. Did you mean --learning_rate?"),
            ("train --backbone resnet34", "Did you mean --model_options.backbone?"),
            ("train --ignore 3", "unknown option --ignore."),
            ("train --model_options 3", "as in --model_options.NAME VALUE. Received: 3."),
            ("train --data d o", "unexpected argument 'o'."),
            ("train --output -x", "If it begins with a hyphen: --output=-name."),
            ("predict m.keras -a.png", "If it is a file, write ./-a.png."),
            ("predict m.keras a.png --value_range 1", "2 numbers, as in --value_range 0 4095."),
        ],
    )
    def test_two_lines_say_what_was_typed_and_what_to_type(self, line, answer, capsys):
        with pytest.raises(SystemExit) as exit:
            cli.main(line.split())
        verb = line.split()[0]
        first, second = capsys.readouterr().err.splitlines()
        assert exit.value.code == cli.WRONG_INPUT
        assert first.startswith(f"keras-seg {verb}: ") and answer in first
        assert second == f"All options: keras-seg {verb} --help"

    def test_a_misspelt_verb_is_answered_with_the_nearest(self, capsys):
        assert cli.main(["trian"]) == cli.WRONG_INPUT
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("keras-seg: unknown verb trian. Did you mean train?")

    def test_the_usual_words_for_help_and_version(self, capsys):
        for words, answer in ((["help"], "verify-dataset"), (["version"], "keras-seg ")):
            with pytest.raises(SystemExit) as exit:
                cli.main(words)
            assert exit.value.code == 0 and answer in capsys.readouterr().out
        with pytest.raises(SystemExit):
            cli.main(["help", "demo"])
        assert "--epochs" in capsys.readouterr().out

    def test_no_verb_is_answered_with_all_verbs(self, capsys):
        assert cli.main([]) == cli.WRONG_INPUT
        answer = capsys.readouterr()
        assert "verify-dataset" in answer.out and answer.err.count("\n") == 1


class TestCompletion:
    @pytest.fixture(scope="class")
    def script(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("completion") / "script"
        path.write_text(completion_script("bash"))
        return path

    @pytest.mark.parametrize(
        ("words", "completions"),
        [
            ("keras-seg verif", ["verify-dataset"]),
            ("keras-seg train --batch_s", ["--batch_size"]),
            ("keras-seg export m.keras --quantize in", ["int8", "int16x8"]),
            ("keras-seg train --model unetp", ["unetplusplus"]),
            ("keras-seg train --loss foc", ["focal", "focal_tversky"]),
            ("keras-seg train --optimizer ad", ["adam", "adamw", "adadelta"]),
            ("keras-seg train --model_options.backbone vgg19_", ["vgg19_bn"]),
            ("keras-seg train --cho", []),
            ("keras-seg models res", ["resunet", "resunetplusplus"]),
            ("keras-seg convert m.pth --source segnet", ["segnet-caffe"]),
        ],
    )
    def test_bash_completes_verbs_options_and_values(self, words, completions, script, tmp_path):
        if shutil.which("bash") is None:
            pytest.skip("needs bash")
        last = len(words.split()) - 1
        commands = (
            f"source {script}; COMP_WORDS=({words}); COMP_CWORD={last}; "
            'eval "$(complete -p keras-seg | grep -o "_shtab[a-z_]*")"; echo "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "-c", commands], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.stdout.split() == completions, done.stderr

    def test_other_shells(self, capsys):
        for shell in ("zsh", "fish"):
            assert cli.main(["--print_completion", shell]) == cli.DONE
            assert "learning_rate" in capsys.readouterr().out
        assert cli.main(["--print_completion", "csh"]) == cli.WRONG_INPUT
        assert "zsh" in capsys.readouterr().err


QUIET = """
import sys
from keras_seg.cli.quiet_import import quieten_tensorflow
quieten_tensorflow()
quieten_tensorflow()
from keras_seg.backends import is_installed
assert is_installed("tensorflow")  # only asks, and imports nothing
import tensorflow
assert not any("quiet_import" in type(finder).__module__ for finder in sys.meta_path)
assert type(tensorflow.__loader__).__name__ == "SourceFileLoader"
sys.stderr.write("heard\\n")
"""


def test_tensorflow_is_imported_without_its_log_lines():
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", QUIET], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "heard\n")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["presets"]])
def test_a_closed_pipe_ends_without_a_traceback(words):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "keras_seg", *words], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode in (0, 1, 141)  # argparse takes it for done, Rich answers with 1


def test_an_unknown_backend_is_answered_with_those_that_work():
    done = subprocess.run(
        [sys.executable, "-m", "keras_seg", "models", "unet"],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "nonsense"},
    )
    message = "KERAS_BACKEND must be tensorflow, jax or torch. Received: nonsense."
    assert (done.returncode, done.stderr) == (2, f"keras-seg models: {message}\n")
