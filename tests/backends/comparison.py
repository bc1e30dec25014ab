"""Runs a study on TensorFlow and on other backends, and compares the arrays."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.backends.studies import (
    BACKENDS,
    LARGEST_LIMIT,
    NUDGED,
    REFERENCE,
    ROUNDING_FACTOR,
    STUDIES,
    Arrays,
    Study,
    arrays_file,
    limits_of,
    problems_file,
)

ROOT = Path(__file__).parents[2]
Outcomes = dict[str, dict[str, dict[str, "Outcome"]]]
"""Backend → case → step → outcome."""


@dataclass(frozen=True)
class Outcome:
    """What one step of a case gave.

    Attributes:
        difference: from TensorFlow, as a share of the largest value.
        rounding: the largest such difference of TensorFlow with nudged weights.
        problem: one line that says what failed, "" if nothing did.
    """

    difference: float = np.inf
    rounding: float = 0.0
    problem: str = ""

    def is_accepted(self, limit: float) -> bool:
        """Whether the step worked and differs little enough."""
        by_rounding = min(ROUNDING_FACTOR * self.rounding, LARGEST_LIMIT)
        return not self.problem and self.difference <= max(limit, by_rounding)


def compare(
    study_name: str, backends: Sequence[str] | None = None, cases: Sequence[str] | None = None
) -> Outcomes:
    """Runs a study on TensorFlow and on the backends, one process after the other.

    Args:
        study_name: a name of `STUDIES`.
        backends: names of `BACKENDS`; by default those that are installed.
        cases: cases of the study; by default all.

    Raises: RuntimeError if TensorFlow failed, or a process ended before all cases were tried.
    """
    study = STUDIES[study_name]
    backends = [
        name
        for name in (installed_backends() if backends is None else backends)
        if name in study.backends
    ]
    cases = study.cases() if cases is None else cases
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for backend in (REFERENCE, *backends):
            _run_worker(backend, study_name, cases, folder)
        problems = json.loads(problems_file(folder, REFERENCE).read_text())
        if any(problems.values()):
            raise RuntimeError(f"TensorFlow itself failed: {problems}")
        return {
            backend: {case: _outcomes(study, backend, case, folder) for case in cases}
            for backend in backends
        }


def failures(study_name: str, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """The steps of one case that failed or that differ too much."""
    limits = limits_of(study_name)
    return {step: each for step, each in outcomes.items() if not each.is_accepted(limits[step])}


def installed_backends() -> list[str]:
    """The backends of `BACKENDS` that are installed."""
    return [name for name in BACKENDS if importlib.util.find_spec(name)]


def environment_of(backend: str) -> dict[str, str]:
    """Environment variables of a process with this backend, without a GPU."""
    return os.environ | {
        "KERAS_BACKEND": backend,
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def run_module(module: str, arguments: Sequence[str | Path], environment: Mapping) -> None:
    """Runs a module of the tests in a process of its own.

    Raises: RuntimeError with the end of its messages if it fails.
    """
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if process.returncode:
        name = environment["KERAS_BACKEND"]
        raise RuntimeError(f"{module} on {name}: {process.stderr.strip()[-2000:]}")


def _run_worker(backend: str, study_name: str, cases: Sequence[str], folder: Path) -> None:
    environment = environment_of(backend)
    if STUDIES[study_name].double:
        environment["JAX_ENABLE_X64"] = "1"
    run_module("tests.backends.worker", [folder, study_name, *cases], environment)


def _outcomes(study: Study, backend: str, case: str, folder: Path) -> dict[str, Outcome]:
    problems = json.loads(problems_file(folder, backend).read_text())[case]
    outcomes = {}
    for step in study.limits:
        if problem := problems.get("fit" if step == "weights" else step):
            outcomes[step] = Outcome(problem=problem)
            continue
        smallest = study.smallest_scales.get(step, 0.0)
        expected = _read_step(folder, REFERENCE, case, step)
        others = (backend, *(NUDGED if step in study.sensitive else ()))
        try:
            difference, *roundings = (
                largest_difference(_read_step(folder, other, case, step), expected, smallest)
                for other in others
            )
        except ValueError as error:
            outcomes[step] = Outcome(problem=str(error))
            continue
        outcomes[step] = Outcome(difference, max(roundings, default=0.0))
    return outcomes


def _read_step(folder: Path, backend: str, case: str, step: str) -> Arrays:
    file = arrays_file(folder, backend, case, "fit" if step == "weights" else step)
    with np.load(file) as arrays:
        changes = {"trained", "statistics"}
        keys = [key for key in arrays if (key in changes) == (step == "weights")]
        return {key: arrays[key] for key in keys}


def largest_difference(
    received: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], smallest_scale: float
) -> float:
    """The largest difference of all arrays, as a share of their scale; NaN counts as infinite."""
    if set(received) != set(expected):
        raise ValueError(f"arrays {sorted(received)} do not match {sorted(expected)}")
    smallest = smallest_scale * max(np.abs(array).max() for array in expected.values())
    worst = 0.0
    for key, array in expected.items():
        if array.shape != received[key].shape:
            raise ValueError(f"{key} has shape {received[key].shape}, expected {array.shape}")
        scale = max(np.abs(array).max(), smallest)
        difference = np.abs(received[key] - array).max() / scale
        worst = max(worst, float(np.nan_to_num(difference, nan=np.inf)))
    return worst
