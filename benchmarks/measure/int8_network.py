"""Trains, exports and measures one network for `benchmarks.measure.int8`, in its own process."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from tensorflow.lite.python.optimize import calibrator

from benchmarks.edge import fit
from benchmarks.edge.fit import Subject
from benchmarks.measure.int8 import (
    AWARE,
    BEFORE,
    EXPORTED,
    KERAS,
    NOW,
    PEERS,
    TOO_WIDE,
)
from benchmarks.own_process import answer
from keras_seg import inference, models
from keras_seg.export import ExportError, export
from keras_seg.export.int8.calibration import choose_images
from keras_seg.export.network.deployed import deploy
from keras_seg.export.network_to_export import NetworkToExport, open_network
from keras_seg.export.options import HEADS, ExportOptions
from keras_seg.export.tflite.convert import Configure, as_float32, as_int8, tflite_file
from keras_seg.export.tflite.faults import float_islands
from keras_seg.export.tflite.graph import read_graphs
from keras_seg.export.tflite.measured_ranges import MeasuredRanges, measuring
from keras_seg.export.tflite.metadata import read_model, with_card, write_model
from keras_seg.inference.keras_runner import KerasRunner

SCRIPT = Path(__file__).parents[1] / "peers/scripts/litert_quantizer_files.py"


@dataclass(frozen=True)
class Request:
    """What is measured for one network; sizes are (height, width)."""

    name: str
    data: str
    cache: str
    size: tuple[int, int]
    crop: tuple[int, int]
    seconds: float
    aware_seconds: float
    images: int
    python: str | None


def measure(request: Request) -> dict:
    """Facts of the network and one row per file; a refused file has "refused": why."""
    cache = Path(request.cache)
    subject = fit.subject(request.name, None, request.data, tuple(request.size), cache)
    subject = replace(subject, crop=tuple(request.crop))
    fitted = fit.train(subject, request.seconds)
    aware = fit.train_aware(subject, request.aware_seconds)
    folder = cache / f"{request.name}-int8"
    folder.mkdir(exist_ok=True)
    rows, facts = _written(subject, folder, request.python)
    model = models.load(subject.model)
    runner = KerasRunner(
        model, models.read_card(subject.model), path=subject.model, input_shape=subject.shape
    )
    files = {name: folder / row["file"] for name, row in rows.items() if "file" in row}
    compared = inference.compare({KERAS: runner, **files}, subject.val, limit=request.images)
    miou = compared.evaluations[KERAS].miou
    for name in files:
        rows[name] |= {
            "drop": 100 * (miou - compared.evaluations[name].miou),
            "changed": 100 * (1 - compared.agreement[name]),
        }
    return {
        "miou": miou,
        "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_weights)),
        "steps": fitted["steps"],
        "aware_steps": aware["steps"],
        "aware_labels": aware["labels"],
        **facts,
        "rows": rows,
    }


def _written(subject: Subject, folder: Path, python: str | None) -> tuple[dict, dict]:
    """Row → file or the reason why there is none, and facts of the ranges."""
    options = ExportOptions("tflite", "int8", subject.shape)
    network = open_network(subject.model, options, None)
    deployed = deploy(network.model, network.shape, network.options)
    images = choose_images(subject.train, network.tried_shape).images

    def written(configure: Configure, name: str) -> dict:
        try:
            (folder / name).write_bytes(tflite_file(deployed, network, images, configure))
        except ExportError as error:
            return {"refused": str(error)}
        return {"file": name}

    measured: list[MeasuredRanges] = []
    rows = {
        BEFORE: written(as_int8, "tensorflow.tflite"),
        NOW: written(measuring(measured), "measured.tflite"),
        EXPORTED: _exported(subject, subject.model, folder / "exported.tflite"),
        AWARE: _exported(subject, subject.aware, folder / "aware.tflite"),
    }
    if python is not None:
        rows |= _by_peer(python, folder, deployed, network, images)
    return rows, too_wide(measured[0].content, images) if measured else {}


def _exported(subject: Subject, model: Path, path: Path) -> dict:
    """The int8 file that `export` writes."""
    try:
        report = export(
            model,
            path,
            quantize="int8",
            input_shape=subject.shape,
            calibration=subject.train,
        )
    except ExportError as error:
        return {"refused": str(error)}
    clipped = {"clipped": report.clipped.quantile} if report.clipped else {}
    return {"file": path.name, "islands": len(report.audit.islands), **clipped}


def _by_peer(
    python: str,
    folder: Path,
    deployed: keras.Model,
    network: NetworkToExport,
    images: list[np.ndarray],
) -> dict[str, dict]:
    """Row → file that litert-quantizer makes from the float file."""
    source, pixels, rows = folder / "float.tflite", folder / "images.npy", {}
    # the signature is needed; the card points behind the end of the file, where nothing would be
    source_model = read_model(tflite_file(deployed, network, (), as_float32))
    source_model.metadata = []
    source.write_bytes(write_model(source_model))
    np.save(pixels, np.stack(images))
    for row, algorithm in PEERS.items():
        path = folder / f"{algorithm}.tflite"
        command = [python, str(SCRIPT), str(source), str(pixels), str(path), algorithm]
        process = subprocess.run(command, capture_output=True, text=True)
        if process.returncode:
            rows[row] = {"refused": process.stderr.strip().splitlines()[-1][:200]}
            continue
        content = path.read_bytes()
        path.write_bytes(with_card(content, network.card, HEADS[network.options.head]))
        graphs = read_graphs(content)
        islands = sum(len(float_islands(graph)) for graph in graphs)
        rows[row] = {"file": path.name, "islands": islands}
    return rows


def too_wide(content: bytes, images: list[np.ndarray]) -> dict:
    """Number of maps whose range TensorFlow's calibrator measures too wide, and the largest ratio.

    Args:
        content: a float .tflite file with measured ranges.
        images: the calibration images.
    """

    def batches() -> Iterator[list[np.ndarray]]:
        return ([image[None].astype(np.float32)] for image in images)

    calibrate: Callable[[Callable], bytes] = calibrator.Calibrator(content).calibrate
    theirs, ours = (read_graphs(file)[0].tensors for file in (calibrate(batches), content))
    ratios = [
        tensor.extent / mine.extent
        for tensor, mine in zip(theirs, ours, strict=True)
        if tensor.extent and mine.extent
    ]
    return {
        "maps": len(ratios),
        "too_wide": sum(ratio > TOO_WIDE for ratio in ratios),
        "widest": max(ratios),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("request", help="the fields of Request as JSON")
    answer(measure(Request(**json.loads(parser.parse_args().request))))


if __name__ == "__main__":
    main()
