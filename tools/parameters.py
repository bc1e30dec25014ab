"""Counts the parameters of every network beside those of its reference implementations.

    python -m tools.parameters

Writes docs/parameters.md. Networks are built without values, so even the largest needs no memory.
"""

from __future__ import annotations

import math
from pathlib import Path

import keras

from benchmarks.common import markdown_table
from keras_seg import models
from tools.parameter_facts import REFERENCES, REPOSITORIES, Reference

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"
HEADER = ("network", "configuration", "classes", "channels", "ours", "reference")
TITLE = """\
# Parameters

Compare the size of every network with that of its reference implementation: the number of
trainable parameters must be equal. The first rows are the default networks, which have no
reference.

Each reference was built from its public code and counted. Rows "with moving averages" also count
the moving statistics of batch norm, because the reference counts them. This page is written by
`python -m tools.parameters`, and the tests count again.
"""


def main() -> None:
    counts = {}
    for number, row in enumerate(REFERENCES, start=1):
        counts[row] = count(row)
        found = "as the reference" if counts[row] == row.expected else f"reference {row.expected}"
        print(f"{number}/{len(REFERENCES)} {title(row)}: {counts[row]:,} ({found})", flush=True)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(counts))


def count(row: Reference) -> int:
    """Parameters of our network in the configuration of a reference."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = build(row)
    finally:
        # the next scope would initialise what this one left without values
        keras.utils.clear_session(free_memory=False)
    weights = model.weights if row.with_averages else model.trainable_weights
    return sum(math.prod(weight.shape) for weight in weights)


def build(row: Reference) -> keras.Model:
    if row.network == "part_locator":  # no segmentation network, so not in the registry
        return models.part_locator()
    model = models.build(
        row.network, (None, None, row.channels), row.num_classes, **dict(row.options)
    )
    return model if row.level is None else models.prune(model, row.level)


def title(row: Reference) -> str:
    return f"{row.network}, {words(row)}"


def words(row: Reference) -> str:
    return row.configuration + (", with moving averages" if row.with_averages else "")


def page(counts: dict[Reference, int]) -> str:
    table = markdown_table(HEADER, [cells(row, number) for row, number in counts.items()])
    sources = "".join(f"- {name}: {where}\n" for name, where in REPOSITORIES.items())
    return f"{TITLE}\n{table}\n## References\n\n{sources}"


def cells(row: Reference, number: int) -> tuple[str, ...]:
    return (
        f"`{row.network}`",
        words(row),
        str(row.num_classes),
        str(row.channels),
        f"{number:,}",
        "" if row.expected is None else f"{row.expected:,}",
    )


if __name__ == "__main__":
    main()
