"""`keras-seg report RUNS`: several runs as one table in the terminal and one HTML page."""

from __future__ import annotations

import shutil
import textwrap
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
from rich.table import Table

from keras_seg.atomic_files import write_text
from keras_seg.inference.results import percent
from keras_seg.report import charts
from keras_seg.report.rendering import render
from keras_seg.report.run_facts import (
    UNSHOWN,
    RunFacts,
    as_yaml,
    default_recipe,
    duration,
    read_run,
)
from keras_seg.training.run_folder import MODEL_NAME

COLUMNS = ("model", "crop", "loss", "epochs")
"""Entries of the recipe that have a column, whether they differ or not."""
SHAREABLE = ("network", "crop", "loss")
"""Columns of the terminal that a line replaces if they are equal in all runs."""
UNFOLDED = ("mIoU", "network", "crop", "time", "parameters")
"""Columns of the terminal whose texts stay in one line."""
CLASSES_IN_TERMINAL = 4
"""Maximum number of classes with a column in the terminal."""
WIDE_TERMINAL = 120
"""Number of characters per line from which the terminal shows classes."""
SHOWN_TEXT = 100
"""Maximum length of the data and the classes in a sentence."""


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
    """

    facts: RunFacts
    recipe: dict[str, Any]
    miou: float
    epoch: int
    per_class: dict[str, float | None]
    parameters: int | None
    unfinished: str


@dataclass(frozen=True)
class RunComparison:
    """Several runs, the best first.

    Attributes:
        runs: the runs that have a finished epoch.
        notes: sentences about runs that are broken, unfinished, or of other data or classes.
    """

    runs: list[ComparedRun]
    notes: list[str] = field(default_factory=list)

    @property
    def class_names(self) -> list[str]:
        """The names of the classes of all runs."""
        return list(dict.fromkeys(name for run in self.runs for name in run.per_class))

    @property
    def differing(self) -> list[str]:
        """Entries of the recipes that differ between the runs and have no column of their own."""
        entries = dict.fromkeys(entry for run in self.runs for entry in run.recipe)
        return [
            entry
            for entry in entries
            if entry.partition(".")[0] not in (*UNSHOWN, *COLUMNS, "chosen")
            and len({as_yaml(run.recipe.get(entry)) for run in self.runs}) > 1
        ]

    @property
    def shared(self) -> dict[str, str]:
        """Title → text of the columns that are equal in all of several runs."""
        cells = [_cells(run) for run in self.runs]
        return {
            title: cells[0][title]
            for title in SHAREABLE
            if len(cells) > 1 and all(row[title] == cells[0][title] for row in cells)
        }

    def table(self) -> Table:
        """The table for the terminal, without the columns that are equal in all runs."""
        names = self.class_names
        is_wide = shutil.get_terminal_size().columns >= WIDE_TERMINAL
        names = names if is_wide and len(names) <= CLASSES_IN_TERMINAL else []
        titles = [title for title in _cells(self.runs[0]) if title not in self.shared]
        table = Table(title=f"{len(self.runs)} runs by their best validation mIoU")
        for title in (*titles, *names):
            table.add_column(title, overflow="fold", no_wrap=title in UNFOLDED)
        for run in self.runs:
            cells = _cells(run)
            scores = [percent(run.per_class.get(name), "") for name in names]
            table.add_row(*(cells[title] for title in titles), *scores)
        return table

    def lines(self) -> list[str]:
        """What the terminal shows below the table.

        A line for what all runs share, and a line for each run with the entries of its recipe that
        other runs do not have and that are not the defaults.
        """
        shared = ", ".join(f"{title} {text}" for title, text in self.shared.items())
        lines = [f"All runs: {shared}"] if shared else []
        defaults = {key: as_yaml(value) for key, value in _flat(default_recipe()).items()}
        for run in self.runs:
            texts = {key: as_yaml(run.recipe.get(key)) for key in self.differing}
            own = [f"{key} {text}" for key, text in texts.items() if text != defaults.get(key)]
            if own:
                lines.append(f"{run.facts.name}: {', '.join(own)}")
        return lines


def compare_runs(folders: Sequence[Path]) -> RunComparison:
    """Reads the runs in these folders. No model is loaded.

    Raises: ValueError if no folder holds a run with a finished epoch.
    """
    runs, notes = [], []
    for folder in folders:
        try:
            runs.append(_read(folder))
        except (ValueError, OSError) as error:
            notes.append(f"{folder} is left out: {error}")
    if not runs:
        raise ValueError("No run can be compared. " + " ".join(notes))
    notes += [f"{run.facts.folder} is {run.unfinished}" for run in runs if run.unfinished]
    notes += _other_data(runs)
    return RunComparison(sorted(runs, key=lambda run: -run.miou), notes)


def write_comparison(comparison: RunComparison, path: Path) -> None:
    """Writes the page, one file that refers to no other.

    Raises: OSError if it cannot be written.
    """
    names, differing = comparison.class_names, comparison.differing
    labels = _labels([run.facts.folder for run in comparison.runs])
    rows = [
        _cells(run)
        | {"run": label}
        | {entry: as_yaml(run.recipe.get(entry)) for entry in differing}
        | {f"IoU {name}": percent(run.per_class.get(name), "") for name in names}
        for run, label in zip(comparison.runs, labels, strict=True)
    ]
    page = render(
        "comparison.html",
        title=f"{len(rows)} runs",
        notes=comparison.notes,
        rows=rows,
        curves=charts.compared_curves(
            {label: run.facts.rows for run, label in zip(comparison.runs, labels, strict=True)}
        ),
    )
    write_text(path, page)


def _read(folder: Path) -> ComparedRun:
    if not folder.is_dir():
        raise ValueError("it is not a folder." if folder.exists() else "it does not exist.")
    facts = read_run(folder)
    if facts.best is None:
        raise ValueError("its log has no finished epoch.")
    miou, epoch = facts.best
    row = next(row for row in facts.rows if row["epoch"] == epoch)
    per_class = row.get("val_iou")
    recipe = _flat(default_recipe()) | _flat(facts.recipe)
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


def _other_data(runs: Sequence[ComparedRun]) -> list[str]:
    """Sentences about the runs whose data or classes are not those of most runs."""
    others: dict[Path, list[str]] = {}
    for what, read in (("data", _data_of), ("classes", _classes_of)):
        values = [read(run) for run in runs]
        ((usual, _),) = Counter(values).most_common(1)
        for run, value in zip(runs, values, strict=True):
            if value != usual:
                named = f"other {what} ({textwrap.shorten(value, SHOWN_TEXT)})"
                others.setdefault(run.facts.folder, []).append(named)
    return [
        f"{folder} has {' and '.join(named)} than most runs: its mIoU cannot be compared."
        for folder, named in others.items()
    ]


def _data_of(run: ComparedRun) -> str:
    return str(run.recipe.get("data"))


def _classes_of(run: ComparedRun) -> str:
    return ", ".join(run.facts.classes or run.per_class)


def _cells(run: ComparedRun) -> dict[str, str]:
    """Title → text of the columns that every comparison has."""
    done, planned = len(run.facts.rows), run.recipe.get("epochs")
    epochs = f"{run.epoch} of {done}" + (f" (planned {planned})" if run.unfinished else "")
    crop, parameters = run.recipe.get("crop"), run.parameters
    return {
        "run": run.facts.name,
        "mIoU": percent(run.miou),
        "epoch": epochs,
        "network": str(run.recipe.get("model")),
        "crop": "x".join(map(str, crop)) if isinstance(crop, list) else str(crop),
        "loss": as_yaml(run.recipe.get("loss")),
        "time": duration(run.facts.seconds),
        "parameters": "" if parameters is None else f"{parameters:,}",
    }


def _flat(record: dict, prefix: str = "") -> dict[str, Any]:
    """Nested entries as dotted ones."""
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        elif value != {}:
            flat[f"{prefix}{key}"] = value
    return flat


def _labels(folders: Sequence[Path]) -> list[str]:
    """The names of the folders; their paths where two names are equal."""
    names = [folder.resolve().name for folder in folders]
    return [
        str(folder) if names.count(name) > 1 else name
        for folder, name in zip(folders, names, strict=True)
    ]
