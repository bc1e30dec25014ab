"""The recipe that `train` chooses from the data, beside hand-made recipes of the same time.

    python -m benchmarks.measure.defaults [--quick] [--data FOLDER] [--sets NAME ...] [--minutes N]

The chosen recipe trains first, as long as it chose, or for `--minutes`. Each hand-made recipe of
`benchmarks/recipes` then gets the number of epochs that take the same time on this machine. All
models are measured on the validation images at their own size. `--data` is a folder that holds
`camvid`, `dsb2018_nuclei` and `isbi2012`; without it only the built-in sets are trained. Writes
`defaults.json` after every training; a second call continues. Writes `defaults.md` at the end.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras

from benchmarks import common
from benchmarks.measure.literature import VALIDATION_SHARE, seconds_of_a_step
from keras_seg import inference, training
from keras_seg.data import open_dataset
from keras_seg.data.pipeline import steps_per_epoch
from keras_seg.training.recipe import Recipe
from keras_seg.training.recipe_io import from_record, read_yaml

RECIPES = Path(__file__).parents[1] / "recipes"
CHOSEN = "chosen"
ENOUGH = 2.0
"""Points of mIoU that the chosen recipe may be behind the best hand-made one."""


class DataSet(NamedTuple):
    """Data, a name or a folder below `--data`, and the hand-made recipes for it."""

    source: str
    recipes: tuple[str, ...]


SETS = {
    "cells": DataSet("builtin:cells", ("builtin-unet", "builtin-deeplabv3plus")),
    "streets": DataSet("builtin:streets", ("builtin-unet", "builtin-deeplabv3plus")),
    "faces": DataSet("builtin:faces", ("builtin-unet", "builtin-deeplabv3plus")),
    "camvid": DataSet("camvid", ("camvid-deeplabv3plus", "camvid-segnet")),
    "nuclei": DataSet("dsb2018_nuclei", ("nuclei-unet", "nuclei-unetplusplus")),
    "isbi": DataSet("isbi2012", ("isbi-unet",)),
}
QUICK_STEPS = 2


def main() -> None:
    options = parse()
    path = common.output_folder(options) / "defaults.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(("keras-seg", "tensorflow", "keras")),
        "minutes": options.minutes,
        "sets": {},
    }
    if path.exists():
        earlier = json.loads(path.read_text())
        if earlier["minutes"] == options.minutes:
            record["sets"] = earlier["sets"]
    for name in options.sets or SETS:
        source = source_of(SETS[name], options.data)
        if source is None:
            print(f"{name}: left out, --data FOLDER/{SETS[name].source} is needed")
            continue
        runs = record["sets"].setdefault(name, {})
        for recipe in (CHOSEN, *SETS[name].recipes):
            if recipe not in runs:
                runs[recipe] = measure(source, recipe, runs.get(CHOSEN), options)
                common.keep(path, record)
    common.write(path, record, markdown(record))


def parse() -> argparse.Namespace:
    parser = common.parser(__doc__, "two steps per training")
    parser.add_argument("--data", type=Path, help="folder of camvid, dsb2018_nuclei and isbi2012")
    parser.add_argument("--sets", nargs="+", choices=SETS, help="by default all")
    parser.add_argument("--minutes", type=float, help="of a training; by default as chosen")
    return parser.parse_args()


def source_of(dataset: DataSet, folder: Path | None) -> str | None:
    """The name of a data set for `open_dataset`; None for a folder that is not given."""
    if ":" in dataset.source:
        return dataset.source
    path = None if folder is None else folder / dataset.source
    return str(path) if path is not None and path.is_dir() else None


def measure(source: str, name: str, chosen: dict | None, options: argparse.Namespace) -> dict:
    """Trains a recipe, and measures its best model on whole validation images."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_of(source, name, folder)
        if options.quick:
            recipe = replace(recipe, epochs=1, steps_per_epoch=QUICK_STEPS, **no_warmup(recipe))
        elif name != CHOSEN:
            recipe = lengthened(recipe, chosen["minutes"])
        elif options.minutes is not None:
            recipe = lengthened(recipe, options.minutes)
        start = time.perf_counter()
        result = training.train(replace(recipe, overwrite=True, overlays=0, max_minutes=None))
        minutes = (time.perf_counter() - start) / 60
        images = open_dataset(source, "val", **reading(recipe))
        limit = QUICK_STEPS if options.quick else None
        evaluation = inference.evaluate(result.model_path, images, limit=limit)
    keras.backend.clear_session()
    return {
        "model": recipe.model,
        "crop": list(recipe.crop),
        "batch_size": recipe.batch_size,
        "steps": recipe.epochs * steps_of_an_epoch(recipe),
        "minutes": round(minutes, 2),
        "best_epoch": result.best_epoch,
        "epochs": recipe.epochs,
        "miou": evaluation.miou,
        "chosen": recipe.chosen,
    }


def recipe_of(source: str, name: str, folder: str) -> Recipe:
    if name == CHOSEN:
        return training.choose_recipe(source, folder)
    entries = read_yaml(RECIPES / f"{name}.yaml")
    return from_record({"data": source, "output": folder, **entries}, Recipe)


def lengthened(recipe: Recipe, minutes: float) -> Recipe:
    """The recipe with the number of epochs that take so long on this machine."""
    classes = len(open_dataset(recipe.data, "train", **reading(recipe)).classes)
    steps = 60 * minutes / (VALIDATION_SHARE * seconds_of_a_step(recipe, classes))
    epochs = max(1, round(steps / steps_of_an_epoch(recipe)))
    recipe = replace(recipe, epochs=epochs)
    return replace(recipe, **no_warmup(recipe)) if epochs == 1 else recipe


def steps_of_an_epoch(recipe: Recipe) -> int:
    images = open_dataset(recipe.data, "train", **reading(recipe))
    return recipe.steps_per_epoch or steps_per_epoch(images, recipe.batch_size)


def reading(recipe: Recipe) -> dict:
    """How the images of a recipe are read."""
    return {"channels": recipe.channels, "value_range": recipe.image_range}


def no_warmup(recipe: Recipe) -> dict:
    return {"schedule_options": replace(recipe.schedule_options, warmup_epochs=0.0)}


def markdown(record: dict) -> str:
    header = ("data", "recipe", "network", "crop", "batch", "steps", "minutes", "val mIoU %")
    rows, verdicts = [], []
    for name, runs in record["sets"].items():
        for recipe, run in runs.items():
            crop = "x".join(map(str, run["crop"]))
            numbers = (run["batch_size"], run["steps"], run["minutes"])
            score = f"{100 * run['miou']:.2f}"
            rows.append((name, recipe, run["model"], crop, *numbers, score))
        verdicts.append(f"- {name}: {verdict(runs)}")
    return (
        "# The chosen recipe beside hand-made ones\n\n"
        f"{common.machine_line(record)} Validation images at their own size; one run each.\n\n"
        f"{common.markdown_table(header, rows)}\n" + "\n".join(verdicts) + "\n"
    )


def verdict(runs: dict) -> str:
    """How far the chosen recipe is from the best hand-made one."""
    others = {name: run["miou"] for name, run in runs.items() if name != CHOSEN}
    best = max(others, key=others.get)
    ahead = 100 * (runs[CHOSEN]["miou"] - others[best])
    enough = "within" if ahead >= -ENOUGH else "not within"
    return f"{ahead:+.2f} points against {best}, {enough} {ENOUGH:g} points"


if __name__ == "__main__":
    main()
