"""The model that the package holds: found by name wherever a model file is taken, offline."""

import json
import socket

import numpy as np
import pytest
from PIL import Image

from keras_seg import cli, inference, models
from keras_seg.data import BuiltinDataset
from keras_seg.export.proof.audit import audit
from keras_seg.export.run_folder import aware_run_folder
from keras_seg.model_paths import check_model_path
from keras_seg.shipped_models import FACTS_NAME, SHIPPED, shipped_file
from keras_seg.training.run_folder import evaluation_data, recipe_beside

LARGEST_SIZE = 3_000_000
"""Bytes of the .keras and the .tflite file."""


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty working directory and no network."""

    def refuse(*arguments, **options):
        raise OSError("there is no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def int8_runner():
    return inference.load("nuclei_int8")


def test_files_are_small_and_their_facts_are_beside_them():
    assert sum(path.stat().st_size for path in SHIPPED.values()) <= LARGEST_SIZE
    for path in SHIPPED.values():
        facts = json.loads((path.parent / FACTS_NAME).read_text())
        assert facts["images"] == 42 and 0 < facts["int8_miou"] <= 100
        assert f"{facts['miou']} %" in (path.parent / "README.md").read_text()


def test_predict_writes_a_mask_offline(offline, capsys):
    Image.fromarray(np.zeros((256, 300, 3), np.uint8)).save("photo.png")
    assert cli.main(["predict", "nuclei_int8", "photo.png"]) == cli.DONE
    with Image.open("predictions/photo_mask.png") as mask:
        assert mask.size == (300, 256)
    assert "2 classes" in capsys.readouterr().err


def test_the_int8_file_finds_nuclei(int8_runner):
    """An image of stained tissue and one of fluorescence."""
    val = BuiltinDataset("nuclei", "val")
    for index in (2, 12):
        predicted, truth = int8_runner.predict(val[index].image) == 1, val[index].mask == 1
        assert (predicted & truth).sum() / (predicted | truth).sum() > 0.5


def test_models_load_takes_the_name(offline):
    assert models.load("nuclei").count_params() < 600_000
    assert models.read_card("nuclei").classes.names == ("background", "nucleus")
    row = models.find_weights("nuclei")
    assert row.shipped and "nuclei" in models.list_weights()


def test_export_audit_and_evaluation_find_the_file_and_its_data(offline, int8_runner):
    assert check_model_path("nuclei", exported=False) == SHIPPED["nuclei"]
    assert audit("nuclei_int8").format == "tflite" and not audit("nuclei_int8").problems
    for name in SHIPPED:
        assert recipe_beside(name).data == "builtin:nuclei"
        assert len(evaluation_data(name, None, "val", 3)) == 13
    assert aware_run_folder("nuclei").resolve().parent == offline
    assert int8_runner.input_shape == (256, 256, 3)


def test_a_local_folder_or_file_of_that_name_wins_and_is_told(offline):
    (offline / "nuclei").mkdir()
    (offline / "nuclei_int8").write_text("")
    assert shipped_file("nuclei") is None and shipped_file("nuclei_int8") is None
    with pytest.raises(ValueError, match="has a model 'nuclei', which this folder hides: rename"):
        inference.load("nuclei")
    with pytest.raises(ValueError, match="has a model 'nuclei_int8', which this file hides"):
        check_model_path("nuclei_int8")


def test_the_package_is_not_written_to(offline):
    card = models.read_card("nuclei")
    with pytest.raises(ValueError, match="nuclei is a model of the package, which stays"):
        models.files.write_card("nuclei", card)


def test_weights_lists_and_describes_it(capsys):
    assert cli.main(["weights"]) == cli.DONE and cli.main(["weights", "nuclei"]) == cli.DONE
    described = capsys.readouterr().out
    assert "which the package holds" in described and "nuclei_int8" in described
