"""The page on MediaPipe, from the training to the mask of MediaPipe's own ImageSegmenter."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_seg import inference

PAGE = Path(__file__).parents[2] / "docs" / "mediapipe.md"
BLOCK = re.compile(r"^```(python|py)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_code_for_mediapipe_needs_nothing_of_this_package():
    blocks = BLOCK.findall(PAGE.read_text())
    assert [kind for kind, _ in blocks] == ["python", "python", "py"]
    assert "keras_seg" not in blocks[-1][1]


@pytest.mark.slow
def test_mediapipe_gives_the_mask_of_this_package(tmp_path, monkeypatch):
    pytest.importorskip("mediapipe", reason="needs the runtimes extra")
    monkeypatch.chdir(tmp_path)
    # Given: the page's own training and export, and a photo of the size of the file.
    names = {}
    *blocks, (_, in_mediapipe) = BLOCK.findall(PAGE.read_text())
    for _, code in blocks:
        exec(compile(code, str(PAGE), "exec"), names)
    photo = names["cells"][0].image[:128, :128]
    Image.fromarray(photo).save("photo.png")
    # When: the page's code for MediaPipe runs.
    exec(compile(in_mediapipe, str(PAGE), "exec"), names)
    # Then: labels and mask are ours.
    assert names["labels"] == ["background", "cell"]
    ours = inference.predict("segmenter.tflite", photo)
    np.testing.assert_array_equal(names["mask"].squeeze(), ours)
