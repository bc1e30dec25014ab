"""Runs the notebooks in full and saves them with their output.

    python -m tools.notebooks [NAME ...]

The saved output must be the same on every machine: no stderr, no execution times, and no local
path; a notebook with a local path is refused. Pictures are reduced in size.
"""

from __future__ import annotations

import base64
import io
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent.parent / "notebooks"
WIDEST = 1000
"""Largest width of a picture in pixels."""
COLORS = 128
MACHINE_PATH = re.compile(r"(?:^|[\s'\"(])/\w[\w.-]*/\S*")


def execute(path: Path) -> nbformat.NotebookNode:
    """Runs a notebook in an empty folder and returns it with its output."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=1800, record_timing=False, resources=resources).execute()
    return notebook


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with output that can be committed.

    Raises:
        ValueError: the output names a path of the machine.
    """
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
    named = [match for text in texts(notebook) for match in MACHINE_PATH.findall(text)]
    if named:
        raise ValueError(f"Outputs must not name paths of a machine. Received: {named}.")
    return notebook


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """All text in the output of the cells."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    found = [output["text"] for output in outputs if "text" in output]
    for output in outputs:
        found += [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
    return found


def smaller(png: str) -> str:
    """A base64 PNG, at most WIDEST pixels wide and with a palette."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.thumbnail((WIDEST, WIDEST))
    file = io.BytesIO()
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main(names: list[str]) -> None:
    chosen = names or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    for name in chosen:
        start = time.monotonic()
        path = FOLDER / f"{name}.ipynb"
        nbformat.write(tidy(execute(path)), path)
        size = path.stat().st_size
        print(f"{name}: {time.monotonic() - start:.0f} s, {size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
