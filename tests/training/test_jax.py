"""`train` on JAX: as on TensorFlow, on one device as on two, and resumed as uninterrupted.

One process on JAX is killed, and a second one resumes it and does everything else.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_seg import cli, inference, models, training
from keras_seg.data import Augmentation
from keras_seg.training import OptimizerOptions, Recipe, ScheduleOptions
from keras_seg.training.history import History
from keras_seg.training.run_folder import ENVIRONMENT_NAME

pytest.importorskip("jax", reason="needs the jax extra")
# one worker, so that the trainings are made once
pytestmark = [pytest.mark.xdist_group("training on jax")]

ON_JAX = """
import hashlib, json, os, signal, sys
from dataclasses import replace
import keras, numpy as np
from keras_seg import cli, data, inference, training
from keras_seg.training import Recipe
from keras_seg.training import fit
from keras_seg.training.callbacks import StepCounter

folder, kill_at = sys.argv[1], int(sys.argv[2])
runs, start_run = [], fit.start_run
def recorded(*arguments):
    runs.append(start_run(*arguments))
    return runs[-1]
fit.start_run = recorded

def recipe_of(name):
    return Recipe.from_yaml(f"{folder}/{name}.yaml")

def state():
    model = runs[-1].model
    return [keras.ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]

def rows():
    return [{k: v for k, v in row.items() if k != "seconds"} for row in runs[-1].history.rows]

def trained(recipe):
    result = training.train(recipe)
    digest = hashlib.md5(b"".join(value.tobytes() for value in state())).hexdigest()
    return {"digest": digest, "rows": rows(), "steps": result.new_steps, "done": result.finished}

def refused(recipe, **environment):
    os.environ.update(environment)
    try:
        training.train(recipe)
    except ValueError as error:
        return str(error)
    finally:
        for name in environment:
            del os.environ[name]

if kill_at:
    after = StepCounter.on_train_batch_end
    def kill(self, batch, logs=None):
        if self.step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        after(self, batch, logs)
    StepCounter.on_train_batch_end = kill
results = {}
whole = recipe_of("resumed")
results["resumed"] = trained(whole)
results["whole"] = trained(replace(whole, output=whole.output + "_whole"))
plain, weights = recipe_of("devices"), {}
for strategy in ("none", "mirrored"):
    output = f"{plain.output}_{strategy}"
    results[strategy] = trained(replace(plain, strategy=strategy, output=output))
    network = runs[-1].network.weights
    weights[strategy] = np.concatenate([np.ravel(np.asarray(weight)) for weight in network])
results["devices"] = runs[-1].engine.devices
results["apart"] = float(
    np.linalg.norm(weights["none"] - weights["mirrored"]) / np.linalg.norm(weights["none"])
)
results["options"] = trained(recipe_of("options"))
results["as_on_tensorflow"] = trained(recipe_of("as_on_tensorflow"))
tensorflow = recipe_of("tensorflow")
results["of_tensorflow"] = refused(tensorflow)
results["multiworker"] = refused(replace(plain, strategy="multiworker"))
results["tpu"] = refused(replace(plain, strategy="tpu"))
config = json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 0}})
results["workers"] = refused(replace(plain, strategy="auto"), TF_CONFIG=config)
results["norm"] = refused(replace(plain, strategy="mirrored", sync_batch_norm=False))
results["batch"] = refused(replace(plain, strategy="mirrored", batch_size=3))

runner = inference.load(f"{whole.output}/model.keras")
images = [sample.image for sample in data.open_dataset(whole.data, "val")]
np.savez(f"{folder}/scores.npz", *[runner.run(image) for image in images])
np.savez(f"{folder}/tensorflow_scores.npz", *[
    inference.load(f"{tensorflow.output}/model.keras").run(image) for image in images
])
results["verbs"] = [
    cli.main(["evaluate", f"{tensorflow.output}/model.keras", "--json_file", f"{folder}/jax.json"]),
    cli.main(["report", tensorflow.output, "--output", f"{folder}/jax.html"]),
]
print("RESULTS", json.dumps(results))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shapes):
    """Data, recipes, and a training on TensorFlow that JAX continues from its weights."""
    from tests.helpers.folders import write_splits

    root = tmp_path_factory.mktemp("jax")
    data = write_splits(root / "shapes", *shapes)
    plain = Recipe(
        data=str(data),
        output=str(root / "devices"),
        model_options={"widths": [4, 8]},
        crop=(32, 32),
        batch_size=4,
        epochs=2,
        optimizer="sgd",
        learning_rate=0.005,
        augmentation=Augmentation(scale=(0.8, 1.25)),
        overlays=0,
    )
    start = models.unet((None, None, 3), 3, widths=(4, 8))
    start.save(root / "start.keras")
    first = replace(
        plain,
        epochs=3,
        steps_per_epoch=1,
        loss={"name": "cross_entropy", "class_weights": "balanced"},
        initial_weights=str(root / "start.keras"),
        output=str(root / "tensorflow"),
    )
    recipes = {
        "devices": plain,
        "tensorflow": first,
        "as_on_tensorflow": replace(first, output=str(root / "as_on_tensorflow")),
        "resumed": replace(
            plain,
            batch_size=2,
            epochs=3,
            model_options={"widths": [4, 8], "dropout": 0.2},
            optimizer_options=OptimizerOptions(ema=0.9),
            schedule_options=ScheduleOptions(warmup_epochs=0.5),
            weight_decay=1e-4,
            checkpoint_steps=3,
            deterministic=True,
            output=str(root / "resumed"),
        ),
        "options": replace(
            plain,
            model="unetplusplus",
            model_options={"widths": [4, 4, 4], "deep_supervision": True},
            mixed_precision=True,
            optimizer="adamw",
            schedule="plateau",
            schedule_options=ScheduleOptions(patience=1),
            learning_rate=1e-5,
            epochs=4,
            early_stop=2,
            overlays=2,
            output=str(root / "options"),
        ),
    }
    for name, recipe in recipes.items():
        (root / f"{name}.yaml").write_text(recipe.to_yaml())
    training.train(first)
    return root


@pytest.fixture(scope="module")
def results(folder):
    """What the second process on JAX prints."""

    def run(kill_at):
        environment = {
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            "CUDA_VISIBLE_DEVICES": "",
            "JAX_PLATFORMS": "cpu",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        return subprocess.run(
            [sys.executable, "-c", ON_JAX, str(folder), str(kill_at)],
            capture_output=True,
            text=True,
            env=os.environ | environment,
        )

    killed = run(kill_at=7)  # the eighth step, the fourth of the second epoch
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-4000:]
    again = run(kill_at=0)
    assert again.returncode == 0, again.stderr[-4000:]
    line = next(li for li in again.stdout.splitlines() if li.startswith("RESULTS"))
    return json.loads(line.removeprefix("RESULTS")) | {"stderr": again.stderr}


def recipe_of(folder, name):
    return Recipe.from_yaml(folder / f"{name}.yaml")


@pytest.mark.slow
class TestOnJax:
    def test_a_killed_run_resumes_bit_equal_to_an_uninterrupted_one(self, results):
        resumed, whole = results["resumed"], results["whole"]
        assert "Resuming after step 6 of 12" in results["stderr"]
        assert (resumed["steps"], whole["steps"]) == (6, 12)
        assert resumed["done"] and whole["done"]
        assert resumed["digest"] == whole["digest"]
        assert resumed["rows"] == whole["rows"]
        assert [row["epoch"] for row in resumed["rows"]] == [1, 2, 3]

    def test_two_devices_give_loss_metrics_and_weights_of_one(self, results):
        assert results["devices"] == 2
        for one, two in zip(results["none"]["rows"], results["mirrored"]["rows"], strict=True):
            for name in ("loss", "mean_iou", "val_loss", "val_mean_iou"):
                assert two[name] == pytest.approx(one[name], rel=1e-5), name
        assert results["apart"] <= 1e-5

    def test_every_step_has_the_loss_and_scores_of_tensorflow(self, results, folder):
        """Equal weights, batches, augmentation and class weights."""
        log = Path(recipe_of(folder, "tensorflow").output, "log.jsonl").read_text()
        expected = [json.loads(line) for line in log.splitlines()]
        assert len(expected) == 3
        for row, other in zip(results["as_on_tensorflow"]["rows"], expected, strict=True):
            for name in ("loss", "val_loss", "mean_iou", "val_mean_iou", "learning_rate"):
                assert row[name] == pytest.approx(other[name], rel=1e-4), name

    def test_several_outputs_half_precision_and_plateaus_train(self, results, folder):
        rows, run = results["options"]["rows"], Path(recipe_of(folder, "options").output)
        assert results["options"]["done"]
        assert all(np.isfinite(row["loss"]) for row in rows)
        history = History(run, epochs=len(rows), writes=False)
        assert len(rows) == 4 or history.epochs_without_progress == 2
        assert (run / "overlays" / f"epoch_{history.best[1]:03d}.png").exists()
        rates = [row["learning_rate"] for row in rows]
        falls = [History(run, epochs=epoch, writes=False).plateaus(1) for epoch in range(len(rows))]
        assert rates == pytest.approx([1e-5 * 0.1**fall for fall in falls])
        assert list((run / "tensorboard").iterdir())

    def test_what_jax_lacks_is_refused_before_the_first_step(self, results):
        assert 'strategy "multiworker" needs TensorFlow.' in results["multiworker"]
        assert 'strategy "tpu" needs TensorFlow.' in results["tpu"]
        assert "TF_CONFIG names 2 workers, which need TensorFlow" in results["workers"]
        for name in ("multiworker", "tpu", "workers"):
            assert "--strategy mirrored" in results[name]
        assert "sync_batch_norm=False contradicts several devices" in results["norm"]
        assert "batch_size=3 cannot be divided evenly among 2 devices" in results["batch"]


@pytest.mark.slow
class TestBothBackends:
    def test_a_run_does_not_resume_on_the_other_backend(self, results, folder):
        assert (
            "was written on the Keras backend tensorflow. Received: jax"
            in (results["of_tensorflow"])
        )
        recipe = recipe_of(folder, "resumed")
        message = "was written on the Keras backend jax. Received: tensorflow.*KERAS_BACKEND=jax"
        with pytest.raises(ValueError, match=message) as refusal:
            training.train(recipe)
        words = str(refusal.value).split("best model: ")[1].split("; or")[0].split()
        assert words[0] == "--initial_weights" and words[2] == "--output"
        options = replace(recipe, initial_weights=words[1], output=words[3], epochs=1)
        assert training.train(options).finished  # what the message says works

    def test_card_and_folder_name_the_backend(self, results, folder):
        for name, backend in (("resumed", "jax"), ("tensorflow", "tensorflow")):
            run = Path(recipe_of(folder, name).output)
            assert models.read_card(run / "model.keras").backend == backend
            assert json.loads((run / ENVIRONMENT_NAME).read_text())["backend"] == backend

    def test_models_of_both_predict_on_both(self, results, folder, shapes):
        for name, scores in (("resumed", "scores.npz"), ("tensorflow", "tensorflow_scores.npz")):
            runner = inference.load(Path(recipe_of(folder, name).output) / "model.keras")
            with np.load(folder / scores) as archive:
                for sample, key in zip(shapes[1], archive.files, strict=True):
                    ours = runner.run(sample.image)
                    apart = np.abs(archive[key] - ours).max()
                    assert apart <= 1e-4 * np.abs(ours).max()

    def test_verbs_take_the_runs_of_both(self, results, folder):
        assert results["verbs"] == [cli.DONE, cli.DONE]
        for name in ("tensorflow", "resumed"):
            run = Path(recipe_of(folder, name).output)
            words = ["--json_file", str(folder / f"{name}.json")]
            assert cli.main(["evaluate", str(run / "model.keras"), *words]) == cli.DONE
            assert cli.main(["report", str(run), "--output", str(folder / "r.html")]) == cli.DONE
        on_tensorflow, on_jax = (
            json.loads((folder / f"{name}.json").read_text()) for name in ("tensorflow", "jax")
        )
        assert on_jax["miou"] == pytest.approx(on_tensorflow["miou"], abs=1e-4)


class TestDevices:
    """These ask for no device, so they run on any backend."""

    @pytest.mark.parametrize("strategy", ["multiworker", "tpu"])
    def test_strategies_of_tensorflow_are_refused(self, strategy):
        from keras_seg.training.engines.on_jax import devices_of

        with pytest.raises(ValueError, match=f'"{strategy}" needs TensorFlow.*--strategy mirrored'):
            devices_of(strategy)

    def test_workers_of_the_environment_are_refused(self, monkeypatch):
        from keras_seg.training.engines.on_jax import devices_of

        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}))
        with pytest.raises(ValueError, match="TF_CONFIG names 2 workers"):
            devices_of("auto")

    def test_another_backend_is_refused_with_those_that_work(self, monkeypatch):
        from keras_seg.training.engines import current_engine

        monkeypatch.setattr("keras.backend.backend", lambda: "torch")
        with pytest.raises(ValueError, match="backends tensorflow and jax. Received: torch"):
            current_engine()
