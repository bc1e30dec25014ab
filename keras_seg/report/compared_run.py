"""A run as a row of a comparison. No model is loaded."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from keras_seg.report.run_facts import RunFacts, default_recipe, read_run
from keras_seg.training.run_folder import MODEL_NAME


@dataclass(frozen=True)
class ComparedRun:
    """A row of the comparison.

    Attributes:
        facts: what the files of the run say.
        recipe: dotted entry → value, with the defaults of entries that the recipe does not have.
        miou: best validation mIoU.
        epoch: epoch of that mIoU.
        per_class: class name → IoU in that epoch.
        parameters: number of weights of model.keras; None if it cannot be read.
        unfinished: what is missing, in words; empty for a finished run.
        folds: the runs of a cross-validation, whose means the row has.
    """

    facts: RunFacts
    recipe: dict[str, Any]
    miou: float
    epoch: int
    per_class: dict[str, float | None]
    parameters: int | None
    unfinished: str
    folds: tuple[ComparedRun, ...] = ()


def read_compared_run(folder: Path) -> ComparedRun:
    """Reads the files of a run.

    Raises: ValueError for what is not a run with a finished epoch, with the reason as the end of a
        sentence; OSError for a file that cannot be read.
    """
    if not folder.is_dir():
        raise ValueError("it does not exist.")
    facts = read_run(folder)
    if not facts.rows and not facts.recipe_text:
        raise ValueError("it is not the folder of a run.")
    if facts.best is None:
        raise ValueError("its log has no finished epoch.")
    miou, epoch = facts.best
    row = next(row for row in facts.rows if row["epoch"] == epoch)
    per_class = row.get("val_iou")
    recipe = flat_entries(default_recipe()) | flat_entries(facts.recipe)
    return ComparedRun(
        facts,
        recipe,
        miou,
        epoch,
        per_class if isinstance(per_class, dict) else {},
        count_parameters(folder / MODEL_NAME),
        _unfinished(facts),
    )


def count_parameters(path: Path) -> int | None:
    """The number of weights in a .keras file, which is not loaded; None if it cannot be read."""
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open("model.weights.h5") as stored,
            h5py.File(stored) as weights,
        ):
            sizes: list[int] = []
            weights["layers"].visititems(lambda name, item: sizes.append(_size(name, item)))
            return sum(sizes)
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def _size(name: str, item: h5py.Dataset | h5py.Group) -> int:
    """The states of random generators are stored beside the weights."""
    is_weight = isinstance(item, h5py.Dataset) and "seed_generator" not in name
    return item.size if is_weight else 0


def _unfinished(facts: RunFacts) -> str:
    """What is missing; an early stop finishes a run, too."""
    planned, patience = facts.recipe.get("epochs"), facts.recipe.get("early_stop")
    done = len(facts.rows)
    if not isinstance(planned, int) or done >= planned:
        return ""
    if isinstance(patience, int) and facts.best and done - facts.best[1] >= patience:
        return ""
    return f"unfinished: {done} of {planned} epochs."


def flat_entries(record: dict, prefix: str = "") -> dict[str, Any]:
    """Nested entries as dotted ones."""
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict) and value:
            flat |= flat_entries(value, f"{prefix}{key}.")
        elif value != {}:
            flat[f"{prefix}{key}"] = value
    return flat
