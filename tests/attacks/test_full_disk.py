"""A full disk or a read-only folder: an error that says so, no half file, older files whole."""

import errno
import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from keras_seg import cli, export, models, training
from keras_seg.data import ClassTable
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.predict import predict_files
from keras_seg.report.page import write_report
from tests.helpers.colour_blocks import ColourBlocks, small_network
from tests.helpers.stub_runner import Stub, darkness

FULL = pytest.raises(OSError, match=r"No space left|is full")


def _mount(*words):
    done = subprocess.run(["mount", *map(str, words)], capture_output=True)
    if done.returncode:
        pytest.skip("needs the right to mount a file system")


@pytest.fixture
def disk(tmp_path):
    """A file system of half a mebibyte; `fill` leaves so many bytes of it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", folder)
    yield folder
    # lazily, since TensorFlow's writer of events may not be collected yet
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def read_only(tmp_path):
    folder = tmp_path / "read_only"
    folder.mkdir()
    _mount("--bind", folder, folder)
    _mount("-o", "remount,ro,bind", folder)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk, left):
    """Fills a disk but for `left` bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        while True:
            try:
                os.write(file.fileno(), bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC
                break
    os.truncate(ballast, ballast.stat().st_size - left)
    return ballast


def files_of(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "ballast")


class TestFullDisk:
    @pytest.mark.parametrize("left", [0, 8192])
    def test_an_export_leaves_the_older_file(self, disk, left):
        path = disk / "m.tflite"
        path.write_bytes(b"older")
        ballast = fill(disk, left)
        network = small_network(size=(16, 16))
        with FULL:
            export.export(network, path)
        assert files_of(disk) == ["m.tflite"] and path.read_bytes() == b"older"
        ballast.unlink()
        export.export(network, path)
        assert files_of(disk) == ["m.tflite"] and path.read_bytes() != b"older"

    @pytest.mark.parametrize("left", [0, 8192])
    def test_a_saved_model_leaves_the_older_file(self, disk, left):
        path, card = disk / "m.keras", models.ModelCard(ClassTable(("a", "b", "c")))
        path.write_bytes(b"older")
        fill(disk, left)
        with FULL:
            models.save(small_network(), path, card)
        assert files_of(disk) == ["m.keras"] and path.read_bytes() == b"older"

    @pytest.mark.parametrize("left", [0, 4096, 24576])
    def test_a_prediction_stops_and_goes_on(self, disk, tmp_path, left):
        rng = np.random.default_rng(0)
        images = [tmp_path / f"{i}.png" for i in range(4)]
        for path in images:
            Image.fromarray(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(path)
        ballast, output = fill(disk, left), disk / "out"
        words = {"outputs": OutputOptions(overlay=True, probabilities=True)}
        with FULL:
            predict_files(Stub(darkness), images, output, **words)
        masks = list(output.glob("*.png")) if output.exists() else []
        for path in masks:
            Image.open(path).load()
        ballast.unlink()
        result = predict_files(Stub(darkness), images, output, **words)
        assert result.failed == [] and result.done + result.skipped == 4
        assert not list(output.glob(".*")) and len(list(output.glob("*_mask.png"))) == 4

    def test_a_report_leaves_the_older_page(self, disk, tmp_path):
        page = disk / "report.html"
        page.write_text("older")
        fill(disk, 4096)
        with FULL:
            write_report(tmp_path, page, Stub(darkness), ColourBlocks(length=2))
        assert files_of(disk) == ["report.html"] and page.read_text() == "older"

    def test_a_json_report_is_not_cut_short(self, disk, shapes_folder, capsys):
        path = disk / "report.json"
        path.write_text("{}")
        fill(disk, 0)
        words = ["verify-dataset", str(shapes_folder), "--json_file", str(path)]
        assert cli.main(words) == cli.WRONG_INPUT
        assert "No space left" in capsys.readouterr().err
        assert path.read_text() == "{}" and files_of(disk) == ["report.json"]

    @pytest.mark.slow
    @pytest.mark.parametrize("left", [0, 32768, 65536, 131072])
    def test_a_training_says_so_and_goes_on(self, disk, shapes_folder, left):
        recipe = training.Recipe(
            data=str(shapes_folder),
            output=str(disk / "run"),
            model_options={"widths": [4, 8]},
            crop=(32, 32),
            batch_size=4,
            epochs=2,
            checkpoint_steps=1,
            overlays=1,
        )
        ballast = fill(disk, left)
        with FULL:
            training.train(recipe)
        ballast.unlink()
        result = training.train(recipe)
        assert result.finished and result.model_path.exists()
        assert list((disk / "run").rglob(".*")) == []


class TestReadOnlyFolder:
    def test_every_writer_says_so_at_once(self, read_only, tmp_path, shapes_folder):
        refused = pytest.raises(OSError, match=r"[Rr]ead-only|cannot be written")
        Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
        with refused:
            export.export(small_network(size=(16, 16)), read_only / "m.tflite")
        with refused:
            models.save(
                small_network(),
                read_only / "m.keras",
                models.ModelCard(ClassTable(("a", "b", "c"))),
            )
        with refused:
            predict_files(Stub(darkness), [tmp_path / "a.png"], read_only)
        with refused:
            write_report(tmp_path, read_only / "r.html", Stub(darkness), ColourBlocks(length=1))
        with refused:
            training.train(training.Recipe(str(shapes_folder), str(read_only), crop=(32, 32)))
        assert list(read_only.iterdir()) == []
