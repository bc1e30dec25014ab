"""An interrupted training goes on as if it had never stopped."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seg import training
from keras_seg.data import Augmentation, training_pipeline
from keras_seg.training import OptimizerOptions, Recipe, ScheduleOptions
from keras_seg.training.callbacks import StepCounter
from keras_seg.training.saved_state import SavedState, saved_steps

TRAINING = """
import hashlib, json, os, signal, sys
from dataclasses import replace
import keras
from keras_seg import training
from keras_seg.training import Recipe
from keras_seg.training.callbacks import StepCounter
from keras_seg.training import fit

folder, kill_at = sys.argv[1], int(sys.argv[2])
recipe = Recipe.from_yaml(f"{folder}/given.yaml")
runs, start_run = [], fit.start_run
def recorded(*arguments):
    runs.append(start_run(*arguments))
    return runs[-1]
fit.start_run = recorded

def digest():
    model = runs[-1].model
    values = [*model.variables, *model.optimizer.variables]
    return hashlib.md5(
        b"".join(keras.ops.convert_to_numpy(value).tobytes() for value in values)
    ).hexdigest()

def rows(output):
    lines = [json.loads(line) for line in open(f"{output}/log.jsonl")]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]

if kill_at:
    after = StepCounter.on_train_batch_end
    def kill(self, batch, logs=None):
        if self.step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        after(self, batch, logs)
    StepCounter.on_train_batch_end = kill
results = []
for output in (recipe.output, recipe.output + "_whole"):
    result = training.train(replace(recipe, output=output))
    results.append((digest(), rows(output), result.new_steps, result.finished))
print("RESULTS", json.dumps(results))
"""


@pytest.fixture
def recipe(shapes_folder, tmp_path):
    """A training with every kind of state: dropout, momentum, an average of the weights."""
    return Recipe(
        data=str(shapes_folder),
        output=str(tmp_path / "run"),
        model_options={"widths": [4, 8], "dropout": 0.2},
        crop=(32, 32),
        batch_size=2,
        epochs=3,
        optimizer="sgd",
        optimizer_options=OptimizerOptions(ema=0.9),
        schedule_options=ScheduleOptions(warmup_epochs=0.5),
        weight_decay=1e-4,
        augmentation=Augmentation(scale=(0.8, 1.25)),
        checkpoint_steps=3,
        overlays=0,
        deterministic=True,
    )


class TestKilled:
    @pytest.mark.parametrize(
        "entries",
        [
            pytest.param({}, id="plain"),
            pytest.param(
                {"gradient_accumulation": 2, "recompute": True},
                id="less memory",
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_final_weights_and_log_are_bit_equal_to_an_uninterrupted_run(
        self, recipe, entries, tmp_path
    ):
        (tmp_path / "given.yaml").write_text(replace(recipe, **entries).to_yaml())

        def run(kill_at):
            return subprocess.run(
                [sys.executable, "-c", TRAINING, str(tmp_path), str(kill_at)],
                capture_output=True,
                text=True,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
            )

        killed = run(kill_at=7)  # the eighth step, the fourth of the second epoch
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert [p.name for p in saved_steps(tmp_path / "run" / "checkpoints")] == [
            "step_000000006",
            "step_000000004",
        ]
        again = run(kill_at=0)
        assert again.returncode == 0, again.stderr
        assert "Resuming after step 6 of 12" in again.stderr
        line = next(li for li in again.stdout.splitlines() if li.startswith("RESULTS"))
        resumed, whole = json.loads(line.removeprefix("RESULTS"))
        assert (resumed[2], whole[2]) == (6, 12) and resumed[3] and whole[3]
        assert resumed[0] == whole[0]
        assert resumed[1] == whole[1]
        assert [row["epoch"] for row in resumed[1]] == [1, 2, 3]


@pytest.mark.usefixtures("without_tracing")
class TestGoingOn:
    """In one process, where the machine's own operators need not be deterministic."""

    @pytest.fixture
    def recipe(self, recipe):
        return replace(recipe, deterministic=False, epochs=2, optimizer_options=OptimizerOptions())

    def interrupted(self, recipe, monkeypatch, step):
        after = StepCounter.on_train_batch_end

        def press_ctrl_c(self, batch, logs=None):
            if self.step + 1 == step:
                os.kill(os.getpid(), signal.SIGINT)
            after(self, batch, logs)

        with monkeypatch.context() as patch:
            patch.setattr(StepCounter, "on_train_batch_end", press_ctrl_c)
            return training.train(recipe)

    def test_ctrl_c_saves_a_checkpoint_and_the_same_recipe_goes_on(self, recipe, monkeypatch):
        handler = signal.getsignal(signal.SIGINT)
        result = self.interrupted(recipe, monkeypatch, step=5)
        assert result.interrupted and not result.finished and result.new_steps == 5
        assert result.epochs == 1 and signal.getsignal(signal.SIGINT) is handler
        result = training.train(recipe)
        assert result.finished and result.new_steps == 3 and result.epochs == 2
        finished = training.train(recipe)
        assert finished.finished and finished.new_steps == 0
        assert finished.best_miou == result.best_miou
        with pytest.raises(FileExistsError, match=r"learning_rate: 0.001 there, 0.5 here.*--over"):
            training.train(replace(recipe, learning_rate=0.5))
        training.train(replace(recipe, max_minutes=9))  # nothing trained depends on it

    @pytest.mark.parametrize(
        "schedule",
        [
            pytest.param("constant", marks=pytest.mark.slow),
            pytest.param("step", marks=pytest.mark.slow),
            "plateau",
        ],
    )
    def test_a_finished_run_goes_on_for_more_epochs(self, recipe, schedule):
        options = ScheduleOptions(step_epochs=(1,) if schedule == "step" else ())
        longer = replace(recipe, schedule=schedule, schedule_options=options, deterministic=False)
        whole = training.train(replace(longer, output=f"{recipe.output}_whole"))
        first = training.train(replace(longer, epochs=1))
        assert first.finished and first.new_steps == 4
        then = training.train(longer)
        assert then.finished and then.new_steps == 4 and then.epochs == 2

        def log(result):
            rows = (result.model_path.parent / "log.jsonl").read_text().splitlines()
            names = ("loss", "val_loss", "learning_rate")
            return [[json.loads(row)[name] for name in names] for row in rows]

        np.testing.assert_allclose(log(then), log(whole), rtol=1e-3)
        with pytest.raises(FileExistsError, match="epochs: 2 there, 1 here"):
            training.train(replace(longer, epochs=1))

    def test_a_falling_schedule_says_how_to_train_longer(self, recipe):
        training.train(replace(recipe, epochs=1))
        model = Path(recipe.output) / "model.keras"
        with pytest.raises(
            FileExistsError, match=f"for 1 more,.*--initial_weights {model} --epochs 1 --output"
        ):
            training.train(recipe)
        options = replace(
            recipe, epochs=1, initial_weights=str(model), output=f"{recipe.output}_longer"
        )
        assert training.train(options).finished  # what the message says works

    def test_nothing_goes_on_without_the_best_model_so_far(self, recipe, monkeypatch):
        self.interrupted(recipe, monkeypatch, step=5)
        (Path(recipe.output) / "model.keras").unlink()
        with pytest.raises(ValueError, match="the best model of 1 epochs, is gone.*--overwrite"):
            training.train(recipe)

    def test_a_damaged_checkpoint_is_left_for_the_one_before(self, recipe, monkeypatch, capsys):
        self.interrupted(recipe, monkeypatch, step=5)
        folders = saved_steps(Path(recipe.output) / "checkpoints")
        assert [folder.name for folder in folders] == ["step_000000005", "step_000000004"]
        (values,) = folders[0].glob("state.data*")
        values.write_bytes(values.read_bytes()[:-200])
        result = training.train(recipe)
        assert f"{folders[0]} is damaged" in capsys.readouterr().err
        assert result.new_steps == 4 and result.finished

    def test_without_any_whole_checkpoint_it_says_so(self, recipe, monkeypatch):
        self.interrupted(recipe, monkeypatch, step=5)
        for index in Path(recipe.output).glob("checkpoints/*/state.index"):
            index.write_bytes(index.read_bytes()[:40])
        with pytest.raises(ValueError, match="None of the checkpoints .* --overwrite true"):
            training.train(recipe)


class TestSavedState:
    @pytest.fixture
    def state(self, tmp_path):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return SavedState(tmp_path, model)

    @pytest.mark.parametrize("file", ["state.data-00000-of-00001", "metrics.npz", "facts.json"])
    @pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
    def test_every_damage_is_noticed(self, state, file, damage, tmp_path):
        state.save(1)
        first = state.model.get_weights()
        state.model.set_weights([w + 1 for w in first])
        state.save(2)
        path = saved_steps(tmp_path)[0] / file
        content = path.read_bytes()
        if damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "flipped":
            middle = len(content) // 2
            flipped = bytes([content[middle] ^ 255])
            path.write_bytes(content[:middle] + flipped + content[middle + 1 :])
        else:
            path.unlink()
        assert state.restore() == 1
        for restored, saved in zip(state.model.get_weights(), first, strict=True):
            np.testing.assert_array_equal(restored, saved)

    @pytest.mark.parametrize(
        "facts",
        [
            {"step": 1, "sha256": {}},
            {"step": "2", "sha256": {}},
            {"step": 3},
            {"step": 2, "sha256": []},
            {"step": 2, "sha256": {"metrics.npz": None}},
        ],
        ids=str,
    )
    def test_facts_that_are_none_are_noticed(self, state, facts, tmp_path):
        state.save(1)
        state.save(2)
        path = saved_steps(tmp_path)[0] / "facts.json"
        path.write_text(json.dumps(facts))
        assert state.restore() == 1

    def test_a_checkpoint_of_other_data_is_refused(self, state, tmp_path):
        state.data = {"images": {"train": 16, "val": 4}, "classes": ["a", "b"]}
        state.save(1)
        assert state.restore() == 1
        for change in ({"images": {"train": 32, "val": 4}}, {"classes": ["b", "a"]}):
            other = SavedState(tmp_path, state.model, data=state.data | change)
            with pytest.raises(ValueError, match="belongs to other data: .*--overwrite true"):
                other.restore()

    def test_a_save_that_fails_leaves_nothing_and_keeps_the_last(
        self, state, monkeypatch, tmp_path
    ):
        state.save(1)

        def full(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("numpy.savez", full)
        with pytest.raises(OSError, match="No space left"):
            state.save(2)
        assert [path.name for path in tmp_path.iterdir()] == ["step_000000001"]


class TestOrder:
    @pytest.mark.parametrize("shard", [(0, 1), (0, 2), (1, 2)])
    def test_batches_are_a_function_of_the_step(self, shapes, shard):
        def batches(start, shard):
            pipeline = training_pipeline(
                *shapes[:1], crop=(32, 32), batch_size=4, epochs=2, start_step=start, shard=shard
            )
            return [image.numpy() for image, _ in pipeline]

        whole, rest = batches(0, (0, 1)), batches(3, shard)
        assert len(whole) == 4 and len(rest) == 1
        size = 4 // shard[1]
        part = slice(shard[0] * size, (shard[0] + 1) * size)
        np.testing.assert_array_equal(rest[0], whole[3][part])

    def test_a_batch_that_cannot_be_shared_out_is_refused(self, shapes):
        with pytest.raises(ValueError, match="batch_size=4 .* 3 workers.*multiple of 3"):
            training_pipeline(shapes[0], crop=(32, 32), batch_size=4, epochs=1, shard=(0, 3))
