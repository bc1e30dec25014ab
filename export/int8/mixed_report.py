"""What a mixed file keeps in float, why, and how that was found."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Kept:
    """A layer that computes in float: its operators (kind → count) and the reason in words."""

    layer: str
    operators: dict[str, int]
    why: str

    def __str__(self) -> str:
        operators = ", ".join(
            kind if count == 1 else f"{kind} x {count}" for kind, count in self.operators.items()
        )
        return f"{self.layer} ({operators}): {self.why}"


@dataclass(frozen=True)
class Step:
    """A file that was tried: how many sensitive layers it kept in float, and what it lost."""

    layers: int
    loss: float


@dataclass(frozen=True)
class MixedPrecision:
    """How a mixed file was found.

    Attributes:
        kept: what it computes in float.
        loss: what it loses, in units of `measure`.
        allowed: what it was allowed to lose.
        measure: what was measured, in words.
        steps: the files that were tried, in order.
        noise: layer → noise over signal of the scores if this layer alone is int8, the largest
            first; empty where the first file was good enough.
    """

    kept: tuple[Kept, ...]
    loss: float
    allowed: float
    measure: str
    steps: tuple[Step, ...]
    noise: dict[str, float]

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        trials = f"{len(self.steps)} file{'s' if len(self.steps) != 1 else ''} tried"
        return f"{self.loss:.2f} {self.measure}, {self.allowed:g} allowed; {trials}"
