"""`ExportOptions`: the options of an exported file, in one checked record.

The function `export`, the command line, reports and refusals read this record. Imports no
TensorFlow.
"""

from __future__ import annotations

import numbers
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict

from keras_seg.arguments import checked_shape, flag, number, whole_number
from keras_seg.export.devices.device import Device
from keras_seg.export.devices.table import DEVICES, TARGETS
from keras_seg.export.kinds import (
    AXIS_ORDERS,
    FORMATS,
    FREE_FORMATS,
    INPUTS,
    KINDS,
    OPSETS,
    SUFFIXES,
    Kind,
    kinds_that,
    quantizations,
)
from keras_seg.names import SIZINGS, unknown_name
from keras_seg.output_activation import SCORES

HEADS = {
    "logits": "logits",
    "probabilities": "probabilities",
    "argmax": "classes",
    "fused_argmax": "classes",
}
"""Head of a file → name of its output."""


FREE = "free"
"""`batch` of a file that takes any number of images."""
DEFAULT_OPSET = 18


@dataclass(frozen=True)
class ExportOptions:
    """Options of an exported file.

    All values are plain, so that the options can be kept as JSON.

        options = ExportOptions(quantize="int8", input="uint8", head="argmax")
        keras_seg.export.export("run/model.keras", "model.tflite", options, calibration=images)

    Args:
        format: "tflite", "onnx" or "coreml" (a .mlpackage, written by coremltools). By default the
            suffix of the output file decides; the command line writes TFLite if no output file is
            named.
        quantize: how numbers are stored and computed; float32 by default. "fp16": float16 weights,
            in ONNX and Core ML also float16 arithmetic. "dynamic" (TFLite, Core ML): int8 weights,
            in Core ML with float16 arithmetic. "int8" (TFLite, ONNX): int8 weights
            and maps, in ONNX as QDQ pairs. "mixed" (TFLite): int8, but attention and as few of the
            most sensitive layers as possible stay float so that the loss fits max_drop.
            "int16x8" (TFLite): int8 weights and 16-bit maps, which is more exact than int8, slower
            than float32 because no delegate runs it, and refused if an operator has no such form.
            "int8", "mixed" and "int16x8" need calibration images.
        input_shape: height and width of the image in pixels, for a model of free size; the number
            of channels may follow. By default the size that the training images had. In an .onnx
            file, None leaves a side free: (None, None) takes images of any size that the network
            takes.
        input: type of the image. Values are pixels in 0..255 as "float32" or "uint8". "int8", for
            TFLite int8 and mixed, is pixel - 128, which is what such a file computes with: nothing
            is converted, scores come out as int8 with a scale and classes as int8. A Core ML
            package takes a picture, whatever is given here.
        head: what the file outputs; by default what the model outputs, "logits" or "probabilities".
            "argmax": classes, uint8 except with input="int8" and for some targets. "fused_argmax":
            classes that are decided at the resolution of the network's head and repeated to the
            size of the image; faster, but borders between classes follow cells of 4 or 8 pixels.
        max_drop: points of mIoU that a quantized file, or one with head fused_argmax, may lose.
            For mixed without evaluation images: percent of the calibration pixels that may change
            class.
        sizing: how images of another size are fitted to the file: "resize", "tile" (overlapping
            windows), or "auto" for what the training did.
        layout: order of the axes of image and scores: "nhwc", or "nchw" (ONNX only).
        target: the device that the file is for; "cpu" by default. The file then has the operators
            that the device runs, where the same numbers can be computed with them, and the report
            says what is left to the CPU. `keras-seg audit FILE --target NAME` says the same of any
            file. Only .tflite files have a target other than "cpu".
        batch: number of images that an .onnx file takes at once, or "free" for any number. A
            .tflite file takes one.
        opset: version of the ONNX operators, 17 or newer; by default 18, which ONNX Runtime 1.14
            and newer run.
        subpixel: rewrite nearest up-sampling with the convolution behind it, and transposed
            convolutions, as sub-pixel convolutions: the same numbers in 0.7 to 0.97 of the time.
            A target without the operator DEPTH_TO_SPACE gets other operators. A quantization-aware
            model keeps the form that it was trained in.
        limit: number of evaluation images to compare on; all by default.
        threads: CPU threads for the comparison; all by default.
        scores: what a foreign model outputs, "logits" or "probabilities"; by default what its
            graph shows.
        multi_label: whether a pixel of a foreign model may have several labels. Such a model has no
            class maps.
        threshold: probability above which a pixel has the second of two classes, or a label; for
            labels one number, or one per label. A class map is decided at it, and every file
            carries it for prediction. By default that of the model, or 0.5.
        board: also write the folder FILE.board for a device, with a copy of the file, a Python and
            a C++ program that need no keras_seg, the names of the classes, and a page on input,
            output, memory and time.

    Raises: ValueError for a name that does not exist (with the nearest one), a value of another
        type, or a combination that the format does not have.
    """

    format: str | None = None
    quantize: str | None = None
    input_shape: list[int | None] | tuple[int | None, ...] | None = None
    input: str = "float32"
    head: str | None = None
    max_drop: float = 1.0
    sizing: str = "auto"
    layout: str = "nhwc"
    target: str = "cpu"
    subpixel: bool = True
    limit: int | None = None
    threads: int | None = None
    scores: str | None = None
    multi_label: bool | None = None
    threshold: float | list[float] | tuple[float, ...] | None = None
    board: bool = False
    batch: int | str = 1
    opset: int | None = None

    def __post_init__(self) -> None:
        for option, names in choices().items():
            _check_name(option, getattr(self, option), names)
        checked = {
            "input_shape": _checked_input_shape(self.input_shape),
            "max_drop": number(self.max_drop, "max_drop"),
            "subpixel": flag(self.subpixel, "subpixel"),
            "board": flag(self.board, "board"),
        }
        for option, value in checked.items():
            object.__setattr__(self, option, value)
        if self.max_drop < 0:
            raise ValueError(f"max_drop is in points of mIoU, 0 or more. Received: {self.max_drop}")
        for option in ("limit", "threads"):
            value = getattr(self, option)
            if value is not None and whole_number(value, option) < 1:
                raise ValueError(f"{option} must be at least 1, or None for all. Received: {value}")
        if self.multi_label is not None:
            flag(self.multi_label, "multi_label")
        _check_batch(self.batch)
        if self.opset is not None and whole_number(self.opset, "opset") not in OPSETS:
            raise ValueError(
                f"opset must be {OPSETS[0]} to {OPSETS[-1]}. Received: {self.opset}. Leave it out "
                f"for {DEFAULT_OPSET}."
            )
        if self.format is not None:
            self._take_only_type(self.format)
            self._check_combination(self.format)

    def _take_only_type(self, format: str) -> None:
        """Replaces the default type of the image by that of a format with one type."""
        kind = KINDS.get((format, self.quantize))
        if kind is not None and len(kind.images) == 1 and self.input == INPUTS[0]:
            object.__setattr__(self, "input", kind.images[0])

    def _check_combination(self, format: str) -> None:
        if (format, self.quantize) not in KINDS:
            known = kinds_that(lambda kind: True, format)
            raise ValueError(
                f"{format} files are written in float32, or with quantize one of {known}. "
                f"Received: quantize={self.quantize!r}. Take one of these, or write a file of "
                "another format."
            )
        if self.layout not in AXIS_ORDERS[format]:
            raise ValueError(
                f"{format} files hold images as (height, width, channels). Received: layout="
                f"{self.layout!r}. Leave layout out, or write an .onnx file."
            )
        if self.board and (format == "coreml" or self.batch != 1):
            received = f"batch={self.batch!r}."
            if format == "coreml":
                received = "format='coreml'. docs/coreml.md has the Swift code for a package."
            raise ValueError(
                "board=True writes programs for .tflite and .onnx files that take one image. "
                f"Received: {received} Leave board out."
            )
        self._check_freedom(format)
        if self.input not in self.kind.images:
            fitting = kinds_that(lambda kind: self.input in kind.images)
            raise ValueError(
                f"input={self.input!r} is for .tflite files of quantize={fitting}. Received: "
                f"quantize={self.quantize!r} for a {format} file. Take input='uint8', which every "
                "file has, or one of these."
            )
        self._check_target(format)

    def _check_target(self, format: str) -> None:
        if format != "tflite" and self.target != "cpu":
            raise ValueError(
                f"target={self.target!r} is for .tflite files, whose operators its table lists. "
                f"Received: format={format!r}. Write a .tflite file, or leave target out."
            )
        kinds = self.device.kinds
        if kinds and self.quantize not in kinds:
            names = " or ".join(repr(kind) for kind in kinds if kind)
            raise ValueError(
                f"target={self.target!r} ({self.device.title}) runs files with quantize={names}, "
                f"and not those in {self.kind.label}. Received: quantize={self.quantize!r}. "
                f"Write quantize={next(filter(None, kinds))!r}."
            )

    @property
    def device(self) -> Device:
        """The row of the table of devices."""
        return DEVICES[self.target]

    def _check_freedom(self, format: str) -> None:
        """Raises ValueError for properties that only files for servers have."""
        if format in FREE_FORMATS:
            return
        advice = "Leave {} out, or write an .onnx file."
        if self.batch != 1:
            raise ValueError(
                f"A .{format} file takes one image at a time. Received: batch={self.batch!r}. "
                f"{advice.format('batch')}"
            )
        if self.opset is not None:
            raise ValueError(
                f"An opset is the version of the operators of .onnx files. Received: opset="
                f"{self.opset} for a {format} file. {advice.format('opset')}"
            )

    @property
    def is_free(self) -> bool:
        """Whether the file leaves height or width free."""
        return self.input_shape is not None and None in self.input_shape[:2]

    @property
    def kind(self) -> Kind:
        """The row of the table of kinds; options for a file, see `for_file`, have one."""
        return KINDS[self.format, self.quantize]

    @property
    def runner_head(self) -> str:
        """Head of the file as a runner sees it: "argmax" for class maps of either kind."""
        return "argmax" if self.puts_out_classes else self.head

    @property
    def puts_out_classes(self) -> bool:
        """Whether the output is a map of classes, not of scores."""
        return self.head is not None and HEADS[self.head] == "classes"

    @property
    def class_dtype(self) -> str:
        """Type of a class map.

        It is int32, which ARG_MAX writes, for Core ML and devices that cannot cast it, and int8
        for devices without a cast to uint8.
        """
        if not (self.kind.casts_to_uint8 and self.device.casts_classes):
            return "int32"
        if self.input == "int8" or not self.device.casts_to("uint8"):
            return "int8"
        return "uint8"

    def for_file(self, path: Path) -> ExportOptions:
        """The options with the format that the suffix of a path says.

        Raises: ValueError for a suffix of no format, or of another than `format`.
        """
        formats = {suffix: format for format, suffix in SUFFIXES.items()}
        format = formats.get(path.suffix.lower())
        if self.format is not None and self.format != format:
            raise ValueError(
                f"A {self.format} file is written to a path ending in {SUFFIXES[self.format]}. "
                f"Received: {str(path)!r}. Rename it, or leave format out."
            )
        if format is None:
            raise ValueError(unknown_name("suffix of an exported file", path.suffix, [*formats]))
        return replace(self, format=format)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return asdict(self)


class ExportWords(TypedDict, total=False):
    """The fields of `ExportOptions` as keywords of `export`, for editors and type checkers."""

    format: str | None
    quantize: str | None
    input_shape: list[int | None] | tuple[int | None, ...] | None
    input: str
    head: str | None
    max_drop: float
    sizing: str
    layout: str
    target: str
    subpixel: bool
    limit: int | None
    threads: int | None
    scores: str | None
    multi_label: bool | None
    threshold: float | list[float] | tuple[float, ...] | None
    board: bool
    batch: int | str
    opset: int | None


def choices() -> dict[str, tuple[str | None, ...]]:
    """Option → the names that it can have; None among them where it may be left out."""
    layouts = dict.fromkeys(layout for names in AXIS_ORDERS.values() for layout in names)
    return {
        "format": (None, *FORMATS),
        "quantize": quantizations(),
        "input": INPUTS,
        "head": (None, *HEADS),
        "sizing": SIZINGS,
        "layout": tuple(layouts),
        "target": TARGETS,
        "scores": (None, *SCORES),
    }


def with_words(options: ExportOptions | None, words: ExportWords) -> ExportOptions:
    """The options, whose fields the keywords replace.

    Raises: TypeError for an unknown keyword, with the nearest known one.
    """
    if not isinstance(options, ExportOptions | None):
        raise TypeError(
            "options is a keras_seg.export.ExportOptions, such as ExportOptions(quantize='int8'). "
            f"Received: {options!r}"
        )
    known = [field.name for field in fields(ExportOptions)]
    for word in words:
        if word not in known:
            arguments = ("calibration", "evaluation", "card")
            raise TypeError(unknown_name("keyword of export", word, (*known, *arguments)))
    return replace(options or ExportOptions(), **words)


def _check_name(option: str, received: str | None, known: tuple[str | None, ...]) -> None:
    if received not in known:
        raise ValueError(unknown_name(option, received, [name for name in known if name]))


def _check_batch(batch: Any) -> None:
    if batch != FREE and (isinstance(batch, str) or whole_number(batch, "batch") < 1):
        raise ValueError(
            f"batch must be a whole number of at least 1, or {FREE!r} for any number of images. "
            f"Received: {batch!r}"
        )


def _checked_input_shape(shape: Any) -> tuple[int | None, ...] | None:
    """(height, width) or (height, width, channels); ValueError for anything else."""
    if shape is None or isinstance(shape, str) or not hasattr(shape, "__len__") or len(shape) != 2:
        return None if shape is None else checked_shape(shape)
    for size in shape:
        whole = isinstance(size, numbers.Integral) and not isinstance(size, bool) and int(size) > 0
        if size is not None and not whole:
            raise ValueError(
                "input_shape is (height, width) in pixels, which the number of channels may "
                f"follow. Received: {shape!r}. Write for example (256, 256)."
            )
    return tuple(None if size is None else int(size) for size in shape)
