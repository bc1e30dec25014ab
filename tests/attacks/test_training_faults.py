"""What goes wrong around a training: Ctrl-C from outside, data that vanish, two in one process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from keras_seg import models, training
from keras_seg.cli import INTERRUPTED, command_line
from keras_seg.data import Augmentation
from keras_seg.training.callbacks import StepCounter
from keras_seg.training.saved_state import saved_steps
from tests.helpers.recipes import short_recipe

pytestmark = pytest.mark.xdist_group("training")


@pytest.fixture
def recipe(shapes_folder, tmp_path):
    return short_recipe(
        shapes_folder,
        tmp_path / "run",
        batch_size=2,
        epochs=3,
        checkpoint_steps=2,
        augmentation=Augmentation(),
    )


def _epochs(folder) -> list[int]:
    log = folder / "log.jsonl"
    return [json.loads(li)["epoch"] for li in log.open()] if log.exists() else []


class TestCtrlC:
    SECONDS = 30
    """A step of this network takes milliseconds; the rest is for machines with much to do."""

    @pytest.mark.slow
    @pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
    def test_a_process_ends_in_seconds_with_a_checkpoint_and_a_plain_message(
        self, recipe, tmp_path
    ):
        (tmp_path / "r.yaml").write_text(replace(recipe, epochs=100_000).to_yaml())
        words = [sys.executable, "-m", "keras_seg.cli", "train", "--config", tmp_path / "r.yaml"]
        folder = Path(recipe.output)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(words, **pipes) as process:
            while process.poll() is None and not _epochs(folder):
                time.sleep(0.05)
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            said, complained = process.communicate(timeout=self.SECONDS)
            print(f"ended after {time.monotonic() - start:.1f} s")  # noqa: T201
        assert process.returncode == INTERRUPTED and "Traceback" not in complained
        assert "Stopping after this step. Press Ctrl-C again to stop at once." in complained
        assert "Run the same command again to resume from the last checkpoint." in said
        last = saved_steps(folder / "checkpoints")[0].name
        assert int(last.removeprefix("step_")) >= 4 * _epochs(folder)[-1]  # steps an epoch
        assert models.load(folder / "model.keras").count_params() > 0
        assert not [p for p in folder.rglob("*") if p.name.startswith(".")]

    def test_before_a_verb_has_begun_is_a_line_too(self, monkeypatch, capsys):
        def pressed(words):
            raise KeyboardInterrupt

        monkeypatch.setattr("keras_seg.cli.command_line._run", pressed)
        assert command_line.main(["models"]) == INTERRUPTED
        assert "keras-seg: interrupted" in capsys.readouterr().err


@pytest.mark.usefixtures("without_tracing")
class TestVanishedData:
    def test_the_file_is_named_what_was_saved_stays_and_training_goes_on(
        self, recipe, monkeypatch, tmp_path
    ):
        """A data set that does not fit in memory, whose folder is unplugged in the second epoch."""
        data, elsewhere, after = (
            Path(recipe.data),
            tmp_path / "elsewhere",
            StepCounter.on_train_batch_end,
        )

        def unplug(self, batch, logs=None):
            if self.step == 5:
                data.rename(elsewhere)
            after(self, batch, logs)

        with monkeypatch.context() as patch:
            patch.setattr(StepCounter, "on_train_batch_end", unplug)
            with pytest.raises(FileNotFoundError, match=r"(train|val)\d\.png"):
                training.train(replace(recipe, epochs=4, cache_gib=0))
        output = Path(recipe.output)
        kept = int(saved_steps(output / "checkpoints")[0].name.removeprefix("step_"))
        assert kept >= 4 and models.load(output / "model.keras").count_params() > 0
        shutil.move(elsewhere, data)
        result = training.train(replace(recipe, epochs=4))
        assert result.finished and result.new_steps == 16 - kept


@pytest.mark.slow
class TestTwoInOneProcess:
    def test_the_second_gives_what_it_gives_alone(self, recipe, tmp_path):
        """And one that was refused in between leaves nothing behind."""
        alone = training.train(recipe)
        with pytest.raises(ValueError, match="num_classes=7"):
            training.train(replace(recipe, output=str(tmp_path / "no"), num_classes=7))
        other = replace(recipe, output=str(tmp_path / "other"), mixed_precision=True, seed=5)
        assert training.train(other).finished
        again = training.train(replace(recipe, output=str(tmp_path / "again")))
        assert again.best_miou == pytest.approx(alone.best_miou, abs=1e-3)
        assert not (tmp_path / "no").exists()
