"""What the files of a run say about it, for the head of a page and for the comparison of runs."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from keras_seg.training.history import JSON_NAME, MONITOR, read_rows
from keras_seg.training.recipe import RECIPE_NAME, Recipe
from keras_seg.training.recipe_io import differences, read_yaml, to_record
from keras_seg.training.run_folder import CHECKPOINTS, ENVIRONMENT_NAME, MODEL_NAME

REQUIRED = {"data": "", "output": ""}
UNSHOWN = ("output", "overwrite")
"""Entries of a recipe that say nothing about the model."""


@dataclass(frozen=True)
class RunFacts:
    """What the files of a run say. Parts that are missing or damaged are empty.

    Attributes:
        folder: folder of the run.
        rows: the log, one row per epoch.
        recipe_text: the recipe as written.
        recipe: its entries; {} if they cannot be read.
        environment: devices and versions of the training.
        images: number of images of each split, as the training counted them.
        classes: names of the classes, as the training had them.
    """

    folder: Path
    rows: list[dict] = field(default_factory=list)
    recipe_text: str = ""
    recipe: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.resolve().name

    @property
    def best(self) -> tuple[float, int] | None:
        """(mIoU, epoch) of the best epoch; None without any."""
        scores = [
            (row[MONITOR], -row["epoch"]) for row in self.rows if row[MONITOR] == row[MONITOR]
        ]
        return (max(scores)[0], -max(scores)[1]) if scores else None

    @property
    def seconds(self) -> float:
        """Time of all epochs."""
        times = [row.get("seconds") for row in self.rows]
        return sum(time for time in times if isinstance(time, int | float))

    @property
    def duration(self) -> str:
        """Time and number of epochs; empty without any."""
        number = len(self.rows)
        epochs = "1 epoch" if number == 1 else f"{number} epochs"
        return f"{duration(self.seconds)}, {epochs}" if number else ""

    @property
    def changed(self) -> list[tuple[str, str, str]]:
        """(entry, value, default) of the recipe's entries that are not the defaults."""
        default = {**default_recipe(), **REQUIRED}
        known = {key: value for key, value in default.items() if key in self.recipe}
        return [
            (key, as_yaml(value), "" if key in REQUIRED else as_yaml(was))
            for key, (was, value) in differences(known, self.recipe).items()
            if key not in UNSHOWN
        ]

    @property
    def date(self) -> str:
        """Day and time of the training's start, or of the model file."""
        started = self.environment.get("started")
        if isinstance(started, str):
            return started.replace("T", " ")[:16]
        model = self.folder / MODEL_NAME
        if not model.exists():
            return ""
        written = datetime.fromtimestamp(model.stat().st_mtime)
        return f"{written:%Y-%m-%d %H:%M} (model file)"

    @property
    def device(self) -> str:
        """The device of the training, with their number if there are several."""
        name, number = self.environment.get("device", ""), self.environment.get("devices", 1)
        backend = {"tensorflow": "TensorFlow", "jax": "JAX"}.get(
            str(self.environment.get("backend", "")), ""
        )
        several = f"{number} x {name or 'device'}" if number not in (0, 1) else str(name)
        return ", ".join(filter(None, (several, backend)))


def read_run(folder: Path) -> RunFacts:
    """Reads the files of a run.

    Raises: ValueError for a damaged log; OSError for a file that cannot be read.
    """
    log, recipe_path = folder / JSON_NAME, folder / RECIPE_NAME
    text, recipe = "", {}
    if recipe_path.exists():
        text = recipe_path.read_text(errors="backslashreplace")
        with contextlib.suppress(ValueError):  # the text of a damaged recipe is shown as it is
            recipe = read_yaml(recipe_path)
    data = _last_checkpoint(folder).get("data")
    data = data if isinstance(data, dict) else {}
    images, classes = data.get("images"), data.get("classes")
    return RunFacts(
        folder,
        read_rows(log) if log.exists() else [],
        text,
        recipe,
        _json(folder / ENVIRONMENT_NAME),
        images if isinstance(images, dict) else {},
        tuple(map(str, classes)) if isinstance(classes, list) else (),
    )


def duration(seconds: float) -> str:
    """A time in words: "42 s", "3 min 10 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def as_yaml(value: Any) -> str:
    """A value as a recipe has it, in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()


def default_recipe() -> dict:
    """The defaults of a recipe's entries."""
    return to_record(Recipe(data="-", output="-"))


def _last_checkpoint(folder: Path) -> dict:
    """The facts beside the last checkpoint that can be read; {} for none."""
    for path in sorted((folder / CHECKPOINTS).glob("step_*/facts.json"), reverse=True):
        if facts := _json(path):
            return facts
    return {}


def _json(path: Path) -> dict:
    """The object in a JSON file; {} for a missing or damaged file."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
