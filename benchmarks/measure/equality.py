"""Difference between converted networks and their reference implementations.

    python -m benchmarks.measure.equality

Reads the golden files of the tests. Each holds the output of a public implementation for weights
that are computed from names and shapes. Writes the largest difference of each case, divided by the
largest output, to `equality.json` and `equality.md`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks import common
from keras_seg.checkpoints import convert
from tests.helpers.reference import image, read_golden, state_dict

RESULTS = common.RESULTS / "equality.json"
GOLDEN = Path(__file__).parents[2] / "tests" / "golden"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    paths = sorted(GOLDEN.glob("*.npz"))
    record = {
        "machine": common.machine(os.cpu_count()),
        "versions": common.versions(("keras-seg", "tensorflow", "keras", "numpy")),
        "cases": {path.stem: difference(path) for path in track(paths, "Comparing")},
    }
    common.write(RESULTS, record, report(record))


def difference(path: Path) -> dict:
    """Network, source and largest difference over the largest output of a golden file."""
    facts, expected = read_golden(path)
    state = state_dict(facts["manifest"], facts["seed"], facts["norm_scale"])
    shape = facts["input_shape"]
    several = isinstance(shape[0], list)
    pixels = [image(one, facts["seed"]) for one in (shape if several else [shape])]
    shapes = [array.shape[1:] for array in pixels]
    model = convert(state, facts["source"], shapes if several else shapes[0], **facts["options"])
    found = model(pixels if several else pixels[0])
    if not isinstance(found, dict):
        found = dict.fromkeys(expected, found) if len(expected) == 1 else {"logits": found}
    step = facts["step"]
    parts = {
        name: float(np.abs(np.asarray(found[name])[:, ::step, ::step] - outputs).max())
        / float(np.abs(outputs).max())
        for name, outputs in expected.items()
        if name in found
    }
    return {"network": model.name, "source": facts["source"], "outputs": parts}


def report(record: dict) -> str:
    rows = [
        (name, case["network"], case["source"], f"{max(case['outputs'].values()):.1e}")
        for name, case in record["cases"].items()
    ]
    header = ("case", "network", "source", "largest difference / largest output")
    return (
        "# Equality with the reference implementations\n\n"
        f"{common.machine_line(record)} Outputs of public implementations, for weights made from "
        f"names and shapes, beside those of the converted networks.\n\n"
        f"{common.markdown_table(header, rows)}"
    )


if __name__ == "__main__":
    main()
