"""Training curves of finished runs on real images.

    keras-seg train --config benchmarks/recipes/camvid-segnet.yaml --data CAMVID --output runs/a
    python -m benchmarks.measure.curves runs/a runs/...

Writes `curves.json`, `curves.md` and `curves.png`. Earlier curves of other runs are kept.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from benchmarks import common
from keras_seg.training.recipe import RECIPE_NAME, Recipe

RESULTS = common.RESULTS / "curves.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders that `keras-seg train` wrote")
    options = parser.parse_args()
    earlier = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else {}
    record = {
        "machine": common.machine(os.cpu_count()),
        "versions": common.versions(("keras-seg", "tensorflow", "keras")),
        "runs": earlier | {run.name: curve(run) for run in options.runs},
    }
    draw(RESULTS.with_suffix(".png"), record["runs"])
    common.write(RESULTS, record, report(record))


def curve(run: Path) -> dict:
    """What a run was and what each of its epochs gave."""
    recipe = Recipe.from_yaml(run / RECIPE_NAME)
    epochs = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    best = max(epochs, key=lambda epoch: epoch["val_mean_iou"])
    return {
        "model": recipe.model,
        "options": recipe.model_options,
        "crop": recipe.crop,
        "epochs": recipe.epochs,
        "minutes": round(sum(epoch["seconds"] for epoch in epochs) / 60, 1),
        "best_epoch": best["epoch"],
        "best_miou": best["val_mean_iou"],
        "best_iou": best["val_iou"],
        "miou": [epoch["mean_iou"] for epoch in epochs],
        "val_miou": [epoch["val_mean_iou"] for epoch in epochs],
    }


def draw(path: Path, runs: dict) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharex=True)
    for axis, which, title in zip(
        axes, ("miou", "val_miou"), ("training", "validation"), strict=True
    ):
        for name, run in runs.items():
            axis.plot(range(1, len(run[which]) + 1), run[which], marker=".", label=name)
        axis.set(title=f"mean IoU, {title}", xlabel="epoch", ylim=(0, 1))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def report(record: dict) -> str:
    rows = [
        (
            name,
            run["model"],
            "x".join(map(str, run["crop"])),
            f"{run['best_epoch']} of {run['epochs']}",
            f"{run['minutes']:.0f}",
            f"{100 * run['best_miou']:.2f}",
            ", ".join(f"{label} {100 * iou:.1f}" for label, iou in run["best_iou"].items()),
        )
        for name, run in record["runs"].items()
    ]
    header = (
        "recipe",
        "network",
        "crop",
        "best epoch",
        "minutes",
        "val mIoU %",
        "IoU of classes %",
    )
    return (
        "# Trainings on real images\n\n"
        f"{common.machine_line(record)} From random values by the recipes in `benchmarks/recipes`, "
        "on the training images alone; two at a time, one thread each.\n\n"
        f"{common.markdown_table(header, rows)}\n![Curves](curves.png)\n"
    )


if __name__ == "__main__":
    main()
