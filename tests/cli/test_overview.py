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
from tests.helpers.without_values import without_values
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
    with without_values():
        model = models.build(name, (*TINY_SIZE, 3), 3, **models.find(name).tiny)
    blocks = blocks_of(model)
    assert sum(block.weights for block in blocks) == model.count_params()
    places = [(block.column, block.row) for block in blocks]
    assert len(set(places)) == len(places)
    assert all(block.words for block in blocks), "a part that a reader has no word for"
    draw(model, tmp_path / "network.svg")
    assert "</svg>" in (tmp_path / "network.svg").read_text()


def test_unet_is_drawn_as_encoder_bridge_decoder_and_head(tmp_path):
    model = models.unet((32, 32, 3), 2, widths=(4, 8, 8))
    names = [block.name for block in blocks_of(model)]
    assert names == ["encoder 1", "encoder 2", "bridge", "decoder 1", "decoder 2", "head"]
    draw(model, tmp_path / "unet.svg")
    drawn = (tmp_path / "unet.svg").read_text()
    assert all(name in drawn for name in names) and "skip connection" in drawn
    draw(model, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn


def test_blocks_of_other_models_have_the_names_of_their_layers(tmp_path):
    image = keras.Input((32, 32, 3))
    wide = keras.layers.Conv2D(4, 3, padding="same", name="wide.conv")(image)
    deep = keras.layers.Conv2D(8, 3, 2, padding="same", name="deep.conv")(wide)
    up = keras.layers.UpSampling2D(name="up")(deep)
    joined = keras.layers.Concatenate(name="join")([wide, up])
    scores = keras.layers.Conv2D(2, 1, name="scores.conv")(joined)
    model = keras.Model(image, scores, name="own")
    blocks = {block.name: block for block in blocks_of(model)}
    assert [*blocks] == ["wide", "deep", "scores"]
    assert blocks["scores"].sources == {blocks["wide"], blocks["deep"]}
    assert [block.channels for block in blocks.values()] == [4, 8, 2]
    draw(model, tmp_path / "own.svg")
    assert "skip connection" in (tmp_path / "own.svg").read_text()


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
