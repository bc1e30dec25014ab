"""Models of repositories on the Hugging Face hub, from stand-ins of the hub."""

import json
import re
import shutil
import sys
import types

import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_seg import checkpoints, models
from keras_seg.card import ModelCard
from keras_seg.checkpoints.hub_models import hub_file
from keras_seg.data import ClassTable
from tests.checkpoints.test_smp_options import UNET, golden
from tests.helpers.reference import image


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder that stands for the repository user/repo; the library copies from it."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    repository = tmp_path / "repository"
    repository.mkdir()
    asked = []

    class HfApi:
        def list_repo_files(self, repo, revision=None):
            if repo != "user/repo":
                raise OSError("404 not found")
            return sorted(path.name for path in repository.iterdir())

    def hf_hub_download(repo, file, revision=None):
        asked.append((file, revision))
        folder = tmp_path / "cache" / "snapshots" / ("c" * 40)
        folder.mkdir(parents=True, exist_ok=True)
        return shutil.copy(repository / file, folder / file)

    library = types.SimpleNamespace(HfApi=HfApi, hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    return types.SimpleNamespace(folder=repository, asked=asked)


def test_our_own_model_is_loaded_with_its_card(hub):
    model = models.unet((None, None, 3), 2, widths=(4, 8))
    models.save(model, hub.folder / "model.keras", ModelCard(ClassTable(("gap", "cell")), "unet"))
    (hub.folder / "older.keras").write_bytes(b"")
    pixels = np.full((1, 32, 32, 3), 100, "float32")
    np.testing.assert_array_equal(models.load("hf:user/repo@v1")(pixels), model(pixels))
    assert models.read_card("hf:user/repo").classes.names == ("gap", "cell")
    assert hub.asked == [("model.keras", "v1"), ("model.keras", None)]


def test_a_model_of_smp_normalises_as_its_encoder_needs_and_says_so(hub):
    facts, tensors, _ = golden("unet_smp_bilinear_sigmoid")
    save_file(tensors, hub.folder / "model.safetensors")
    (hub.folder / "config.json").write_text(json.dumps(UNET))
    pixels = 127 * (1 + image(facts["input_shape"], facts["seed"]).clip(-1, 1))
    expected = checkpoints.convert(hub.folder, "smp", preprocessing="imagenet")(pixels)
    with pytest.warns(UserWarning, match="preprocessing='imagenet'.*does not state it"):
        model = models.load("hf:user/repo")
    np.testing.assert_array_equal(model(pixels), expected)
    with pytest.warns(UserWarning, match="user/repo"):
        assert hub_file("user/repo").name.startswith("user--repo-cccccccccccc-")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["config.json", "model.weights.h5"], "preset of keras-hub.*from_preset"),
        (["a.keras", "b.keras"], r"several \.keras files and none is called model\.keras"),
        (["README.md"], r"no model that keras_seg reads.*It holds: \['README\.md'\]"),
    ],
)
def test_a_repository_without_a_readable_model_says_what_it_holds(hub, files, message):
    for name in files:
        (hub.folder / name).write_text("{}")
    with pytest.raises(ValueError, match=message):
        models.load("hf:user/repo")


def test_a_classifier_of_timm_is_an_encoder(hub):
    (hub.folder / "config.json").write_text(json.dumps({"architecture": "resnet50"}))
    (hub.folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="classifier of timm.*backbone_weights="):
        models.load("hf:user/repo")


def test_names_connections_and_the_missing_library(hub, monkeypatch):
    with pytest.raises(ValueError, match=re.escape('"hf:user/repo@revision"')):
        models.load("hf:repo")
    with pytest.raises(RuntimeError, match=r"huggingface\.co/user/other could not be read.*404"):
        models.load("hf:user/other")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        models.load("hf:user/repo")
