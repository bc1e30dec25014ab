"""Trains, exports and measures one network for `benchmarks.edge`, in its own process."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.edge import fit, runtimes
from benchmarks.edge.fit import Subject
from benchmarks.own_process import answer
from keras_seg import inference, models
from keras_seg.export import ExportError, ExportReport, export
from keras_seg.inference.evaluation import evenly_spread
from keras_seg.inference.keras_runner import KerasRunner

KERAS, AWARE, AWARE_INT8 = "Keras", "Keras QAT", "TFLite QAT int8"
FILES = {
    "TFLite fp32": ("fp32.tflite", {}),
    "TFLite fp16": ("fp16.tflite", {"quantize": "fp16"}),
    "TFLite dynamic": ("dynamic.tflite", {"quantize": "dynamic"}),
    "TFLite int8": ("int8.tflite", {"quantize": "int8", "input": "uint8"}),
    "TFLite mixed": ("mixed.tflite", {"quantize": "mixed"}),
    AWARE_INT8: ("aware.tflite", {"quantize": "int8", "input": "uint8"}),
    "ONNX fp32": ("fp32.onnx", {}),
    "ONNX int8": ("int8.onnx", {"quantize": "int8"}),
}
"""Row → file and options of `export`."""
MAX_DROP = 1.0
"""Points of mIoU that a mixed file may lose."""


@dataclass(frozen=True)
class Words:
    """What `benchmarks.edge` measures for one network.

    run: folder of a finished run, None for a training of `seconds` on `data` at `size`.
    folder: the exported files stay here. images: number of validation images, evenly spread.
    """

    name: str
    run: str | None
    data: str
    size: tuple[int, int]
    cache: str
    folder: str
    seconds: float
    aware_seconds: float
    images: int
    threads: int


def measure(words: Words) -> dict:
    """Facts of the network and one row per file; a refused file has "refused": why."""
    start = time.perf_counter()
    run = None if words.run is None else Path(words.run)
    subject = fit.subject(words.name, run, words.data, tuple(words.size), Path(words.cache))
    fits = {
        "fit": fit.train(subject, words.seconds),
        "aware_fit": fit.train_aware(subject, words.aware_seconds),
    }
    fitted = time.perf_counter()
    reports = _exported(subject, Path(words.folder), words.images)
    made = {name: found for name, found in reports.items() if isinstance(found, ExportReport)}
    exported = time.perf_counter()
    rows = _compared(subject, made, words)
    model = models.load(subject.model)
    return {
        "trained": subject.trained,
        "input_shape": subject.shape,
        "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_weights)),
        **fits,
        "fit_s": round(fitted - start, 1),
        "export_s": round(exported - fitted, 1),
        "measure_s": round(time.perf_counter() - exported, 1),
        "rows": {
            name: rows[name] if name in rows else {"refused": reports[name]}
            for name in (KERAS, *FILES, AWARE)
        },
    }


def _exported(subject: Subject, folder: Path, images: int) -> dict[str, ExportReport | str]:
    """Row → report of its file, or the reason why it was refused."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, ExportReport | str] = {}
    for name, (file, options) in FILES.items():
        try:
            found[name] = export(
                subject.aware if name == AWARE_INT8 else subject.model,
                folder / file,
                calibration=subject.train,
                # the accuracy is measured below, on all files at once; only the search needs it
                evaluation=subject.val if name == "TFLite mixed" else None,
                limit=images,
                max_drop=MAX_DROP,
                input_shape=subject.shape,
                **options,
            )
        except ExportError as error:
            found[name] = str(error)
    return found


def _compared(subject: Subject, reports: dict[str, ExportReport], words: Words) -> dict[str, dict]:
    """Row → measurements, with all files in turn on each image."""
    keras_runner, aware = (
        KerasRunner(
            models.load(path),
            models.read_card(path),
            path=path,
            input_shape=subject.shape,
            threads=words.threads,
        )
        for path in (subject.model, subject.aware)
    )
    files = {
        name: inference.load(report.path, threads=words.threads) for name, report in reports.items()
    }
    together = inference.compare(
        {KERAS: keras_runner, **files, AWARE: aware}, subject.val, limit=words.images
    )
    before = together.evaluations[KERAS].miou
    rows = {
        name: {
            "miou": side.miou,
            "drop": 100 * (before - side.miou),
            "agreement": together.agreement.get(name),
            "size_bytes": side.size_bytes,
            "latency_ms": side.latency_ms_median,
            "latency_ms_p90": side.latency_ms_p90,
            "images": side.images,
        }
        for name, side in together.evaluations.items()
    }
    chosen = [subject.val[i] for i in evenly_spread(len(subject.val), runtimes.IMAGES)]
    for name, report in reports.items():
        rows[name] |= {
            "undelegated": report.audit.undelegated,
            "partitions": report.audit.partitions,
            "islands": len(report.audit.islands),
            "multiply_adds": report.audit.multiply_adds,
            "export_seconds": round(report.seconds, 1),
            "others": runtimes.agreements(report, files[name], chosen),
        }
        if report.mixed is not None:
            rows[name]["kept"] = [str(kept) for kept in report.mixed.kept]
    if AWARE_INT8 in files:
        # compares the file with the network that it was made from
        own = inference.compare(
            {AWARE: aware, AWARE_INT8: files[AWARE_INT8]}, subject.val, limit=words.images
        )
        rows[AWARE_INT8]["agreement_with_own"] = own.agreement[AWARE_INT8]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", help="the fields of Words as JSON")
    answer(measure(Words(**json.loads(parser.parse_args().words))))


if __name__ == "__main__":
    main()
