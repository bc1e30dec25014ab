"""The results as tables of docs/versions.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.versions.environment import ROOT, Trial

PAGE = ROOT / "docs" / "versions.md"
START, END = "<!-- written by tests.versions -->\n", "<!-- end of tests.versions -->"
PACKAGES = ("tensorflow", "keras", "numpy", "protobuf", "onnx")


def other_classes(writer: Trial, reference: Trial) -> dict[str, float]:
    """Exported file → share of pixels whose class differs from that of the reference's file.

    Both are exports of one `.keras` file, and the class maps are of the same images.
    """
    shares = {}
    for path in sorted((reference.files / "exported").glob("*.npy")):
        other = writer.files / "exported" / path.name
        if other.exists():
            shares[path.stem] = float(np.mean(np.load(other) != np.load(path)))
    return shares


def tables(trials: list[Trial]) -> str:
    """One table of checks, and one of class maps if several pairs have exported."""
    first, *others = trials
    text = _checks(trials)
    shares = {trial.name: other_classes(trial, first) for trial in others}
    names = sorted({name for per_file in shares.values() for name in per_file})
    if names:
        text += (
            "\nEach pair exported the same trained model. Pixels whose class differs from that of "
            f"the file that the pair `{first.name}` exported:\n\n"
        )
        rows = [
            [name.replace("_", " "), *(_percent(shares[trial.name].get(name)) for trial in others)]
            for name in names
        ]
        text += _markdown(["file", *shares], rows)
    return text


def _checks(trials: list[Trial]) -> str:
    rows = [["Python", *(trial.facts.get("python", "") for trial in trials)]]
    for package in PACKAGES:
        versions = (trial.facts.get("versions", {}).get(package, "") for trial in trials)
        rows.append([package, *versions])
    for name in dict.fromkeys(name for trial in trials for name in trial.checks):
        rows.append([name, *(_cell(trial, name) for trial in trials)])
    return _markdown(["", *(trial.name for trial in trials)], rows)


def _cell(trial: Trial, name: str) -> str:
    if name not in trial.checks:
        return ""
    error = trial.checks[name].replace("|", "/").split("\n")[-1]
    return f"**failed**: {error[-200:]}" if error else trial.facts.get(name, "yes")


def _percent(share: float | None) -> str:
    if share is None:
        return ""
    return f"{share:.3%}" if share else "none"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def write(page: Path, text: str) -> None:
    """Replaces what is between the marks of the page."""
    before, rest = page.read_text().split(START)
    page.write_text(before + START + text + END + rest.split(END)[1])
