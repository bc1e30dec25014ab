"""Tests the wheel in new environments: oldest, Colab's and newest TensorFlow and Keras.

    python -m tests.versions                       # all three, in full: about an hour on two cores
    python -m tests.versions --write               # and writes the tables of docs/versions.md
    python -m tests.versions --pairs oldest --short
    python -m tests.versions --pairs newest --python 3.12
    python -m tests.versions --folder /tmp/pairs   # keeps the environments and results

Installs each pair, asks pip what the wheel would replace, installs the wheel and runs `steps.py`:
without HOME and DISPLAY, and, where a file system may be mounted, with site-packages read-only.
Then each pair reads and runs the files that each other pair has written. With `--folder`, a second
call repeats only the checks that have not passed; `--fresh` repeats all. Needs a package index and
three gigabytes of disk per pair. Exit code: 1 if a check failed, also if the index or the machine
does not have what a pair needs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from itertools import permutations
from pathlib import Path

from tests.versions.environment import Trial, build_wheel, check, install, run_tests, step, update
from tests.versions.pairs import (
    EXACT_FILES,
    FEW_NETWORKS,
    OTHER_CLASSES_ALLOWED,
    PAIRS,
    SUITES,
    Pair,
)
from tests.versions.table import PAGE, other_classes, tables, write


def main(argv: list[str] | None = None) -> int:
    options = _arguments(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        trials = run(folder.resolve(), options)
        text = tables(trials)
    failures = [line for trial in trials for line in trial.failures()]
    sys.stdout.write(f"\n{text}" + "".join(f"FAILED {line}\n" for line in failures))
    if options.write:
        write(PAGE, text)
    return int(bool(failures))


def run(folder: Path, options: argparse.Namespace) -> list[Trial]:
    """All checks of the chosen pairs."""
    wheel, data, trials = build_wheel(folder), draw(folder / "cells.npz"), []
    for name in options.pairs:
        if options.fresh:
            folder.joinpath(f"{name}.json").unlink(missing_ok=True)
        trial, pair = Trial.open(folder / name), PAIRS[name]
        trials.append(trial)
        if options.python:
            pair = Pair((options.python,), pair.requirements)
        if trial.checks.get("install") == "":
            update(trial, wheel)
        else:
            shutil.rmtree(trial.files, ignore_errors=True)
        trial.files.mkdir(exist_ok=True)
        model = trials[0].demo_model
        try_pair(trial, wheel, pair, data=data, model=model, short=options.short)
    installed = [trial for trial in trials if not trial.checks["install"]]
    across(installed, data, short=options.short)
    return trials


def try_pair(trial: Trial, wheel: Path, pair: Pair, *, data: Path, model: Path, short: bool):
    """Every check of one environment; `model` is what it exports."""

    def imports():
        trial.facts |= step(trial, "installed")
        trial.facts["import keras_seg"] = f"{1e3 * trial.facts['seconds']:.0f} ms"
        return {} if trial.facts["lazy"] else {"import keras_seg": "imports TensorFlow"}

    def demo():
        step(trial, "demo", trial.files / "demo")
        return {}

    check(trial, "install", lambda: install(trial, pair, wheel))
    if trial.checks["install"]:
        return
    check(trial, "import keras_seg", imports)
    if short:
        check(trial, "few networks", lambda: step(trial, "networks", trial.files, *FEW_NETWORKS))
        check(trial, "float files", lambda: step(trial, "float_files", trial.files))
        return
    check(trial, "networks", lambda: step(trial, "networks", trial.files))
    check(trial, "demo", demo)
    exported = trial.files / "exported"
    check(trial, "export", lambda: step(trial, "exports", model, data, exported))
    check(trial, "gate", lambda: step(trial, "gate", model, data, trial.files))
    for row, arguments in SUITES.items():
        check(trial, row, lambda row=row, arguments=arguments: run_tests(trial, row, *arguments))


def across(trials: list[Trial], data: Path, *, short: bool):
    """Each pair reads and runs what each other has written; the exported files are compared."""
    for writer, reader in permutations(trials, 2):

        def read(writer=writer, reader=reader):
            return step(reader, "read", writer.files)

        def run_files(writer=writer, reader=reader):
            shares = step(reader, "maps", data, writer.files / "exported")
            return {name: f"{share:.2%} other classes" for name, share in shares.items() if share}

        check(reader, f"reads .keras of {writer.name}", read)
        if not short:
            check(reader, f"runs files of {writer.name}", run_files)
    for writer in trials[1:] if not short else ():
        name = f"exports like {trials[0].name}"
        check(writer, name, lambda writer=writer: exported_alike(writer, trials[0]))


def exported_alike(writer: Trial, reference: Trial) -> dict[str, str]:
    """File → "" or how far its class maps are from those of the reference's file."""
    return {
        name: f"{share:.3%} other classes"
        for name, share in other_classes(writer, reference).items()
        if share > (0 if name in EXACT_FILES else OTHER_CLASSES_ALLOWED)
    }


def draw(path: Path) -> Path:
    """Eight crops of nuclei to calibrate with and eight to compare, the same for all pairs."""
    import numpy as np

    from keras_seg.data import BuiltinDataset

    arrays = {}
    for split in ("train", "val"):
        samples = list(BuiltinDataset("nuclei", split, length=8))
        arrays[f"{split}_images"] = np.stack([sample.image[:128, :128] for sample in samples])
        arrays[f"{split}_masks"] = np.stack([sample.mask[:128, :128] for sample in samples])
    np.savez(path, **arrays)
    return path


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.versions", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=[*PAIRS])
    parser.add_argument("--python", help="minor version that replaces that of each pair")
    parser.add_argument(
        "--short",
        action="store_true",
        help="only install, import, three networks, float files, and reading between the pairs",
    )
    parser.add_argument("--write", action="store_true", help=f"write the tables to {PAGE.name}")
    parser.add_argument("--folder", type=Path, help="keep the environments and results here")
    parser.add_argument("--fresh", action="store_true", help="repeat checks that have passed")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
