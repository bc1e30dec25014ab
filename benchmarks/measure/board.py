"""Masks and accuracy of `board.py` where this package is not installed, beside the export's.

    python -m benchmarks.measure.board --runs FOLDER --board-python PYTHON [--quick]

PYTHON has NumPy, Pillow, ai-edge-litert and onnxruntime alone. The model of each run in FOLDER is
exported with its board pack: TFLite in int8 with logits and with classes, and ONNX in float32. The
pack's `board.py` predicts all validation images from PNG files; its masks are compared with those
of this package, and its mIoU with the one that the export reported. Writes `board.json` and
`board.md`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import common
from keras_seg import inference
from keras_seg.data.dataset import Sample
from keras_seg.export import ExportOptions, ExportReport
from keras_seg.export.run_folder import export_run
from keras_seg.inference.evaluation import evenly_spread
from keras_seg.masks.confusion import confusion_matrix, mean_iou
from keras_seg.training.run_folder import evaluation_data

PACKAGES = ("keras-seg", "tensorflow", "keras", "numpy", "pillow", "ai-edge-litert", "onnxruntime")
KINDS = {
    "int8, logits": ExportOptions(format="tflite", quantize="int8", input="uint8"),
    "int8, classes": ExportOptions(format="tflite", quantize="int8", input="uint8", head="argmax"),
    "float32 ONNX": ExportOptions(format="onnx"),
}
LIST_VERSIONS = (
    "from importlib.metadata import distributions as d;"
    "print(*sorted(f'{e.name} {e.version}' for e in d()), sep=', ')"
)
QUICK_IMAGES = 4


def main() -> None:
    options = parse()
    command = [options.board_python, "-c", LIST_VERSIONS]
    installed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "device": installed,
        "rows": [],
    }
    path = common.output_folder(options) / "board.json"
    for model in sorted(options.runs.glob("*/model.keras")):
        for kind, exported in KINDS.items():
            row = {"run": model.parent.name, "kind": kind}
            record["rows"].append(row | measure(model, exported, options))
            common.keep(path, record)
    common.write(path, record, markdown(record))


def parse() -> argparse.Namespace:
    parser = common.parser(__doc__, f"{QUICK_IMAGES} images of each run")
    parser.add_argument("--runs", type=Path, required=True, help="folder of finished trainings")
    parser.add_argument("--board-python", required=True, help="interpreter without this package")
    return parser.parse_args()


def measure(model: Path, exported: ExportOptions, options: argparse.Namespace) -> dict:
    """Exports a model, predicts its validation images with `board.py`, and compares."""
    limit = QUICK_IMAGES if options.quick else None
    exported = replace(exported, board=True, max_drop=100, limit=limit, threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"model.{exported.format}"
        report = export_run(model, exported, output=file)
        card, channels = report.card, report.input_shape[2]
        data = evaluation_data(model, None, "val", channels, card.value_range, card.multi_label)
        samples = [data[i] for i in evenly_spread(len(data), limit)]
        return compared(report, samples, board_masks(report, samples, options.board_python))


def board_masks(report: ExportReport, samples: list[Sample], python: str) -> list[np.ndarray]:
    """The masks of images, by the pack's program in another interpreter."""
    file, pack = Path(report.path), report.board_folder
    photos, masks = (file.with_name(name) for name in ("photos", "masks"))
    photos.mkdir()
    for i, sample in enumerate(samples):
        Image.fromarray(sample.image.squeeze()).save(photos / f"{i:05}.png")
    command = [python, "board.py", file.name, str(photos), str(masks)]
    subprocess.run(command, cwd=pack, check=True, env={**os.environ, "PYTHONPATH": ""})
    return [np.asarray(Image.open(path)) for path in sorted(masks.iterdir())]


def compared(report: ExportReport, samples: list[Sample], masks: list[np.ndarray]) -> dict:
    """Number of pixels that differ from this package, and both mIoU."""
    runner, classes = inference.load(report.path), len(report.card.classes)
    confusion, differ, pixels = 0, 0, 0
    for sample, mask in zip(samples, masks, strict=True):
        own = runner.predict(sample.image, sizing=report.options.sizing)
        differ, pixels = differ + int((own != mask).sum()), pixels + mask.size
        confusion = confusion + confusion_matrix(sample.mask, mask, classes)
    return {
        "images": len(masks),
        "pixels": pixels,
        "differ": differ,
        "lines": len((Path(report.board_folder) / "board.py").read_text().splitlines()),
        "sizing": "resized" if report.card.image_size else "windows",
        "reported_miou": report.gate.comparison.evaluations[report.format].miou,
        "board_miou": mean_iou(confusion),
    }


def markdown(record: dict) -> str:
    header = (
        *("run", "file", "images are", "images", "lines of `board.py`", "mIoU in the report"),
        *("mIoU of `board.py`", "pixels that differ from this package"),
    )
    rows = [
        (
            *(row["run"], row["kind"], row["sizing"], row["images"], row["lines"]),
            *(f"{100 * row[key]:.2f}" for key in ("reported_miou", "board_miou")),
            f"{row['differ']} of {row['pixels'] / 1e6:.1f} million",
        )
        for row in record["rows"]
    ]
    return (
        f"{common.machine_line(record)} `board.py` ran with {record['device']}.\n\n"
        f"{common.markdown_table(header, rows)}"
    )


if __name__ == "__main__":
    main()
