"""A recipe becomes a trained model, and nothing that was saved is lost."""

import contextlib
import csv
import errno
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import models, training
from keras_seg.data import Augmentation
from keras_seg.training import Recipe, history, run_folder
from keras_seg.training.callbacks import StepCounter
from keras_seg.training.optimizers import make_optimizer
from keras_seg.training.run_folder import recipe_beside
from tests.helpers.shapes import TINY_SIZE

pytestmark = pytest.mark.xdist_group("training")  # one worker, so that fixtures are made once


@pytest.fixture
def recipe(shapes_folder, tmp_path):
    return Recipe(
        data=str(shapes_folder),
        output=str(tmp_path / "run"),
        model_options={"widths": [8, 8, 16]},
        crop=(32, 48),
        batch_size=4,
        epochs=2,
        learning_rate=0.01,
        overlays=2,
        augmentation=Augmentation(scale=(0.8, 1.25)),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory, shapes):
    """A short training that learns, shared by the tests that look at what it left."""
    from tests.helpers.folders import write_splits

    root = tmp_path_factory.mktemp("training")
    folder = write_splits(root / "shapes", *shapes)
    recipe = Recipe(
        data=str(folder),
        output=str(root / "run"),
        model_options={"widths": [8, 16, 16]},
        crop=TINY_SIZE,
        batch_size=4,
        epochs=15,
        learning_rate=0.02,
        augmentation=Augmentation(scale=(0.8, 1.25)),
    )
    return recipe, training.train(recipe)


class TestTrain:
    def test_network_learns_what_is_easy(self, run):
        assert run[1].best_miou > 0.9 and not run[1].interrupted

    def test_best_model_is_saved_with_its_card(self, run, shapes):
        result = run[1]
        card = models.read_card(result.model_path)
        assert card.classes == shapes[0].classes
        assert (card.network, card.size_multiple) == ("unet", 4)
        model = models.load(result.model_path)
        hits = counted = 0
        for sample in shapes[1]:
            predicted = np.argmax(model(sample.image[None].astype("float32"))[0], -1)
            hits += (predicted == sample.mask)[sample.mask != 255].sum()
            counted += (sample.mask != 255).sum()
        assert hits / counted > 0.95

    def test_log_has_a_row_an_epoch(self, run):
        recipe, result = run
        with Path(recipe.output, "log.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == result.epochs == recipe.epochs
        best = max(float(row["val_mean_iou"]) for row in rows)
        assert best == pytest.approx(result.best_miou)
        assert float(rows[result.best_epoch - 1]["val_mean_iou"]) == pytest.approx(best)

    def test_overlays_show_the_epochs_that_were_better(self, run):
        recipe, result = run
        path = f"{recipe.output}/overlays/epoch_{result.best_epoch:03d}.png"
        height, width = TINY_SIZE
        assert Image.open(path).size == (3 * width + 8, 4 * height + 12)

    def test_recipe_lies_beside_the_model(self, run):
        assert recipe_beside(run[1].model_path) == run[0]

    @pytest.mark.slow  # attacks/test_reproducibility.py compares two processes
    def test_equal_recipes_give_equal_first_steps(self, recipe):
        first = training.train(recipe)
        again = training.train(replace(recipe, overwrite=True))
        assert first.best_miou == pytest.approx(again.best_miou, abs=1e-3)

    @pytest.mark.usefixtures("without_tracing")
    def test_time_limit_ends_after_an_epoch(self, recipe):
        assert training.train(replace(recipe, epochs=50, max_minutes=1e-6)).epochs == 1

    @pytest.mark.usefixtures("without_tracing")
    def test_mixed_precision_and_resize_train(self, recipe):
        result = training.train(replace(recipe, mixed_precision=True, resize=(48, 64), epochs=1))
        assert np.isfinite(result.best_miou)
        assert keras.config.dtype_policy().name == "float32"
        assert models.read_card(result.model_path).image_size == (48, 64)

    @pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
    @pytest.mark.parametrize("schedule", ["poly", "cosine", "constant"])
    def test_schedules_end_where_they_should(self, recipe, optimizer, schedule):
        recipe = replace(recipe, optimizer=optimizer, schedule=schedule, weight_decay=1e-4)
        rate = make_optimizer(recipe, 100 // recipe.epochs)._learning_rate
        if schedule == "constant":
            assert float(keras.ops.convert_to_numpy(rate)) == pytest.approx(0.01)
        else:
            assert float(rate(0)) == pytest.approx(0.01)
            assert float(rate(100)) == pytest.approx(0, abs=1e-9)


@pytest.mark.usefixtures("without_tracing")
class TestInterruption:
    def test_what_was_saved_is_kept(self, recipe, monkeypatch):
        from keras_seg.training import callbacks

        class Interrupt(callbacks.StopAfter):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 1:
                    raise KeyboardInterrupt

        monkeypatch.setattr("keras_seg.training.fit.StopAfter", Interrupt)
        result = training.train(replace(recipe, max_minutes=9))
        assert result.interrupted and result.epochs == 1
        assert models.load(result.model_path).count_params() > 0

    def test_nothing_saved_is_said(self, recipe, monkeypatch):
        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(keras.Model, "fit", interrupted)
        result = training.train(recipe)
        assert result.interrupted and result.model_path is None


@pytest.mark.usefixtures("without_tracing")
class TestFailures:
    """A training that cannot go on keeps what was good, and says so."""

    @pytest.fixture
    def recipe(self, recipe):
        return replace(recipe, checkpoint_steps=1, overlays=0)

    def checkpoints(self, recipe):
        return sorted(path.name for path in Path(recipe.output, "checkpoints").iterdir())

    def test_loss_that_is_no_number_stops_at_its_step(self, recipe, monkeypatch):
        after = StepCounter.on_train_batch_end

        def spoil(self, batch, logs=None):
            after(self, batch, {"loss": np.float32("nan")} if self.step == 2 else logs)

        monkeypatch.setattr(StepCounter, "on_train_batch_end", spoil)
        message = "loss is nan at step 3. The checkpoint of step 2 is kept.*lower learning_rate"
        with pytest.raises(training.Diverged, match=message):
            training.train(recipe)
        assert self.checkpoints(recipe) == ["step_000000001", "step_000000002"]
        assert models.load(Path(recipe.output, "model.keras")).count_params() > 0

    def test_weights_that_are_no_numbers_are_not_saved(self, recipe, monkeypatch):
        recipe = replace(recipe, optimizer="sgd", learning_rate=1e38, schedule="constant")
        with pytest.raises(training.Diverged, match="at step|after step"):
            training.train(replace(recipe, epochs=9))
        for name in self.checkpoints(recipe):
            reader = tf.train.load_checkpoint(
                str(Path(recipe.output, "checkpoints", name, "state"))
            )
            for key, shape in reader.get_variable_to_shape_map().items():
                if shape and reader.get_variable_to_dtype_map()[key] == tf.float32:
                    assert np.isfinite(reader.get_tensor(key)).all()

    def test_masks_without_a_counted_pixel_are_refused_before_the_first_step(self, recipe):
        for path in Path(recipe.data, "masks").glob("train*.png"):
            Image.fromarray(np.full(TINY_SIZE, 255, np.uint8)).save(path)
        with pytest.raises(ValueError, match="255"):
            training.train(replace(recipe, epochs=1))
        assert not Path(recipe.output, "log.jsonl").exists()

    @pytest.mark.parametrize(
        "where",
        ["checkpoint", *(pytest.param(name, marks=pytest.mark.slow) for name in ("model", "log"))],
    )
    def test_full_disk_leaves_nothing_half_written(self, recipe, monkeypatch, where):
        target, name = {
            "checkpoint": (np, "savez"),
            "model": (models.ModelCard, "to_json"),
            "log": (history, "write_text"),
        }[where]
        original, calls = getattr(target, name), []

        def full(*arguments, **options):
            calls.append(1)
            if len(calls) > (4 if where == "log" else 1):
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(target, name, full)
            with pytest.raises(OSError, match="is full. The checkpoint of step .* same command"):
                training.train(recipe)
        left = [path.name for path in Path(recipe.output).rglob("*")]
        assert not [name for name in left if name.startswith((".unfinished", ".model", ".log"))]
        assert training.train(recipe).finished


class TestErrors:
    def test_trained_model_is_not_overwritten_unasked(self, recipe):
        Path(recipe.output).mkdir()
        Path(recipe.output, "model.keras").touch()
        with pytest.raises(FileExistsError, match=r"model\.keras exists.*--overwrite"):
            training.train(recipe)

    def test_class_count_that_contradicts_the_data(self, recipe):
        with pytest.raises(ValueError, match="num_classes=5 contradicts .* 3 classes"):
            training.train(replace(recipe, num_classes=5))

    def test_mask_of_another_size_is_named(self, recipe):
        path = Path(recipe.data, "masks", "train3.png")
        Image.fromarray(np.zeros((10, 10), np.uint8)).save(path)
        with pytest.raises(ValueError, match=r"differ in size.*train3\.png"):
            training.train(recipe)

    def test_unknown_model_is_answered_with_the_nearest(self, recipe):
        with pytest.raises(ValueError, match="Did you mean 'unet'"):
            training.train(replace(recipe, model="unet2"))

    @pytest.mark.parametrize("memory", [0, 1])
    def test_damaged_files_are_named_whether_they_fit_in_memory_or_not(self, recipe, memory):
        (Path(recipe.data) / "images" / "train5.png").write_text("no image")
        with pytest.raises(ValueError, match=r"train5\.png cannot be read"):
            training.train(replace(recipe, cache_gib=memory))

    def test_images_that_do_not_fit_into_memory_are_told(self, shapes):
        from keras_seg.data import CachedDataset
        from keras_seg.training.data_sets import line_about_cache

        entire, partial = CachedDataset(shapes[0]), CachedDataset(shapes[0], max_bytes=60_000)
        entire.fill()
        partial.fill()
        recipe = Recipe("data", "run", cache_gib=0.25)
        assert line_about_cache(entire, recipe) == ""
        line = line_about_cache(partial, recipe)
        assert f"train: {partial.kept} of {len(partial)} images fit into cache_gib=0.25" in line
        assert 0 < partial.kept < len(partial)
        assert line_about_cache(partial, replace(recipe, cache_gib=0)) == ""

    @pytest.mark.usefixtures("without_tracing")
    def test_with_skip_it_trains_on_the_others_and_names_what_is_left_out(self, recipe):
        (Path(recipe.data) / "images" / "train5.png").write_text("no image")
        with pytest.warns(UserWarning, match=r"1 of 8 samples .*train5\.png"):
            result = training.train(replace(recipe, on_error="skip", epochs=1))
        assert result.finished and result.epochs == 1

    def test_crop_that_the_network_cannot_take(self, recipe, tmp_path):
        with pytest.raises(ValueError, match="height .*Received: 30.*28 and 32"):
            training.train(replace(recipe, crop=(30, 48)))
        assert not (tmp_path / "run").exists()

    @pytest.mark.skipif(sys.platform != "linux", reason="locks as Linux has them")
    def test_a_folder_that_another_process_trains_in(self, recipe, tmp_path):
        """The other process is killed in the end, and leaves no lock behind."""
        output = tmp_path / "busy"
        output.mkdir()
        code = (
            "import pathlib, sys, time\nfrom keras_seg.atomic_files import only_user\n"
            "with only_user(pathlib.Path(sys.argv[1]), remedy=''):\n"
            "    print('here', flush=True)\n    time.sleep(600)"
        )
        words = [sys.executable, "-c", code, str(output)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout.readline() == "here\n"
            busy = replace(recipe, output=str(output), overwrite=True)
            with (
                pytest.raises(BlockingIOError, match=r"busy is in use.*A training is running"),
                contextlib.ExitStack() as held,
            ):
                run_folder.prepare(busy, held)
            assert list(output.iterdir()) == []
            other.kill()
            other.wait()
        with contextlib.ExitStack() as held:
            assert run_folder.prepare(busy, held) == output

    def test_output_that_is_a_file(self, recipe, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(NotADirectoryError, match="Choose another --output"):
            training.train(replace(recipe, output=str(tmp_path / "file" / "run")))

    def test_output_that_cannot_be_written(self, recipe):
        # Nobody may write there, not even root, whom permissions do not stop.
        with pytest.raises(PermissionError, match="Choose another --output"):
            training.train(replace(recipe, output="/proc/self/run"))

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ({"optimizer": "adm"}, "Did you mean 'adam'"),
            ({"schedule": "polly"}, "Did you mean 'poly'"),
            ({"loss": "cross_entropie"}, "Did you mean 'cross_entropy'"),
            ({"strategy": "miror"}, "Did you mean 'mirrored'"),
            ({"batch_size": 0}, "batch_size must be positive"),
            ({"epochs": -1}, "epochs must be positive"),
            ({"crop": (0, 32)}, "crop must be"),
            ({"crop": (10**6, 10**6)}, r"crop and batch_size must make less than 2\*\*31 pixels"),
        ],
    )
    def test_entries_that_make_no_sense(self, recipe, entry, message):
        with pytest.raises(ValueError, match=message):
            replace(recipe, **entry)

    def test_recipe_files_with_unknown_entries(self, recipe, tmp_path):
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe.to_yaml().replace("batch_size", "batchsize"))
        with pytest.raises(ValueError, match="'batchsize'. Did you mean 'batch_size'"):
            Recipe.from_yaml(path)
        path.write_text("- a list")
        with pytest.raises(ValueError, match="is not a recipe"):
            Recipe.from_yaml(path)
