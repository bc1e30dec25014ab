"""The table of `benchmarks.edge` says what each file lost, and why where there is none."""

import json

import pytest

from benchmarks.edge.__main__ import finished_runs, kept
from benchmarks.edge.tables import FORMATS, markdown

ROW = {
    "miou": 0.80,
    "drop": 0.25,
    "agreement": 0.991,
    "size_bytes": 2_340_000,
    "latency_ms": 12.34,
    "latency_ms_p90": 15.0,
    "images": 24,
    "undelegated": {"SELECT": 4},
    "partitions": 2,
    "others": {"openvino": 0.9987, "tflite micro": "lacks SELECT"},
}
NETWORK = {
    "trained": "nuclei",
    "input_shape": [128, 128, 3],
    "parameters": 12_345,
    "aware_fit": {"steps": 60, "seconds": 45.0, "labels": "soft"},
    "rows": dict.fromkeys(FORMATS, ROW)
    | {
        "Keras": ROW | {"agreement": None, "others": {}},
        "TFLite int8": {"refused": "it holds SQUARE in float."},
        "TFLite QAT int8": ROW | {"drop": 0.75, "agreement_with_own": 0.9999},
    },
}
CAMERA = {
    "trained": "run camvid",
    "size": 512,
    "rows": {
        "TFLite int8": {
            "size_bytes": 5_000_000,
            "agreement": 0.98,
            "undelegated": {},
            "arena_bytes": 9_000_000,
            "latency": {
                "1": {"median_ms": 70.0, "p90_ms": 75.0},
                "2": {"median_ms": 40.0, "p90_ms": 44.0},
            },
        },
        "ONNX Runtime int8": {"refused": "it holds Foo."},
    },
}
RECORD = {
    "machine": {
        "processor": "any",
        "cores": 2,
        "memory_gib": 8.0,
        "python": "3",
        "threads": 2,
        "load_average": 0.1,
    },
    "versions": {"keras": "3"},
    "data": "nuclei",
    "size": [128, 128],
    "seconds": 80.0,
    "aware_seconds": 40.0,
    "images": 24,
    "networks": {"segnet": NETWORK, "unet": {"error": "ended by signal 6"}},
    "camera": CAMERA,
}


def test_what_was_lost_is_bold_beyond_the_points_that_each_kind_of_file_may_lose():
    summary = next(line for line in markdown(RECORD).splitlines() if line.startswith("| segnet "))
    assert summary.split(" | ") == [
        *("| segnet", "80.00", "0.25", "0.25", "0.25", "-", "0.25", "**0.75**", "0.25"),
        "0.25 |",
    ]


def test_reasons_of_refused_files_and_of_networks_that_failed_are_told():
    text = markdown(RECORD)
    assert "\nTFLite int8: it holds SQUARE in float.\n" in text
    assert "## unet\n\nNot measured: ended by signal 6\n" in text
    assert "\nTFLite fp32 in tflite micro: lacks SELECT\n" in text
    assert "\nONNX Runtime int8: it holds Foo.\n" in text


def test_rows_hold_size_latency_operators_left_out_and_other_runtimes():
    lines = markdown(RECORD).splitlines()
    assert "| TFLite fp32 | 80.00 | 0.25 | 99.10 | 2.34 | 12.3 | SELECT x 4 | 99.87 | no |" in lines
    assert "| ONNX fp32 | 80.00 | 0.25 | 99.10 | 2.34 | 12.3 |  | 99.87 | no |" in lines
    assert "| TFLite int8 | 5.00 | 98.00 | 9.0 | none | 70.0 / 75.0 | 40.0 / 44.0 |" in lines


@pytest.mark.parametrize(
    "change",
    [{"size": [64, 64]}, {"versions": {"keras": "4"}}, {"images": 4}, {"seconds": 3.0}],
)
def test_networks_measured_otherwise_are_measured_again(change):
    old = json.loads(json.dumps(RECORD))
    assert kept(old, RECORD) == ({"segnet": NETWORK}, CAMERA)
    assert kept(old, RECORD | change) == ({}, None)
    assert kept(old | {"camera": {"error": "ended"}}, RECORD)[1] is None


def test_runs_are_found_by_the_network_of_their_recipe(tmp_path):
    for name, model in (("streets", "segnet"), ("cells", "unet"), ("other", None)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").touch()
        if model:
            (tmp_path / name / "recipe.yaml").write_text(
                f"data: nowhere\noutput: {name}\nmodel: {model}\n"
            )
    found = finished_runs(tmp_path)
    assert found == {"segnet": tmp_path / "streets", "unet": tmp_path / "cells"}
    assert finished_runs(None) == {}
