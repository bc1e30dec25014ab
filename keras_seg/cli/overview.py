"""What there is: every network and encoder with its size, and one network in detail."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

SIZES = Path(__file__).with_name("sizes.json")
"""Parameters and multiply-adds of the defaults, so that a list needs no TensorFlow."""


def tables() -> list[Table]:
    """Networks and encoders for the terminal. Imports no TensorFlow."""
    sizes = json.loads(SIZES.read_text())
    networks = Table(
        *("name", "network", "paper", "parameters", "multiply-adds"),
        title="Networks: defaults, 21 classes, an image of 512x512",
        box=None,
    )
    encoders = Table(
        *("name", "parameters", "multiply-adds"),
        title="Encoders, for `--model_options.backbone`",
        box=None,
    )
    for table in (networks, encoders):
        for column in table.columns[-2:]:
            column.justify = "right"
    for name, facts in sizes["networks"].items():
        networks.add_row(name, facts["title"], facts["paper"], *_amounts(facts))
    for name, facts in sizes["encoders"].items():
        encoders.add_row(name, *_amounts(facts))
    return [networks, encoders]


def describe(name: str, input_shape: tuple[int, int, int], options: dict, plot: Path | None) -> str:
    """Sizes and options of one network, which is built for it; draws it into `plot`.

    An encoder is built without its published weights, which change neither.

    Raises: ValueError for an unknown network or option, or a size that does not pass.
    """
    import inspect

    from keras_seg import models
    from keras_seg.models.drawing import draw

    network = models.find(name)
    if own := sorted({"name", "input_shape"} & {*options}):
        raise ValueError(f"options cannot hold {own}: these are arguments beside the options.")
    parameters = inspect.signature(network.build).parameters
    if "backbone_weights" in parameters:
        options = {"backbone_weights": None} | options
    model = models.build(name, input_shape, **options)
    height, width, _ = input_shape
    billions = models.multiply_adds(model, input_shape) / 1e9
    lines = [
        f"{network.title}, {network.paper}",
        f"{model.count_params():,} parameters",
        f"{billions:.2f} billion multiply-adds for an image of {height}x{width}",
        "",
        inspect.getdoc(network.build) or "",
    ]
    if plot is not None:
        draw(model, plot)
        lines += ["", f"drawn into {plot}"]
    return "\n".join(lines)


def _amounts(facts: dict) -> tuple[str, str]:
    return f"{facts['parameters'] / 1e6:.1f} M", f"{facts['multiply_adds'] / 1e9:.1f} G"
