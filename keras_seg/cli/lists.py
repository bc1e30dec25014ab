"""Verbs that say what there is."""

from __future__ import annotations

from pathlib import Path

from keras_seg.cli.answers import DONE, say


def presets_verb() -> int:
    """List the recipes of the papers that train --preset takes."""
    from rich.table import Table

    from keras_seg.training.presets import list_presets, summary

    table = Table("preset", "trains", box=None)
    for name in list_presets():
        table.add_row(name, summary(name))
    say(table)
    return DONE


def models_verb(
    name: str | None = None,
    plot: Path | None = None,
    input_shape: list[int] = (256, 256, 3),
    options: dict | None = None,
) -> int:
    """List networks and encoders with their sizes, or show and draw one network.

    Args:
        name: a network; all networks and encoders if it is left out.
        plot: .svg, .png or .pdf file to draw its blocks into.
        input_shape: height, width and channels of the image that it is built for.
        options: arguments of its builder, such as `--options.backbone resnet50`.
    """
    from keras_seg.cli import overview

    if name is None:
        if plot is not None or options:
            raise ValueError("--plot and --options are for one network: keras-seg models unet ...")
        for table in overview.tables():
            say(table)
    else:
        text = overview.describe(name, tuple(input_shape), options or {}, plot)
        say(text, highlight=False, soft_wrap=True)
    return DONE
