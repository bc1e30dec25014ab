"""An export that is killed leaves nothing under the name of its file, and an older file whole."""

import signal
import subprocess
import sys

import pytest

from keras_seg.atomic_files import draft_of

EXPORT = """
import os, signal, sys
import keras
from keras_seg import inference
from keras_seg.export import export

image = keras.Input((16, 16, 3))
model = keras.Model(image, keras.layers.Conv2D(2, 3, padding="same")(image))
# the file is written by then, and about to be opened for its proof
inference.load = lambda *words, **options: os.kill(os.getpid(), signal.SIGKILL)
export(model, sys.argv[1])
"""
DRAFT = """
import os, signal, sys
from pathlib import Path
from keras_seg.atomic_files import draft_of

with draft_of(Path(sys.argv[1])) as draft:
    draft.write_bytes(b"half a file")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("older", [None, b"the file of yesterday"])
def test_a_killed_export_leaves_no_file_of_that_name(tmp_path, older):
    path = tmp_path / "m.tflite"
    if older:
        path.write_bytes(older)
    process = subprocess.run([sys.executable, "-c", EXPORT, str(path)], capture_output=True)
    assert process.returncode == -signal.SIGKILL
    drafts = list(tmp_path.glob(".m-*/m.tflite"))
    assert len(drafts) == 1 and drafts[0].stat().st_size > 0  # it got that far
    assert (path.read_bytes() if path.exists() else None) == older


class TestDrafts:
    def test_those_of_dead_processes_are_cleared_and_of_living_ones_are_not(self, tmp_path):
        path = tmp_path / "m.tflite"
        (tmp_path / ".m-backup").mkdir()  # somebody else's
        subprocess.run([sys.executable, "-c", DRAFT, str(path)], check=False)
        (abandoned,) = tmp_path.glob(".m-draft-*")
        with draft_of(path) as first:
            assert not abandoned.exists()
            first.write_bytes(b"1")
            with draft_of(path) as second:
                assert first.exists() and second != first
        assert [each.name for each in tmp_path.iterdir()] == [".m-backup"]

    def test_of_another_file_stay(self, tmp_path):
        subprocess.run([sys.executable, "-c", DRAFT, str(tmp_path / "m.onnx")], check=False)
        with draft_of(tmp_path / "m-2.onnx"):
            assert len(list(tmp_path.iterdir())) == 2

    def test_nothing_stays_after_an_error(self, tmp_path):
        with pytest.raises(ZeroDivisionError), draft_of(tmp_path / "m.tflite") as draft:
            draft.write_bytes(b"1")
            raise ZeroDivisionError
        assert list(tmp_path.iterdir()) == []
