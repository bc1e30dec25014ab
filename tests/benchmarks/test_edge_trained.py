"""`benchmarks.edge --models` finds trained networks, continues, and says what each device runs."""

import argparse
from pathlib import Path

import pytest

from benchmarks.edge import trained
from benchmarks.edge.trained import trained_models
from benchmarks.edge.trained_tables import markdown

ROW = {
    "miou": 0.60,
    "drop": 0.5,
    "agreement": 0.99,
    "images": 2,
    "size_bytes": 2_000_000,
    "before_mib": 700,
    "peak_mib": 1536,
    "seconds": 12.0,
    "cpu_seconds": 15.4,
    "maps_bytes": 3_000_000,
    "multiply_adds": 10,
    "undelegated": {"QUANTIZE": 2},
    "placement": {"ethos-u55": {"placed": 8, "operators": 10, "left": {"CAST": 2}}},
    "vela": {
        "ethos-u55": {
            "cpu": 2,
            "cycles_npu": 1e6,
            "cycles_total": 2_500_000,
            "milliseconds": 5.04,
        }
    },
}
RECORD = {
    "machine": {"processor": "any", "cores": 2, "python": "3", "threads": 2, "load_average": 0.1},
    "versions": {"keras": "3"},
    "images": 2,
    "models": {
        "unet-512": {
            "sha256": "0",
            "network": "unet",
            "rows": {
                "Keras": {"miou": 0.605, "parameters": 31_000_000, "input_shape": [512, 512, 3]},
                "TFLite int8, Ethos-U55": ROW,
                "TFLite int8": {"refused": "it holds FOO in float."},
                "ONNX int8": ROW | {"drop": 1.5},
            },
            "latency": {"ONNX int8": {"median_ms": 20.0, "p90_ms": 21.0}},
        }
    },
}


def test_tables_have_losses_costs_and_placement():
    text = markdown(RECORD)
    lines = text.splitlines()
    assert "| unet-512 | 60.50 | 0.50 | - | **1.50** |" in lines
    assert "unet, 31,000,000 parameters, files for 512x512." in lines
    assert (
        "| ONNX int8 | 60.00 | 1.50 | 99.00 | 2.00 | 3.0 | 20.0 / 21.0 | 1.50 | 12 / 15 |  |"
    ) in lines
    assert "| TFLite int8, Ethos-U55 | ethos-u55 | 8/10 | CAST x 2 | 2.50 | 5.0 |" in lines
    assert "\nTFLite int8: it holds FOO in float.\n" in text


def test_runs_and_files_are_found_at_any_depth(tmp_path):
    for name in ("studies/unet-1", "segnet"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text(f"data: nowhere\noutput: {name}\nmodel: unet\n")
        for file in ("model.keras", "best.keras"):
            (folder / file).touch()
    (tmp_path / "other.keras").touch()
    assert trained_models(tmp_path) == {
        "studies/unet-1": tmp_path / "studies/unet-1/model.keras",
        "segnet": tmp_path / "segnet/model.keras",
        "other": tmp_path / "other.keras",
    }
    with pytest.raises(SystemExit, match="There is no .keras file"):
        trained_models(tmp_path / "nowhere")


def test_a_second_call_measures_only_what_is_missing(tmp_path, monkeypatch):
    (tmp_path / "net.keras").write_bytes(b"weights")
    asked = []

    def answer(path, name, rows, options):
        asked.append(rows)
        if isinstance(rows, list):
            return {row: {"median_ms": 1.0, "p90_ms": 1.0, "samples": 3} for row in rows}
        return RECORD["models"]["unet-512"]["rows"]["Keras"] if rows == "Keras" else ROW

    monkeypatch.setattr(trained, "_asked", answer)
    options = argparse.Namespace(
        models=tmp_path, output=tmp_path, images=2, threads=1, fresh=False, names=None
    )
    options.files = ["TFLite fp32"]
    trained.run(options)
    assert asked == ["Keras", "TFLite fp32", ["Keras", "TFLite fp32"]]
    options.files = ["TFLite fp32", "ONNX fp32"]
    trained.run(options)
    assert asked[3:] == ["ONNX fp32", ["Keras", "TFLite fp32", "ONNX fp32"]]
    Path(tmp_path / "net.keras").write_bytes(b"other weights")
    trained.run(options)
    assert asked[5] == "Keras"
