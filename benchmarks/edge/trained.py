"""Networks that are trained already: accuracy, cost and placement of each kind of exported file.

    python -m benchmarks.edge --models FOLDER [--data FOLDER] [--vela PROGRAM] [--quick]
        [--names NAME ...] [--files FILE ...]

`FOLDER` has folders of runs at any depth, such as the work folder of `benchmarks.papers`, or .keras
files. The validation images are those of the run, or of `--data`. Each file is converted and
measured in its own process: mIoU, share of equal classes, memory, time, and the operators that
each device leaves to the CPU. Vela estimates the time on Ethos-U. When a network has all its files,
their latency is measured in turn in one process. Writes `edge_trained.json` after every file and
`edge_trained.md` at the end. A second call continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from benchmarks.common import RESULTS, keep, machine, versions, write
from benchmarks.edge.trained_tables import markdown
from benchmarks.own_process import ask

PACKAGES = ("keras-seg", "tensorflow", "keras", "ai-edge-litert", "onnxruntime", "tf2onnx")
TIMEOUT_SECONDS = 7200
KERAS = "Keras"
FILES = {
    "TFLite fp32": ("fp32.tflite", {}),
    "TFLite fp16": ("fp16.tflite", {"quantize": "fp16"}),
    "TFLite dynamic": ("dynamic.tflite", {"quantize": "dynamic"}),
    "TFLite int8": ("int8.tflite", {"quantize": "int8", "input": "uint8"}),
    "TFLite int8, Ethos-U55": (
        "u55.tflite",
        {"quantize": "int8", "input": "int8", "target": "ethos-u55"},
    ),
    "TFLite int8, Ethos-U85": (
        "u85.tflite",
        {"quantize": "int8", "input": "int8", "target": "ethos-u85"},
    ),
    "TFLite mixed": ("mixed.tflite", {"quantize": "mixed"}),
    "ONNX fp32": ("fp32.onnx", {}),
    "ONNX fp16": ("fp16.onnx", {"quantize": "fp16"}),
    "ONNX int8": ("int8.onnx", {"quantize": "int8"}),
}
"""Row → file and options of `export`."""
QUICK_FILES = ("TFLite fp32", "TFLite int8, Ethos-U55", "ONNX int8")
VELA = {
    "TFLite int8, Ethos-U55": ("ethos-u55", "ethos-u65"),
    "TFLite int8, Ethos-U85": ("ethos-u85",),
}
"""Row → the devices that Vela compiles its file for; U65 has the operators of U55."""


def run(options: argparse.Namespace) -> None:
    """Measures every network of `options.models` that was not measured before."""
    path = options.output / "edge_trained.json"
    record = {
        "machine": machine(options.threads),
        "versions": versions(PACKAGES),
        "images": options.images,
        "models": {},
    }
    if path.exists() and not options.fresh:
        old = json.loads(path.read_text())
        record["models"] = old["models"] if old["images"] == options.images else {}
    found = trained_models(options.models)
    for name in options.names or found:
        facts = model_facts(found[name])
        known = record["models"].get(name, {})
        if known.get("sha256") != facts["sha256"]:
            known = facts | {"rows": {}}
        record["models"][name] = known
        for row in (KERAS, *rows_of(options)):
            if row in known["rows"] and "error" not in known["rows"][row]:
                continue
            known["rows"][row] = _asked(found[name], name, row, options)
            print(f"{name}, {row}: {json.dumps(known['rows'][row])}", flush=True)
            keep(path, record)
        measured = [row for row, facts in known["rows"].items() if "miou" in facts]
        if sorted(known.get("latency", {})) != sorted(measured):
            known["latency"] = _asked(found[name], name, measured, options)
            keep(path, record)
    write(path, record, markdown(record))


def trained_models(folder: Path) -> dict[str, Path]:
    """Name → path of the .keras files below a folder; the model of a run has the folder's name.

    Raises: SystemExit if there are none.
    """
    from keras_seg.training.run_folder import MODEL_NAME, recipe_beside

    found = {}
    for path in sorted(folder.rglob("*.keras")):
        is_run = recipe_beside(path) is not None
        if is_run and path.name != MODEL_NAME:  # a checkpoint of the training
            continue
        place = path.parent if is_run else path.with_suffix("")
        found[str(place.relative_to(folder)) if place != folder else folder.name] = path
    if not found:
        raise SystemExit(f"There is no .keras file below {folder}.")
    return found


def model_facts(path: Path) -> dict:
    """What the tables say about a network, and the checksum of its file."""
    from keras_seg.training.run_folder import recipe_beside

    recipe = recipe_beside(path)
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    network = None if recipe is None else recipe.model
    return {"sha256": checksum, "network": network}


def rows_of(options: argparse.Namespace) -> list[str]:
    """The files to make of each network."""
    return [row for row in FILES if row in (options.files or FILES)]


def words_of(path: Path, name: str, options: argparse.Namespace) -> dict:
    """The arguments of `benchmarks.edge.trained_file` that do not depend on the row."""
    return {
        "model": str(path),
        "data": options.data,
        "size": options.size,
        "folder": str(options.cache / "files" / name),
        "images": options.images,
        "threads": options.threads,
        "vela": options.vela,
        "repeats": options.repeats,
    }


def _asked(path: Path, name: str, rows: str | list[str], options: argparse.Namespace) -> dict:
    words = words_of(path, name, options) | {"rows": rows}
    return ask("benchmarks.edge.trained_file", [json.dumps(words)], timeout=TIMEOUT_SECONDS)


def complete(options: argparse.Namespace) -> None:
    """Fills in the options that depend on --quick."""
    temporary = Path(tempfile.gettempdir()) / "keras_seg_edge_trained"
    options.images = options.images or (2 if options.quick else 24)
    options.repeats = options.repeats or (3 if options.quick else 20)
    options.files = options.files or (QUICK_FILES if options.quick else None)
    options.cache = options.cache or (temporary if options.quick else Path("runs/edge"))
    options.output = options.output or (temporary if options.quick else RESULTS)
    options.vela = options.vela or shutil.which("vela")
