"""Kills a training, an export or a folder's prediction again and again, and looks at what is left.

    python -m tests.attacks.killing training --kills 50

Half of the kills come at a random time, half at a random access to the output folder (an open, a
rename, a removal), since that is where half files come from. Each kill is followed by the same
command; whatever lies under a final name must be whole, and what comes out in the end must be what
an uninterrupted run makes. Works by fork, so that TensorFlow is imported once: Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from keras_seg import export, inference, models, training
from keras_seg.data.reading.images import read_image
from keras_seg.data.reading.masks import read_mask
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.predict import predict_files
from keras_seg.inference.files.resume import LOG_NAME
from keras_seg.training import fit  # noqa: F401  (imported once, not by each child)
from keras_seg.training.saved_state import _checked_facts, saved_steps
from tests.helpers.folders import write_folder, write_splits
from tests.helpers.shapes import Shapes

ACCESSES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}


class Training:
    """A run of 12 steps with checkpoints at each second step."""

    def __init__(self, root: Path):
        self.data = write_splits(root / "data", Shapes("train", 8), Shapes("val", 2))

    def run(self, output: Path):
        training.train(
            training.Recipe(
                data=str(self.data),
                output=str(output),
                model_options={"widths": [4, 8]},
                crop=(32, 32),
                batch_size=2,
                epochs=3,
                checkpoint_steps=2,
                overlays=1,
                deterministic=True,
            )
        )

    def check(self, output: Path, whole: Path, finished: bool):
        if (output / "log.jsonl").exists():
            rows, expected = _rows(output), _rows(whole)
            assert rows == expected[: len(rows)], "the log is not that of an uninterrupted run"
        if (output / "model.keras").exists():
            models.read_card(output / "model.keras")
            assert zipfile.ZipFile(output / "model.keras").testzip() is None
        for picture in (output / "overlays").glob("epoch_*.png"):
            np.testing.assert_array_equal(
                read_image(picture), read_image(whole / "overlays" / picture.name)
            )
        steps = saved_steps(output / "checkpoints")
        for folder in steps:
            _checked_facts(folder)
        if finished:
            assert steps[0].name == saved_steps(whole / "checkpoints")[0].name
            assert _checked_facts(steps[0]) == _checked_facts(saved_steps(whole / "checkpoints")[0])
            for name in ("model.keras", "log.csv", "recipe.yaml"):
                assert (output / name).exists(), name


class Export:
    """A .tflite file, over an older one in half of the tries."""

    def __init__(self, root: Path):
        self.model, self.older = root / "model.keras", None

        def save():
            network = models.build("unet", (32, 32, 3), 3, widths=(4, 8))
            models.save(network, self.model, models.ModelCard(Shapes.classes, "unet"))

        _child(save, root / "saving.txt")

    def run(self, output: Path):
        output.mkdir(exist_ok=True)
        if self.older is not None and not (output / "m.tflite").exists():
            (output / "m.tflite").write_bytes(self.older)
        export.export(self.model, output / "m.tflite")

    def check(self, output: Path, whole: Path, finished: bool):
        expected = inference.load(whole / "m.tflite").run(Shapes()[0].image[:32, :32])
        path = output / "m.tflite"
        if path.exists():
            scores = inference.load(path).run(Shapes()[0].image[:32, :32])
            np.testing.assert_array_equal(scores, expected)
        if finished:
            assert [each.name for each in output.iterdir()] == ["m.tflite"]
            self.older = None if self.older else path.read_bytes()


class Prediction:
    """Twelve images with all kinds of files beside their masks, by a .tflite file."""

    def __init__(self, root: Path):
        made = Export(root)
        _child(lambda: made.run(root / "model"), root / "exporting.txt")
        self.model = root / "model" / "m.tflite"
        self.data = write_folder(root / "images", Shapes("train", 12, (48, 60)))
        self.runner = None

    def run(self, output: Path):
        outputs = OutputOptions(overlay=True, probabilities=True, polygons="geojson")
        runner = inference.load(self.model, threads=2)  # two workers
        predict_files(runner, [self.data / "images"], output, outputs=outputs)

    def check(self, output: Path, whole: Path, finished: bool):
        found = {p.name for p in output.glob("*") if not p.name.startswith(".")} - {LOG_NAME}
        for name in found:
            assert (output / name).read_bytes() == (whole / name).read_bytes(), name
            if name.endswith("_mask.png"):
                read_mask(output / name)
        if finished:
            assert {p.name for p in output.iterdir()} == {p.name for p in whole.iterdir()}
            named = [json.loads(li)["source"] for li in (output / LOG_NAME).open()]
            assert sorted(set(named)) == sorted(
                map(str, (self.data / "images").resolve().iterdir())
            )


VICTIMS = {"training": Training, "export": Export, "prediction": Prediction}


def kill_often(victim, root: Path, kills: int, seed: int) -> dict:
    """Kills a victim so often; AssertionError for anything lost, half-written or different.

    Returns: numbers of kills by kind, of runs that came to their end, and of restarts.
    """
    rng, whole, output = random.Random(seed), root / "whole", root / "output"
    accesses, seconds = _measured(victim, whole, root / "whole.txt")
    counts = {"killed at a time": 0, "killed at an access": 0, "finished": 0, "started": 0}
    while counts["killed at a time"] + counts["killed at an access"] < kills:
        by_access = counts["killed at a time"] > counts["killed at an access"]
        counts["started"] += 1
        start = time.monotonic()
        status = _child(
            lambda: victim.run(output),
            root / "output.txt",
            watched=output,
            last_access=rng.randint(1, accesses) if by_access else None,
            seconds=None if by_access else rng.uniform(0, seconds),
        )
        killed = status == -signal.SIGKILL
        assert killed or status == 0, (root / "output.txt").read_text()[-2000:]
        if killed:
            sys.stderr.write(f"{counts}\n")
            counts["killed at an access" if by_access else "killed at a time"] += 1
        if output.exists():
            victim.check(output, whole, finished=not killed)
        if not killed:
            # other work may have slowed the measured run down; later kills would come too late
            seconds = min(seconds, time.monotonic() - start)
            counts["finished"] += 1
            shutil.rmtree(output)
    status = _child(lambda: victim.run(output), root / "output.txt")
    assert status == 0, (root / "output.txt").read_text()[-2000:]
    victim.check(output, whole, finished=True)
    return counts | {"finished": counts["finished"] + 1, "started": counts["started"] + 1}


def _measured(victim, output: Path, log: Path) -> tuple[int, float]:
    """Accesses to its folder and seconds of an uninterrupted run."""
    start, count = time.monotonic(), output.with_name("accesses.txt")
    status = _child(lambda: victim.run(output), log, watched=output, count_to=count)
    assert status == 0, log.read_text()[-2000:]
    return int(count.read_text()), time.monotonic() - start


def _child(
    action,
    log: Path,
    *,
    watched: Path | None = None,
    last_access: int | None = None,
    seconds: float | None = None,
    count_to: Path | None = None,
) -> int:
    """Runs an action in a forked process; its exit status, negative for a signal.

    Args:
        watched: folder whose accesses are counted; last_access: the one that kills.
        seconds: after which it is killed.
        count_to: file for the number of accesses.
    """
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        _as_child(action, log, watched, last_access, count_to)
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, 0 if deadline is None else os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            os.kill(process, signal.SIGKILL)
            deadline = None
        else:
            time.sleep(0.002)


def _as_child(action, log: Path, watched, last_access, count_to):
    code = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        seen = _count_accesses(watched, last_access) if watched else None
        action()
        if count_to is not None:
            count_to.write_text(str(seen[0]))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _count_accesses(folder: Path, last: int | None) -> list[int]:
    seen = [0]

    def look(event, arguments):
        if event in ACCESSES and str(folder) in str(arguments[0]):
            seen[0] += 1
            if seen[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    return seen


def _rows(output: Path) -> list[dict]:
    lines = (output / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("victim", choices=VICTIMS)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        victim = VICTIMS[options.victim](Path(folder))
        counts = kill_often(victim, Path(folder), options.kills, options.seed)
    sys.stdout.write(f"{options.victim}: {json.dumps(counts)}, nothing lost\n")


if __name__ == "__main__":
    main()
