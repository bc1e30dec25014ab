"""Networks that are built for their names and shapes alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Networks built inside have no values of weights, which takes a fraction of the time.

    They cannot be called on arrays or saved.
    """
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # the next scope would initialise what this one left without values
        keras.utils.clear_session(free_memory=False)
