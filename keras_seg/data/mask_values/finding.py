"""A problem of the values of masks, or of the batches of a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or doubtful.

    Attributes:
        kind: a short name of the problem, such as "0 and 255", "off by one" or "one class".
        message: what was found, in which share of the pixels, why it is wrong, and what to write.
        error: whether training on such data is wrong; otherwise it is only doubtful.
    """

    kind: str
    message: str
    error: bool = True
