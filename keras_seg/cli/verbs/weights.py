"""`keras-seg weights`: lists published checkpoints, or describes one."""

from __future__ import annotations

from keras_seg.cli.output import DONE, say
from keras_seg.cli.verbs.verb import Verb


def weights_verb(name: str | None = None) -> int:
    """List published checkpoints that can be loaded by name, or describe one.

    Args:
        name: a checkpoint; by default all are listed.
    """
    from keras_seg.cli import overview

    if name is None:
        say(overview.weights_table())
        say("mIoU: what the authors state, on the images of the last column; for nuclei, measured.")
    else:
        say(overview.describe_weights(name), highlight=False, soft_wrap=True)
    return DONE


VERB = Verb(
    weights_verb,
    arguments={
        "name": {"nargs": "?", "type": str, "help": "a checkpoint; by default all are listed"}
    },
)
