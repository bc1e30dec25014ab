"""What an export was asked for, checked before anything slow begins."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_seg.arguments import checked_shape, flag, number
from keras_seg.card import ModelCard
from keras_seg.data.as_dataset import Data
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.errors import ExportError
from keras_seg.export.trained_ranges import check_quantization
from keras_seg.inference.sizing import check_sizing
from keras_seg.layers.size_guard import nearest_sizes
from keras_seg.names import unknown_name

QUANTIZATIONS = {
    "tflite": (None, "fp16", "dynamic", "int8", "int16x8", "mixed"),
    "onnx": (None, "fp16", "int8"),
}
"""What each format can be quantized to; None is float32."""
CALIBRATED = ("int8", "int16x8", "mixed")
"""Quantizations that need the range of every tensor, measured on real images."""
FORMATS = tuple(QUANTIZATIONS)
INPUTS = ("float32", "uint8", "int8")
"""Type of the image that the file takes. Values are pixels in 0..255; as int8, pixel - 128."""
INT8_INPUT = ("int8", "mixed")
"""Quantizations of TFLite whose files can take it: their first map is integers."""
HEADS = {
    "logits": "logits",
    "probabilities": "probabilities",
    "argmax": "classes",
    "fused_argmax": "classes",
}
"""What the file puts out, and the name of that output."""
LAYOUTS = {"tflite": ("nhwc",), "onnx": ("nhwc", "nchw")}
"""Orders of the axes of the image and the scores that each format can have."""
MAX_CLASSES = {"uint8": 255, "int8": 128}
"""How many classes a class map holds by its type; 255 means "unknown" in masks."""


@dataclass(frozen=True)
class Request:
    """The words of `export`, checked.

    Raises: ValueError for a name that does not exist (with the nearest), a quantization or layout
    that the format does not have, or int8 without calibration images; OSError if the folder cannot
    be written to.
    """

    path: Path
    format: str
    quantize: str | None
    input: str
    head: str
    sizing: str
    max_drop: float
    limit: int | None
    layout: str = "nhwc"
    subpixel: bool = True

    @property
    def puts_out(self) -> str:
        """Head of the file as whoever runs it sees it: "argmax" for class maps of either kind."""
        return "argmax" if HEADS[self.head] == "classes" else self.head

    @property
    def class_type(self) -> str:
        """Type of a class map: TFLite Micro, which int8 images are for, has no cast to uint8."""
        return "int8" if self.input == "int8" else "uint8"

    @classmethod
    def checked(
        cls,
        path: str | Path,
        *,
        format: str | None,
        quantize: str | None,
        calibration: Data | None,
        trained_ranges: bool,
        input: str,
        head: str,
        sizing: str,
        max_drop: float,
        limit: int | None,
        layout: str = "nhwc",
        subpixel: bool = True,
    ) -> Request:
        path = Path(path)
        format = _format_of(path, format)
        _check_name("quantize", quantize, QUANTIZATIONS["tflite"])
        if quantize not in QUANTIZATIONS[format]:
            known = ", ".join(map(repr, QUANTIZATIONS[format][1:]))
            raise ValueError(
                f"{format} files are written in float32, or with quantize one of {known}. "
                f"Received: quantize={quantize!r}. Take one of these, or write a .tflite file."
            )
        _check_name("layout", layout, LAYOUTS["onnx"])
        if layout not in LAYOUTS[format]:
            raise ValueError(
                f"{format} files hold images as (height, width, channels). Received: layout="
                f"{layout!r}. Leave layout out, or write an .onnx file."
            )
        _check_name("input", input, INPUTS)
        if input == "int8" and (format != "tflite" or quantize not in INT8_INPUT):
            raise ValueError(
                "input='int8' is for .tflite files of quantize='int8' or 'mixed'. Received: "
                f"quantize={quantize!r} for a {format} file. Take input='uint8', which every file "
                "has, or one of these."
            )
        _check_name("head", head, tuple(HEADS))
        check_sizing(sizing)
        if trained_ranges:
            check_quantization(quantize, format)
        elif quantize in CALIBRATED and (calibration is None or _is_empty(calibration)):
            raise ValueError(
                f"quantize={quantize!r} needs real images to measure the range of every tensor on. "
                f"Received: {'no' if calibration is None else 'an empty'} calibration data set. "
                "Pass the training data as calibration."
            )
        max_drop, subpixel = number(max_drop, "max_drop"), flag(subpixel, "subpixel")
        if max_drop < 0:
            raise ValueError(f"max_drop is in points of mIoU, 0 or more. Received: {max_drop}")
        _check_writable(path)
        return cls(path, format, quantize, input, head, sizing, max_drop, limit, layout, subpixel)


def resolve_shape(
    own_shape: tuple, input_shape: tuple[int, int, int] | None, card: ModelCard
) -> tuple[int, int, int]:
    """The static (height, width, channels) of the file.

    Args:
        own_shape: of the model, None where free; `input_shape` or else the size that the card says
            it was trained at takes that place.

    Raises: ValueError if it stays free, contradicts the model, or is no size that it can take.
    """
    shape = own_shape if input_shape is None else checked_shape(input_shape)
    if shape[:2] == (None, None) and card.image_size is not None:
        shape = (*card.image_size, own_shape[2])
    if len(shape) != 3 or None in shape:
        raise ValueError(
            "A file for a device has a fixed size. "
            f"Received: input_shape={input_shape} for a model of {own_shape}. "
            f"Pass input_shape, such as (256, 256, {own_shape[2]})."
        )
    if shape[2] != own_shape[2]:
        size = shape[1:] if shape[0] == own_shape[2] else shape[:2]  # with the channels first
        raise ValueError(
            f"The model takes images of {own_shape[2]} channels. Received: input_shape={shape}. "
            f"Pass {(*size, own_shape[2])}."
        )
    for axis, size, own in zip(("height", "width"), shape, own_shape, strict=False):
        if own not in (None, size):
            raise ValueError(
                f"The model has the fixed {axis} {own}. Received: input_shape={shape}. "
                "Leave input_shape out."
            )
        if size < 1 or size % card.size_multiple:
            near = " and ".join(map(str, nearest_sizes(max(size, 1), card.size_multiple)))
            raise ValueError(
                f"The {axis} must be a multiple of {card.size_multiple} pixels. "
                f"Received: {size} in input_shape={shape}. The nearest that work are {near}."
            )
    return shape


def check_class_map(request: Request, num_classes: int):
    """Raises ValueError for more classes than the file's class map holds."""
    head, most = request.head, MAX_CLASSES[request.class_type]
    if HEADS[head] == "classes" and num_classes > most:
        raise ValueError(
            f"head={head!r} with input={request.input!r} writes classes as {request.class_type}, "
            f"for at most {most} of them. Received: {num_classes} classes. Use head='logits'."
        )


def check_head(request: Request, card: ModelCard):
    """Raises ExportError for a head that the model cannot have."""
    head = request.head
    if card.multi_label and HEADS[head] == "classes":
        raise ExportError(
            f"head={head!r} writes one class a pixel. Received: a multi-label model, whose pixels "
            "may have several labels. Use head='logits' or 'probabilities'."
        )
    if card.head == "argmax" or (card.head == "probabilities" and head == "logits"):
        raise ExportError(
            f"The model puts out {card.head} itself, from which head={head!r} cannot be had. Use "
            "head='probabilities' or 'argmax' with a model that ends in logits or probabilities."
        )


def _format_of(path: Path, format: str | None) -> str:
    suffix = path.suffix.lower().removeprefix(".")
    if format is not None:
        _check_name("format", format, FORMATS)
        if suffix != format:
            raise ValueError(
                f"A {format} file is written to a path ending in .{format}. "
                f"Received: {str(path)!r}. Rename it, or leave format out."
            )
    elif suffix not in FORMATS:
        known = [f".{name}" for name in FORMATS]
        raise ValueError(unknown_name("suffix of an exported file", path.suffix, known))
    return suffix


def _check_name(what: str, received: str | None, known: tuple):
    if received not in known:
        raise ValueError(unknown_name(what, received, map(str, known)))


def _is_empty(calibration: Data) -> bool:
    """Whether it holds no image; what must be opened or run to know is looked at later."""
    sized = isinstance(calibration, SegmentationDataset | list | tuple | np.ndarray)
    return sized and len(calibration) == 0


def _check_writable(path: Path):
    """Tries to write, because permissions alone do not tell of read-only or full disks."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Give the name of a file to write.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise type(error)(
            f"Cannot write into the folder {str(path.parent)!r}: {error}. "
            "Make it first, or choose another."
        ) from error
