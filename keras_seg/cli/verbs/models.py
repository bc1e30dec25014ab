"""`keras-seg models`: lists networks and encoders, or describes one network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_seg.cli.output import DONE, say
from keras_seg.cli.verbs.verb import Verb


def models_verb(
    name: str | None = None,
    plot: Path | None = None,
    input_shape: list[int] = (256, 256, 3),
    options: dict[str, Any] | None = None,
) -> int:
    """List networks and encoders with their sizes, or describe and draw one network.

    Args:
        name: a network; by default all networks and encoders are listed.
        plot: .svg, .png or .pdf file for a drawing of the network's blocks.
        input_shape: height, width and channels of the image that the network is built for.
        options: arguments of the network's builder, such as `--options.backbone resnet50`.
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


VERB = Verb(
    models_verb,
    arguments={"name": {"nargs": "?", "type": str, "help": "a network; by default all are listed"}},
)
