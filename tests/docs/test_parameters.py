"""Networks have as many parameters as their references, and the documents say so."""

import pytest

from benchmarks.common import markdown_table
from keras_seg import models
from tools.parameters import HEADER, PAGE, REFERENCES, cells, count, page, title

WITH_REFERENCE = [row for row in REFERENCES if row.expected is not None]


def _with_marks(rows):
    """The first of each network runs by default; building all takes minutes."""
    seen = set()
    for row in rows:
        marks = [pytest.mark.slow] if row.network in seen else []
        seen.add(row.network)
        yield pytest.param(row, id=title(row), marks=marks)


@pytest.mark.parametrize("row", _with_marks(WITH_REFERENCE))
def test_parameters_are_those_of_the_reference(row):
    assert count(row) == row.expected


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in REFERENCES if row.expected is None], ids=title)
def test_parameters_of_defaults_are_those_of_the_page(row):
    line = markdown_table(HEADER, [cells(row, count(row))]).splitlines()[-1]
    assert line in PAGE.read_text().splitlines()


def test_page_is_what_the_script_writes_now():
    """With the numbers of the references, which the tests above hold ours to."""
    shown = PAGE.read_text()
    columns = [line.split(" | ") for line in shown.splitlines() if line.startswith("| `")]
    counts = {}
    for row, column in zip(REFERENCES, columns, strict=True):
        # a default without a reference keeps its number, which a test above counts again
        counts[row] = row.expected or int(column[4].replace(",", ""))
    assert shown == page(counts)


def test_page_has_every_network():
    defaults = [row.network for row in REFERENCES if row.configuration == "default"]
    assert defaults == models.list_models()
    assert {row.network for row in WITH_REFERENCE} >= set(defaults)
