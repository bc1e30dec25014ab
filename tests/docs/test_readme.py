"""The README says what the registry and the committed results say, and its blocks run."""

import re
import shlex

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg import cli
from keras_seg.data import BuiltinDataset
from tests.helpers.folders import write_folder
from tools import readme

BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(readme.README.read_text())
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
COMMANDS = [text for kind, text in BLOCKS if kind == "bash" and not text.startswith("pip ")]
"""The others install, and what follows there is tested by .ci/run, test_demo and test_docs."""
SMALLER = " --model_options.widths [4,8] --crop [32,32] --batch_size 4 --steps_per_epoch 2"


def test_table_of_networks_is_the_one_that_the_results_give():
    text = readme.README.read_text()
    written = text.split(readme.START)[1].split(readme.END)[0]
    assert written == readme.table(), "run python -m tools.readme"


def commands(block, verb=""):
    """Words of each command of that verb, comments and the name of the program left out."""
    lines = block.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True)[1:] for line in lines]
    return [command for command in words if command[0].startswith(verb)]


def test_commands_are_of_the_program():
    verbs = {"verify-dataset", "train", "report", "export", "evaluate", "predict", "convert"}
    assert {words[0] for text in COMMANDS for words in commands(text)} == verbs


def test_links_lead_to_files_of_the_repository():
    text, folder = readme.README.read_text(), readme.README.parent
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [target for target in targets if not (folder / target).exists()] == []
    assert (folder / "docs/pictures/nuclei.png").stat().st_size < 150_000


@pytest.mark.slow
def test_commands_on_your_own_images_run_in_order(tmp_path, monkeypatch):
    """A smaller network and one epoch; it has learnt nothing, so that int8 may lose everything."""
    monkeypatch.chdir(tmp_path)
    cells = BuiltinDataset("cells", "train", length=10)
    write_folder(tmp_path / "cells", cells, classes=cells.classes)
    Image.fromarray(BuiltinDataset("cells", "val")[0].image).save("photo.jpg")
    for text in COMMANDS[:2]:
        text = text.replace("--epochs 50", "--epochs 1" + SMALLER)
        for words in commands(text):
            more = ["--max_drop", "100"] if words[0] == "export" else []
            assert cli.main(words + more) == cli.DONE, words
    with Image.open("masks/photo_mask.png") as mask, Image.open("photo.jpg") as photo:
        assert mask.size == photo.size


@pytest.mark.slow
def test_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    try:
        exec(compile(PYTHON[0], "README.md", "exec"), names)
    finally:
        keras.backend.clear_session()
    assert names["mask"].shape == names["cells"][0].mask.shape


@pytest.mark.slow
def test_published_weights_load_as_written(unet_checkpoint, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    monkeypatch.chdir(tmp_path)
    with np.load(unet_checkpoint) as tensors:
        state = {name: torch.from_numpy(array) for name, array in tensors.items()}
    torch.save(state, "unet_carvana.pth")
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save("photo.jpg")
    exec(compile(PYTHON[1], "README.md", "exec"), {"keras_seg": keras_seg})
    for words in commands(COMMANDS[2]):
        assert cli.main(words) == cli.DONE, words


def test_every_block_is_run():
    assert (len(PYTHON), len(COMMANDS)) == (2, 3)
