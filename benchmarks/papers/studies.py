"""All studies, in the order in which they are trained."""

from __future__ import annotations

from benchmarks.papers.microscopy import MICROSCOPY
from benchmarks.papers.records import Study
from benchmarks.papers.streets import STREETS_AND_FACES

ORDER = (
    *("resunetplusplus", "unetplusplus", "segnet", "heads", "isbi", "resunet", "hrnet"),
    *("gridnet", "icnn", "deconvnet", "recipes"),
)
"""The largest claims first, then those without a figure."""
STUDIES: dict[str, Study] = {name: (MICROSCOPY | STREETS_AND_FACES)[name] for name in ORDER}
