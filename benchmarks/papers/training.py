"""One training of a study: its recipe, its folder, its resumption, its time and its measurement."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from benchmarks.papers import networks, object_crops
from benchmarks.papers.measuring import EXTRA, METRICS, Predictions, trainable_parameters
from benchmarks.papers.records import Study, Variant
from keras_seg import inference, training
from keras_seg.data import open_dataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.wrappers.folds import FoldDataset
from keras_seg.names import IGNORE_CLASS
from keras_seg.training.pictures import sheet
from keras_seg.training.recipe import Recipe
from keras_seg.training.recipe_io import from_record

CHECKPOINT_STEPS = 60
TIMES = "times.jsonl"
QUICK = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "crop": [64, 64]}
QUICK_IMAGES = 2


@dataclass(frozen=True)
class Training:
    """A variant of a study with a seed.

    Attributes:
        key: name of the record and of the folder. It depends on everything that changes the
            result, so a changed study is trained anew and equal variants are trained once.
    """

    study: str
    variant: Variant
    seed: int
    record: dict
    key: str


@dataclass(frozen=True)
class Place:
    """Where trainings read and write, and how much of them is done.

    Attributes:
        data: folder of the data sets.
        work: folder of the run folders.
        quick: two steps on tiny crops.
    """

    data: Path | None
    work: Path
    quick: bool = False

    def source(self, name: str) -> str:
        return name if ":" in name else str(self.data / name)

    def has(self, name: str) -> bool:
        return ":" in name or (self.data is not None and (self.data / name).is_dir())


def trainings_of(name: str, study: Study, seed: int, *, quick: bool = False) -> list[Training]:
    """The trainings of a study with one seed, in an order in which none waits for a later one."""
    made: dict[str, Training] = {}
    for variant in study.variants:
        record = {**study.recipe, **variant.recipe, "seed": seed}
        if quick:
            record = quickened(record)
        parts = {
            "recipe": record,
            "source": study.data,
            "network": variant.network,
            "data": variant.data,
            "after": [made[each].key for each in (variant.initial, variant.teacher) if each],
        }
        text = json.dumps(parts, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        key = f"{record['model']}-{digest}-seed{seed}"
        made[variant.name] = Training(name, variant, seed, record, key)
    return list(made.values())


def quickened(record: dict) -> dict:
    record = {**record, **QUICK, "schedule_options": {}}
    if record.get("resize"):
        record["resize"] = QUICK["crop"]
    return record


def recipe_of(each: Training, study: Study, place: Place, keys: dict[str, str]) -> Recipe:
    """The recipe of a training.

    Args:
        keys: name of a variant of the study → key of its training with the same seed.
    """
    record = {
        **each.record,
        "data": place.source(study.data),
        "output": str(place.work / each.key),
        "overlays": 0,
        "checkpoint_steps": CHECKPOINT_STEPS,
    }
    for entry, name in (
        ("initial_weights", each.variant.initial),
        ("teacher", each.variant.teacher),
    ):
        if name is not None:
            record[entry] = str(place.work / keys[name] / "model.keras")
    return from_record(record, Recipe)


class Times(keras.callbacks.Callback):
    """Writes the wall time and the processor time of every epoch, also of an interrupted run."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_train_begin(self, logs=None) -> None:
        self.start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        now = time.perf_counter(), time.process_time()
        seconds = [after - before for after, before in zip(now, self.start, strict=True)]
        self.start = now
        row = {"epoch": epoch + 1, "wall": seconds[0], "processor": seconds[1]}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def train(recipe: Recipe, variant: Variant, place: Place, minutes: float | None) -> bool:
    """Trains, or resumes, and tells whether the training is finished.

    Args:
        minutes: pause after the epoch in which this time runs out; None for no limit.
    """
    folder = Path(recipe.output)
    folder.mkdir(parents=True, exist_ok=True)
    result = training.train(
        replace(recipe, max_minutes=minutes),
        rewrite=None if variant.network is None else getattr(networks, variant.network),
        data=data_of(recipe, variant, place),
        callbacks=[Times(folder / TIMES)],
    )
    return result.finished


def data_of(recipe: Recipe, variant: Variant, place: Place) -> tuple | None:
    """(training, validation) data, where they are not those of the recipe."""
    if variant.data is None and not place.quick:
        return None
    train_set, val_set = (
        open_dataset(recipe.data, split, channels=recipe.channels) for split in ("train", "val")
    )
    if place.quick:
        train_set, val_set = first_images(train_set, 2 * QUICK_IMAGES), first_images(val_set)
    if variant.data is not None:
        train_set = getattr(object_crops, variant.data)(train_set)
    return train_set, val_set


def first_images(dataset: SegmentationDataset, number: int = QUICK_IMAGES) -> FoldDataset:
    places = [(0, index) for index in range(min(number, len(dataset)))]
    return FoldDataset([dataset], places, dataset.split)


def measure(recipe: Recipe, variant: Variant, study: Study, *, quick: bool = False) -> dict:
    """Scores of the best model on the validation images, its parameters, steps and minutes."""
    folder = Path(recipe.output)
    runner = inference.load(folder / "model.keras")
    images = open_dataset(recipe.data, "val", channels=recipe.channels)
    predictions = Predictions(runner, images, QUICK_IMAGES if quick else None)
    scores = {name: METRICS[name](predictions) for name in study.metrics}
    for name in variant.extra:
        scores |= EXTRA[name](predictions)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    times = {}  # an epoch that was trained twice counts once
    for line in (folder / TIMES).read_text().splitlines():
        row = json.loads(line)
        times[row["epoch"]] = row
    return {
        "model": recipe.model,
        "parameters": trainable_parameters(runner.model),
        "steps": recipe.epochs * recipe.steps_per_epoch,
        "batch_size": recipe.batch_size,
        "crop": list(recipe.crop),
        "minutes": round(sum(row["wall"] for row in times.values()) / 60, 2),
        "processor_minutes": round(sum(row["processor"] for row in times.values()) / 60, 2),
        "best_epoch": max(rows, key=lambda row: row["val_mean_iou"])["epoch"],
        "val_miou": [row["val_mean_iou"] for row in rows],
        "loss": [row["loss"] for row in rows],
        "scores": scores,
        "images": images_by_score(predictions, images.classes, folder),
    }


def images_by_score(predictions: Predictions, classes: ClassTable, folder: Path) -> dict[str, str]:
    """Names of the best and the worst validation image, by the share of their right pixels.

    Both are drawn into `best_and_worst.png` of the folder: image, truth and prediction.
    """
    shares = []
    for sample, scores in zip(predictions.samples, predictions.scores, strict=True):
        counted = sample.mask != IGNORE_CLASS
        shares.append(float((scores.argmax(-1) == sample.mask)[counted].mean()))
    places = {"best": int(np.argmax(shares)), "worst": int(np.argmin(shares))}
    rows = []
    for place in places.values():
        sample, scores = predictions.samples[place], predictions.scores[place]
        rows.append((sample.image, sample.mask, scores.argmax(-1).astype(np.uint8)))
    sheet(rows, classes).save(folder / "best_and_worst.png")
    return {name: predictions.samples[place].name for name, place in places.items()}
