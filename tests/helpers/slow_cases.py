"""Cases of a parametrized test that repeat the promise of another case."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest


def all_but(kept: Container, cases: Iterable) -> list[Any]:
    """Marks every case that is not in `kept` as slow, so that the default suite leaves it out.

    A case of several arguments is a tuple, and its first argument is compared.
    """
    marked = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marks = [] if values[0] in kept else [pytest.mark.slow]
        marked.append(pytest.param(*values, marks=marks))
    return marked
