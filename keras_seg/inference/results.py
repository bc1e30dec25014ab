"""What an evaluation and a comparison found."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from rich.table import Table

from keras_seg.inference.tables import comparison_table


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A network measured on images with masks; pixels of mask value 255 do not count.

    Of a multi-label network each label has an IoU of its own, of the pixels that have it.

    Attributes:
        miou: mean intersection over union of the classes, 0..1; None without a labelled pixel.
        per_class_iou: class name → 0..1, None for a class neither in the masks nor predicted,
            which the mean leaves out.
        sizing: how images met the network, "resize" or "tile".
        pixel_accuracy: part of the labelled pixels with the right class, or of the known labels
            of all pixels that are right, 0..1.
        latency_ms_median, latency_ms_p90: of one run of the network, without reading or resizing
            the image; the first run at each size is not counted.
        confusion: (num_classes, num_classes) int64 pixel counts, truth by prediction; of labels
            (num_classes, 2, 2), absent and present.
    """

    format: str
    size_bytes: int | None
    threads: int
    sizing: str
    images: int
    miou: float | None
    per_class_iou: dict[str, float | None]
    pixel_accuracy: float | None
    latency_ms_median: float
    latency_ms_p90: float
    confusion: np.ndarray = field(repr=False)

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        return vars(self) | {"confusion": self.confusion.tolist()}

    def table(self) -> Table:
        """The numbers as a table for the terminal."""
        return comparison_table({self.format: self})


@dataclass(frozen=True)
class Comparison:
    """Several networks beside each other on the same images.

    Attributes:
        evaluations: name → its Evaluation; the first is what the others are compared with.
        agreement: name → part of all pixels, or of all pixels of every label, where its answer is
            that of the first, 0..1.
        largest_difference: name → largest difference of a score from that of the first; None
            where not both put out logits, or both probabilities, of the same shape.
    """

    evaluations: dict[str, Evaluation]
    agreement: dict[str, float]
    largest_difference: dict[str, float | None]

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        evaluations = {name: side.to_dict() for name, side in self.evaluations.items()}
        return vars(self) | {"evaluations": evaluations}

    def table(self) -> Table:
        """The numbers as a table for the terminal, one column a network."""
        return comparison_table(self.evaluations, self.agreement, self.largest_difference)
