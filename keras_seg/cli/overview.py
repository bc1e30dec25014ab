"""Tables of all networks, encoders and published weights, and one of them in detail."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from keras_seg.published_weights import ROWS, find_weights
from keras_seg.shipped_models import SHIPPED

SIZES = Path(__file__).with_name("sizes.json")
"""Parameters and multiply-adds of the default networks, stored so that no TensorFlow is needed."""


def tables() -> list[Table]:
    """Tables of networks and of encoders, for the terminal. Imports no TensorFlow."""
    sizes = json.loads(SIZES.read_text())
    networks = Table(
        "name",
        "network",
        "paper",
        "parameters",
        "multiply-adds",
        title="Networks: defaults, 21 classes, an image of 512x512",
        box=None,
    )
    encoders = Table(
        "name",
        "parameters",
        "multiply-adds",
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
    """Builds a network and describes its sizes and options.

    Args:
        name: name of the network.
        input_shape: height, width and channels of the image.
        options: arguments of the builder. The backbone is built without published weights.
        plot: file to draw the network into, or None.

    Raises: ValueError for an unknown network or option, or an unsuitable size.
    """
    import inspect

    from keras_seg import models
    from keras_seg.models.drawing import draw

    network = models.find(name)
    if own := sorted({"name", "input_shape"} & {*options}):
        raise ValueError(f"options cannot contain {own}: pass these as separate arguments.")
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


def weights_table() -> Table:
    """Table of published weights, for the terminal. Imports no TensorFlow."""
    table = Table(box=None)
    table.add_column("name", no_wrap=True)
    for title in ("mIoU", "classes", "licence", "measured on"):
        table.add_column(title)
    for row in ROWS:
        stated = "" if row.miou is None else f"{row.miou}"
        table.add_row(row.name, stated, str(len(row.classes)), row.licence, row.measured)
    return table


def describe_weights(name: str) -> str:
    """The facts of published weights, a line each.

    Raises: ValueError for an unknown name.
    """
    row = find_weights(name)
    stated = "not stated by the authors"
    if row.miou is not None:
        stated = f"{row.miou} %, as the authors state ({row.measured})"
    names = row.classes.names
    if row.shipped:
        stated = f"{row.miou} % ({row.measured})"
    lines = [
        f"name        {row.name}",
        f"trained on  {row.trained_on}",
        f"mIoU        {stated}",
        f"licence     {row.licence}; that of the training data may restrict the use further",
        f"classes     {len(names)}: {', '.join(names[:30])}{', ...' if len(names) > 30 else ''}",
        f"page        {row.page}",
    ]
    if row.shipped:
        lines.append(f"file        {SHIPPED[name]}, which the package holds")
    else:
        lines += [
            f"file        {row.url}",
            f"SHA-256     {row.sha256 or 'not published'}",
            f"source      {row.source}",
        ]
    return "\n".join([*lines, *([f"note        {row.note}"] if row.note else [])])


def _amounts(facts: dict) -> tuple[str, str]:
    return f"{facts['parameters'] / 1e6:.1f} M", f"{facts['multiply_adds'] / 1e9:.1f} G"
