"""Images that occur several times in a data set."""

from __future__ import annotations

from collections import defaultdict

from keras_seg.data.verify.report import DatasetReport, Problem


def find_duplicates(report: DatasetReport) -> None:
    """Adds equal images to the report: an error across splits, a warning within one.

    An image in both splits makes the validation too optimistic.
    """
    places = defaultdict(list)
    for split, facts in report.facts.items():
        for fact in facts:
            places[fact.digest].append((split, fact.name))
    for equal in places.values():
        if len(equal) < 2:
            continue
        names = ", ".join(f"{split}: {name}" for split, name in equal)
        across = len({split for split, _ in equal}) > 1
        problem = Problem("duplicates", equal[0][0], f"The same image several times: {names}")
        (report.errors if across else report.warnings).append(problem)
