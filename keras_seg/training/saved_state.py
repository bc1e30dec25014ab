"""Checkpoints from which an interrupted training resumes bit-identically.

A checkpoint is a folder `step_<number>`. It holds the variables of model and optimizer, including
the states of all random generators, in the format of the Keras backend; the sums of the metrics of
the interrupted epoch; and a checksum of each file. The folder gets its name when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_seg.training.engines import current_engine
from keras_seg.training.failures import Diverged
from keras_seg.training.run_folder import MODEL_NAME

KEPT = 2
"""Number of checkpoints that are kept: if the last is damaged, the one before it is used."""
PREFIX = "step_"
UNFINISHED = ".unfinished_"
METRICS = "metrics.npz"
FACTS = "facts.json"


class SavedState:
    """The checkpoints of one training.

    Args:
        folder: folder of the checkpoints.
        model: compiled model whose optimizer has its variables.
        writes: False for workers other than the chief. They take part in saving, because reading
            distributed variables needs all workers, but keep no files.
        data: facts about the data, ready for JSON. A checkpoint of other data is refused.
        without: variables of the model that do not change and have a file of their own.

    Attributes:
        step: step of the last checkpoint that was saved or restored.
        metrics: sums of the metrics in the restored checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        *,
        writes: bool = True,
        data: dict | None = None,
        without: Sequence[keras.Variable] = (),
    ):
        self.folder, self.model, self.writes = Path(folder), model, writes
        self.data = data
        state = {id(v): v for v in (*model.variables, *model.optimizer.variables)}
        left_out = {id(v) for v in (*model.metrics_variables, *without)}
        self._engine = current_engine()
        self._checkpoint = self._engine.checkpoint(
            [variable for key, variable in state.items() if key not in left_out]
        )
        self.step = 0
        self.metrics: list[np.ndarray] = []

    def save(self, step: int) -> None:
        """Writes a checkpoint, atomically, and removes old ones.

        Raises: Diverged if a weight is not finite. The older checkpoints are kept.
        """
        self._engine.update_variables(self.model)
        self._check_finite(step)
        part = self.folder / f"{UNFINISHED}{PREFIX}{step:09d}_{os.getpid()}"
        try:
            part.mkdir(parents=True, exist_ok=True)
            self._checkpoint.write(part)
            sums = [keras.ops.convert_to_numpy(v) for v in self.model.metrics_variables]
            np.savez(part / METRICS, *sums)
            facts = {
                "step": step,
                "backend": self._engine.name,
                "data": self.data,
                "sha256": {p.name: _digest(p) for p in part.iterdir()},
            }
            (part / FACTS).write_text(json.dumps(facts))
            if self.writes:
                _flush(part)
                final = self.folder / f"{PREFIX}{step:09d}"
                shutil.rmtree(final, ignore_errors=True)
                part.rename(final)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self.step = step
        if self.writes:
            for old in saved_steps(self.folder)[KEPT:]:
                _remove(old)

    def restore(self) -> int:
        """Restores the newest undamaged checkpoint.

        Returns: its step; 0 if there is no checkpoint.

        Raises: ValueError if all checkpoints are damaged, or the newest belongs to other data or
            to another Keras backend.
        """
        folders = saved_steps(self.folder)
        for folder in folders:
            try:
                facts = _checked_facts(folder)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                sys.stderr.write(
                    f"The checkpoint {folder} is damaged ({error}); trying the one before it.\n"
                )
                continue
            self._check_origin(folder, facts)
            self._checkpoint.read(folder)
            with np.load(folder / METRICS) as archive:
                self.metrics = [archive[name] for name in archive.files]
            self.step = facts["step"]
            return self.step
        if folders:
            raise ValueError(
                f"None of the checkpoints in {self.folder} can be read. Pass --overwrite true to "
                "train anew."
            )
        return 0

    def add_metrics_of_interrupted_epoch(self) -> None:
        """Adds the metric sums of the restored checkpoint to the current ones.

        Must be called after the first step, which creates the variables of the metrics.
        """
        self._engine.update_variables(self.model)
        variables = self.model.metrics_variables
        if len(self.metrics) < len(variables):  # older checkpoints lack this variable
            variables = [v for v in variables if not v.path.endswith("/invalid")]
        for variable, before in zip(variables, self.metrics, strict=True):
            variable.assign(variable + before)

    def _check_origin(self, folder: Path, facts: dict) -> None:
        """Raises ValueError for the checkpoint of other data, or of another backend."""
        before = facts.get("data")  # missing in older checkpoints
        if None not in (before, self.data) and before != self.data:
            raise ValueError(
                f"The checkpoint {folder} belongs to other data: {before}. Received: {self.data}. "
                "Put the data back, or pass --overwrite true to train anew."
            )
        written_on, here = facts.get("backend", "tensorflow"), self._engine.name
        if written_on != here:
            run = folder.parents[1]
            raise ValueError(
                f"The checkpoint {folder} was written on the Keras backend {written_on}. Received: "
                f"{here}, whose rounding and random numbers differ, so the training would not "
                f"resume as it began. Set KERAS_BACKEND={written_on}; or start another run from "
                f"its best model: --initial_weights {run / MODEL_NAME} --output {run}_{here}; or "
                "pass --overwrite true to train anew."
            )

    def _check_finite(self, step: int) -> None:
        for variable in self.model.trainable_variables:
            if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
                raise Diverged(f"{variable.path} is not finite after step {step}.")


def saved_steps(folder: Path) -> list[Path]:
    """The checkpoint folders, the newest first."""
    return sorted(Path(folder).glob(f"{PREFIX}*"), reverse=True)


def remove_unfinished(folder: Path) -> None:
    """Removes checkpoints that a killed process left incomplete."""
    for part in Path(folder).glob(f"{UNFINISHED}*"):
        shutil.rmtree(part, ignore_errors=True)


def _checked_facts(folder: Path) -> dict:
    """Reads the facts of a checkpoint. Raises an error if any of its files has changed."""
    facts = json.loads((folder / FACTS).read_text())
    if type(facts["step"]) is not int or folder.name != f"{PREFIX}{facts['step']:09d}":
        raise ValueError(f"{FACTS} names step {facts['step']!r}")
    state = {path.name for path in folder.glob("state.*")}
    if not state:
        raise ValueError("its variables are missing")
    needed = {METRICS, *state}
    unlisted = needed - {*facts["sha256"]}
    if unlisted:
        raise ValueError(f"{FACTS} does not list {sorted(unlisted)}")
    for name, digest in facts["sha256"].items():
        if _digest(folder / name) != digest:
            raise ValueError(f"{name} is not what was written")
    return facts


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(folder: Path) -> None:
    """Renames the folder first, so that a half-removed one does not count as a checkpoint."""
    doomed = folder.with_name(f"{UNFINISHED}{folder.name}_old")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Forces the files to the disk: a named folder is complete even after a power failure."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
