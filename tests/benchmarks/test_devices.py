"""The tables of the benchmark of devices."""

from benchmarks.edge.devices import markdown
from benchmarks.edge.toolchains import CONFIGURATIONS
from keras_seg.export.devices.table import TARGETS

PLACED = {"operators": 36, "told": 4, "cpu": 4, "left": {"DEPTH_TO_SPACE": 4}, "cycles_npu": 915189}
WHOLE = {"operators": 44, "told": 0, "cpu": 0, "left": {}, "cycles_npu": 990325}


def record(before, after):
    entry = {"before": before, "after": after, "difference": {"largest": 0, "share": 0.0}}
    machine = {"processor": "p", "cores": 2, "threads": 2, "load_average": 0, "python": "3"}
    return {
        "size": [128, 160],
        "tools": {"vela": "5.2.0"},
        "machine": machine,
        "versions": {},
        "networks": {
            "unet": {
                "logits": {
                    "ethos-u55": entry,
                    "tflm": {"before": {"error": "no SELECT"}, "after": {"classes": 0.99}},
                }
            }
        },
    }


def test_a_row_has_both_files():
    text = markdown(record(PLACED, WHOLE))
    assert "| unet | 32/36 | 44/44 | DEPTH_TO_SPACE x 4 | none | 0.92 | 0.99 | 0 | 0.0 % |" in text
    assert "| unet | no SELECT | 99.0 % |" in text


def test_a_table_that_disagrees_with_the_compiler_is_seen():
    text = markdown(record(PLACED | {"told": 3}, WHOLE | {"error": "crashed"}))
    assert "32/36 (audit: 33)" in text and "| crashed |" in text


def test_vela_compiles_for_targets_of_the_table():
    assert set(CONFIGURATIONS) <= set(TARGETS)
