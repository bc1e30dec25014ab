"""Measurements in processes of their own come back, or say why not, and are not made twice."""

import mmap

import pytest

from benchmarks.measure.models import kept, markdown
from benchmarks.own_process import CLEAR, ask, forget_peak, peak_mib, resident_mib

ROW = {
    "parameters": 5_172,
    "multiply_adds": 2_000_000_000,
    "median_ms": 12.3,
    "p90_ms": 14.0,
    "samples": 3,
    "peak_mib": 900,
    "idle_mib": 700,
}
MACHINE = {"processor": "any", "cores": 2, "threads": 2, "load_average": 0.1, "python": "3"}
RECORD = {
    "machine": MACHINE,
    "versions": {"keras": "3"},
    "size": 512,
    "rows": {"unet": ROW, "danet": {"error": "ended by signal 9 (9: out of memory)"}},
}


def test_a_process_that_fails_says_why():
    assert "No module named" in ask("benchmarks.nothing", [], timeout=60)["error"]


def test_a_process_that_hangs_says_so():
    found = ask("timeit", ["-n", "1", "import time; time.sleep(60)"], timeout=2)
    assert found == {"error": "not finished after 2 s"}


def hold(mib):
    """Takes memory from the system, not from what the process has left, and gives it back."""
    with mmap.mmap(-1, mib * 2**20) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1


@pytest.mark.skipif(not CLEAR.exists(), reason="only Linux forgets the peak of a process")
def test_peak_counts_what_was_held_since_it_was_forgotten():
    hold(320)
    forget_peak()
    before = resident_mib()
    assert peak_mib() < before + 100
    hold(160)
    assert 120 < peak_mib() - before < 260


def test_table_has_the_reason_of_a_row_that_failed():
    text = markdown(RECORD)
    assert "| danet | ended by signal 9 (9: out of memory) |" in text
    assert "| unet | 0.01 | 2.00 | 12 / 14 | 900 | 200 |" in text


def test_rows_of_the_same_versions_are_kept_and_failed_ones_tried_again():
    assert kept(RECORD, RECORD | {"rows": {}}) == {"unet": ROW}
    assert kept(RECORD, RECORD | {"size": 256}) == {}
    assert kept(RECORD, RECORD | {"versions": {"keras": "4"}}) == {}
    assert kept(RECORD, RECORD | {"machine": MACHINE | {"threads": 1}}) == {}
