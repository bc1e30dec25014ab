"""PyTorch's files are read without PyTorch, and run no code."""

import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from keras_seg.weights import read
from keras_seg.weights.torch_files import read_torch

FOLDER = Path(__file__).with_name("files_of_torch")
"""Files that PyTorch 2.13 wrote: as a zip archive, and in the form before 1.6."""
NUMBERS = np.arange(24, dtype="float32").reshape(2, 3, 4)
EXPECTED = {
    "plain": NUMBERS,
    "turned": NUMBERS.transpose(2, 0, 1),
    "part": NUMBERS[1, 1:],
    "half": (NUMBERS / 8).astype("float16"),
    "bfloat": NUMBERS / 8,  # exact: no number has more than eight digits in base two
    "double": NUMBERS.astype("float64") / 3,
    "long": np.array(7),
    "flag": np.array([True, False]),
    "parameter": 2 * NUMBERS,
    "empty": np.zeros((0, 3), "float32"),
}


@pytest.fixture
def no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.parametrize("name", ["archive", "sequence"])
def test_tensors_of_both_forms_are_read(name):
    content = read_torch(FOLDER / f"{name}.pth")
    assert content["epoch"] == 3 and content["lr"] == [0.1, 0.01]
    assert content["state_dict"].keys() == EXPECTED.keys()
    for key, expected in EXPECTED.items():
        np.testing.assert_array_equal(content["state_dict"][key], expected, strict=True)


def test_a_checkpoint_is_read_where_there_is_no_torch(no_torch):
    tensors = read(FOLDER / "archive.pth")
    np.testing.assert_array_equal(tensors["turned"], EXPECTED["turned"])


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("/tmp/a-folder-that-no-file-makes",)


def test_code_in_a_file_is_not_run(no_torch, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pth", "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({"weight": Hostile()}, protocol=2))
    with pytest.raises(ImportError, match=r"more than tensors \(posix.mkdir is not a tensor\)"):
        read(tmp_path / "m.pth")
    assert not Path("/tmp/a-folder-that-no-file-makes").exists()


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
@pytest.mark.parametrize("name", ["archive", "sequence"])
def test_a_file_that_is_cut_short_is_refused(no_torch, tmp_path, name, kept):
    content = (FOLDER / f"{name}.pth").read_bytes()
    (tmp_path / "m.pth").write_bytes(content[: int(kept * len(content))])
    with pytest.raises((ValueError, ImportError)):
        read(tmp_path / "m.pth")


def test_a_tensor_beyond_its_block_is_refused(tmp_path):
    with (
        zipfile.ZipFile(FOLDER / "archive.pth") as whole,
        zipfile.ZipFile(tmp_path / "m.pth", "w") as short,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            short.writestr(name, content[:8] if name.endswith("data/0") else content)
    with pytest.raises(ValueError, match=r"does not fit its block of 2 numbers"):
        read_torch(tmp_path / "m.pth")
