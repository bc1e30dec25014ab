"""Images per second of the training pipeline, for each augmentation, and of reading files.

    python -m benchmarks.measure.data [--quick]

Generated street images of 360x480 pixels in memory, in crops of 256x256 and batches of 8, through
the pipeline that training uses. Each row is the best of three passes. Writes `data.json` and
`data.md`.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks import common
from keras_seg.data import (
    Augmentation,
    BuiltinDataset,
    CachedDataset,
    FolderDataset,
    training_pipeline,
)
from keras_seg.data.balance.weight_maps import weight_map

SIZE, CROP, BATCH = (360, 480), (256, 256), 8
STILL = {"flip_horizontal": False, "scale": (1, 1), "brightness": 0, "contrast": 0, "saturation": 0}
ROWS = {
    "crop alone": {},
    "flip": {"flip_horizontal": True},
    "scale 0.5-2": {"scale": (0.5, 2.0)},
    "rotation 15 degrees": {"rotation": 15.0},
    "elastic 10 px": {"elastic": 10.0},
    "scale, rotation, elastic (one warp)": {"scale": (0.5, 2.0), "rotation": 15.0, "elastic": 10.0},
    "brightness, contrast, saturation": {"brightness": 0.1, "contrast": 0.2, "saturation": 0.2},
    "hue": {"hue": 0.05},
    "gamma": {"gamma": 0.3},
    "mask morphology 2 px": {"mask_morphology": 2},
    "default of a recipe": {**vars(Augmentation())},
    "everything": {
        "flip_horizontal": True,
        "flip_vertical": True,
        "scale": (0.5, 2.0),
        "rotation": 15.0,
        "elastic": 10.0,
        "brightness": 0.1,
        "contrast": 0.2,
        "saturation": 0.2,
        "hue": 0.05,
        "gamma": 0.3,
        "mask_morphology": 2,
    },
}


def main() -> None:
    parser = common.parser(__doc__, quick="few images, one pass")
    parser.add_argument("--images", type=int, default=160)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    images, passes = (32, 1) if options.quick else (options.images, 3)
    dataset = CachedDataset(BuiltinDataset("streets", size=SIZE, length=images))
    dataset.fill()
    rates = {
        name: rate(dataset, Augmentation(**{**STILL, **drawn}), passes)
        for name, drawn in ROWS.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".jpg", ".png"):
            files = write_folder(Path(folder) / suffix[1:], dataset, suffix)
            rates[f"reading {suffix[1:].upper()} and PNG mask, crop alone"] = rate(
                files, Augmentation(**STILL), passes
            )
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(("keras-seg", "tensorflow", "numpy")),
        "image": SIZE,
        "crop": CROP,
        "batch": BATCH,
        "images": images,
        "images_per_second": rates,
        "weight_map_seconds": weight_map_seconds(passes),
    }
    common.write(common.output_folder(options) / "data.json", record, markdown(record))


def rate(dataset, augmentation: Augmentation, passes: int) -> float:
    """Images a second; the first batch, which traces the graph, is not counted."""
    best = 0.0
    for number in range(passes):
        batches = iter(
            training_pipeline(
                dataset,
                crop=CROP,
                batch_size=BATCH,
                epochs=2,
                augmentation=augmentation,
                seed=number,
            )
        )
        next(batches)
        start, images = time.perf_counter(), 0
        for image, _ in batches:
            images += len(image)
        best = max(best, images / (time.perf_counter() - start))
    return round(best, 1)


def write_folder(folder: Path, dataset, suffix: str) -> FolderDataset:
    """The samples as files, all of them for training."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    names = []
    for sample in dataset:
        names.append(sample.name)
        Image.fromarray(sample.image).save(folder / "images" / f"{sample.name}{suffix}")
        mask = Image.fromarray(sample.mask.astype(np.uint8))
        mask.save(folder / "masks" / f"{sample.name}.png")
    (folder / "classes.json").write_text(json.dumps(dataset.classes.to_dict()))
    (folder / "splits.json").write_text(json.dumps({"train": names, "val": names[:1]}))
    return FolderDataset(folder)


def weight_map_seconds(passes: int) -> dict[str, float]:
    """Seconds for U-Net's map of one image, by the number of its nuclei."""
    seconds = {}
    for rows, columns in ((4, 5), (26, 40)):
        height, width = rows * 40, columns * 35
        y, x = np.mgrid[:height, :width]
        instances = y // 40 * columns + x // 35 + 1
        instances[np.hypot(y % 40 - 20, x % 35 - 17) > 15] = 0
        mask, best = (instances > 0).astype(np.int32), np.inf
        for _ in range(passes):
            start = time.perf_counter()
            weight_map(mask, instances)
            best = min(best, time.perf_counter() - start)
        seconds[f"{rows * columns} nuclei, {height}x{width}"] = round(best, 3)
    return seconds


def markdown(record: dict) -> str:
    lines = [
        f"{common.machine_line(record)} "
        f"Images {SIZE[0]}x{SIZE[1]}, crops {CROP[0]}x{CROP[1]}, batch {BATCH}.",
        "",
        "| pipeline | images/s |",
        "| --- | ---: |",
    ]
    lines += [f"| {name} | {value} |" for name, value in record["images_per_second"].items()]
    lines += ["", "| U-Net's weight map | seconds |", "| --- | ---: |"]
    lines += [f"| {name} | {value} |" for name, value in record["weight_map_seconds"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
