"""The interface of converters: their arguments, their result, and the record of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import keras
import numpy as np

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.network_to_export import NetworkToExport


@dataclass(frozen=True)
class KeptLayer:
    """A layer that computes in float.

    Attributes:
        layer: its name.
        operators: kind → number of its operators that compute in float.
        why: the reason in words.
    """

    layer: str
    operators: dict[str, int]
    why: str

    def __str__(self) -> str:
        operators = ", ".join(
            kind if count == 1 else f"{kind} x {count}" for kind, count in self.operators.items()
        )
        return f"{self.layer} ({operators}): {self.why}"


@dataclass(frozen=True)
class TriedFile:
    """A file that a search for mixed precision measured.

    Attributes:
        layers: number of sensitive layers in float.
        loss: what the file lost.
    """

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
        noise: layer → noise-to-signal ratio of the scores if this layer alone is int8, the largest
            first; empty if the first file was good enough.
    """

    kept: tuple[KeptLayer, ...]
    loss: float
    allowed: float
    measure: str
    steps: tuple[TriedFile, ...]
    noise: dict[str, float]

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        files = f"{len(self.steps)} file{'s' if len(self.steps) != 1 else ''} tried"
        return f"{self.loss:.2f} {self.measure}, {self.allowed:g} allowed; {files}"


@dataclass(frozen=True)
class ClippedRanges:
    """The ranges of an int8 file that were clipped because of a few outlier images.

    Attributes:
        quantile: share of the calibration images whose values the ranges cover.
        loss: percent of the pixels of the calibration images whose class differs from Keras.
        before: the same with ranges that cover the values of all images.
    """

    quantile: float
    loss: float
    before: float

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"cover {self.quantile:.0%} of the calibration images: {self.loss:.1f} % of their "
            f"pixels change class, {self.before:.1f} % with ranges that cover all"
        )


@dataclass(frozen=True)
class ConvertedFile:
    """What a converter returns.

    Attributes:
        content: the bytes of the file, with the card in them.
        mixed: how a mixed file was found, None for others.
        clipped: how the ranges of an int8 file were clipped, None if they cover all values.
    """

    content: bytes
    mixed: MixedPrecision | None = None
    clipped: ClippedRanges | None = None


class Converter(Protocol):
    """Writes one kind of file; `keras_seg.export.converters` has one per row of `KINDS`."""

    def __call__(
        self,
        deployed: keras.Model,
        network: NetworkToExport,
        images: Sequence[np.ndarray],
        evaluation: SegmentationDataset | None,
    ) -> ConvertedFile:
        """Converts a network.

        Args:
            deployed: the network rewritten for the device, with a static shape and batch 1.
            network: the network as it was trained, with the options, the card of the file and a
                runner to measure losses against.
            images: calibration images, (H, W, C) uint8 at the size of the network; none for kinds
                that need no calibration, and for models with trained ranges.
            evaluation: images with masks, for converters that search by accuracy.

        Raises: ExportError for a network that the kind cannot hold, with the layer or operator.
        """
