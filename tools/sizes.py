"""Writes what `keras-seg models` lists, and the completion of a shell, without TensorFlow.

Sizes of networks and encoders come from the results of `benchmarks.measure.models`.

python -m tools.sizes
"""

from __future__ import annotations

import argparse
import json

from benchmarks import common
from keras_seg import backbones, checkpoints, models
from keras_seg.cli.overview import SIZES

MEASURED = common.RESULTS / "models.json"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    SIZES.write_text(json.dumps(sizes(), indent=1) + "\n")


def sizes() -> dict:
    """Amounts of networks and encoders, title and paper of networks, sources of checkpoints."""
    rows = json.loads(MEASURED.read_text())["rows"]
    return {
        "networks": {
            name: {"title": models.find(name).title, "paper": models.find(name).paper}
            | _amounts(rows[name])
            for name in models.list_models()
        },
        "encoders": {
            name: _amounts(rows[f"encoder {name}"]) for name in backbones.list_backbones()
        },
        "sources": checkpoints.list_sources(),
    }


def _amounts(row: dict) -> dict:
    return {key: row[key] for key in ("parameters", "multiply_adds")}


if __name__ == "__main__":
    main()
