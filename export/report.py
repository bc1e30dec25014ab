"""The report of an export."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from keras_seg.card import ModelCard
from keras_seg.export.conversion import ClippedRanges, MixedPrecision
from keras_seg.export.kinds import UNCOMPARED
from keras_seg.export.options import ExportOptions
from keras_seg.export.proof.audit import Audit
from keras_seg.export.proof.gate import GateResult
from keras_seg.inference.results import megabytes, percent, threshold_in_words

UNMEASURED = "accuracy unmeasured: no evaluation images were given"
PRODUCT = "BATCH_MATMUL"
"""The operator of attention. XNNPACK runs it in float, LiteRT's own slow kernel in int8."""


@dataclass(frozen=True)
class ExportReport:
    """An exported file. The options of the file are attributes, too, such as `report.quantize`.

    Attributes:
        path: path of the file.
        options: the options of the export, completed with the format, the head and the (height,
            width, channels) of the file, None where free.
        audit: its operators and tensors.
        gate: how it compares with the Keras model, None without evaluation images.
        calibration_images: number of images that ranges were measured on, 0 if none were needed.
        missing_classes: names of the classes that were on none of these.
        seconds: duration of the export.
        card: the model card in the file.
        mixed: what a mixed file keeps in float and why, None for others.
        clipped: how the ranges of an int8 file were clipped, None if they cover all values.
        calibration_masks: whether the calibration images had masks, which show their classes.
        board_folder: the folder of the board pack, None if none was written.
    """

    path: str
    options: ExportOptions
    audit: Audit
    gate: GateResult | None
    calibration_images: int
    missing_classes: tuple[str, ...]
    seconds: float
    card: ModelCard
    mixed: MixedPrecision | None = None
    clipped: ClippedRanges | None = None
    calibration_masks: bool = True
    board_folder: str | None = None

    @property
    def format(self) -> str:
        """ "tflite" or "onnx"."""
        return self.options.format

    @property
    def quantize(self) -> str | None:
        """None for float32."""
        return self.options.quantize

    @property
    def input_shape(self) -> tuple[int | None, int | None, int]:
        """(height, width, channels) in pixels, None where free."""
        return self.options.input_shape

    @property
    def input(self) -> str:
        """Type of the image that the file takes."""
        return self.options.input

    @property
    def head(self) -> str:
        """What the file outputs."""
        return self.options.head

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self.audit.size_bytes

    @property
    def accuracy(self) -> str:
        """The result of the comparison in words."""
        return accuracy_in_words(self.gate) if self.options.kind.runs_here else UNCOMPARED

    @property
    def advice(self) -> str | None:
        """What would make the file faster, if anything is known."""
        kind = self.options.kind
        if kind.attention_in_float and PRODUCT in self.audit.undelegated:
            return (
                f"attention ({PRODUCT}) is several times slower in {kind.label} than in float on "
                f"CPUs; quantize={kind.attention_in_float!r} leaves it in float"
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON, with the options beside the rest."""
        record = vars(self) | self.options.to_dict()
        del record["options"]
        return record | {
            "size_bytes": self.size_bytes,
            "accuracy": self.accuracy,
            "audit": self.audit.to_dict(),
            "gate": None if self.gate is None else self.gate.to_dict(),
            "card": asdict(self.card),
            "mixed": None if self.mixed is None else self.mixed.to_dict(),
            "clipped": None if self.clipped is None else self.clipped.to_dict(),
        }

    def table(self) -> Table:
        """The facts as a table for the terminal."""
        height, width, channels = (size or "any" for size in self.input_shape)
        batch = "" if self.options.batch == 1 else f", batch {self.options.batch}"
        table = Table("exported")
        table.add_column(Text(str(self.path)))
        table.add_row("format", f"{self.format}, {self.options.kind.label}")
        table.add_row("image", f"{height} x {width} x {channels}, {self.input}{batch}")
        table.add_row("output", self.head)
        if self.card.threshold is not None:
            table.add_row("threshold", threshold_in_words(self.card.threshold))
        table.add_row("size", megabytes(self.size_bytes))
        operators = ", ".join(f"{name} x {n}" for name, n in self.audit.operators.items())
        table.add_row("operators", operators)
        if self.audit.islands:
            table.add_row("stays float", Text(", ".join(self.audit.islands)))
        if self.calibration_images:
            table.add_row("calibrated on", Text(self._calibration_in_words()))
        if self.clipped is not None:
            table.add_row("ranges", str(self.clipped))
        if self.mixed is not None:
            kept = "\n".join(map(str, self.mixed.kept)) or "nothing"
            table.add_row("kept in float", Text(kept))
            table.add_row("search", Text(str(self.mixed)))
        if self.audit.partitions is not None:
            left = ", ".join(f"{name} x {n}" for name, n in self.audit.undelegated.items())
            table.add_row(
                "XNNPACK parts", f"{self.audit.partitions}; operators outside: {left or 'none'}"
            )
        if placement := self.audit.placement_in_words():
            left = [f"on the CPU: {entry}" for entry in self.audit.left_over]
            table.add_row(f"on {self.audit.target}", Text("\n".join([placement, *left])))
        if self.advice:
            table.add_row("faster", self.advice)
        table.add_row("accuracy", self.accuracy)
        if self.board_folder is not None:
            table.add_row("for a device", Text(self.board_folder))
        table.add_row("took", f"{self.seconds:.1f} s")
        return table

    def _calibration_in_words(self) -> str:
        if not self.calibration_masks:
            return f"{self.calibration_images} images without masks"
        missing = ", ".join(self.missing_classes)
        classes = f"none of them with {missing}" if missing else "every class occurs"
        return f"{self.calibration_images} images, {classes}"


def accuracy_in_words(gate: GateResult | None) -> str:
    """What is known about the accuracy of a file."""
    if gate is None:
        return UNMEASURED
    sides = gate.comparison.evaluations
    before, after = (percent(side.miou) for side in sides.values())
    images = sides["keras"].images
    return (
        f"mIoU {after} after {before} in Keras, same class on {percent(gate.agreement)} of the "
        f"pixels of {images} image{'s' if images != 1 else ''}"
    )
