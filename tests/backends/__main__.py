"""Networks on every backend of Keras, compared with TensorFlow.

    python -m tests.backends                       # all studies, on the installed backends
    python -m tests.backends --write               # and into docs/versions.md
    python -m tests.backends --studies networks --backends jax --networks unet segnet

One process per backend and study. All start with the weights of TensorFlow's process. The studies:

    networks    the tiny form of each network: outputs at inference; gradients of the cross-entropy
                for the image and every weight; loss and mIoU of two steps of `model.fit` with SGD,
                and the changes of the weights; outputs after `models.save` and `models.load`
    networks in double precision
                gradients and changes of the weights in float64
    outputs     losses of three steps of `model.fit` with several outputs
    encoders in double precision
                outputs and gradients of DeepLabV3+ and U-Net with an encoder of each family
    presets     one step of `train` with the recipe of each paper, on a small network
    golden      networks with the weights of the golden files, compared with the reference
                implementations

Differences are shares of the largest value: of each output, of each gradient (and of at least a
thousandth of the network's largest gradient, since gradients that cancel out are rounding errors),
of the logged values, of all changes of trained weights, of all changes of moving statistics.

In float32 a rounding error moves a ReLU or a maximum from one side to the other now and then, and
a single flip in a small map changes all gradients behind it. So TensorFlow's process also computes
gradients and steps with weights that start 1e-6 of themselves higher or lower, three times. A
backend may differ ten times as much as the largest of these differences, but never more than half.

The studies in double precision have no such allowance: the limit is 1e-9. They show whether a
difference in float32 is rounding or another function. Three parts of TensorFlow's path exist in
float32 only, and are therefore compared in float32 only: the fused operator of batch normalization,
the operator of bilinear resizing, and `keras_seg.losses`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.backends.comparison import (
    ROOT,
    Outcome,
    Outcomes,
    compare,
    environment_of,
    failures,
    installed_backends,
    run_module,
)
from tests.backends.studies import BACKENDS, GOLDEN, REFERENCE, STUDIES

PAGE = ROOT / "docs" / "versions.md"
TABLES = ("networks", "networks in double precision")
"""The studies of which the page has a row per network."""
END = "<!-- end of tests.backends -->"


def golden_outcomes(backends: Sequence[str]) -> Outcomes:
    """The golden files on each backend: the largest difference of the outputs of each."""
    outcomes = {}
    for backend in backends:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "differences.json")
            run_module("tests.golden.references", [path], environment_of(backend))
            cases = json.loads(path.read_text())["differences"]
        outcomes[backend] = {
            case: {"forward": Outcome(max(shares.values()))} for case, shares in cases.items()
        }
    return outcomes


def table(cases: Mapping[str, Mapping[str, Outcome]]) -> str:
    """The outcomes of a study on one backend as Markdown, a row per case."""
    steps = list(next(iter(cases.values())))
    rows = [("network", *steps), ("---",) * (1 + len(steps))]
    rows += [(case, *(_cell(outcomes[step]) for step in steps)) for case, outcomes in cases.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(outcome: Outcome) -> str:
    if outcome.problem:
        return outcome.problem.replace("|", "\\|")
    rounding = f" ({outcome.rounding:.0e})" if outcome.rounding else ""
    return f"{outcome.difference:.0e}{rounding}"


def summary(study_name: str, backend: str, cases: Mapping[str, Mapping[str, Outcome]]) -> str:
    """A row of Markdown: the largest difference of each step, with its case."""
    cells = [study_name, BACKENDS[backend], str(len(cases))]
    worst = []
    for step in next(iter(cases.values())):
        name = max(cases, key=lambda case: cases[case][step].difference)
        worst.append(f"{step} {_cell(cases[name][step])} ({name})")
    return f"| {' | '.join((*cells, '; '.join(worst)))} |\n"


def write(page: Path, study_name: str, backend: str, text: str) -> None:
    """Replaces the table of a study and a backend in the page."""
    before, _, after = _parts(page, f"{study_name} on {backend}")
    packages = ("keras", REFERENCE, backend)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    page.write_text(f"{before}{BACKENDS[backend]}, with {versions}:\n\n{text}{after}")


def write_summary(page: Path, row: str) -> None:
    """Replaces the row of a study and a backend in the page, or adds it."""
    before, text, after = _parts(page, "all studies")
    start = row[: row.index(" | ", row.index(" | ", 1) + 1) + 3]
    rows = [line for line in text.splitlines(keepends=True) if not line.startswith(start)]
    page.write_text(before + "".join(rows) + row + after)


def _parts(page: Path, name: str) -> tuple[str, str, str]:
    """The page before, between and after the two marks of a table."""
    mark = f"<!-- written by tests.backends: {name} -->\n"
    before, rest = page.read_text().split(mark)
    between, after = rest.split(END, 1)
    return before + mark, between, END + after


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = (*STUDIES, GOLDEN)
    parser.add_argument("--studies", nargs="+", choices=names, default=names)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=installed_backends())
    parser.add_argument("--networks", nargs="+", help="cases of the studies; all by default")
    parser.add_argument("--write", action="store_true", help=f"the tables into {PAGE.name}")
    options = parser.parse_args(arguments)
    failed = []
    for name in options.studies:
        if name == GOLDEN:
            results = golden_outcomes(options.backends)
        else:
            results = compare(name, options.backends, options.networks)
        for backend, cases in results.items():
            text, row = table(cases), summary(name, backend, cases)
            sys.stdout.write(f"{text}{row}\n")
            sys.stdout.flush()
            if options.write:
                write_summary(PAGE, row)
                if name in TABLES:
                    write(PAGE, name, backend, text)
            for case, outcomes in cases.items():
                if wrong := failures(name, outcomes):
                    failed.append(f"{name}, {backend}, {case}: {wrong}")
    sys.stdout.writelines(f"FAILED {line}\n" for line in failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
