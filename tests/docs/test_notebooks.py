"""The notebooks run from the first cell to the last, with a few steps of training."""

import base64
import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from tools.notebooks import COLORS, MACHINE_PATH, WIDEST, texts, tidy

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_draws(path, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SEG_SHORT", "1")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) or output.get("text") for output in outputs)
    tidy(notebook)  # refuses paths of the machine, except where warnings print them


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_small_and_of_no_machine(path):
    assert path.stat().st_size < 500_000
    assert not [text for text in texts(nbformat.read(path, 4)) if MACHINE_PATH.search(text)]


def _notebook(*outputs):
    cell = nbformat.v4.new_code_cell("1", outputs=list(outputs), metadata={"tags": ["a"]})
    return nbformat.v4.new_notebook(cells=[cell])


def test_tidy_leaves_what_any_machine_would_put_out():
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 1600, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    picture = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": "<Figure>"}
    notebook = tidy(
        _notebook(
            nbformat.v4.new_output("stream", name="stderr", text="started in /tmp/x"),
            nbformat.v4.new_output("stream", name="stdout", text="loss 0.5 -> 0.1, 3/4"),
            nbformat.v4.new_output("display_data", data=picture),
        )
    )
    assert texts(notebook) == ["loss 0.5 -> 0.1, 3/4", "<Figure>"]
    assert notebook.cells[0].metadata == {}
    kept = base64.b64decode(notebook.cells[0].outputs[1]["data"]["image/png"])
    with Image.open(io.BytesIO(kept)) as small:
        assert small.width == WIDEST and len(small.convert("RGB").getcolors()) <= COLORS


@pytest.mark.parametrize("text", ["saved to /tmp/ab/m.keras", "'/home/me/x'", "in (/opt/data)"])
def test_paths_of_the_machine_are_refused(text):
    with pytest.raises(ValueError, match="must not name paths"):
        tidy(_notebook(nbformat.v4.new_output("stream", name="stdout", text=text)))
