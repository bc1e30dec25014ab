"""DeepLabV3+ MobileNetV2 from camera bytes to one byte per pixel, in two runtimes."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common import interleaved, milliseconds
from benchmarks.own_process import answer
from keras_seg import inference, models
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.reading.resize import resize_image
from keras_seg.export import ExportError, export
from keras_seg.inference.evaluation import evenly_spread
from keras_seg.training.run_folder import MODEL_NAME, evaluation_data

NETWORK = "deeplabv3plus"
FILES = {
    "TFLite fp32": ("fp32.tflite", {}),
    "TFLite int8": ("int8.tflite", {"quantize": "int8"}),
    "TFLite int8, fused argmax": ("fused.tflite", {"quantize": "int8", "head": "fused_argmax"}),
    "ONNX Runtime fp32": ("fp32.onnx", {}),
    "ONNX Runtime int8": ("int8.onnx", {"quantize": "int8"}),
}
"""Files that take a uint8 image and output a uint8 class map."""
FIRST = "TFLite fp32"
AGREEMENT_IMAGES = 8
REST_SECONDS = 0.02


def measure(run: str | None, data: str, size: int, repeats: int, threads: tuple[int, ...]) -> dict:
    """One row per file; the network is that of the run, or has random values."""
    if run is None:
        train, val = (open_dataset(data, split, channels=3) for split in ("train", "val"))
        model = models.build(NETWORK, (size, size, 3), len(train.classes), backbone_weights=None)
    else:
        model = Path(run) / MODEL_NAME
        train, val = (evaluation_data(model, None, split, 3) for split in ("train", "val"))
    indices = evenly_spread(len(val), AGREEMENT_IMAGES)
    images = [resize_image(val[i].image, (size, size)) for i in indices]
    with tempfile.TemporaryDirectory() as folder:
        reports, rows = {}, {}
        for name, (file, options) in FILES.items():
            words = {"head": "argmax"} | options
            try:
                reports[name] = export(
                    model,
                    Path(folder) / file,
                    calibration=train,
                    input_shape=(size, size, 3),
                    input="uint8",
                    sizing="resize",
                    **words,
                )
            except ExportError as error:
                rows[name] = {"refused": str(error)}
        rows |= _measured(reports, images, repeats, threads)
    trained = "random values" if run is None else f"run {Path(run).name}"
    return {"trained": trained, "size": size, "rows": {name: rows[name] for name in FILES}}


def _measured(reports: dict, images: list, repeats: int, threads: tuple[int, ...]) -> dict:
    runners = {
        (name, count): inference.load(report.path, threads=count)
        for name, report in reports.items()
        for count in threads
    }
    timed = interleaved(
        {
            key: partial(_rested_milliseconds, partial(runner.run, images[0]))
            for key, runner in runners.items()
        },
        repeats=repeats,
    )
    classes = {
        name: np.stack([runners[name, threads[0]].run(image) for image in images])
        for name in reports
    }
    return {
        name: {
            "size_bytes": report.size_bytes,
            "agreement": float((classes[name] == classes[FIRST]).mean()),
            "undelegated": report.audit.undelegated,
            "arena_bytes": report.audit.arena_bytes,
            "latency": {str(count): timed[name, count] for count in threads},
        }
        for name, report in reports.items()
    }


def _rested_milliseconds(run: Callable[[], object]) -> float:
    """Milliseconds of a run, after the threads of the previous runtime have stopped spinning."""
    time.sleep(REST_SECONDS)
    return milliseconds(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", help="the arguments of `measure` as JSON")
    answer(measure(**json.loads(parser.parse_args().words)))


if __name__ == "__main__":
    main()
