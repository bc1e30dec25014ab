"""The tables of `benchmarks.measure.int8` show what each file lost, and why where there is none."""

from benchmarks import common
from benchmarks.measure.int8 import AWARE, BEFORE, EXPORTED, NOW, markdown, peer_version

PEER = "litert-quantizer OCTAV"
RECORD = {
    "machine": common.machine(2),
    "versions": {"keras": "3"},
    "peer": "0.11.0",
    "data": "nuclei",
    "size": [128, 128],
    "crop": [64, 64],
    "seconds": 60.0,
    "aware_seconds": 30.0,
    "images": 24,
    "networks": {
        "unet": {
            "miou": 0.8,
            "parameters": 12_345,
            "steps": 300,
            "aware_steps": 100,
            "aware_labels": "soft",
            "maps": 40,
            "too_wide": 3,
            "widest": 6.71,
            "rows": {
                BEFORE: {"file": "a.tflite", "drop": 2.5, "changed": 4.0},
                NOW: {"file": "b.tflite", "drop": 0.75, "changed": 1.25},
                EXPORTED: {"refused": "it holds FOO in float."},
                AWARE: {"file": "c.tflite", "islands": 0, "drop": 0.75, "changed": 1.0},
                PEER: {"file": "d.tflite", "islands": 2, "drop": 0.5, "changed": 0.5},
            },
        },
        "segnet": {"error": "ended by signal 9"},
    },
}


def lines(start):
    return [line for line in markdown(RECORD).splitlines() if line.startswith(start)]


def test_what_was_lost_is_bold_beyond_the_points_that_each_kind_of_file_may_lose():
    lost, changed = (line.strip("| ").split(" | ") for line in lines("| unet "))
    ranges = ["40", "3", "6.7"]
    assert lost[:4] == ["unet", "12,345", "300 + 100", "80.00"]
    assert lost[4:] == [*ranges, "**2.50**", "0.75", "-", "**0.75**", "0.50 F"]
    assert changed == ["unet", "4.00", "1.25", "-", "1.00", "0.50"]


def test_reasons_of_refused_files_and_of_networks_that_failed_are_told():
    assert lines("unet, export") == ["unet, export: it holds FOO in float."]
    assert lines("segnet") == ["segnet: not measured, ended by signal 9"]


def test_columns_without_any_row_are_left_out():
    header, _ = lines("| network ")
    assert PEER in header and "litert-quantizer min/max" not in header


def test_without_an_interpreter_there_is_no_peer():
    assert peer_version(None) is None
