"""Claims of the papers, measured: parameters, memory between encoder and decoder, accuracy.

    python -m benchmarks.measure.literature [--quick] [--data FOLDER] [--minutes N | --epochs N]
        [--size HEIGHT WIDTH] [--fresh]

Parameters and memory are measured at the papers' widths. For the accuracy, every network is trained
with 16 channels in its first stage by one recipe: same images, seed, crops and number of steps. The
number of steps is given by `--epochs`, or is what an average network does in `--minutes` on this
machine. Writes `literature.json` after every network; a second call continues. Writes
`literature.md` at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from benchmarks.common import RESULTS, machine, machine_line, markdown_table, versions, write
from benchmarks.measure.halves import between_the_halves
from keras_seg import inference, models, training
from keras_seg.data.pipeline import steps_per_epoch
from keras_seg.training.data_sets import open_data
from keras_seg.training.outputs import at_image_size, output_losses, output_masks
from keras_seg.training.recipe import Recipe

NETWORKS = {
    # the last layer of the encoder; widths for training, from 16 as in the ResUNet++ paper
    "unet": ("down4.maxpool_conv.1.double_conv.4.act", (16, 32, 64, 128, 256)),
    "resunet": ("bridge.conv_block.add", (16, 32, 64, 128)),
    "resunetplusplus": ("b1.c5", (16, 32, 64, 128, 256)),
    "segnet": ("pool5", ((16, 16), (32, 32), (64, 64, 64), (128, 128, 128), (128, 128, 128))),
    "segnet_basic": ("pool4", (16, 16, 16, 16)),
}
QUICK = {
    "unet": (4, 4, 8, 8, 8),
    "resunet": (4, 4, 8, 8),
    "resunetplusplus": (8, 8, 8, 8, 8),
    "segnet": ((4, 4), (4, 4), (8, 8, 8), (8, 8, 8), (8, 8, 8)),
    "segnet_basic": (4, 4, 4, 4),
}
VALIDATION_SHARE = 1.3
"""What an epoch takes, as a multiple of its steps alone."""


def main() -> None:
    options = parse()
    recipe = Recipe(
        data=options.data,
        output="",
        resize=tuple(options.size),
        crop=tuple(options.size),
        batch_size=options.batch_size,
        learning_rate=1e-3,
        overlays=0,
    )
    widths = QUICK if options.quick else {name: entry[1] for name, entry in NETWORKS.items()}
    recipes = {
        name: replace(recipe, model=name, model_options={"widths": widths[name]}) for name in widths
    }
    images, classes = len(open_data(recipe, "train")), open_data(recipe, "train").classes
    facts = {name: paper_facts(name, len(classes), options.size) for name in NETWORKS}
    epochs = options.epochs or epochs_in(recipes, options.minutes, len(classes))
    record = {
        "machine": machine(os.cpu_count()),
        "versions": versions(("tensorflow", "keras")),
        "data": Path(options.data).name,
        "training_images": images,
        "classes": len(classes),
        "size": options.size,
        "batch_size": options.batch_size,
        "epochs": epochs,
        "steps": epochs * steps_per_epoch(open_data(recipe, "train"), options.batch_size),
        "networks": {},
    }
    if options.output.exists() and not options.fresh:
        record["networks"] = finished(json.loads(options.output.read_text()), record)
    for name in NETWORKS:
        if name not in record["networks"]:
            found = train(replace(recipes[name], epochs=epochs))
            record["networks"][name] = facts[name] | found
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(record, indent=1) + "\n")
    write(options.output, record, markdown(record))


def finished(old: dict, record: dict) -> dict:
    """Networks of an interrupted run with the same settings."""
    alike = all(old.get(key) == record[key] for key in record.keys() - {"machine", "networks"})
    return old["networks"] if alike else {}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny networks, one epoch")
    parser.add_argument("--data", default="builtin:streets", help="folder or built-in data set")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training a network")
    parser.add_argument("--epochs", type=int, help="of training a network, in place of --minutes")
    parser.add_argument("--size", type=int, nargs=2, help="height and width of images in pixels")
    parser.add_argument("--batch_size", type=int, help="images a step; 4, or 40 with --quick")
    parser.add_argument("--fresh", action="store_true", help="train finished networks again")
    parser.add_argument("--output", type=Path, help="JSON; quick runs go to a temporary folder")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if options.quick else RESULTS
    options.output = options.output or folder / "literature.json"
    options.epochs = 1 if options.quick else options.epochs
    options.size = options.size or ([48, 64] if options.quick else [240, 320])
    options.batch_size = options.batch_size or (40 if options.quick else 4)
    return options


def paper_facts(name: str, num_classes: int, size) -> dict:
    """Parameters, and what crosses from encoder to decoder, at the widths of the paper."""
    model = models.build(name, (*size, 3), num_classes)
    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    tensors = between_the_halves(model, NETWORKS[name][0])
    keras.backend.clear_session()
    return {"trainable_parameters": parameters, "between_the_halves": tensors}


def epochs_in(recipes: dict[str, Recipe], minutes: float, num_classes: int) -> int:
    """Epochs that all networks can have, so that they take `minutes` each on average."""
    seconds = [seconds_of_a_step(recipe, num_classes) for recipe in recipes.values()]
    recipe = next(iter(recipes.values()))
    steps = steps_per_epoch(open_data(recipe, "train"), recipe.batch_size)
    epoch = VALIDATION_SHARE * steps * float(np.mean(seconds))
    return max(1, int(60 * minutes / epoch))


def seconds_of_a_step(recipe: Recipe, num_classes: int) -> float:
    shape = (None, None, recipe.channels or 3)
    network = models.build(recipe.model, shape, num_classes, **recipe.model_options)
    model = at_image_size(network)
    model.compile("adam", jit_compile=False, **output_losses(model, "cross_entropy"))
    images = np.zeros((recipe.batch_size, *recipe.crop, shape[-1]), "float32")
    images, masks = output_masks(model)(images, np.zeros(images.shape[:3], "int32"))
    took = []
    for _ in range(4):
        start = time.perf_counter()
        model.train_on_batch(images, masks)
        took.append(time.perf_counter() - start)
    keras.backend.clear_session()
    return min(took[1:])  # the first builds the graph


def train(recipe: Recipe) -> dict:
    """Accuracy of the best epoch on the whole validation images, and what training took."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = training.train(replace(recipe, output=folder, overwrite=True))
        minutes = (time.perf_counter() - start) / 60
        runner = inference.load(result.model_path)
        parameters = sum(int(np.prod(w.shape)) for w in runner.model.trainable_weights)
        found = inference.evaluate(runner, open_data(recipe, "val"))
    keras.backend.clear_session()
    return {
        "trained_widths": recipe.model_options["widths"],
        "trained_parameters": parameters,
        "miou": found.miou,
        "pixel_accuracy": found.pixel_accuracy,
        "best_epoch": result.best_epoch,
        "minutes": round(minutes, 2),
    }


def markdown(record: dict) -> str:
    height, width = record["size"]
    unet = record["networks"]["unet"]
    channels = unet["trained_widths"][0]
    header = (
        *("network", "parameters", "x U-Net", "kept KiB", "x U-Net", "places in 2 bits KiB"),
        *("bottleneck KiB", "trained parameters", "pixel accuracy %", "mIoU %"),
    )
    rows = [
        [
            models.find(name).title,
            f"{found['trainable_parameters']:,}",
            f"{found['trainable_parameters'] / unet['trainable_parameters']:.2f}",
            f"{kept(found) / 1024:.0f}",
            f"{kept(found) / kept(unet):.3f}",
            packed(found),
            f"{total(found, bottleneck=True) / 1024:.0f}",
            f"{found['trained_parameters']:,}",
            f"{100 * found['pixel_accuracy']:.2f}",
            f"{100 * found['miou']:.2f}",
        ]
        for name, found in record["networks"].items()
    ]
    return (
        f"{machine_line(record)}\n\n"
        f"Parameters and memory at the papers' widths, {record['classes']} classes, an image of "
        f"{height}x{width}. Kept: the tensors that the decoder reads besides the bottleneck, as "
        "stored in memory at inference. Positions of maxima are stored as bytes and need 2 bits.\n"
        "\n"
        f"Accuracy on the validation images of {record['data']} after training with {channels} "
        f"channels in the first stage, on {record['training_images']} images of {height}x{width}, "
        "from random values: "
        f"{record['steps']} steps ({record['epochs']} epochs) of {record['batch_size']} images, "
        "one recipe and one seed for all, best epoch by mIoU. One run each, so differences of a "
        "few points mean nothing.\n\n" + markdown_table(header, rows)
    )


def total(found: dict, *, bottleneck: bool) -> int:
    tensors = found["between_the_halves"]
    return sum(tensor["bytes"] for tensor in tensors if tensor["bottleneck"] == bottleneck)


def kept(found: dict) -> int:
    return total(found, bottleneck=False)


def packed(found: dict) -> str:
    """KiB of all places at 2 bits each, four to a byte."""
    places = [t["bytes"] for t in found["between_the_halves"] if t["dtype"] == "uint8"]
    return f"{sum(places) / 4 / 1024:.0f}" if places else ""


if __name__ == "__main__":
    main()
