"""Trained runs beside their exported files: accuracy, agreement, size, latency.

    python -m benchmarks.exported runs/nuclei runs/camvid --output benchmarks/results

Exports each run's model as TFLite (float32, int8 with uint8 image in and class map out) and ONNX,
then walks the validation images once with all files beside each other, so that noise of the machine
meets all alike. Writes `exported.json` and `exported.md`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks.common import RESULTS, machine, machine_line, markdown_table, versions, write
from keras_seg import inference
from keras_seg.export.command import export_run
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.models import load, read_card
from keras_seg.training.run_folder import MODEL_NAME, evaluation_data, recipe_beside

EXPORTS = {
    "TFLite float32": {"format": "tflite"},
    "TFLite int8, uint8 in, classes out": {
        "format": "tflite",
        "quantize": "int8",
        "input": "uint8",
        "head": "argmax",
    },
    "ONNX float32": {"format": "onnx"},
}
PACKAGES = ("keras-seg", "tensorflow", "keras", "ai-edge-litert", "onnxruntime", "tf2onnx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders that keras-seg train wrote")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    record = {
        "machine": machine(options.threads),
        "versions": versions(PACKAGES),
        "runs": {run.name: measure(run, options.threads) for run in options.runs},
    }
    write(options.output / "exported.json", record, markdown(record))


def measure(run: Path, threads: int) -> list[dict]:
    """One row a file of a run: the Keras model first, at the size of the files, then the files."""
    recipe, path = recipe_beside(run / MODEL_NAME), run / MODEL_NAME
    with tempfile.TemporaryDirectory() as folder:
        runners, seconds = {}, {}
        for name, options in EXPORTS.items():
            report = export_run(
                path,
                output=Path(folder) / f"{len(runners)}.{options['format']}",
                **{"quantize": None, "input": "float32", "head": "logits"} | options,
                input_shape=None,
                data=None,
                max_drop=100.0,
                sizing="auto",
                limit=4,  # the whole comparison follows below
            )
            runners[name] = inference.load(report.path, threads=threads)
            seconds[name] = report.seconds
        shape = next(iter(runners.values())).input_shape
        keras_runner = KerasRunner(load(path), read_card(path), path=path, input_shape=shape)
        dataset = evaluation_data(path, None, "val", recipe.channels)
        together = inference.compare({"Keras float32": keras_runner, **runners}, dataset)
    return [
        {
            "file": name,
            "model": recipe.model,
            "input_shape": list(shape),
            "agreement": together.agreement.get(name),
            "export_seconds": seconds.get(name),
            **{key: value for key, value in evaluation.to_dict().items() if key != "path"},
        }
        for name, evaluation in together.evaluations.items()
    ]


def markdown(record: dict) -> str:
    parts = [
        machine_line(record)
        + " Latency of the network alone, one image at a time, median / 90th percentile.\n"
    ]
    header = ("file", "mIoU %", "same class as Keras %", "size MB", "latency ms", "x Keras")
    for name, rows in record["runs"].items():
        height, width, _ = rows[0]["input_shape"]
        parts.append(
            f"## {name}: {rows[0]['model']}, {height}x{width}, {rows[0]['images']} images\n"
        )
        parts.append(markdown_table(header, [cells(row, rows[0]) for row in rows]))
    return "\n".join(parts)


def cells(row: dict, keras_row: dict) -> list[str]:
    median, p90 = row["latency_ms_median"], row["latency_ms_p90"]
    return [
        row["file"],
        f"{100 * row['miou']:.2f}",
        "" if row["agreement"] is None else f"{100 * row['agreement']:.2f}",
        f"{row['size_bytes'] / 1e6:.2f}",
        f"{median:.1f} / {p90:.1f}",
        f"{keras_row['latency_ms_median'] / median:.2f}",
    ]


if __name__ == "__main__":
    main()
