"""An export that is killed leaves nothing under the name of its file, and an older file whole."""

import signal
import subprocess
import sys

import pytest

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
