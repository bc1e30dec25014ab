"""The documentation: every Python block runs, every network has a page."""

import re
from pathlib import Path

import keras
import pytest
import yaml

from keras_seg import models
from keras_seg.data.annotations import ANNOTATIONS
from keras_seg.data.class_file import read_class_file
from keras_seg.data.layouts import LAYOUTS
from keras_seg.models import registry
from keras_seg.version import __version__

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if PYTHON.search(path.read_text())]
QUICK = {"extending", "unet"}
"""Pages that build small networks alone; others train, export or build large ones."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=str(path.relative_to(DOCS).with_suffix("")),
            marks=[] if path.stem in QUICK else [pytest.mark.slow],
        )
        for path in PAGES
    ],
)
def test_python_of_a_page_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_NETWORKS", dict(registry._NETWORKS))  # one page registers
    names = {}
    try:
        for block in PYTHON.findall(path.read_text()):
            exec(compile(block, str(path), "exec"), names)
    finally:
        keras.backend.clear_session()


def test_class_tables_of_the_pages_are_read(tmp_path):
    tables = [
        table for path in sorted(DOCS.rglob("*.md")) for table in JSON.findall(path.read_text())
    ]
    assert len(tables) > 2
    for table in tables:
        (tmp_path / "classes.json").write_text(table)
        assert len(read_class_file(tmp_path / "classes.json").classes) > 1


def test_every_network_has_a_page():
    pages = {path.stem for path in (DOCS / "networks").glob("*.md")}
    assert set(models.list_models()) - {"segnet_basic"} == pages - {"index"}  # with SegNet


def test_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert citation["license"] == "Apache-2.0" and citation["authors"]


def test_data_page_lists_every_layout():
    listed = re.findall(r"^\| `([\w+]+)` \| ", (DOCS / "data.md").read_text(), re.MULTILINE)
    assert {*LAYOUTS, *ANNOTATIONS} <= set(listed)


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_links_of_documents_at_the_root_lead_to_files(path):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_files_that_the_page_on_extending_names_exist():
    """Those of the examples are to be written: foo, contextnet, brier_score and in capitals."""
    text = (DOCS / "extending.md").read_text()
    named = re.findall(r"`((?:\w+/)+\w+\.(?:py|json|md|yaml|cfg))`", text)
    named = [name for name in named if not re.search("foo|contextnet|brier_score|[A-Z]{4}", name)]
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []
