"""The runs of a cross-validation as one row of a comparison, with means and deviations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

from keras_seg.inference.results import percent
from keras_seg.report.compared_run import ComparedRun
from keras_seg.training.recipe import RECIPE_NAME

FOLD_FOLDER = re.compile(r"fold_(\d+)$")
AVERAGED = ("loss", "val_loss", "mean_iou", "val_mean_iou")
"""Numbers of an epoch that have a curve."""


def folders_of_runs(folder: Path) -> list[Path]:
    """The folders of the folds, if a folder holds those of a cross-validation; else the folder."""
    if not folder.is_dir() or (folder / RECIPE_NAME).exists():
        return [folder]
    folds = [path for path in folder.iterdir() if FOLD_FOLDER.match(path.name) and path.is_dir()]
    return sorted(folds, key=_number) or [folder]


def fold_of(run: ComparedRun) -> tuple[Path, str] | None:
    """Folder of the cross-validation and number of its folds, if a run is one of them."""
    _, slash, count = str(run.recipe.get("fold") or "").partition("/")
    if not slash or not FOLD_FOLDER.match(run.facts.name):
        return None
    return run.facts.folder.resolve().parent, count


def grouped(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """The runs, with one row for all folds of a training.

    The folds of one training alone stay, because then they are what is compared.
    """
    groups: dict[object, list[ComparedRun]] = {}
    for place, run in enumerate(runs):
        groups.setdefault(fold_of(run) or place, []).append(run)
    if len(groups) == 1:
        return list(runs)
    rows = []
    for key, members in groups.items():
        rows.append(_row(members, int(key[1])) if isinstance(key, tuple) else members[0])
    return rows


def mean_and_deviation(values: Iterable[float | None]) -> str:
    """Percentages as text, such as "61.20 ± 1.30 %"; empty without any."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < 2:
        return percent(numbers[0] if numbers else None, "")
    return f"{100 * fmean(numbers):.2f} ± {100 * stdev(numbers):.2f} %"


def summary(runs: Sequence[ComparedRun]) -> str:
    """The means of the folds of one training, in one line; empty for other runs."""
    keys = {fold_of(run) for run in runs}
    if len(runs) < 2 or len(keys) > 1 or None in keys:
        return ""
    names = dict.fromkeys(name for run in runs for name in run.per_class)
    scores = {"mIoU": mean_and_deviation(run.miou for run in runs)} | {
        name: mean_and_deviation(run.per_class.get(name) for run in runs) for name in names
    }
    listed = ", ".join(f"{name} {text}" for name, text in scores.items())
    return f"Mean and standard deviation of {len(runs)} folds: {listed}"


def _row(folds: list[ComparedRun], planned: int) -> ComparedRun:
    """The folds of one training as one row."""
    folds = sorted(folds, key=lambda run: _number(run.facts.folder))
    first = folds[0]
    done = min(len(run.facts.rows) for run in folds)
    curves = [_mean_row([run.facts.rows[place] for run in folds]) for place in range(done)]
    curves[0]["seconds"] = sum(run.facts.seconds for run in folds)
    names = dict.fromkeys(name for run in folds for name in run.per_class)
    incomplete = [run for run in folds if run.unfinished]
    unfinished = ""
    if incomplete or len(folds) < planned:
        unfinished = f"unfinished: {len(folds) - len(incomplete)} of {planned} folds."
    return replace(
        first,
        facts=replace(first.facts, folder=first.facts.folder.parent, rows=curves),
        recipe=first.recipe | {"fold": None},
        miou=fmean(run.miou for run in folds),
        per_class={name: _mean(run.per_class.get(name) for run in folds) for name in names},
        unfinished=unfinished,
        folds=tuple(folds),
    )


def _mean_row(rows: Sequence[dict]) -> dict:
    """The numbers of an epoch, averaged over the folds."""
    return {"epoch": rows[0]["epoch"]} | {
        name: _mean(row.get(name) for row in rows) for name in AVERAGED
    }


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if numbers else None


def _number(folder: Path) -> int:
    match = FOLD_FOLDER.match(folder.name)
    return int(match[1]) if match else 0
