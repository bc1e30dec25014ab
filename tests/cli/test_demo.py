"""The demo takes a newcomer through the whole line."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_seg import demo
from keras_seg.data.builtin import dataset
from keras_seg.demo import EXPORTS, brightened, run_demo
from keras_seg.shipped_models import SHIPPED

FILES = ("model.keras", *EXPORTS)


@pytest.fixture
def small_demo(monkeypatch):
    """A few steps on drawn cells in the place of nuclei, without the model of the package."""

    def drawn(split: str) -> dataset.BuiltinDataset:
        return dataset.BuiltinDataset("cells", split, length=8 if split == "train" else 4)

    kind = dataset._KINDS["nuclei"]._replace(open=drawn)
    monkeypatch.setitem(dataset._KINDS, "nuclei", kind)
    words = {"FILE_SIZE": (128, 128, 3), "STEPS": 4, "SHOWN": (0, 1, 2, 3), "SHIPPED": {}}
    for name, value in words.items():
        monkeypatch.setattr(demo, name, value)


def test_demo_leaves_proven_files_a_table_and_a_picture(tmp_path, small_demo):
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


def test_dark_images_are_brightened_and_bright_ones_stay():
    dark = np.tile(np.arange(0, 50, dtype=np.uint8)[:, None, None], (1, 50, 3))
    assert brightened(dark).max() == 255 and brightened(dark)[0, 0, 0] == 0
    bright = np.full((8, 8, 3), 255, np.uint8)
    np.testing.assert_array_equal(brightened(bright), bright)


@pytest.mark.slow
def test_demo_beats_the_threshold_by_far(tmp_path):
    assert run_demo(tmp_path / "demo")
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert all(results[name]["miou"] >= 0.75 for name in FILES)
    assert all(results[name]["miou"] >= 0.8 for name in SHIPPED)
