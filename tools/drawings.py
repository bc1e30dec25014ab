"""Draws the networks for the pages of the documentation.

    python -m tools.drawings [NAME ...]

Writes docs/networks/NAME.svg of the default network, which is built without values.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import keras

from keras_seg import models
from keras_seg.models.drawing import draw

FOLDER = Path(__file__).parents[1] / "docs" / "networks"
SIDE = {"deconvnet": 224}
"""Pixels of the image's side where it is not 256: fc6 covers the whole map at the paper's size."""
WITHOUT = {"segnet_basic"}
"""Networks without a page of their own."""


def network(name: str) -> keras.Model:
    """The default network of a name, without values and without published weights."""
    side = SIDE.get(name, 256)
    parameters = inspect.signature(models.find(name).build).parameters
    options = {"backbone_weights": None} if "backbone_weights" in parameters else {}
    try:
        with keras.StatelessScope(initialize_variables=False):
            return models.build(name, (side, side, 3), 21, **options)
    finally:
        keras.utils.clear_session(free_memory=False)


def main(names: list[str]) -> None:
    for name in names or sorted(set(models.list_models()) - WITHOUT):
        draw(network(name), FOLDER / f"{name}.svg")
        print(f"{name}.svg: {(FOLDER / f'{name}.svg').stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
