"""`-` is standard input and output: an image in, a mask or JSON out, and nothing else."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from keras_seg import cli, inference
from keras_seg.cli.parser import make_parser
from keras_seg.cli.streams import as_files
from keras_seg.data.reading.masks import read_mask
from tests.helpers.stub_runner import Stub, darkness

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)


def image_bytes(kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def stdin(monkeypatch):
    """Puts bytes on standard input."""

    def put(content):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


@pytest.fixture
def model(monkeypatch, tmp_path):
    monkeypatch.setattr(inference, "load", lambda *_, **__: Stub(darkness))
    path = tmp_path / "model.keras"
    path.touch()
    return str(path)


def test_an_image_from_standard_input_to_standard_output(stdin, model, capfdbinary, tmp_path):
    stdin(image_bytes())
    assert cli.main(["predict", model, "-", "--output", "-"]) == cli.DONE
    written = capfdbinary.readouterr().out
    (tmp_path / "mask.png").write_bytes(written)
    mask = read_mask(tmp_path / "mask.png")
    np.testing.assert_array_equal(mask, Stub(darkness).predict(PIXELS))
    assert written.startswith(b"\x89PNG") and written.rstrip().endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_folder_gets_the_mask_of_standard_input(kind, stdin, model, tmp_path):
    stdin(image_bytes(kind))
    assert cli.main(["predict", model, "-", "--output", str(tmp_path / "masks")]) == cli.DONE
    assert read_mask(tmp_path / "masks" / "stdin_mask.png").shape == (16, 24)


def test_a_damaged_image_is_called_standard_input(stdin, model, capsys, tmp_path):
    stdin(image_bytes()[:60])
    words = ["predict", model, "-", "--output", str(tmp_path / "masks")]
    assert cli.main(words) == cli.REFUSED
    assert "standard input" in capsys.readouterr().err


def test_arrays_come_from_standard_input_too(stdin):
    stream = io.BytesIO()
    np.save(stream, PIXELS)
    stdin(stream.getvalue())
    with as_files(["-"]) as (path,):
        np.testing.assert_array_equal(np.load(path), PIXELS)


@pytest.mark.parametrize(
    ("words", "content", "message"),
    [
        (["-"], b"", "Standard input is empty. Pipe an image"),
        (["-"], b"no image", "Standard input holds no image that can be read"),
        (["-", "-"], image_bytes(), "holds one image. Give it once"),
        (["a.png", "b.png", "--output", "-"], b"", "writes the mask of one image"),
        (["-", "--output", "-", "--overlay"], b"", "and --overlay writes another file"),
    ],
)
def test_what_does_not_fit_a_pipe_is_refused(words, content, message, stdin, model, capsys):
    stdin(content)
    assert cli.main(["predict", model, *words]) == cli.WRONG_INPUT
    assert message in capsys.readouterr().err


def test_other_verbs_need_a_file(capsys):
    assert cli.main(["export", "model.keras", "--output", "-"]) == cli.WRONG_INPUT
    assert "takes the mask of predict alone" in capsys.readouterr().err


def test_json_is_alone_on_standard_output(capsys, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    assert cli.main(["verify-dataset", str(tmp_path), "--json_file", "-"]) in (0, 1)
    output = capsys.readouterr()
    assert json.loads(output.out)["errors"]
    assert "error" in output.err


def test_a_recipe_from_standard_input(stdin):
    stdin(b"model: segnet\nepochs: 3\n")
    words = ["train", "--config", "-", "--data", "d", "--output", "o", "--epochs", "7"]
    parser = make_parser("train")
    for _ in range(2):
        options = parser.parse_args(words).train
        assert (options.model, options.epochs) == ("segnet", 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"epoch: 3\n", "Unknown entry of the recipe 'epoch'. Did you mean 'epochs'?"),
        (b"[1", "standard input is not a recipe"),
    ],
)
def test_a_wrong_recipe_from_standard_input_is_explained(text, message, stdin, capsys):
    stdin(text)
    assert cli.main(["train", "--config", "-", "--data", "d", "--output", "o"]) == cli.WRONG_INPUT
    assert message in capsys.readouterr().err
