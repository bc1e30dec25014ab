"""Every network on every backend of Keras, compared with TensorFlow.

    python -m tests.backends                               # the installed backends
    python -m tests.backends --write                       # and into docs/versions.md
    python -m tests.backends --backends jax --networks unet segnet

One process per backend builds the tiny form of each network with the weights of TensorFlow's
process, and compares:

    forward     the outputs at inference
    gradient    of the cross-entropy, with respect to every trainable weight and to the image
    fit         loss and MeanIoU of two steps of `model.fit` with SGD; on JAX compiled by XLA
    weights     the changes of trained weights and moving statistics in these steps
    save        outputs after `models.save` and `models.load`; the file that TensorFlow's process
                wrote holds the same network and weights

Differences are shares of the largest value: of each output, of each gradient (and of at least a
thousandth of the network's largest gradient, since gradients that cancel out are rounding errors),
of the logged values, of all changes of trained weights, of all changes of moving statistics.

A rounding error moves a ReLU or a maximum from one side to the other now and then, and a single
flip in a small map changes all gradients behind it. So TensorFlow's process also computes gradients
and steps with weights that start 1e-6 of themselves higher or lower, three times. A backend may
differ ten times as much as the largest of these differences, but never more than half.
"""

from __future__ import annotations

import argparse
import importlib.metadata
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

from tests.backend_steps import NUDGED, REFERENCE, Arrays, arrays_file, problems_file

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "versions.md"
START, END = "<!-- written by tests.backends -->\n", "<!-- end of tests.backends -->"
BACKENDS = {"jax": "JAX", "torch": "PyTorch"}
"""Backend that is compared with TensorFlow → its name in the documentation."""
TOLERANCE = {"forward": 1e-4, "gradient": 1e-4, "fit": 1e-3, "weights": 1e-3, "save": 1e-4}
"""Step → largest accepted difference, as a share of the largest value."""
SMALLEST_SCALE = {"gradient": 1e-3}
"""Step → smallest scale of an array, as a share of the largest value of all arrays."""
SENSITIVE = ("gradient", "weights")
"""Steps in which TensorFlow is also compared with `NUDGED`."""
ROUNDING_FACTOR, LARGEST_LIMIT = 10, 0.5


@dataclass(frozen=True)
class Outcome:
    """What one step of a network gave.

    Attributes:
        difference: from TensorFlow, as a share of the largest value.
        rounding: the largest such difference of TensorFlow with nudged weights.
        problem: one line that says what failed, "" if nothing did.
    """

    difference: float = np.inf
    rounding: float = 0.0
    problem: str = ""

    def is_accepted(self, step: str) -> bool:
        """Whether the step worked and differs little enough."""
        by_rounding = min(ROUNDING_FACTOR * self.rounding, LARGEST_LIMIT)
        limit = max(TOLERANCE[step], by_rounding)
        return not self.problem and self.difference <= limit


def compare(
    backends: Sequence[str], networks: Sequence[str], folder: Path
) -> dict[str, dict[str, dict[str, Outcome]]]:
    """Runs TensorFlow and the backends: backend → network → step → outcome.

    Args:
        backends: names of `BACKENDS`.
        networks: registered names.
        folder: an empty folder for arrays and files.

    Raises: RuntimeError if a process ended before all networks were tried.
    """
    for backend in (REFERENCE, *backends):
        _run_worker(backend, networks, folder)
    problems = json.loads(problems_file(folder, REFERENCE).read_text())
    if any(problems.values()):
        raise RuntimeError(f"TensorFlow itself failed: {problems}")
    return {
        backend: {name: _outcomes(backend, name, folder) for name in networks}
        for backend in backends
    }


def failures(outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """The steps of one network that failed or that differ too much."""
    return {step: each for step, each in outcomes.items() if not each.is_accepted(step)}


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


def _run_worker(backend: str, networks: Sequence[str], folder: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.backend_steps", folder, *networks],
        env=environment_of(backend),
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise RuntimeError(f"{backend}: {process.stderr.strip()[-2000:]}")


def _outcomes(backend: str, name: str, folder: Path) -> dict[str, Outcome]:
    problems = json.loads(problems_file(folder, backend).read_text())[name]
    outcomes = {}
    for step in TOLERANCE:
        if problem := problems.get("fit" if step == "weights" else step):
            outcomes[step] = Outcome(problem=problem)
            continue
        expected = _read_step(folder, REFERENCE, name, step)
        difference, *roundings = (
            largest_difference(
                _read_step(folder, other, name, step), expected, SMALLEST_SCALE.get(step, 0.0)
            )
            for other in (backend, *(NUDGED if step in SENSITIVE else ()))
        )
        outcomes[step] = Outcome(difference, max(roundings, default=0.0))
    return outcomes


def _read_step(folder: Path, backend: str, network: str, step: str) -> Arrays:
    """The arrays of a step; "fit" and "weights" are two parts of one file."""
    file = arrays_file(folder, backend, network, "fit" if step == "weights" else step)
    with np.load(file) as arrays:
        keys = [key for key in arrays if (key == "logs") == (step == "fit")]
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


def table(results: Mapping[str, Mapping[str, Mapping[str, Outcome]]]) -> str:
    """The results as Markdown: one table per backend."""
    parts = [_versions([REFERENCE, *results])]
    for backend, networks in results.items():
        rows = [("network", *TOLERANCE), ("---",) * (1 + len(TOLERANCE))]
        for name, outcomes in networks.items():
            rows.append((name, *(_cell(outcomes[step]) for step in TOLERANCE)))
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f"{BACKENDS[backend]}:\n\n{lines}\n")
    return "\n".join(parts)


def _versions(backends: Sequence[str]) -> str:
    packages = ("keras", *backends)
    return f"With {', '.join(f'{name} {importlib.metadata.version(name)}' for name in packages)}.\n"


def _cell(outcome: Outcome) -> str:
    if outcome.problem:
        return outcome.problem.replace("|", "\\|")
    rounding = f" ({outcome.rounding:.0e})" if outcome.rounding else ""
    return f"{outcome.difference:.0e}{rounding}"


def write(page: Path, text: str) -> None:
    """Replaces the part of the page between the markers."""
    before, rest = page.read_text().split(START)
    page.write_text(before + START + text + END + rest.split(END)[1])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=installed_backends())
    parser.add_argument("--networks", nargs="+", help="registered names; all by default")
    parser.add_argument("--write", action="store_true", help=f"the table into {PAGE.name}")
    options = parser.parse_args(arguments)
    from keras_seg import models

    networks = options.networks or models.list_models()
    with tempfile.TemporaryDirectory() as folder:
        results = compare(options.backends, networks, Path(folder))
    text = table(results)
    sys.stdout.write(text)
    if options.write:
        write(PAGE, text)
    failed = [
        f"{backend}, {name}: {failed}"
        for backend, outcomes in results.items()
        for name, steps in outcomes.items()
        if (failed := failures(steps))
    ]
    sys.stdout.writelines(f"FAILED {line}\n" for line in failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
