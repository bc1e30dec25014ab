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
a single flip in a small map changes all gradients behind it. So gradients and changes of weights
are accepted by their difference in double precision, where such flips are too rare to be seen.
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


def table(
    study_name: str, backend: str, cases: Mapping[str, Mapping[str, Outcome]], versions: str
) -> str:
    """The outcomes of a study on a backend as Markdown."""
    steps = list(next(iter(cases.values())))
    rows = [("case", *steps), ("---",) * (1 + len(steps))]
    rows += [(case, *(_cell(outcomes[step]) for step in steps)) for case, outcomes in cases.items()]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{BACKENDS[backend]}, {study_name}, with {versions}:\n\n{lines}\n"


def _versions(backend: str) -> str:
    packages = ("keras", REFERENCE, backend)
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)


def _cell(outcome: Outcome) -> str:
    return outcome.problem.replace("|", "\\|") or f"{outcome.difference:.0e}"


def write(page: Path, study_name: str, backend: str, text: str) -> None:
    """Replaces the part of the page between the markers of a study and a backend."""
    start = f"<!-- written by tests.backends: {study_name} on {backend} -->\n"
    end = "<!-- end -->"
    before, rest = page.read_text().split(start)
    _, after = rest.split(end, 1)
    page.write_text(before + start + text + end + after)


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
            text = table(name, backend, cases, _versions(backend))
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
            if options.write:
                write(PAGE, name, backend, text)
            for case, outcomes in cases.items():
                if wrong := failures(name, outcomes):
                    failed.append(f"{name}, {backend}, {case}: {wrong}")
    sys.stdout.writelines(f"FAILED {line}\n" for line in failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
