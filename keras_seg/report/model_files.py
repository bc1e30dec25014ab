"""The model files of a run, with the numbers from the export reports beside them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from keras_seg.inference.results import percent
from keras_seg.report.measurement import Measured, sizing_text
from keras_seg.training.run_folder import MODEL_NAME

FORMATS = (".keras", ".tflite", ".onnx")


@dataclass(frozen=True)
class ModelFile:
    """A row of the table of files. Empty text stands for what was not measured.

    Attributes:
        name: name of the file.
        size: in MB.
        miou, miou_sizing: mIoU, and how the images met the network.
        latency, latency_sizing: median time of one run of the network, and the same for it.
        accuracy: what the export says.
    """

    name: str
    size: str
    miou: str = ""
    miou_sizing: str = ""
    latency: str = ""
    latency_sizing: str = ""
    accuracy: str = ""


def model_files(run: Path, measured: Measured | None = None) -> list[ModelFile]:
    """The .keras, .tflite and .onnx files in the folder of a run.

    An export measures the .keras file and its own file alike, so the latency of model.keras is
    taken from there. Without an export it is the one of the report.

    Args:
        run: the folder.
        measured: what the report measured of the run's model.
    """
    reports = _export_reports(run)
    rows = []
    for path in sorted(run.iterdir()):
        if path.suffix not in FORMATS or not path.is_file():
            continue
        row = {"size": f"{path.stat().st_size / 1e6:.2f} MB"}
        if path.name == MODEL_NAME:
            row |= _own(measured) | next((keras for _, keras in reports.values() if keras), {})
        elif path.name in reports:
            row |= reports[path.name][0]
        rows.append(ModelFile(path.name, **row))
    return rows


def keras_miou(run: Path) -> str:
    """The mIoU of model.keras that the exports of a run measured beside their files; "" for none.

    Several exports may have used other images: the latest counts.
    """
    latest = ""
    for path in sorted(run.glob("*.json"), key=lambda path: path.stat().st_mtime):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, OSError):
            record = json.loads(path.read_text())
            miou = record["gate"]["comparison"]["evaluations"]["keras"]["miou"]
            latest = percent(miou) if miou is not None else latest
    return latest


def _own(measured: Measured | None) -> dict[str, str]:
    """The cells of the model that the report measured."""
    if measured is None:
        return {}
    evaluation = measured.evaluation
    return {
        "miou": "" if evaluation.miou is None else percent(evaluation.miou),
        "miou_sizing": measured.sizing,
        "latency": f"{evaluation.latency_ms_median:.1f} ms",
        "latency_sizing": measured.sizing,
    }


def _export_reports(run: Path) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Name of an exported file → its cells, and the latency cells of the .keras file."""
    reports = {}
    for path in sorted(run.glob("*.json")):
        try:
            record = json.loads(path.read_text())
            file = path.with_name(Path(record["path"]).name)
            if record["size_bytes"] != file.stat().st_size:
                continue  # the report of an older file
            reports[file.name] = _cells(record, file)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError):
            continue  # another JSON file, or a damaged one
    return reports


def _cells(record: dict, file: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The cells of an exported file and of the .keras file. A damaged report raises any error."""
    gate = record.get("gate") or {}
    sides = gate.get("comparison", {}).get("evaluations", {})
    own, keras = sides.get(file.suffix[1:], {}), sides.get("keras", {})
    size = record.get("input_shape")
    cells = {"accuracy": str(record.get("accuracy", ""))} | _latency(own, size)
    if (miou := own.get("miou")) is not None:
        cells |= {"miou": percent(miou), "miou_sizing": cells.get("latency_sizing", "")}
    return cells, _latency(keras, size)


def _latency(side: dict, size: list | None) -> dict[str, str]:
    milliseconds = side.get("latency_ms_median")
    if milliseconds is None:
        return {}
    known = size and None not in size and "sizing" in side
    sizing = sizing_text(side["sizing"], (size[0], size[1])) if known else ""
    return {"latency": f"{milliseconds:.1f} ms", "latency_sizing": sizing}
