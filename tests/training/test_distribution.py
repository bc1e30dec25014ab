"""Several devices train as one does, and only one of them writes."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import cli, data
from keras_seg.data import Augmentation
from keras_seg.tested_versions import KERAS_OF_WORKERS, minor_version
from keras_seg.training import Recipe
from keras_seg.training.engines import multi_worker, strategies
from keras_seg.training.engines.on_tensorflow import TensorFlowEngine

TRAINING = """
import json, os, signal, sys
from dataclasses import replace
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * int(os.environ.get("DEVICES", 1)),
)
import keras, numpy as np
from keras_seg import training
from keras_seg.training import Recipe
from keras_seg.training.callbacks import StepCounter
from keras_seg.training import fit

path, strategies, kill_at = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
runs, start_run = [], fit.start_run
def recorded(*arguments):
    runs.append(start_run(*arguments))
    return runs[-1]
fit.start_run = recorded
if kill_at:
    after = StepCounter.on_train_batch_end
    def kill(self, batch, logs=None):
        if self.step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        after(self, batch, logs)
    StepCounter.on_train_batch_end = kill
recipe = Recipe.from_yaml(path)
for strategy in strategies:
    output = f"{recipe.output}_{strategy}"
    result = training.train(replace(recipe, strategy=strategy, output=output))
    run = runs[-1]
    weights = [keras.ops.convert_to_numpy(weight) for weight in run.network.weights]
    np.savez(f"{output}_{os.environ.get('TASK', 0)}.npz", *weights)
    counted = int(keras.ops.convert_to_numpy(run.metric.confusion).sum())
    print("RESULT", json.dumps([run.history.rows, run.writes, result.finished, counted]))
"""
BOUND = 120
"""Seconds in which a worker ends after another has."""
COUNTED = 3 * (64 - 2) * 96
"""Validation pixels that count: three images whose two top rows are unknown."""


@pytest.fixture
def recipe(tmp_path):
    """Three validation images and a batch of 4, so that a device would have none in the end.

    A network with random values teaches, so that its loss is shared among the devices, too.
    """
    from keras_seg import models
    from tests.helpers.folders import write_splits
    from tests.helpers.shapes import Shapes

    keras.utils.set_random_seed(1)
    teacher = models.unet((None, None, 3), 3, widths=(4, 4))
    models.save(teacher, tmp_path / "teacher.keras", models.ModelCard(Shapes.classes))
    folder = write_splits(tmp_path / "shapes", Shapes("train"), Shapes("val", 3))
    recipe = Recipe(
        data=str(folder),
        output=str(tmp_path / "run"),
        model_options={"widths": [4, 8]},
        crop=(32, 48),
        batch_size=4,
        epochs=2,
        loss=[{"name": "cross_entropy", "class_weights": [1, 2, 3]}, {"name": "dice"}],
        teacher=str(tmp_path / "teacher.keras"),
        optimizer="sgd",
        learning_rate=0.005,
        augmentation=Augmentation(scale=(0.8, 1.25)),
        checkpoint_steps=1,
        overlays=0,
    )
    (tmp_path / "given.yaml").write_text(recipe.to_yaml())
    return recipe


def start(folder, names, *, kill_at=0, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(folder / "given.yaml"), names, str(kill_at)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", **environment},
    )


def worker_environments():
    """Of two processes that talk over the loopback device."""
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    configs = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}} for i in range(2)
    ]
    return [{"TF_CONFIG": json.dumps(c), "TASK": str(i)} for i, c in enumerate(configs)]


def start_workers(folder, **options):
    return [start(folder, "multiworker", **each, **options) for each in worker_environments()]


def results(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-4000:]
    lines = (line for line in output.splitlines() if line.startswith("RESULT"))
    return [json.loads(line.removeprefix("RESULT")) for line in lines]


def assert_equal_runs(one, other):
    for row, expected in zip(one[0], other[0], strict=True):
        for name in ("loss", "mean_iou", "val_loss", "val_mean_iou"):
            assert row[name] == pytest.approx(expected[name], rel=1e-5), name
        assert row["val_iou"] == pytest.approx(expected["val_iou"], rel=1e-4)
    assert one[3] == other[3] == COUNTED


def assert_equal_weights(path, expected):
    with np.load(path) as one, np.load(expected) as other:
        ours, theirs = (
            np.concatenate([archive[name].ravel() for name in archive.files])
            for archive in (one, other)
        )
    assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs)


class TestMirrored:
    def test_two_devices_give_loss_metrics_and_weights_of_one(self, recipe, tmp_path):
        (tmp_path / "given.yaml").write_text(replace(recipe, epochs=1, recompute=True).to_yaml())
        one, two = results(start(tmp_path, "none,mirrored", DEVICES="2"))
        assert_equal_runs(two, one)
        assert_equal_weights(tmp_path / "run_mirrored_0.npz", tmp_path / "run_none_0.npz")
        assert (tmp_path / "run_mirrored" / "model.keras").exists()


@pytest.mark.slow
class TestWorkers:
    def test_two_processes_give_loss_metrics_and_weights_of_one(self, recipe, tmp_path):
        (one,) = results(start(tmp_path, "none"))
        (chief,), (other,) = map(results, start_workers(tmp_path))
        assert (chief[1], other[1]) == (True, False)
        assert_equal_runs(chief, one)
        assert_equal_runs(other, one)
        for task in range(2):
            path = tmp_path / f"run_multiworker_{task}.npz"
            assert_equal_weights(path, tmp_path / "run_none_0.npz")
        left = {path.name for path in (tmp_path / "run_multiworker").iterdir()}
        expected = {path.name for path in (tmp_path / "run_none").iterdir()}
        assert left == expected

    def test_one_killed_worker_and_a_restart_lose_nothing(self, recipe, tmp_path):
        results(start(tmp_path, "none"))
        workers = start_workers(tmp_path, kill_at=3)
        for worker in workers:  # the second step of the second epoch
            worker.communicate()
            assert worker.returncode == -signal.SIGKILL
        (chief,), (other,) = map(results, start_workers(tmp_path))
        assert chief[2] and other[2]
        assert_equal_weights(tmp_path / "run_multiworker_0.npz", tmp_path / "run_none_0.npz")

    @pytest.mark.parametrize("dies", [0, 1])
    def test_one_that_dies_alone_ends_the_other_with_what_to_do(self, recipe, tmp_path, dies):
        """The one that is left runs as users start it; the one that dies counts its steps."""
        results(start(tmp_path, "none"))
        environments = worker_environments()
        doomed = start(tmp_path, "multiworker", kill_at=3, **environments[dies])
        words = ["--config", str(tmp_path / "given.yaml"), "--strategy", "multiworker"]
        words += ["--output", f"{recipe.output}_multiworker"]
        left = subprocess.Popen(
            [sys.executable, "-m", "keras_seg.cli", "train", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""} | environments[1 - dies],
        )
        doomed.communicate(timeout=300)
        assert doomed.returncode == -signal.SIGKILL
        _, errors = left.communicate(timeout=BOUND)
        assert left.returncode == cli.WRONG_INPUT, errors[-4000:]
        assert "keras-seg train: Another worker has ended" in errors
        assert "start the same command on all of them" in errors
        assert "Traceback" not in errors
        saved = sorted(p.name for p in (tmp_path / "run_multiworker" / "checkpoints").iterdir())
        assert "step_000000002" in saved
        (chief,), (other,) = map(results, start_workers(tmp_path))
        assert chief[2] and other[2]
        assert_equal_weights(tmp_path / "run_multiworker_0.npz", tmp_path / "run_none_0.npz")


class TestRepairsOfKeras:
    """What `multi_worker` overrides is still there, and still needs it."""

    @pytest.mark.skipif(
        minor_version(keras.__version__) not in KERAS_OF_WORKERS,
        reason="several workers are refused with this Keras",
    )
    def test_the_installed_version_is_one_that_was_tested(self):
        multi_worker.check_version(keras.__version__)

    @pytest.mark.parametrize("name", multi_worker.REPAIRED)
    def test_overridden_functions_are_those_that_fit_calls(self, name, monkeypatch):
        monkeypatch.delattr(keras.src.backend.tensorflow.trainer.TensorFlowTrainer, name)
        with pytest.raises(RuntimeError, match="repairs private functions of Keras"):
            multi_worker.check_version(keras.__version__)

    def test_another_version_is_refused_with_what_to_do(self):
        with pytest.raises(RuntimeError, match=r"not tested with Keras 9\.1.*--strategy mirrored"):
            multi_worker.check_version("9.1.0")

    def test_a_model_builds_without_values_of_all_workers(self):
        model = multi_worker.WorkerModel(*_small())
        model._distribute_strategy = tf.distribute.get_strategy()
        model.compile("sgd", "mse", metrics=["mse"])
        batch = (np.zeros((2, 4, 4, 3), "float32"), np.zeros((2, 4, 4, 2), "float32"))
        model._maybe_symbolic_build(data_batch=batch)
        assert model.optimizer.built and len(model.metrics) == 2

    def test_a_step_gives_the_values_of_the_first_replica(self):
        model = multi_worker.WorkerModel(*_small())
        model.compile("sgd", "mse")
        batch = (np.zeros((2, 4, 4, 3), "float32"), np.zeros((2, 4, 4, 2), "float32"))
        logs = model._make_function(model.train_step)(iter([batch]))
        assert logs["loss"].shape == ()


class TestChoice:
    def test_workers_need_their_environment(self, monkeypatch):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        with pytest.raises(ValueError, match="needs TF_CONFIG, such as"):
            strategies.make_strategy("multiworker")
        monkeypatch.setenv("TF_CONFIG", "{broken")
        with pytest.raises(ValueError, match="TF_CONFIG is not JSON"):
            strategies.make_strategy("auto")

    def test_one_device_has_no_strategy(self, monkeypatch):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        assert strategies.make_strategy("none") is None
        gpus = len(tf.config.list_logical_devices("GPU"))
        assert (strategies.make_strategy("auto") is None) == (gpus < 2)
        engine = TensorFlowEngine()
        assert engine.writes and (engine.devices, engine.replicas) == (1, 1)

    def test_a_second_training_in_one_process_has_the_strategy_of_the_first(self, monkeypatch):
        """Two would number their collective operations alike, and TensorFlow mixes these up."""
        monkeypatch.delenv("TF_CONFIG", raising=False)
        assert strategies.make_strategy("mirrored") is strategies.make_strategy("mirrored")

    def test_a_batch_that_cannot_be_shared_out_is_refused(self):
        class Three:
            num_replicas_in_sync = 3

        engine = TensorFlowEngine(Three())
        with pytest.raises(ValueError, match="batch_size=4 .* 3 devices.*multiple of 3"):
            engine.check_batch(4)
        engine.check_batch(6)

    def test_xla_is_switched_off_with_several_devices(self, capsys):
        class Two:
            num_replicas_in_sync = 2

        assert TensorFlowEngine().compiles(True) and not TensorFlowEngine().compiles(False)
        assert not TensorFlowEngine(Two()).compiles(True)
        assert "jit is switched off" in capsys.readouterr().err


class TestValidation:
    @pytest.mark.parametrize("sizes", ["equal", "different"])
    def test_no_device_is_left_without_an_image(self, shapes, sizes):
        dataset = shapes[1] if sizes == "equal" else Growing()
        batches = list(data.validation_pipeline(dataset, batch_size=3, full_batches=2))
        assert all(len(image) % 2 == 0 for image, *_ in batches)
        counted = sum(int((mask.numpy() != 255).sum()) for _, mask, *_ in batches)
        assert counted == sum(int((sample.mask != 255).sum()) for sample in dataset)

    def test_losses_count_each_image_once(self, without_tracing):
        """Three images in batches of two: the last one is filled up. One output has no class 2."""
        from keras_seg import losses
        from keras_seg.training.validation_loss import with_exact_validation
        from tests.helpers.shapes import Shapes

        keras.utils.set_random_seed(0)
        image = keras.Input((None, None, 3))
        outputs = {name: keras.layers.Conv2D(3, 1, name=name)(image) for name in ("logits", "aux")}
        loss = losses.CrossEntropy(class_weights=[1, 2, 3]) + losses.Dice(smooth=1.0)
        logs = {}
        for full in (None, 2):
            model = with_exact_validation(keras.Model(image, outputs))
            model.compile("sgd", dict.fromkeys(outputs, loss), loss_weights=[1.0, 0.4])
            batches = data.validation_pipeline(Shapes("val", 3), batch_size=2, full_batches=full)
            batches = batches.map(lambda x, y, *share: (x, dict.fromkeys(outputs, y), *share))
            logs[full] = model.evaluate(batches, verbose=0, return_dict=True)
        assert logs[2] == pytest.approx(logs[None], rel=1e-6)
        assert len(logs[2]) == 3


class Growing:
    """Images of different sizes."""

    channels, multi_label = 3, False

    def __len__(self):
        return 3

    def __getitem__(self, index):
        from tests.helpers.shapes import Shapes

        if index >= 3:
            raise IndexError(index)
        return Shapes("val", 3, (64 + 8 * index, 96))[index]


def _small():
    image = keras.Input((None, None, 3))
    return image, keras.layers.Conv2D(2, 1)(image)
