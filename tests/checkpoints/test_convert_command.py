"""`keras-seg convert` leaves a file that predicts, or an error and no file."""

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_seg import checkpoints, cli, inference
from keras_seg.data.reading.masks import read_mask


def test_the_file_predicts_what_the_converted_network_does(unet_checkpoint, tmp_path, capsys):
    output = tmp_path / "new folder" / "model.keras"
    arguments = ["convert", str(unet_checkpoint), "--source", "milesial", "--output", str(output)]
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
    model = checkpoints.convert(unet_checkpoint, "milesial", preprocessing="unit")
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
        (
            {"options": ["--options.widht", "3"]},
            "unet has no option 'widht'. Did you mean 'widths'",
        ),
        ({"options": ["--classes", '["a", "b", "c"]']}, "has 2 classes. Received 3"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_wrong_is_said_and_no_file_is_left(
    unet_checkpoint, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    asked = {"file": str(unet_checkpoint), "source": "milesial", "output": "model.keras"} | change
    arguments = [asked["file"], "--source", asked["source"], "--output", asked["output"]]
    assert cli.main(["convert", *arguments, *asked.get("options", [])]) == cli.WRONG_INPUT
    assert re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_lacks_tensors_is_refused_with_their_names(
    unet_checkpoint, tmp_path, capsys
):
    tensors = dict(np.load(unet_checkpoint))
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
    (tmp_path / "unet.pth").write_bytes(pickle.dumps(Path("a class that no state dict needs")))
    output = str(tmp_path / "model.keras")
    arguments = ["convert", str(tmp_path / "unet.pth"), "--source", "milesial", "--output", output]
    assert cli.main(arguments) == cli.WRONG_INPUT
    assert "pip install torch" in capsys.readouterr().err
