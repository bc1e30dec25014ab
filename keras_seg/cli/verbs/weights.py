"""`keras-seg weights`: lists published checkpoints, or describes one."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from keras_seg.cli.output import DONE, say
from keras_seg.cli.verbs.verb import Verb
from keras_seg.published_weights import PUBLISHED, PublishedWeights, find_weights


def weights_verb(name: str | None = None) -> int:
    """List published checkpoints that can be loaded by name, or describe one.

    Args:
        name: a checkpoint; by default all are listed.
    """
    if name is None:
        say(_table(PUBLISHED.values()))
        say("mIoU: what the authors state, on the images of the last column.")
        return DONE
    row = find_weights(name)
    stated = "not stated by the authors"
    if row.miou is not None:
        stated = f"{row.miou} %, as the authors state ({row.measured})"
    names = row.classes.names
    lines = [
        f"name        {row.name}",
        f"trained on  {row.trained_on}",
        f"mIoU        {stated}",
        f"licence     {row.licence}; that of the training data may restrict the use further",
        f"classes     {len(names)}: {', '.join(names[:30])}{', ...' if len(names) > 30 else ''}",
        f"page        {row.page}",
        f"file        {row.url}",
        f"SHA-256     {row.sha256 or 'not published'}",
        f"source      {row.source}",
    ]
    say(
        "\n".join([*lines, *([f"note        {row.note}"] if row.note else [])]),
        highlight=False,
        soft_wrap=True,
    )
    return DONE


def _table(rows: Iterable[PublishedWeights]) -> Table:
    table = Table(box=None)
    table.add_column("name", no_wrap=True)
    for title in ("mIoU", "classes", "licence", "measured on"):
        table.add_column(title)
    for row in rows:
        stated = "" if row.miou is None else f"{row.miou}"
        table.add_row(row.name, stated, str(len(row.classes)), row.licence, row.measured)
    return table


VERB = Verb(
    weights_verb,
    arguments={
        "name": {"nargs": "?", "type": str, "help": "a checkpoint; by default all are listed"}
    },
)
