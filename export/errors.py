"""What can go wrong once an export is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_seg.export.proof.gate import GateResult


class ExportError(ValueError):
    """The network cannot become the file that was asked for; the text says why and what to do."""


class GateError(ExportError):
    """The file was made but answers too differently from the Keras model; it was deleted.

    Attributes: `result`, the GateResult with the numbers of both.
    """

    def __init__(self, message: str, result: GateResult):
        super().__init__(message)
        self.result = result
