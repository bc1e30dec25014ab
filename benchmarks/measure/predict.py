"""Prediction of a folder of images: this package, one after the other and on all cores, and a loop.

    python -m benchmarks.measure.predict [--data FOLDER] [--before COMMIT]
        [--torch-python PYTHON] [--files FOLDER] [--rounds N]
        [--fresh] [--quick]

A small U-Net is trained on the built-in cells for a moment and exported. Each side then predicts
the same images, from files to masks in files, in a process of its own; the sides take turns. The
loop uses ONNX Runtime and Pillow, on the same network and the same windows. PYTHON may be the
interpreter of another environment for it; otherwise it runs in this one. Writes `predict.json`
after every set, where a second call continues, and `predict.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import common
from benchmarks.measure.commits import environment, unpack
from benchmarks.own_process import ANSWER

PACKAGES = ("keras-seg", "tensorflow", "keras", "numpy", "pillow", "ai-edge-litert", "onnxruntime")
ROOT = Path(__file__).parents[2]
SIDES_SCRIPT = Path(__file__).with_name("predict_sides.py")
CROP = 128
IMAGES, QUICK_IMAGES = 16, 4
PHOTO = (1224, 1632)
"""Height and width of the large images, of 2 megapixels."""
PHOTOS, QUICK_PHOTOS = 2, 1
SAMPLES, QUICK_SAMPLES, DRAWN = 2_000, 40, 100
"""Samples of the data set; the drawn ones are shifted to make more."""
ROUNDS, QUICK_ROUNDS = 3, 1
FILES = {"int8": "int8.tflite", "float32": "float32.tflite", "ONNX": "float32.onnx"}
ALONE, ONE_CORE, IN_TURN, NOW, BEFORE, LOOP = (
    "the network alone, one core",
    "one core",
    "all cores, one image at a time",
    "all cores",
    "all cores, before",
    "loop with ONNX Runtime and Pillow",
)
TIMEOUT_SECONDS = 300


def main() -> None:
    options = _arguments()
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "sets": {},
    }
    path = common.output_folder(options) / "predict.json"
    if path.exists() and not options.fresh:
        old = json.loads(path.read_text())
        if old["versions"] == record["versions"]:
            record = old
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.files is None:
            make_files(folder, options.quick)
        else:
            for file in FILES.values():
                shutil.copy(options.files / file, folder)
        sets = make_images(folder, options)
        before = None
        if options.before is not None:
            before = environment(unpack(options.before, folder / "before"))
        for images, kinds in sets.items():
            for kind in kinds:
                title = f"{images}, {kind}"
                if title in record["sets"]:
                    continue
                sides = sides_of(kind, options, before)
                record["sets"][title] = measure(folder, images, FILES[kind], sides, rounds)
                print(f"{title}: {record['sets'][title]}", flush=True)
                common.keep(path, record)
        if not options.quick or options.output is not None:
            record["data"] = record.get("data") or measure_data(folder, options)
    common.write(path, record, markdown(record))


def measure_data(folder: Path, options: argparse.Namespace) -> dict[str, dict]:
    """Seconds and memory of `evaluate` and `verify-dataset` on a folder of 512x512 pixels."""
    make_data_set(folder / "data" / "all", QUICK_SAMPLES if options.quick else SAMPLES)
    make_data_set(folder / "data" / "few", 20)
    own = {"threads": options.threads, "python": sys.executable, "variables": {}}
    return {
        name: ask(folder, "data", FILES["int8"], {"side": name, **own}, folder / "out")
        for name in ("evaluate", "verify")
    }


def make_data_set(folder: Path, count: int) -> None:
    """Writes images and masks of 512x512 pixels, all of them different."""
    from keras_seg.data import BuiltinDataset

    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    cells = BuiltinDataset("cells", "train", length=min(count, DRAWN), size=(512, 512))
    samples = [cells[i] for i in range(len(cells))]
    for i in range(count):
        sample, shift = samples[i % len(samples)], i // len(samples)
        image, mask = (np.roll(each, shift, axis=1) for each in (sample.image, sample.mask))
        Image.fromarray(image).save(folder / "images" / f"{i:05}.jpg", quality=90)
        Image.fromarray(mask.astype(np.uint8)).save(folder / "masks" / f"{i:05}.png")


def sides_of(kind: str, options: argparse.Namespace, before: dict | None) -> dict[str, dict]:
    """Name of a side → its command, its words and its variables."""
    threads, own = options.threads, {"python": sys.executable, "variables": {}}
    sides = {
        ALONE: {"side": "alone", "threads": 1, **own},
        ONE_CORE: {"side": "ours", "threads": 1, "workers": 1, **own},
        IN_TURN: {"side": "ours", "threads": threads, "workers": 1, **own},
        NOW: {"side": "ours", "threads": threads, "workers": None, **own},
    }
    if before is not None:
        sides[BEFORE] = {"side": "ours", "threads": threads, **own, "variables": before}
    if kind != "int8":
        python = options.torch_python or sys.executable
        sides[LOOP] = {"side": "loop", "threads": threads, "python": python, "variables": {}}
    return sides


def measure(
    folder: Path, images: str, file: str, sides: dict[str, dict], rounds: int
) -> dict[str, dict]:
    """Side → wall and CPU seconds of a pass over the images, memory, and pixels that differ."""
    wall: dict[str, list[float]] = {side: [] for side in sides}
    cpu: dict[str, list[float]] = {side: [] for side in sides}
    results: dict[str, dict] = {}
    for _ in range(rounds):
        for name, side in sides.items():
            answer = ask(folder, images, file, side, folder / "out" / name)
            wall[name].append(1e3 * answer.pop("wall"))
            cpu[name].append(1e3 * answer.pop("cpu"))
            results[name] = answer
    times, work = common.summaries(wall, NOW), common.summaries(cpu, ALONE)
    for name, result in results.items():
        result |= {"wall": times[name], "cpu": work[name]}
        if (folder / "out" / name).exists():
            result["differ"] = differing(folder / "out" / name, folder / "out" / NOW)
    return results


def ask(folder: Path, images: str, file: str, side: dict, output: Path) -> dict:
    """Runs a side in its own process."""
    words = {key: side[key] for key in ("side", "threads", "workers") if key in side}
    if side["side"] == "loop":
        file = FILES["ONNX"]
    words |= {"file": str(folder / file), "images": str(folder / images), "output": str(output)}
    command = [side["python"], str(SIDES_SCRIPT), json.dumps(words)]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        env=variables | side["variables"],
    )
    for line in done.stdout.splitlines():
        if line.startswith(ANSWER):
            return json.loads(line.removeprefix(ANSWER))
    sys.exit(f"{command} failed: {done.stderr[-2000:]}")


def differing(folder: Path, reference: Path) -> int:
    """Number of pixels in which the masks of two folders differ."""
    count = 0
    for path in sorted(reference.glob("*_mask.png")):
        own, other = (np.asarray(Image.open(each / path.name)) for each in (folder, reference))
        count += int((own != other).sum())
    return count


def make_files(folder: Path, quick: bool) -> None:
    """Trains the network of `keras-seg demo` for a moment, and exports it."""
    from keras_seg import training
    from keras_seg.data import BuiltinDataset
    from keras_seg.export import export

    recipe = training.Recipe(
        data="builtin:cells",
        output=str(folder / "run"),
        model_options={"widths": (4, 8) if quick else (8, 16, 32, 64, 128)},
        crop=(CROP, CROP),
        epochs=1 if quick else 3,
        learning_rate=2e-3,
    )
    training.train(recipe)
    cells = BuiltinDataset("cells", "train", length=8)
    for name in FILES.values():
        export(
            folder / "run" / "model.keras",
            folder / name,
            quantize="int8" if "int8" in name else None,
            calibration=cells,
            evaluation=cells,
            input_shape=(CROP, CROP, 3),
            max_drop=100,
        )


def make_images(folder: Path, options: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Writes the images; name of their folder → the files that predict them."""
    from keras_seg.data import BuiltinDataset

    count, photos = (QUICK_IMAGES, QUICK_PHOTOS) if options.quick else (IMAGES, PHOTOS)
    small, large = f"{count} small images", f"{photos} images of 2 megapixels"
    for name in (small, large):
        (folder / name).mkdir()
    if options.data is None:
        cells = BuiltinDataset("cells", "val", length=count, size=(256, 320))
        pictures = [Image.fromarray(cells[i].image) for i in range(count)]
    else:
        paths = sorted(path for path in options.data.iterdir() if path.is_file())
        paths = paths[:: max(1, len(paths) // count)][:count]
        pictures = [Image.open(path).convert("RGB") for path in paths]
    for i, picture in enumerate(pictures):
        picture.save(folder / small / f"{i:03}.png")
    scenes = BuiltinDataset("cells", "val", length=photos, size=PHOTO)
    for i in range(photos):
        Image.fromarray(scenes[i].image).save(folder / large / f"{i:03}.jpg", quality=92)
    return {small: tuple(FILES), large: ("int8", "float32")}


def markdown(record: dict) -> str:
    """A table per set and file."""
    parts = [
        "# Prediction of a folder\n\n"
        f"{common.machine_line(record)} From image files to masks in files; a U-Net with windows "
        f"of {CROP}x{CROP}, half a window apart. Processes take turns. CPU time is that of all "
        "threads together. The loop has one session with all threads and does the same to each "
        "window: softmax, Gaussian weights, sum.\n"
    ]
    header = (
        *("side", "wall, s", "wall / all cores", "CPU, s", "CPU / network alone"),
        *("peak memory, MiB: first quarter", "all", "pixels that differ"),
    )
    for title, sides in record["sets"].items():
        rows = [_row(name, side) for name, side in sides.items()]
        parts.append(f"## {title}\n\n{common.markdown_table(header, rows)}")
    if record.get("data"):
        names = ("", "images", "s", "images/s", "peak memory, MiB: few images", "all")
        rows = [
            (
                *(name, each["images"], f"{each['wall']:.1f}"),
                *(f"{each['images'] / each['wall']:.1f}", each["few_mib"], each["peak_mib"]),
            )
            for name, each in record["data"].items()
        ]
        table = common.markdown_table(names, rows)
        parts.append(f"## Data sets of 512x512 pixels, all cores, int8 file\n\n{table}")
    return "\n".join(parts)


def _row(name: str, side: dict) -> tuple[str, ...]:
    wall, cpu = side["wall"], side["cpu"]
    return (
        name,
        f"{wall['median_ms'] / 1e3:.2f}",
        f"{wall['ratio']:.2f}",
        f"{cpu['median_ms'] / 1e3:.2f}",
        f"{cpu['ratio']:.2f}",
        str(side.get("quarter_mib", "-")),
        str(side.get("peak_mib", "-")),
        str(side.get("differ", "-")),
    )


def _arguments() -> argparse.Namespace:
    parser = common.parser(__doc__, quick=f"a tiny network, {QUICK_IMAGES} images, one round")
    parser.add_argument("--data", type=Path, help="folder of images for the small ones")
    parser.add_argument("--fresh", action="store_true", help="measure kept sets again")
    parser.add_argument("--rounds", type=int, help="turns of each side")
    parser.add_argument("--files", type=Path, help=f"folder with {', '.join(FILES.values())}")
    parser.add_argument("--before", help="commit, branch or tag to compare with")
    parser.add_argument("--torch-python", help="interpreter that has ONNX Runtime and Pillow")
    return parser.parse_args()


if __name__ == "__main__":
    main()
