"""Records of benchmarks are of one form, and their ratios those of samples taken in turn."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks import common, schema
from benchmarks.__main__ import BENCHMARKS


def record(**more):
    return {"machine": common.machine(2), "versions": {}} | more


def test_ratio_is_taken_round_by_round():
    # The machine halves its pace after two rounds; ours takes twice the peer's time throughout.
    times = common.summaries({"ours": [2, 2, 4, 4, 4], "peer": [1, 1, 2, 2, 2]}, "peer")
    assert times["ours"]["ratio"] == 2
    assert times["peer"] == {
        "median_ms": 2,
        "p90_ms": 2,
        "samples": 5,
        "ratio": 1,
        "ratio_to": "peer",
    }


def test_sides_of_another_number_of_rounds_get_no_ratio():
    assert "ratio" not in common.summaries({"a": [1.0, 2.0], "b": [1.0]}, "b")["a"]


def test_percentile_and_unit():
    assert common.summary(range(11), "mib") == {"median_mib": 5, "p90_mib": 9, "samples": 11}


def test_a_full_record_passes():
    schema.check(record(rows=[{"times": common.summaries({"a": [1.0]}, "a")}]))


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        ({"machine": {}, "versions": {}}, "machine: no 'threads'"),
        ({"machine": common.machine(1)}, "no 'versions'"),
        (record(rows=[{"median_ms": 1.0, "samples": 1}]), r"\[0\]: median_ms without p90_ms"),
        (record(a={"median_ms": 2, "p90_ms": 1, "samples": 1}), "median 2 and 90th percentile 1"),
        (record(a={"median_ms": 1, "p90_ms": 1, "samples": 1, "ratio": 1}), "only one"),
    ],
)
def test_what_is_missing_is_named(faulty, said):
    with pytest.raises(ValueError, match=said):
        schema.check(faulty)


def test_quick_runs_do_not_write_over_the_results():
    options = SimpleNamespace(quick=True, output=None)
    assert common.RESULTS.resolve() not in common.output_folder(options).resolve().parents
    assert common.output_folder(SimpleNamespace(quick=False, output=None)) == common.RESULTS


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_listed_benchmark_is_there(benchmark):
    assert benchmark.about.endswith(".")


def test_a_benchmark_without_its_data_says_what_it_needs():
    command = [sys.executable, "-m", "benchmarks", "run", "edge"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "edge needs --data")
