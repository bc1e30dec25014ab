"""The demo takes a newcomer through the whole line."""

import json

import pytest
from PIL import Image

from keras_seg.data.builtin import dataset
from keras_seg.demo import EXPORTS, run_demo

FILES = ("model.keras", *EXPORTS)


def test_demo_leaves_proven_files_a_table_and_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "_LENGTHS", {"train": 32, "val": 4})
    assert run_demo(tmp_path / "demo", epochs=1)
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert set(results) == set(FILES)
    keras = results["model.keras"]["miou"]
    assert abs(results["model.tflite"]["miou"] - keras) < 1e-3
    assert abs(results["model.onnx"]["miou"] - keras) < 1e-3
    for name in EXPORTS:
        report = json.loads((tmp_path / "demo" / f"{name}.json").read_text())
        assert report["size_bytes"] == (tmp_path / "demo" / name).stat().st_size
        assert "mIoU" in report["accuracy"]
    table = (tmp_path / "demo" / "table.txt").read_text()
    assert all(name in table for name in (*FILES, "Otsu's threshold"))
    assert Image.open(tmp_path / "demo" / "demo.png").width > 800


@pytest.mark.slow
def test_demo_beats_the_threshold_by_far(tmp_path):
    assert run_demo(tmp_path / "demo")
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert all(results[name]["miou"] >= 0.85 for name in FILES)
