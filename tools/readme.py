"""Writes the README's table of networks from the registry and the benchmark results.

    python -m tools.readme

Replaces the lines between the two comments that name this module. A value that was not measured
leaves its cell empty, and a column without values is left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import common
from keras_seg import models

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- written by tools.readme -->\n", "<!-- end of tools.readme -->\n"
HEADER = (
    "name",
    "network",
    "parameters",
    "billion multiply-adds",
    "equal to",
    "TFLite int8 keeps",
)
INT8 = "TFLite int8"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    before, rest = README.read_text().split(START)
    README.write_text(before + START + table() + END + rest.split(END)[1])


def table() -> str:
    """The table in Markdown, one row per network."""
    sizes, equality, edge = (_record(name) for name in ("models", "equality", "edge"))
    rows = []
    for name in models.list_models():
        network = models.find(name)
        facts = sizes.get("rows", {}).get(name, {})
        address = network.paper.replace("arXiv:", "https://arxiv.org/abs/")
        rows.append(
            (
                f"`{name}`",
                f"[{network.title}]({address})",
                f"{facts['parameters'] / 1e6:.1f} M" if facts else "",
                f"{facts['multiply_adds'] / 1e9:.1f}" if facts else "",
                _equal_to(name, equality.get("cases", {}).values()),
                _kept(edge.get("networks", {}).get(name, {}).get("rows", {})),
            )
        )
    shown = [column for column in zip(HEADER, *rows, strict=True) if any(column[1:])]
    header, *rows = zip(*shown, strict=True)
    return common.markdown_table(header, rows)


def _record(name: str) -> dict:
    path = README.parent / common.RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    record = json.loads(path.read_text())
    if isinstance(record.get("rows"), list):
        record["rows"] = dict(record["rows"])
    return record


def _equal_to(name: str, cases) -> str:
    """The implementations that a network was compared with, and the largest difference."""
    found = {}
    for case in cases:
        if case["network"] == name:
            difference = max(case["outputs"].values())
            found[case["source"]] = max(difference, found.get(case["source"], 0.0))
    if not found:
        return ""
    return f"{', '.join(sorted(found))} ({max(found.values()):.0e})"


def _kept(files: dict) -> str:
    """mIoU on validation images of the int8 file, and of the Keras model."""
    if not files.get(INT8, {}).get("miou"):
        return ""
    before, after = (100 * files[name]["miou"] for name in ("Keras", INT8))
    return f"{after:.1f} of {before:.1f} %"


if __name__ == "__main__":
    main()
