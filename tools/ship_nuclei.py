"""Trains, exports and measures the model "nuclei", and copies it into the package.

    python -m tools.ship_nuclei FOLDER --run runs/nuclei

FOLDER is the full set of nuclei, see `keras_seg/data/builtin/nuclei/README.md`. The training
follows `benchmarks/recipes/shipped-nuclei.yaml`. It resumes where it stopped, and a training that
has ended is only exported and measured. The int8 file must pass the gate of `keras-seg export`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

import keras
import yaml

from keras_seg import inference, models, training
from keras_seg.data import SegmentationDataset, open_dataset
from keras_seg.data.builtin.nuclei import CLASSES
from keras_seg.export import export
from keras_seg.shipped_models import FACTS_NAME, SHIPPED
from keras_seg.training.history import CSV_NAME
from keras_seg.training.recipe import RECIPE_NAME

RECIPE = Path(__file__).parents[1] / "benchmarks" / "recipes" / "shipped-nuclei.yaml"
TARGET = SHIPPED["nuclei"].parent
FILES = {"miou": SHIPPED["nuclei"].name, "int8_miou": SHIPPED["nuclei_int8"].name}
SIZE = (256, 256, 3)
"""Image of the int8 file; larger images are predicted in tiles."""
LIMIT = 3_000_000
"""Largest size of both files together, in bytes."""
CARD = """# nuclei: a U-Net for microscopy images

`keras-seg predict nuclei photo.png` marks cell nuclei in fluorescence, stained and bright-field
images.

| file | mIoU on {images} validation images | size |
| --- | --- | --- |
| `model.keras` | {miou} % | {size} kB |
| `model_int8.tflite`, {height}x{width} | {int8_miou} % | {int8_size} kB |

IoU of the nuclei alone: {iou} %, in int8 {int8_iou} %. The best epoch was chosen on these images,
too.

- Network: U-Net with {parameters:,} parameters. It takes pixels of 0 to 255.
- Classes: 0 background, 1 nucleus.
- Data: the {training} training images of Data Science Bowl 2018, stage 1, in the split of
  `benchmarks/recipes/shipped-nuclei.yaml`, CC0 1.0. `builtin:nuclei` is a part of both splits.
- Made by `python -m tools.ship_nuclei FOLDER`, {epochs} epochs, Keras {keras}.
- Touching nuclei are one region in the mask. `--instances --split_touching distance` separates
  them.
- It has seen no other stains and no electron microscopy. It is not a medical device.

Licence of the weights: Apache-2.0.
"""


PAGE = Path(__file__).parents[1] / "docs" / "weights.md"
START, END = "<!-- written by tools.ship_nuclei -->\n", "<!-- end of tools.ship_nuclei -->\n"
TABLE = """| file | mIoU on {images} validation images | IoU of nuclei | size |
| --- | --- | --- | --- |
| `nuclei`: Keras | {miou} % | {iou} % | {size} kB |
| `nuclei_int8`: TFLite, {height}x{width} | {int8_miou} % | {int8_iou} % | {int8_size} kB |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", help="the full set")
    parser.add_argument("--run", type=Path, default=Path("runs/nuclei"), help="folder of the run")
    parser.add_argument(
        "--trained", action="store_true", help="take the best model of the run as it is"
    )
    arguments = parser.parse_args()
    run = arguments.run
    if not arguments.trained:
        _train(arguments.folder, run)
    train = open_dataset(arguments.folder, "train", classes=CLASSES)
    val = open_dataset(arguments.folder, "val", classes=CLASSES)
    export(
        run / FILES["miou"],
        run / FILES["int8_miou"],
        quantize="int8",
        input_shape=SIZE,
        calibration=train,
        evaluation=val,
    )
    facts = _measured(run, val) | {"training": len(train)}
    total = sum((run / name).stat().st_size for name in FILES.values())
    if total > LIMIT:
        raise SystemExit(f"The files have {total:,} bytes, more than {LIMIT:,}.")
    _copy(run, facts)
    print(f"{TARGET}: {total:,} bytes; mIoU {facts['miou']} %, int8 {facts['int8_miou']} %")


def _train(folder: str, run: Path) -> None:
    entries = yaml.safe_load(RECIPE.read_text()) | {"data": folder, "output": str(run)}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, RECIPE.name)
        path.write_text(yaml.safe_dump(entries))
        result = training.train(training.Recipe.from_yaml(path))
    if not result.finished:
        raise SystemExit("The training was interrupted. The same command continues it.")


def _measured(run: Path, val: SegmentationDataset) -> dict[str, float | int | str]:
    """mIoU and IoU of the nuclei in percent, and what the card states."""
    facts: dict[str, float | int | str] = {
        "images": len(val),
        "measured": f"{len(val)} validation images of the set",
    }
    for key, name in FILES.items():
        result = inference.evaluate(inference.load(run / name), val)
        facts[key] = round(100 * result.miou, 1)
        facts[key.replace("miou", "iou")] = round(100 * result.per_class_iou["nucleus"], 1)
        facts[key.replace("miou", "size")] = round((run / name).stat().st_size / 1000)
    return facts


def _copy(run: Path, facts: dict[str, float | int | str]) -> None:
    """Writes the files, their recipe, the facts and the card into the package."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in FILES.values():
        shutil.copyfile(run / name, TARGET / name)
    recipe = training.Recipe.from_yaml(run / RECIPE_NAME)
    recipe = dataclasses.replace(recipe, data="builtin:nuclei", output="runs/nuclei")
    note = "# Trained on the full set, of which builtin:nuclei is a part.\n"
    (TARGET / RECIPE_NAME).write_text(note + recipe.to_yaml())
    facts = facts | {
        "parameters": models.load(run / FILES["miou"]).count_params(),
        "epochs": len((run / CSV_NAME).read_text().splitlines()) - 1,
        "keras": keras.__version__,
    }
    (TARGET / FACTS_NAME).write_text(json.dumps(facts, indent=1) + "\n")
    facts = facts | {"height": SIZE[0], "width": SIZE[1]}
    (TARGET / "README.md").write_text(CARD.format(**facts))
    before, rest = PAGE.read_text().split(START)
    PAGE.write_text(before + START + TABLE.format(**facts) + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
