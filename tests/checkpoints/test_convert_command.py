"""`keras-seg convert` leaves a file that predicts, or an error and no file."""

import re
import sys
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from keras_seg import checkpoints, cli, inference
from keras_seg.data.reading.masks import read_mask

WIDTHS = (4, 4, 4, 4, 4)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A narrow U-Net of milesial/Pytorch-UNet, in PyTorch's layout."""
    rng = np.random.default_rng(0)
    tensors = {}

    def convolution(name, *shape):
        tensors[f"{name}.weight"] = rng.normal(0, 0.3, shape).astype("float32")

    def double(name, width_in, width):
        for index, channels in ((0, width_in), (3, width)):
            convolution(f"{name}.{index}", width, channels, 3, 3)
            for leaf, value in (("weight", 1), ("bias", 0), ("running_mean", 0)):
                tensors[f"{name}.{index + 1}.{leaf}"] = np.full(width, value, "float32")
            tensors[f"{name}.{index + 1}.running_var"] = np.ones(width, "float32")

    double("inc.double_conv", 3, WIDTHS[0])
    for i, (width_in, width) in enumerate(pairwise(WIDTHS), start=1):
        double(f"down{i}.maxpool_conv.1.double_conv", width_in, width)
        convolution(f"up{i}.up", width, width_in, 2, 2)
        tensors[f"up{i}.up.bias"] = np.zeros(width_in, "float32")
        double(f"up{i}.conv.double_conv", 2 * width_in, width_in)
    convolution("outc.conv", 2, WIDTHS[0], 1, 1)
    tensors["outc.conv.bias"] = np.zeros(2, "float32")
    path = tmp_path_factory.mktemp("convert") / "unet.npz"
    np.savez(path, **tensors)
    return path


def test_the_file_predicts_what_the_converted_network_does(checkpoint, tmp_path, capsys):
    output = tmp_path / "new folder" / "model.keras"
    arguments = ["convert", str(checkpoint), "--source", "milesial", "--output", str(output)]
    options = ["--options.preprocessing", "unit", "--classes", '["background", "car"]']
    assert cli.main([*arguments, *options]) == cli.DONE
    printed = capsys.readouterr().out
    assert re.search(r"network +unet, [\d,]+ trainable parameters", printed)
    assert re.search(r"image +free x free x 3", printed)
    assert re.search(r"logits +free x free x 2", printed)

    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype("uint8")
    Image.fromarray(image).save(tmp_path / "photo.png")
    runner = inference.load(output)
    assert runner.card.classes.names == ("background", "car")
    assert runner.card.network == "unet"
    model = checkpoints.convert(checkpoint, "milesial", preprocessing="unit")
    expected = model(image[None].astype("float32"))[0]
    np.testing.assert_allclose(runner.run(image), expected, rtol=1e-4, atol=1e-5)

    masks = tmp_path / "masks"
    photo = str(tmp_path / "photo.png")
    assert cli.main(["predict", str(output), photo, "--output", str(masks)]) == cli.DONE
    np.testing.assert_array_equal(read_mask(masks / "photo_mask.png"), np.argmax(expected, -1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "milesail"}, "Did you mean 'milesial'"),
        ({"source": "4uiiurz1"}, "has no tensor like .*begins with: .'inc.double_conv"),
        ({"output": "model.h5"}, r"--output must be a file ending in \.keras"),
        ({"file": "nowhere.npz"}, "no checkpoint file nowhere.npz"),
        ({"options": ["--options.widht", "3"]}, "Unknown option of unet 'widht'"),
        ({"options": ["--classes", '["a", "b", "c"]']}, "has 2 classes. Received 3"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_wrong_is_said_and_no_file_is_left(
    checkpoint, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    asked = {"file": str(checkpoint), "source": "milesial", "output": "model.keras"} | change
    arguments = [asked["file"], "--source", asked["source"], "--output", asked["output"]]
    assert cli.main(["convert", *arguments, *asked.get("options", [])]) == cli.WRONG_INPUT
    assert re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_lacks_tensors_is_refused_with_their_names(checkpoint, tmp_path, capsys):
    tensors = dict(np.load(checkpoint))
    tensors["extra.weight"] = tensors.pop("outc.conv.bias")
    np.savez(tmp_path / "damaged.npz", **tensors)
    output = tmp_path / "model.keras"
    output.write_text("an older file")
    file = str(tmp_path / "damaged.npz")
    arguments = ["convert", file, "--source", "milesial", "--output", str(output)]
    assert cli.main(arguments) == cli.WRONG_INPUT
    error = capsys.readouterr().err
    assert "no tensor sets (1): outc.conv.bias" in error
    assert "no weight takes (1): extra.weight" in error
    assert output.read_text() == "an older file"


def test_without_pytorch_the_remedy_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "unet.pth").write_bytes(b"")
    output = str(tmp_path / "model.keras")
    arguments = ["convert", str(tmp_path / "unet.pth"), "--source", "milesial", "--output", output]
    assert cli.main(arguments) == cli.WRONG_INPUT
    assert "pip install torch" in capsys.readouterr().err
