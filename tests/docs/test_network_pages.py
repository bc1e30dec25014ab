"""The pages of the networks have one structure, and their sizes and drawings are up to date."""

import json
import re
from pathlib import Path

import pytest

from keras_seg import models
from keras_seg.cli import overview
from keras_seg.models.drawing import draw
from tools import drawings

FOLDER = Path(__file__).parents[2] / "docs" / "networks"
NAMES = sorted(set(models.list_models()) - drawings.WITHOUT)
SECTIONS = [
    "How it works",
    "When to use it",
    "Example",
    "Options",
    "Differences from the paper",
    "Published weights",
    "Size",
    "Reference",
]


@pytest.mark.parametrize("name", NAMES)
def test_page_has_the_sections_of_all_pages(name):
    headings = re.findall(r"^## (.*)$", (FOLDER / f"{name}.md").read_text(), re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS


def test_pages_and_index_have_the_sizes_that_were_counted():
    index = (FOLDER / "index.md").read_text()
    for name, facts in json.loads(overview.SIZES.read_text())["networks"].items():
        millions, billions = facts["parameters"] / 1e6, facts["multiply_adds"] / 1e9
        digits = 0 if billions >= 10 else 1
        page = (FOLDER / f"{'segnet' if name == 'segnet_basic' else name}.md").read_text()
        size = f"{millions:.1f} million parameters and {billions:.{digits}f} billion multiply-adds"
        assert size in page, name
        assert f"| {millions:.1f} M | {billions:.0f} G |" in index, name


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_drawing_is_that_of_the_default_network(name, tmp_path):
    draw(drawings.network(name), tmp_path / "now.svg")
    now, committed = (path.read_text() for path in (tmp_path / "now.svg", FOLDER / f"{name}.svg"))
    texts = re.compile(r"<text.*?>(.*?)</text>", re.DOTALL)
    assert texts.findall(now) == texts.findall(committed), "run python -m tools.drawings"
    assert texts.findall(now)
