"""What an export made and what is known about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from keras_seg.card import ModelCard
from keras_seg.export.int8.clipped_ranges import ClippedRanges
from keras_seg.export.int8.mixed_report import MixedPrecision
from keras_seg.export.proof.audit import Audit
from keras_seg.export.proof.gate import GateResult
from keras_seg.inference.results import megabytes, percent

UNMEASURED = "accuracy unmeasured: no evaluation images were given"
PRODUCT = "BATCH_MATMUL"
"""The operator of attention: XNNPACK takes it in float, LiteRT's own kernel in int8."""


@dataclass(frozen=True)
class ExportReport:
    """An exported file.

    Attributes:
        quantize: None for float32.
        input_shape: (height, width, channels) in pixels.
        input, head: type of the image that it takes, and what it puts out.
        audit: its operators and tensors.
        gate: how it compares with the Keras model, None if there were no images to tell.
        accuracy: the gate's finding in words.
        calibration_images: number of images that ranges were measured on, 0 if none were needed.
        missing_classes: names of the classes that were on none of these.
        seconds: that the export took.
        card: what the file says of itself.
        mixed: what a mixed file keeps in float and why, None for others.
        calibration_masks: whether the calibration images had masks, which tell their classes.
        clipped: where the ranges of an int8 file end, None if they hold all that was seen.
    """

    path: str
    format: str
    quantize: str | None
    input_shape: tuple[int, int, int]
    input: str
    head: str
    size_bytes: int
    audit: Audit
    gate: GateResult | None
    accuracy: str
    calibration_images: int
    missing_classes: tuple[str, ...]
    seconds: float
    card: ModelCard
    mixed: MixedPrecision | None = None
    clipped: ClippedRanges | None = None
    calibration_masks: bool = True

    @property
    def advice(self) -> str | None:
        """What would make the file faster, if anything is known."""
        if self.quantize == "int8" and PRODUCT in self.audit.undelegated:
            return (
                f"attention ({PRODUCT}) is several times slower in int8 than in float on CPUs; "
                "quantize='mixed' leaves it in float"
            )
        return None

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        return vars(self) | {
            "audit": self.audit.to_dict(),
            "gate": None if self.gate is None else self.gate.to_dict(),
            "card": asdict(self.card),
            "mixed": None if self.mixed is None else self.mixed.to_dict(),
            "clipped": None if self.clipped is None else self.clipped.to_dict(),
        }

    def table(self) -> Table:
        """The facts as a table for the terminal."""
        height, width, channels = self.input_shape
        table = Table("exported")
        table.add_column(Text(str(self.path)))
        table.add_row("format", f"{self.format}, {self.quantize or 'float32'}")
        table.add_row("image", f"{height} x {width} x {channels}, {self.input}")
        table.add_row("output", self.head)
        table.add_row("size", megabytes(self.size_bytes))
        operators = ", ".join(f"{name} x {n}" for name, n in self.audit.operators.items())
        table.add_row("operators", operators)
        if self.audit.islands:
            table.add_row("stays float", Text(", ".join(self.audit.islands)))
        if self.calibration_images:
            missing = ", ".join(self.missing_classes)
            table.add_row(
                "calibrated on",
                Text(
                    f"{self.calibration_images} images"
                    + (f", none of them with {missing}" if missing else ", every class on them")
                    if self.calibration_masks
                    else f"{self.calibration_images} images without masks"
                ),
            )
        if self.clipped is not None:
            table.add_row("ranges", str(self.clipped))
        if self.mixed is not None:
            kept = "\n".join(map(str, self.mixed.kept)) or "nothing"
            table.add_row("kept in float", Text(kept))
            table.add_row("search", Text(str(self.mixed)))
        if self.audit.partitions is not None:
            left = ", ".join(f"{name} x {n}" for name, n in self.audit.undelegated.items())
            table.add_row(
                "XNNPACK parts", f"{self.audit.partitions}; not in them: {left or 'nothing'}"
            )
        if self.advice:
            table.add_row("faster", self.advice)
        table.add_row("accuracy", self.accuracy)
        table.add_row("took", f"{self.seconds:.1f} s")
        return table


def in_words(gate: GateResult | None) -> str:
    """What is known of a file's accuracy."""
    if gate is None:
        return UNMEASURED
    sides = gate.comparison.evaluations
    before, after = (percent(side.miou) for side in sides.values())
    images = sides["keras"].images
    return (
        f"mIoU {after} after {before} in Keras, same class on {percent(gate.agreement)} of the "
        f"pixels of {images} image{'s' if images != 1 else ''}"
    )
