"""Makes the golden files of the tests from outputs of reference implementations.

    python -m tests.golden.collect FOLDER CASE SOURCE
        [--option NAME=JSON ...] [--step N] [--only NAME ...]

FOLDER holds `CASE.manifest.json` (tensor name → shape) and `CASE.seed0.npz` or
`CASE.seed0.tame.npz` (`input_shape`, `seed`, perhaps `norm_scale`, and the outputs that the
reference gave for the weights of `tests.helpers.reference`). Outputs are thinned to every N-th
pixel, so that a file stays below about 30 kB.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from tests.helpers.reference import write_golden

FACTS = ("input_shape", "seed", "norm_scale")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("case")
    parser.add_argument("source")
    parser.add_argument("--option", action="append", default=[], help="NAME=JSON")
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="names of the arrays to keep (default: all)")
    options = parser.parse_args()
    manifest = json.loads((options.folder / f"{options.case}.manifest.json").read_text())
    tame = options.folder / f"{options.case}.seed0.tame.npz"
    golden = np.load(tame if tame.exists() else options.folder / f"{options.case}.seed0.npz")
    outputs = {name: golden[name] for name in golden.files if name not in FACTS}
    write_golden(
        Path(__file__).parent / f"{options.case}.npz",
        source=options.source,
        manifest=manifest,
        seed=int(golden["seed"]),
        norm_scale=float(golden["norm_scale"]) if "norm_scale" in golden.files else 1.0,
        input_shape=golden["input_shape"].tolist(),
        options={k: json.loads(v) for k, _, v in (o.partition("=") for o in options.option)},
        outputs={
            name: array
            for name, array in outputs.items()
            if array.ndim == 4 and (not options.only or name in options.only)
        },
        step=options.step,
    )


if __name__ == "__main__":
    main()
