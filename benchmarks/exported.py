"""Trained runs beside their exported files: accuracy, agreement, size, latency.

    python -m benchmarks.exported runs/nuclei runs/camvid --output benchmarks/results

Exports each run's model as TFLite (float32, int8 with uint8 image in and class map out) and ONNX,
then walks the validation images once with all files beside each other, so that noise of the machine
meets all alike. Writes `exported.json` and `exported.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

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
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    record = {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "threads": options.threads,
        },
        "versions": {package: version(package) for package in PACKAGES},
        "runs": {run.name: measure(run, options.threads) for run in options.runs},
    }
    (options.output / "exported.json").write_text(json.dumps(record, indent=1) + "\n")
    text = markdown(record)
    (options.output / "exported.md").write_text(text)
    print(text)


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
    machine = record["machine"]
    lines = [
        f"{machine['processor']}, {machine['threads']} threads, "
        + ", ".join(f"{package} {number}" for package, number in record["versions"].items())
        + ". Latency of the network alone, one image at a time, median / 90th percentile.",
        "",
    ]
    for name, rows in record["runs"].items():
        height, width, _ = rows[0]["input_shape"]
        keras_latency = rows[0]["latency_ms_median"]
        lines += [
            f"## {name}: {rows[0]['model']}, {height}x{width}, {rows[0]['images']} images",
            "",
            "| file | mIoU % | same class as Keras % | size MB | latency ms | x Keras |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for row in rows:
            agreement = "" if row["agreement"] is None else f"{100 * row['agreement']:.2f}"
            median, p90 = row["latency_ms_median"], row["latency_ms_p90"]
            lines.append(
                f"| {row['file']} | {100 * row['miou']:.2f} | {agreement} "
                f"| {row['size_bytes'] / 1e6:.2f} | {median:.1f} / {p90:.1f} "
                f"| {keras_latency / median:.2f} |"
            )
        lines.append("")
    return "\n".join(lines)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
