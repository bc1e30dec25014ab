"""Callbacks of the user see the scores of the package, from a recipe or from Python."""

import csv
import json
import sys
from dataclasses import replace

import keras
import pytest

from keras_seg import training
from keras_seg.training import Recipe
from keras_seg.training.failures import errors_explained
from keras_seg.training.optimizers import make_schedule
from keras_seg.training.own_callbacks import own_callbacks
from tests.helpers.recipes import short_recipe

OWN = """
import keras
class Note(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = path
    def on_epoch_end(self, epoch, logs=None):
        with open(self.path, "a") as file:
            file.write(f"{epoch} {sorted(logs)}\\n")
    number = 3
made = Note("made.txt")
"""


class Seen(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.logs = []

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(dict(logs))


@pytest.fixture
def recipe(shapes_folder, tmp_path):
    return short_recipe(
        shapes_folder, tmp_path / "run", epochs=2, steps_per_epoch=1, schedule="constant"
    )


class TestCalls:
    def test_callbacks_of_python_and_of_the_recipe_see_every_epoch(
        self, recipe, tmp_path, monkeypatch, without_tracing
    ):
        (tmp_path / "my_notes.py").write_text(OWN)
        monkeypatch.chdir(tmp_path)
        entries = [
            {"path": "keras.callbacks:CSVLogger", "filename": str(tmp_path / "keras.csv")},
            "my_notes:made",
        ]
        seen = Seen()
        recipe = replace(recipe, callbacks=entries)
        training.train(recipe, callbacks=[seen])
        assert all(
            set(log) >= {"loss", "val_loss", "mean_iou", "val_mean_iou"} for log in seen.logs
        )
        assert len(seen.logs) == 2
        rows = list(csv.DictReader((tmp_path / "keras.csv").open()))
        ours = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
        for row, our in zip(rows, ours, strict=True):
            assert float(row["val_loss"]) == pytest.approx(float(our["val_loss"]), rel=1e-5)
        assert (tmp_path / "made.txt").read_text().splitlines()[1].startswith("1 [")

        # a logger may be added to a run that goes on
        more = training.train(replace(recipe, epochs=3, callbacks=None), callbacks=[seen])
        assert more.new_steps == 1 and len(seen.logs) == 3

    @pytest.mark.slow
    def test_exceptions_end_the_training_as_they_are(self, recipe, without_tracing):
        class Pruned(Exception):
            """As Optuna's."""

        class Prune(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                raise Pruned

        with pytest.raises(Pruned):
            training.train(recipe, callbacks=[Prune()])
        assert training.train(recipe).finished  # the folder is not locked

    def test_recipes_keep_them_in_their_file(self, recipe, tmp_path):
        recipe = replace(recipe, callbacks=["a:b", {"path": "c:d", "rate": 0.5}])
        (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
        assert Recipe.from_yaml(tmp_path / "recipe.yaml") == recipe


def test_loggers_can_write_the_configuration_of_the_schedule(recipe):
    schedule = make_schedule(replace(recipe, schedule="poly", epochs=4), 3)
    record = json.loads(json.dumps(schedule.get_config()))  # as MLflow does
    again = type(schedule).from_config(record)
    assert [float(again(step)) for step in range(12)] == [float(schedule(s)) for s in range(12)]


class TestRefusals:
    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ("keras.callbacks", 'callback is an import path, "module:name"'),
            ("no_such_module:Log", "callback: there is no module 'no_such_module'"),
            ("keras.callbacks:CSVLoger", "Did you mean 'CSVLogger'"),
            ("keras.callbacks:CSVLogger", "CSVLogger cannot be made: .*filename"),
            ({"path": "keras.callbacks:CSVLogger", "file": "x"}, "unexpected keyword argument"),
            ({"name": "keras.callbacks:CSVLogger"}, "a mapping with `path`"),
            ("keras.layers:Dense", "cannot be made"),
            ({"path": "keras.layers:ReLU"}, "are objects of keras.callbacks.Callback.*ReLU"),
        ],
        ids=str,
    )
    def test_what_is_no_callback_is_refused_before_the_data_are_read(
        self, recipe, tmp_path, entry, message
    ):
        with pytest.raises(ValueError, match=message):
            training.train(replace(recipe, callbacks=[entry]))
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("def broken(:", r"the module broken_log cannot be imported\. SyntaxError: .*line 1"),
            ("1 / 0", r"cannot be imported\. ZeroDivisionError: division by zero"),
            ("import absent_package", "there is no module 'absent_package'"),
            ("def Log(): raise KeyError('key')", r"broken_log:Log cannot be made\. KeyError"),
        ],
    )
    def test_a_module_that_fails(self, tmp_path, monkeypatch, code, message):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "broken_log.py").write_text(code)
        with pytest.raises(ValueError, match=message):
            own_callbacks(["broken_log:Log"], ())
        sys.modules.pop("broken_log", None)

    def test_tensorboard_of_keras_needs_its_package(self, recipe, monkeypatch, tmp_path):
        entry = {"path": "keras.callbacks:TensorBoard", "log_dir": str(tmp_path / "log")}
        monkeypatch.setitem(sys.modules, "tensorboard", None)
        with pytest.raises(ImportError, match="pip install tensorboard. Or leave it out"):
            training.train(replace(recipe, data="nowhere", callbacks=[entry]))
        monkeypatch.setitem(sys.modules, "tensorboard", sys)
        assert len(own_callbacks([entry], ())) == 1

    def test_a_class_in_place_of_an_object(self, recipe):
        with pytest.raises(ValueError, match=r"are objects of keras\.callbacks\.Callback.*Seen"):
            training.train(recipe, callbacks=[Seen])


def test_exceptions_of_callbacks_are_not_explained_away(tmp_path):
    with pytest.raises(KeyError), errors_explained(str(tmp_path), str):
        raise KeyError
