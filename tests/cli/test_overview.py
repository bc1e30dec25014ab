"""`keras-seg models`: the list is that of the registry, and every network can be drawn."""

import inspect
import json
import subprocess
import sys

import keras
import pytest

from keras_seg import backbones, cli, models
from keras_seg.cli import overview
from keras_seg.models.drawing import blocks_of, draw
from tests.helpers.shapes import TINY_SIZE
from tools import sizes


def test_list_has_every_network_and_encoder_as_measured():
    assert json.loads(overview.SIZES.read_text()) == sizes.sizes(), "run python -m tools.sizes"
    assert [table.row_count for table in overview.tables()] == [
        len(models.list_models()),
        len(backbones.list_backbones()),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", models.list_models())
def test_listed_size_is_that_of_the_default(name):
    weights = {} if "backbone_weights" not in _options(name) else {"backbone_weights": None}
    model = models.build(name, (None, None, 3), 21, **weights)
    counted = sum(int(keras.ops.size(weight)) for weight in model.trainable_weights)
    assert counted == sizes.sizes()["networks"][name]["parameters"]


def test_list_imports_no_tensorflow():
    code = (
        "import sys; from keras_seg import cli; assert cli.main(['models']) == 0;"
        "assert 'tensorflow' not in sys.modules"
    )
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    assert "deeplabv3plus" in listed.stdout and "mobilenetv2" in listed.stdout


@pytest.mark.parametrize("name", models.list_models())
def test_every_network_is_drawn_with_all_its_weights(name, tmp_path):
    model = models.build(name, (*TINY_SIZE, 3), 3, **models.find(name).tiny)
    blocks = blocks_of(model)
    assert sum(block.weights for block in blocks) == model.count_params()
    places = [(block.column, block.stride) for block in blocks]
    assert len(set(places)) == len(places)
    draw(model, tmp_path / "network.svg")
    assert "</svg>" in (tmp_path / "network.svg").read_text()


def test_one_network_is_described_and_drawn(tmp_path, capsys):
    path = tmp_path / "unet.png"
    words = ["--plot", str(path), "--options.widths", "[4,8,8]", "--input_shape", "[32,32,3]"]
    assert cli.main(["models", "unet", *words]) == 0
    assert path.stat().st_size > 0
    assert "arXiv:1505.04597" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["unett"], "Did you mean 'unet'"),
        (["unet", "--plot", "unet.doc"], ".png, .svg or .pdf"),
        (["--plot", "all.png"], "are for one network"),
        (["unet", "--input_shape", "[100,100,3]"], "Received: 100"),
    ],
)
def test_bad_words_are_explained(words, message, capsys):
    assert cli.main(["models", *words]) == cli.WRONG_INPUT
    assert message in capsys.readouterr().err


def _options(name):
    return inspect.signature(models.find(name).build).parameters
