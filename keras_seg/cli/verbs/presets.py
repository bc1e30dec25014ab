"""`keras-seg presets`: lists the recipes of the papers."""

from __future__ import annotations

from keras_seg.cli.output import DONE, say
from keras_seg.cli.verbs.verb import Verb


def presets_verb() -> int:
    """List the recipes of the papers, for train --preset."""
    from rich.table import Table

    from keras_seg.training.presets import list_presets, summary

    table = Table("preset", "trains", box=None)
    for name in list_presets():
        table.add_row(name, summary(name))
    say(table)
    return DONE


VERB = Verb(presets_verb)
