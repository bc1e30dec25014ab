"""The samples of a page are the user's own, and a page says whose model it shows."""

import json
import urllib.request
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from keras_seg import cli
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.training.recipe import Recipe
from keras_seg.web import site, write_site
from keras_seg.web.samples import LONGEST, MOST, write_samples
from keras_seg.web.server import page_server

CARD = ModelCard(ClassTable(("background", "cell")), "unet")
RANDOM = np.random.default_rng(0)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A path in the folder of a run. Its card is CARD, and no runtime is copied."""
    folder = tmp_path / "my <run>"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(b"model")
    record = {"file": "model.tflite", "format": "tflite", "value_range": None}
    monkeypatch.setattr(site, "describe", lambda *_: dict(record))
    monkeypatch.setattr(site, "copy_runtime", lambda *_: None)
    monkeypatch.setattr(site.inference, "load", lambda *_: type("Loaded", (), {"card": CARD}))
    return folder / "model.tflite"


def write_images(folder, number, *, suffix=".png", size=(16, 24)):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        pixels = RANDOM.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}{suffix}")


def write_masks(folder, number):
    folder.mkdir(parents=True)
    for i in range(number):
        Image.fromarray(np.eye(16, 24, dtype=np.uint8)).save(folder / f"{i:02}.png")


def test_samples_come_from_files_folders_and_data_sets(tmp_path):
    write_images(tmp_path / "plain", 20)
    for split, number in (("train", 4), ("val", 3)):
        write_images(tmp_path / "data" / split / "images", number)
        write_masks(tmp_path / "data" / split / "masks", number)
    write_images(tmp_path / "photos", 1, suffix=".jpg")
    page = tmp_path / "page"
    page.mkdir()
    sources = [tmp_path / "photos" / "00.jpg", tmp_path / "plain", str(tmp_path / "data")]
    written = write_samples([*sources, "builtin:cells"], page, CARD)
    assert len(written) == len({*written}) == 1 + MOST + 3 + MOST
    assert written[0].endswith(".jpg") and all(each.endswith(".png") for each in written[1:])
    first = np.asarray(Image.open(page / written[1]))
    np.testing.assert_array_equal(first, np.asarray(Image.open(tmp_path / "plain" / "00.png")))
    validation = Image.open(tmp_path / "data" / "val" / "images" / "00.png")
    np.testing.assert_array_equal(
        np.asarray(Image.open(page / written[1 + MOST])), np.asarray(validation)
    )


def test_large_photos_are_made_smaller_and_lose_their_place(tmp_path):
    exif = Image.Exif()
    exif[271] = "camera"
    photo = Image.new("RGB", (2 * LONGEST, 90), "red")
    photo.save(tmp_path / "photo.jpg", exif=exif)
    (path,) = write_samples([tmp_path / "photo.jpg"], tmp_path, CARD)
    written = Image.open(tmp_path / path)
    assert written.size == (LONGEST, 45) and not written.getexif()


@pytest.mark.parametrize("name", ["none.png", "none"])
def test_samples_that_are_missing_are_refused(model, tmp_path, name):
    with pytest.raises(ValueError, match="There is no sample .*none"):
        write_site(model, tmp_path / "page", samples=tmp_path / name)
    assert not (tmp_path / "page").exists()


def test_only_builtin_data_are_published_unasked(model, tmp_path, capsys):
    page = tmp_path / "page"

    def samples_of(data):
        recipe = Recipe(data=data, output="x")
        (model.parent / "recipe.yaml").write_text(recipe.to_yaml())
        assert cli.main(["web", str(model), "--output", str(page)]) == cli.DONE
        return json.loads((page / "model.json").read_text())["samples"], capsys.readouterr().out

    samples, told = samples_of(str(tmp_path / "patients"))
    assert samples == [] and not (page / "samples").exists()
    assert f"--samples {tmp_path / 'patients'}" in told.replace("\n", "")
    samples, told = samples_of("builtin:cells")
    assert len(samples) == MOST and "--samples" not in told
    assert all((page / path).is_file() for path in samples)
    assert "samples/1.png" in (page / "worker.js").read_text()


def test_the_title_is_that_of_the_run_and_is_text(model, tmp_path):
    page = tmp_path / "page"
    write_site(model, page)
    assert "<title>model: unet</title>" in (page / "index.html").read_text()
    (model.parent / "recipe.yaml").write_text(Recipe(data="x", output="x").to_yaml())
    write_site(model, page)
    assert "<h1>my &lt;run&gt;: unet</h1>" in (page / "index.html").read_text()
    write_site(model, page, title="Cells & <i>")
    assert "<h1>Cells &amp; &lt;i&gt;</h1>" in (page / "index.html").read_text()


def test_the_former_option_still_works(model, tmp_path, capsys):
    write_images(tmp_path, 1)
    picture, page = tmp_path / "00.png", tmp_path / "page"
    with pytest.warns(DeprecationWarning, match=r"write_site\(samples="):
        write_site(model, page, sample=picture)
    assert (page / "samples" / "1.png").exists()
    words = ["web", str(model), "--output", str(page), "--sample", str(picture)]
    assert cli.main(words) == cli.DONE
    assert "--sample is now --samples" in capsys.readouterr().err
    (page / "sample.png").write_bytes(b"of an earlier version")
    write_site(model, page)  # such a page is replaced
    assert not (page / "sample.png").exists()


def test_the_server_isolates_the_page(tmp_path):
    (tmp_path / "index.html").write_text("hello")
    server = page_server(tmp_path)
    Thread(target=server.serve_forever, daemon=True).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as response:
        assert response.read() == b"hello"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    server.shutdown()
    server.server_close()


def test_a_port_that_does_not_exist_is_refused(model, capsys):
    assert cli.main(["web", str(model), "--serve", "70000"]) == cli.WRONG_INPUT
    assert "serve must be a port from 0 to 65535" in capsys.readouterr().err
