"""The C++ program of a board pack is compiled, and gives the masks of its Python program."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_seg.export.board.facts import C_TYPES
from keras_seg.export.board.pack import cpp_program
from tests.export.test_board import random_image
from tests.helpers.board_models import FormulaModel

STUB = Path(__file__).parents[1] / "helpers" / "formula_tflite.h"
MODELS = {
    "tiles": {},
    "tiles of classes": {"head": "argmax", "types": ("uint8", "uint8")},
    "tiles of classes of an accelerator": {"head": "argmax", "types": ("int8", "int32")},
    "tiles of integers": {"types": ("int8", "int8")},
    "tiles of a single logit": {"scores": 1, "threshold": 0.3},
    "tiles of labels": {"multi_label": True, "threshold": (0.3, 0.5, 0.8)},
    "coarse tiles": {"step": 4, "size": (16, 32)},
    "resized": {"sizing": "resize"},
    "resized, threshold": {"sizing": "resize", "scores": 2, "threshold": 0.3},
    "resized classes": {"sizing": "resize", "head": "argmax", "types": ("uint8", "uint8")},
    "grey of 16 bits": {"channels": 1, "value_range": (100.0, 4095.0)},
}
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def compiled(model, folder):
    """The program of a model, compiled with a formula in place of TFLite."""
    for name, text in cpp_program("model.tflite", model.constants, model.ends).items():
        (folder / name).write_text(text)
    header = folder / "tensorflow/lite/c/c_api.h"
    header.parent.mkdir(parents=True)
    shutil.copyfile(STUB, header)
    image, output = model.ends
    facts = {
        "HEIGHT": model.size[0],
        "WIDTH": model.size[1],
        "CHANNELS": model.channels,
        "SCORES": model.scores,
        "STEP": model.step,
        "INPUT": C_TYPES[image.dtype],
        "OUTPUT": C_TYPES[output.dtype],
        "CLASSES": int(model.head == "argmax"),
        "SCALE": f"{output.scale}f",
        "INPUT_SCALE": f"{image.scale:.1f}f",
        "INPUT_ZERO": image.zero_point,
    }
    macros = [f"-D{name}={value}" for name, value in facts.items()]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    command = ["g++", "-std=c++17", *warnings, *macros, "-I.", "segment.cc", "-o", "segment"]
    subprocess.run(command, cwd=folder, check=True)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("words", [pytest.param(w, id=name) for name, w in MODELS.items()])
def test_its_masks_are_those_of_the_python_program(words, tmp_path):
    model = FormulaModel(**words)
    board = model.board(tmp_path)
    compiled(model, tmp_path)
    for size in ((16, 24), (9, 40), (61, 47)):
        image = random_image(size, model.channels)
        if model.card.value_range is not None:
            image = image.astype(np.uint16) * 17
            header = f"P5\n# a comment\n{size[1]} {size[0]}\n65535\n".encode()
            (tmp_path / "photo.ppm").write_bytes(header + image.astype(">u2").tobytes())
        else:
            Image.fromarray(image.squeeze()).save(tmp_path / "photo.ppm")
        arguments = ["./segment", "model.tflite", "photo.ppm", "mask.pgm"]
        subprocess.run(arguments, cwd=tmp_path, check=True)
        expected = board.predict(image)
        names = ["mask.pgm"]
        if model.card.multi_label:
            names = [f"mask_{i}.pgm" for i in range(model.scores)]
        masks = [np.asarray(Image.open(tmp_path / name)) for name in names]
        received = np.stack(masks, -1) if model.card.multi_label else masks[0]
        assert received.shape == expected.shape
        # exp differs in the last bit, and so do sums in another order
        assert (received == expected).mean() > 0.999


@needs_compiler
@pytest.mark.slow
def test_pictures_that_it_cannot_read_are_named(tmp_path):
    model = FormulaModel()
    compiled(model, tmp_path)
    (tmp_path / "short.ppm").write_bytes(b"P6 24 16 255 short")
    Image.fromarray(random_image((16, 24), 1)[..., 0]).save(tmp_path / "grey.pgm")
    for name, message in (("short.ppm", "is cut short"), ("grey.pgm", "is not a binary PPM file")):
        arguments = ["./segment", "model.tflite", name, "mask.pgm"]
        result = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 1 and message in result.stderr
