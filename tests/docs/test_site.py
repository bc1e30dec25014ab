"""The documentation site: it builds, its links lead somewhere, and it has every public name."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import keras_seg

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WIDEST = 72
"""Columns of a code block that a page shows without scrolling."""


in_one_worker = pytest.mark.xdist_group("site")  # which builds the site once


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site. Zensical writes beside its configuration, so to a copy."""
    pytest.importorskip("zensical", reason="needs the docs extra")
    project = tmp_path_factory.mktemp("project")
    for name in ("export", "keras_seg", "tools"):
        (project / name).symlink_to(ROOT / name)
    shutil.copytree(DOCS, project / "docs")
    shutil.copy(ROOT / "mkdocs.yml", project)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert built.returncode == 0, COLOUR.sub("", built.stdout[-9000:])
    return project / "site"


@in_one_worker
def test_site_builds_without_a_warning(site):
    assert (site / "index.html").exists()


@in_one_worker
def test_formulas_are_mathml(site):
    assert "<math" in (site / "networks" / "danet" / "index.html").read_text()


@in_one_worker
def test_a_short_section_of_a_docstring_is_a_paragraph(site):
    """Although nothing but a line break precedes it in the docstring."""
    assert "<p><strong>Raises:</strong>" in (site / "api" / "data" / "index.html").read_text()


@in_one_worker
def test_the_builder_is_documented_and_not_its_module(site):
    page = (site / "networks" / "unet" / "index.html").read_text()
    assert 'id="keras_seg.models.unet"' in page and "num_classes" in page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_pictures_and_files_of_a_page_exist(path):
    """Pages and anchors are checked by the strict build, other files are not."""
    text = FENCED.sub("", path.read_text())
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_navigation_names_every_page():
    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        entries = entry if isinstance(entry, list) else entry.values()
        return [page for item in entries for page in pages(item)]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


def _public_names():
    for room in (*keras_seg.__all__, "web"):
        exported = getattr(importlib.import_module("keras_seg"), room, None)
        if room == "web":
            exported = importlib.import_module("keras_seg.web")
        for name in getattr(exported, "__all__", ()):
            yield f"keras_seg.{room}.{name}"


def test_every_public_name_has_one_entry_in_the_reference():
    entries = [
        name
        for path in PAGES
        for name in re.findall(r"^::: (\S+)$", path.read_text(), re.MULTILINE)
    ]
    assert len(entries) == len(set(entries)), "a name is documented twice"
    modules = {"keras_seg.blocks"}  # documented whole
    names = set(_public_names())
    assert sorted(names - set(entries)) == [], "add `::: NAME` to a page of docs/api"
    assert sorted(set(entries) - names - modules) == [], "no name that users import"


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *PAGES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_code_blocks_fit_on_a_page(path):
    blocks = FENCED.finditer(path.read_text())
    lines = [line for block in blocks for line in block[0].splitlines()]
    assert [line for line in lines if len(line) > WIDEST] == []
