"""A repository for the hub: its files, its page, and what happens when the hub refuses."""

import json
import os
import subprocess
import sys
import types

import pytest
from PIL import Image

from keras_seg import cli, models
from keras_seg.card import ModelCard
from keras_seg.data import ClassTable
from keras_seg.report import save_to_hub
from tests.helpers.hub_server import hub_server

CARD = ModelCard(ClassTable(("gap", "cell|wall")), network="unet")


@pytest.fixture(scope="module")
def model():
    return models.unet((None, None, 3), 2, widths=(4, 8))


@pytest.fixture
def run(model, tmp_path):
    """The folder of a run with one exported file and its report."""
    folder = tmp_path / "run"
    (folder / "overlays").mkdir(parents=True)
    models.save(model, folder / "model.keras", CARD)
    (folder / "recipe.yaml").write_text("data: /home/me/cells\nmodel: unet\n")
    (folder / "model.tflite").write_bytes(b"0" * 1234)
    side = {"miou": 0.5, "latency_ms_median": 12.34, "sizing": "windows"}
    evaluations = {"tflite": side, "keras": side | {"miou": 0.625, "latency_ms_median": 20.0}}
    report = {"path": "model.tflite", "size_bytes": 1234, "accuracy": "loses 12.5 points"}
    report |= {"input_shape": [64, 96, 3], "gate": {"comparison": {"evaluations": evaluations}}}
    (folder / "model.json").write_text(json.dumps(report))
    for epoch in (1, 2, 3):
        Image.new("RGB", (8, 8), (epoch, 0, 0)).save(folder / "overlays" / f"epoch_{epoch}.png")
    return folder


def test_a_dry_run_writes_files_and_measured_facts_without_the_library(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    folder = tmp_path / "repository"
    place = save_to_hub(run, "me/cells", licence="mit", dry_run=True, folder=folder)
    assert place == str(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "model.json", "model.keras", "model.tflite", "recipe.yaml"),
        *("sample_1.png", "sample_2.png"),
    ]
    assert Image.open(folder / "sample_2.png").getpixel((0, 0)) == (3, 0, 0)
    page = (folder / "README.md").read_text()
    head, text = page.removeprefix("---\n").split("---\n", 1)
    assert "license: mit" in head and "- unet" in head
    assert 'keras_seg.models.load("hf:me/cells")' in text
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert "| 62.50 % | windows of 64x96 | 20.0 ms |" in rows["| model.keras"]
    assert "| 50.00 % | windows of 64x96 | 12.3 ms | loses 12.5 points |" in rows["| model.tflite"]
    assert rows["| 1"] == "| 1 | cell\\|wall |"
    assert "data: cells" in text and "/home/me" not in text
    assert models.load(folder / "model.keras").output.shape[-1] == 2


def test_what_was_not_measured_is_said(model, tmp_path):
    place = save_to_hub(model, "me/cells", dry_run=True, folder=tmp_path / "repository")
    page = (tmp_path / "repository" / "README.md").read_text()
    assert "| not measured |" in page and "Not stated." in page and "license:" not in page
    assert place.endswith("repository")


def test_it_is_uploaded_and_a_refusal_keeps_the_files(run, monkeypatch, tmp_path):
    calls = []

    class HfApi:
        def create_repo(self, repo, *, private, exist_ok):
            calls.append((repo, private, exist_ok))
            return f"https://huggingface.co/{repo}"

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            if repo_id == "other/cells":
                raise PermissionError("403")
            calls.append(sorted(path.name for path in folder_path.iterdir())[:2])

    library = types.SimpleNamespace(HfApi=HfApi)
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    assert save_to_hub(run, "me/cells", private=True) == "https://huggingface.co/me/cells"
    assert calls == [("me/cells", True, True), ["README.md", "model.json"]]
    with pytest.raises(RuntimeError, match=r"403.*files are in .*kept.*hf auth login"):
        save_to_hub(run, "other/cells", folder=tmp_path / "kept")
    assert (tmp_path / "kept" / "model.keras").exists()


def test_wrong_input_is_refused_before_anything_is_written(run, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match='repo is "user/repo"'):
        save_to_hub(run, "cells", dry_run=True)
    with pytest.raises(ValueError, match='licence is an identifier such as "apache-2.0"'):
        save_to_hub(run, "me/cells", licence="MIT\ntags: x", dry_run=True)
    with pytest.raises(ValueError, match="exists and is not empty"):
        save_to_hub(run, "me/cells", dry_run=True, folder=run)
    with pytest.raises(ValueError, match=r"has no model\.keras"):
        save_to_hub(tmp_path, "me/cells", dry_run=True, folder=tmp_path / "new")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        save_to_hub(run, "me/cells")


def test_the_verb_pushes_and_the_other_lists(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["push", str(run), "me/cells", "--dry_run", "true"]) == 0
    assert (tmp_path / "cells" / "README.md").exists()
    assert cli.main(["weights"]) == 0 and cli.main(["weights", "hrnet_w48-lip"]) == 0
    shown = capsys.readouterr().out
    assert "Written, not published: cells" in shown and "hrnet_w48-cityscapes" in shown
    assert "55.83 %, as the authors state" in shown


CLIENT = """
import json, sys
import numpy as np
from keras_seg import models
from keras_seg.report import save_to_hub
address = save_to_hub(sys.argv[1], "me/cells", licence="mit")
card = models.read_card("hf:me/cells")
pixels = np.full((1, 32, 32, 3), 100, "float32")
same = np.array_equal(models.load("hf:me/cells")(pixels), models.load(sys.argv[2])(pixels))
print(json.dumps([address, card.classes.names, same]))
"""


@pytest.mark.slow
def test_what_is_published_is_loaded_again_by_the_library_itself(run, tmp_path):
    pytest.importorskip("huggingface_hub")
    with hub_server(tmp_path / "hub") as address:
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_x"}
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, str(run), str(run / "model.keras")],
            env=os.environ | settings | {"HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    place, classes, same = json.loads(done.stdout.splitlines()[-1])
    assert place == f"{address}/me/cells" and classes == ["gap", "cell|wall"] and same
    assert (tmp_path / "hub" / "me" / "cells" / "README.md").exists()
