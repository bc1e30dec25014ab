"""Every network on the edge: accuracy and cost of each kind of exported file.

    python -m benchmarks.edge --data FOLDER [--runs FOLDER] [--quick] [--names NAME ...]
    python -m benchmarks.edge --models FOLDER [--data FOLDER] [--vela PROGRAM] [--quick]

The second form measures networks that are trained already; see `benchmarks.edge.trained`. In the
first, a network with a finished run under `--runs` is taken from there, at its training size. The
others are trained for `--seconds` on crops of `--data`. Each network is then trained with
quantization for `--aware_seconds` and exported in every format. All files are evaluated on the same
validation images, in turn. Trained networks are kept in `--cache`. Results are written after every
network, and a second call continues. Writes `edge.json` and `edge.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from benchmarks.common import RESULTS, machine, versions, write
from benchmarks.edge import trained
from benchmarks.edge.tables import markdown
from benchmarks.own_process import ask

PACKAGES = (
    *("keras-seg", "tensorflow", "keras", "ai-edge-litert", "onnxruntime", "tf2onnx"),
    *("openvino", "tflite-micro"),
)
CAMERA = "deeplabv3plus at camera size"
TIMEOUT_SECONDS = 1200
ALIKE = ("versions", "data", "size", "seconds", "aware_seconds", "images")
"""Settings that must be unchanged so that a network is not measured again."""


def main() -> None:
    options = _arguments()
    if options.models is not None:
        trained.run(options)
        return
    from keras_seg import models

    path = options.output / "edge.json"
    record = {
        "machine": machine(options.threads),
        "versions": versions(PACKAGES),
        "data": Path(options.data).name,
        **{key: getattr(options, key) for key in ("size", "seconds", "aware_seconds", "images")},
        "networks": {},
    }
    if path.exists() and not options.fresh:
        record["networks"], camera = kept(json.loads(path.read_text()), record)
        record |= {"camera": camera} if camera else {}
    runs = finished_runs(options.runs)
    for name in options.names or models.list_models():
        if name not in record["networks"]:
            words = _words(name, runs.get(name), options)
            record["networks"][name] = _asked("benchmarks.edge.network", name, words)
            _keep(path, record)
    if "camera" not in record:
        words = {"run": str(runs["deeplabv3plus"])} if "deeplabv3plus" in runs else {"run": None}
        words |= {"data": options.data, "size": options.camera_size}
        words |= {"repeats": options.repeats, "threads": (1, 2)}
        record["camera"] = _asked("benchmarks.edge.camera", CAMERA, words)
    order = [name for name in models.list_models() if name in record["networks"]]
    record["networks"] = {name: record["networks"][name] for name in order}
    write(path, record, markdown(record))


def finished_runs(folder: Path | None) -> dict[str, Path]:
    """Network → the first folder of a run of it that has a model."""
    from keras_seg.training.run_folder import MODEL_NAME, recipe_beside

    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*/{MODEL_NAME}")) if folder else []:
        recipe = recipe_beside(path)
        if recipe is not None:
            found.setdefault(recipe.model, path.parent)
    return found


def kept(old: dict, record: dict) -> tuple[dict, dict | None]:
    """Networks and the camera table of an earlier run with the same settings.

    Failures are tried again; a refusal is a result.
    """
    alike = all(old.get(key) == record[key] for key in ALIKE)
    if not alike or old["machine"]["threads"] != record["machine"]["threads"]:
        return {}, None
    networks = {name: found for name, found in old["networks"].items() if "error" not in found}
    camera = old.get("camera")
    return networks, camera if camera and "error" not in camera else None


def _words(name: str, run: Path | None, options: argparse.Namespace) -> dict:
    return {
        "name": name,
        "run": None if run is None else str(run),
        "data": options.data,
        "size": options.size,
        "cache": str(options.cache),
        "folder": str(options.cache / f"{name}-files"),
        "seconds": options.seconds,
        "aware_seconds": options.aware_seconds,
        "images": options.images,
        "threads": options.threads,
    }


def _asked(module: str, name: str, words: dict) -> dict:
    start = time.perf_counter()
    found = ask(module, [json.dumps(words)], timeout=TIMEOUT_SECONDS)
    found["took_s"] = round(time.perf_counter() - start, 1)
    found["load_average"] = round(os.getloadavg()[0], 2)
    print(f"{name}: {found.get('error', 'measured')}, {found['took_s']:.0f} s", flush=True)
    return found


def _keep(path: Path, record: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder or built-in set of images with masks")
    parser.add_argument("--models", type=Path, help="folder of runs or .keras files to measure")
    parser.add_argument("--files", nargs="+", choices=trained.FILES, help="of --models: only these")
    parser.add_argument("--vela", help="the program of ethos-u-vela, for --models")
    parser.add_argument("--runs", type=Path, help="folder with folders of finished runs")
    parser.add_argument("--quick", action="store_true", help="seconds of training, few images")
    parser.add_argument("--names", nargs="+", help="only these networks, or these of --models")
    parser.add_argument("--fresh", action="store_true", help="measure kept networks again")
    parser.add_argument("--size", type=int, nargs=2, help="height and width of crops and files")
    parser.add_argument("--seconds", type=float, help="of training a network")
    parser.add_argument("--aware_seconds", type=float, help="of quantization-aware training")
    parser.add_argument("--images", type=int, help="validation images")
    parser.add_argument("--camera_size", type=int, help="height and width of the second table")
    parser.add_argument("--repeats", type=int, help="timed runs of each file of it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="folder for trained networks and their files")
    parser.add_argument("--output", type=Path, help="folder; quick runs go to a temporary one")
    options = parser.parse_args()
    if options.models is not None:
        trained.complete(options)
        return options
    if options.data is None:
        parser.error("pass --data, or --models for networks that are trained already")
    quick, temporary = options.quick, Path(tempfile.gettempdir()) / "keras_seg_edge"
    options.size = options.size or ([64, 64] if quick else [128, 128])
    options.seconds = options.seconds or (3.0 if quick else 70.0)
    options.aware_seconds = options.aware_seconds or (2.0 if quick else 35.0)
    options.images = options.images or (4 if quick else 24)
    options.camera_size = options.camera_size or (128 if quick else 512)
    options.repeats = options.repeats or (3 if quick else 20)
    options.cache = options.cache or (temporary / "cache" if quick else Path("runs/edge"))
    options.output = options.output or (temporary if quick else RESULTS)
    return options


if __name__ == "__main__":
    main()
