"""The tested versions are listed in one place, and other versions give one line of warning."""

import configparser
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import export, models, tested_versions
from keras_seg.data import ClassTable
from keras_seg.tested_versions import COLAB, KERAS_OF_WORKERS, NEWEST, OLDEST, untested
from keras_seg.training import Recipe, train
from tests.versions import __main__ as command
from tests.versions import environment, table
from tests.versions.pairs import PAIRS, SUITES, TEST_FILES

ROOT = Path(__file__).parents[2]


def test_setup_cfg_takes_the_oldest_pair_and_what_comes_after():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    required = config["options"]["install_requires"].split("\n")
    assert f"tensorflow>={OLDEST.tensorflow}" in required
    assert f"keras>={OLDEST.keras}" in required
    assert f"tensorflow[and-cuda]>={OLDEST.tensorflow}" in (
        config["options.extras_require"]["gpu"].split("\n")
    )


@pytest.mark.parametrize("name", ["README.md", "docs/versions.md"])
def test_documents_name_the_tested_pairs(name):
    text = (ROOT / name).read_text()
    for pair in (OLDEST, COLAB, NEWEST):
        assert f"TensorFlow {pair.tensorflow} with Keras {pair.keras}" in text


def test_workers_are_tested_from_the_oldest_to_the_newest():
    assert (KERAS_OF_WORKERS[0], KERAS_OF_WORKERS[-1]) == (OLDEST.keras, NEWEST.keras)


@pytest.mark.parametrize(
    "versions",
    [
        {"tensorflow": "2.19.1", "keras": "3.10.0"},
        {"tensorflow": "2.19.1", "keras": "3.13.2"},
        {"tensorflow": "2.20.0", "keras": "3.13.2"},
        {"tensorflow": "2.21.0", "keras": "3.15.1"},
        {"keras": "3.15.9"},
    ],
)
def test_versions_between_the_oldest_and_the_newest_need_no_word(versions):
    assert untested(versions) is None


@pytest.mark.parametrize(
    "versions, line",
    [
        (
            {"tensorflow": "2.22.0rc0", "keras": "3.15.1"},
            "keras_seg was not tested with TensorFlow 2.22.0rc0, only with TensorFlow 2.19 to 2.21."
            " If numbers look wrong: pip install 'tensorflow==2.21.*'",
        ),
        (
            {"tensorflow": "2.100.0-dev20270101", "keras": "3.16.0"},
            "keras_seg was not tested with TensorFlow 2.100.0-dev20270101 and Keras 3.16.0, only "
            "with TensorFlow 2.19 to 2.21 and Keras 3.10 to 3.15. If numbers look wrong: "
            "pip install 'tensorflow==2.21.*' 'keras==3.15.*'",
        ),
        (
            {"tensorflow": "2.18.1", "keras": "3.9.2"},
            "keras_seg was not tested with TensorFlow 2.18.1 and Keras 3.9.2, only with TensorFlow "
            "2.19 to 2.21 and Keras 3.10 to 3.15. If numbers look wrong: "
            "pip install 'tensorflow==2.21.*' 'keras==3.15.*'",
        ),
        (
            {"keras": "4.0"},
            "keras_seg was not tested with Keras 4.0, only with Keras 3.10 to 3.15. If numbers "
            "look wrong: pip install 'keras==3.15.*'",
        ),
    ],
)
def test_other_versions_are_named_with_what_was_tested_and_what_to_do(versions, line):
    assert untested(versions) == line


@pytest.fixture
def newer(monkeypatch):
    """A TensorFlow and a Keras of the future."""
    monkeypatch.setattr(tested_versions, "_told", set())
    monkeypatch.setattr(tf, "__version__", "2.99.0")
    monkeypatch.setattr(keras, "__version__", "3.99.1")


def test_export_says_so_once(newer, tmp_path, capsys):
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(image))
    card = models.ModelCard(ClassTable(("background", "cell")))
    for name in ("a.tflite", "b.tflite"):
        export.export(model, tmp_path / name, card=card)
    lines = [line for line in capsys.readouterr().err.splitlines() if "not tested with" in line]
    assert len(lines) == 1
    assert "TensorFlow 2.99.0 and Keras 3.99.1" in lines[0]


def test_train_says_so_before_the_first_step(newer, tmp_path, capsys):
    recipe = Recipe(data=str(tmp_path / "missing"), output=str(tmp_path / "run"))
    with pytest.raises(FileNotFoundError):
        train(recipe)
    assert capsys.readouterr().err.count("not tested with TensorFlow 2.99.0") == 1


def test_a_framework_that_is_not_imported_is_not_spoken_of(newer, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "tensorflow")
    tested_versions.tell_if_untested()
    stderr = capsys.readouterr().err
    assert "Keras 3.99.1" in stderr
    assert "TensorFlow" not in stderr


def test_the_installed_versions_are_told_of_only_if_they_are_outside(monkeypatch, capsys):
    monkeypatch.setattr(tested_versions, "_told", set())
    tested_versions.tell_if_untested()
    expected = untested({"tensorflow": tf.__version__, "keras": keras.__version__})
    assert capsys.readouterr().err == (f"{expected}\n" if expected else "")


class TestCommand:
    """`python -m tests.versions`, except what needs environments."""

    @pytest.fixture
    def trials(self, tmp_path):
        trials = []
        for name, version in (("newest", "3.15.1"), ("oldest", "3.10.0")):
            trial = environment.Trial(name, tmp_path / name)
            (trial.files / "exported").mkdir(parents=True)
            trial.facts = {
                "python": "3.12.1",
                "versions": {"keras": version},
                "import keras_seg": "3 ms",
                "pip would replace": "nothing",
            }
            trial.checks = {"pip would replace": "", "import keras_seg": "", "networks": ""}
            trials.append(trial)
        trials[1].checks["pip would replace"] = "protobuf 5.29.6 → 7.36.2"
        trials[1].checks["networks"] = "unet: ValueError: 3 | 4"
        return trials

    def test_the_table_has_the_results(self, trials):
        rows = table.tables(trials).splitlines()
        assert rows[0] == "|  | newest | oldest |"
        assert "| keras | 3.15.1 | 3.10.0 |" in rows
        assert "| pip would replace | nothing | **failed**: protobuf 5.29.6 → 7.36.2 |" in rows
        assert "| import keras_seg | 3 ms | 3 ms |" in rows
        assert "| networks | yes | **failed**: unet: ValueError: 3 / 4 |" in rows
        assert trials[1].failures() == [
            "oldest, pip would replace: protobuf 5.29.6 → 7.36.2",
            "oldest, networks: unet: ValueError: 3 | 4",
        ]

    @pytest.mark.parametrize(
        "file, pixels, allowed", [("tflite", 1, False), ("onnx_int8", 1, True)]
    )
    def test_class_maps_are_compared_with_those_of_the_first_pair(
        self, trials, file, pixels, allowed
    ):
        maps = np.zeros((2, 32, 32), np.uint8)
        np.save(trials[0].files / "exported" / f"{file}.npy", maps)
        maps[0, 0, 0] = 1
        np.save(trials[1].files / "exported" / f"{file}.npy", maps)
        assert table.other_classes(trials[1], trials[0]) == {file: 1 / maps.size}
        assert f"| {file.replace('_', ' ')} | 0.049% |" in table.tables(trials)
        assert (command.exported_alike(trials[1], trials[0]) == {}) == allowed

    def test_int8_files_with_many_other_classes_are_a_failure(self, trials):
        maps = np.zeros((2, 32, 32), np.uint8)
        np.save(trials[0].files / "exported" / "tflite_int8.npy", maps)
        np.save(trials[1].files / "exported" / "tflite_int8.npy", 1 - maps)
        assert command.exported_alike(trials[1], trials[0]) == {
            "tflite_int8": "100.000% other classes"
        }

    def test_a_check_that_passed_is_not_repeated(self, trials, capsys):
        trial = trials[1]
        environment.check(trial, "networks", lambda: {"unet": "3"})
        environment.check(trial, "networks", lambda: {"unet": ""})
        environment.check(trial, "networks", lambda: {"unet": "repeated"})
        again = environment.Trial.open(trial.folder)
        assert again == trial
        assert again.checks["networks"] == ""
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(" (")[0] for line in lines] == [
            "oldest, networks: FAILED",
            "oldest, networks: passed",
        ]

    def test_only_what_stands_between_the_marks_is_written(self, tmp_path):
        page = tmp_path / "page.md"
        page.write_text(f"before\n\n{table.START}| old |\n{table.END}\n\nafter\n")
        table.write(page, "| new |\n")
        assert page.read_text() == f"before\n\n{table.START}| new |\n{table.END}\n\nafter\n"

    def test_a_missing_python_is_named(self):
        with pytest.raises(FileNotFoundError, match=r"No Python 9\.8 or 9\.9 was found"):
            environment.interpreter(("9.8", "9.9"))

    def test_an_environment_without_its_python_fails(self, tmp_path):
        pair = replace(PAIRS["oldest"], pythons=("9.9",))
        problems = environment.install(environment.Trial("oldest", tmp_path / "o"), pair, tmp_path)
        assert "No Python 9.9 was found" in problems["Python"]

    @pytest.mark.parametrize("path", [".ci/run", ".github/workflows/tests.yml"])
    def test_ci_calls_it_with_options_that_exist(self, path):
        calls = re.findall(r"^.*python -m tests\.versions(.*)$", (ROOT / path).read_text(), re.M)
        assert calls
        for arguments in calls:
            options = command._arguments(shlex.split(arguments.rstrip('"')))
            assert options.pairs == (["oldest"] if options.short else [*PAIRS])

    def test_its_test_files_exist(self):
        suites = [words[0] for name, words in SUITES.items() if name != "tests"]
        for path in [*(f"tests/{name}.py" for name in TEST_FILES), *suites]:
            assert (ROOT / path).is_file(), path
