"""`keras-seg report RUNS`: several runs as one table in the terminal and one HTML page."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from keras_seg.atomic_files import write_text
from keras_seg.inference.results import percent
from keras_seg.report import charts
from keras_seg.report.compared_run import ComparedRun, flat_entries, read_compared_run
from keras_seg.report.fold_groups import (
    folders_of_runs,
    grouped,
    mean_and_deviation,
    summary,
)
from keras_seg.report.rendering import render
from keras_seg.report.run_facts import UNSHOWN, as_yaml, default_recipe, duration

COLUMNS = ("model", "crop", "loss", "epochs")
"""Entries of the recipe that have a column, whether they differ or not."""
SHAREABLE = ("network", "crop", "loss")
"""Columns of the terminal that a line replaces if they are equal in all runs."""
UNFOLDED = ("mIoU", "network", "crop", "time", "parameters")
"""Columns of the terminal whose texts stay in one line."""
CLASSES_IN_TERMINAL = 4
"""Maximum number of classes with a column in the terminal."""
NAMED_FILES = 3
"""Number of files that a sentence names."""
WIDE_TERMINAL = 120
"""Number of characters per line from which the terminal shows classes."""
SHOWN_TEXT = 100
"""Maximum length of the data and the classes in a sentence."""


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
        named = ("fold",) if summary(self.runs) else ()  # folds of one training, named by it
        return [
            entry
            for entry in entries
            if entry.partition(".")[0] not in (*UNSHOWN, *COLUMNS, *named, "chosen")
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
            scores = [_class_score(run, name) for name in names]
            table.add_row(*(cells[title] for title in titles), *scores)
        return table

    def lines(self) -> list[str]:
        """What the terminal shows below the table.

        A line for what all runs share, one for the means of the folds of a cross-validation, and a
        line for each run with the entries of its recipe that other runs do not have and that are
        not the defaults.
        """
        shared = ", ".join(f"{title} {text}" for title, text in self.shared.items())
        lines = [f"All runs: {shared}"] if shared else []
        lines += filter(None, [summary(self.runs)])
        defaults = {key: as_yaml(value) for key, value in flat_entries(default_recipe()).items()}
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
    runs, notes = [], _files_left_out([path for path in folders if path.is_file()])
    for folder in (run for path in folders if not path.is_file() for run in folders_of_runs(path)):
        try:
            runs.append(read_compared_run(folder))
        except (ValueError, OSError) as error:
            notes.append(f"{folder} is left out: {error}")
    if not runs:
        raise ValueError("No run can be compared. " + " ".join(notes))
    runs = grouped(runs)
    notes += [f"{run.facts.folder} is {run.unfinished}" for run in runs if run.unfinished]
    notes += _other_data(runs)
    if not summary(runs):
        notes += _other_images(runs)
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
        | {f"IoU {name}": _class_score(run, name) for name in names}
        for run, label in zip(comparison.runs, labels, strict=True)
    ]
    page = render(
        "comparison.html",
        title=f"{len(rows)} runs",
        notes=[*comparison.notes, *filter(None, [summary(comparison.runs)])],
        rows=rows,
        curves=charts.compared_curves(
            {label: run.facts.rows for run, label in zip(comparison.runs, labels, strict=True)}
        ),
    )
    write_text(path, page)


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
        f"{folder} has {' and '.join(named)} than {_others(runs)}: its mIoU cannot be compared."
        for folder, named in others.items()
    ]


def _files_left_out(files: Sequence[Path]) -> list[str]:
    if not files:
        return []
    named = ", ".join(map(str, files[:NAMED_FILES])) + ", ..." * (len(files) > NAMED_FILES)
    one = len(files) == 1
    return [f"{named} {'is' if one else 'are'} left out: not {'a folder' if one else 'folders'}."]


def _other_images(runs: Sequence[ComparedRun]) -> list[str]:
    """Sentences about the runs that are validated on other images than most runs."""
    values = [_validated_on(run) for run in runs]
    ((usual, _),) = Counter(values).most_common(1)
    others = _others(runs)
    return [
        f"{run.facts.folder} is validated on {value}, and {others} on {usual}: these are other "
        "images of the same data."
        for run, value in zip(runs, values, strict=True)
        if value != usual
    ]


def _others(runs: Sequence[ComparedRun]) -> str:
    return "most runs" if len(runs) > 2 else "the other run"


def _validated_on(run: ComparedRun) -> str:
    if run.folds:
        return f"{len(run.folds)} folds"
    fold = run.recipe.get("fold")
    return f"the fold {fold}" if fold else "the validation split"


def _data_of(run: ComparedRun) -> str:
    return str(run.recipe.get("data"))


def _classes_of(run: ComparedRun) -> str:
    return ", ".join(run.facts.classes or run.per_class)


def _cells(run: ComparedRun) -> dict[str, str]:
    """Title → text of the columns that every comparison has."""
    done, planned = len(run.facts.rows), run.recipe.get("epochs")
    epochs = f"{run.epoch} of {done}" + (f" (planned {planned})" if run.unfinished else "")
    miou = percent(run.miou)
    if run.folds:
        epochs = f"{len(run.folds)} folds"
        miou = mean_and_deviation(each.miou for each in run.folds)
    crop, parameters = run.recipe.get("crop"), run.parameters
    return {
        "run": run.facts.name,
        "mIoU": miou,
        "epoch": epochs,
        "network": str(run.recipe.get("model")),
        "crop": "x".join(map(str, crop)) if isinstance(crop, list) else str(crop),
        "loss": as_yaml(run.recipe.get("loss")),
        "time": duration(run.facts.seconds),
        "parameters": "" if parameters is None else f"{parameters:,}",
    }


def _class_score(run: ComparedRun, name: str) -> str:
    """The IoU of a class as text; with the deviation for the folds of a cross-validation."""
    return mean_and_deviation(each.per_class.get(name) for each in run.folds or (run,))


def _labels(folders: Sequence[Path]) -> list[str]:
    """The names of the folders; their paths where two names are equal."""
    names = [folder.resolve().name for folder in folders]
    return [
        str(folder) if names.count(name) > 1 else name
        for folder, name in zip(folders, names, strict=True)
    ]
