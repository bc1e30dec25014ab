"""Writes the table of the papers' ideas into docs/accuracy.md, from benchmarks/results/papers.json.

python -m tools.accuracy
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import common
from benchmarks.papers.records import Study
from benchmarks.papers.report import NOT_RUN, Results, results_of, rows_of, summary
from benchmarks.papers.studies import STUDIES

PAGE = Path(__file__).parents[1] / "docs/accuracy.md"
START, END = "<!-- written by tools.accuracy -->\n", "<!-- end of tools.accuracy -->\n"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    path = common.RESULTS / "papers.json"
    record = json.loads(path.read_text()) if path.exists() else {"trainings": {}}
    before, rest = PAGE.read_text().split(START)
    PAGE.write_text(before + START + tables(record) + END + rest.split(END)[1])


def tables(record: dict) -> str:
    """The results, and then how each study is measured."""
    studies = {name: results_of(name, record) for name in STUDIES}
    return f"{summary(studies)}\n{settings(studies)}"


def settings(studies: dict[str, Results]) -> str:
    """Data, length and state of each study."""
    header = ("study", "data", "steps", "seeds", "finished trainings", "done differently")
    rows = []
    for name, results in studies.items():
        study = STUDIES[name]
        finished = sum(map(len, results.values()))
        wanted = study.seeds * len(study.variants)
        state = NOT_RUN if not finished else f"{finished} of {wanted}"
        data = f"`{study.data}`" if ":" in study.data else study.data
        rows.append((f"`{name}`", data, length(study), study.seeds, state, study.note))
    return common.markdown_table(header, rows)


def length(study: Study) -> str:
    recipe = {**study.recipe, **rows_of(study)[0].recipe}
    steps = recipe["epochs"] * recipe["steps_per_epoch"]
    height, width = recipe["crop"]
    return f"{steps} of {recipe['batch_size']} crops of {height}x{width}"


if __name__ == "__main__":
    main()
