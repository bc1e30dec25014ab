"""The table of the kinds of files that an export can write. Imports no TensorFlow.

A kind is a format and how its numbers are stored, such as TFLite in int8. Every list of kinds and
every decision that depends on a kind reads this table. A new kind is one row here and one converter
in the table of its format, see `keras_seg.export.converters`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

ANY_SIZE = 99
"""Larger than any kernel."""
CALIBRATE = "Calibrate on images that look more like these, "
ALLOW = "allow more with max_drop."
UNCOMPARED = "converted, not compared: Core ML runs on macOS alone"
"""What is known about the accuracy of a file that this system cannot run."""


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        format: "tflite", "onnx" or "coreml".
        quantize: value of the option; None for float32.
        remedy: what to try if the file differs too much from the Keras model.
        images: types of the image that the file can take.
        needs_calibration: whether ranges are measured on real images.
        takes_trained_ranges: whether the ranges of a quantization-aware model can be written.
        is_exact: whether the file must predict the classes of the Keras model, so that the gate
            ignores `max_drop`.
        try_instead: what to ask for if an operator has no integer form, which refuses the file;
            None for kinds in which operators may compute in float.
        norms_to_convolutions: whether batch norms that fold into no convolution become 1x1
            depthwise convolutions. In integers these round once, with a scale per channel; ONNX
            Runtime computes them faster in float, too, and XNNPACK does not.
        squares_as_products: whether squares are written as products, which have an integer form.
        largest_subpixel_kernel: size of the largest convolution that is rewritten as a sub-pixel
            convolution; 0 for kinds without the operator DEPTH_TO_SPACE.
        subpixel_transposed: whether transposed convolutions become sub-pixel convolutions.
        attention_in_float: the kind that computes attention in float, where that is faster.
        casts_to_uint8: whether the format casts numbers to uint8; without it, pooling indices
            become masks and class maps are int32.
        system: the value of `sys.platform` on which alone such files run; None for every system.
    """

    format: str
    quantize: str | None
    remedy: str
    images: tuple[str, ...] = ("float32", "uint8")
    needs_calibration: bool = False
    takes_trained_ranges: bool = False
    is_exact: bool = False
    try_instead: str | None = None
    norms_to_convolutions: bool = False
    squares_as_products: bool = False
    largest_subpixel_kernel: int = ANY_SIZE
    subpixel_transposed: bool = True
    attention_in_float: str | None = None
    casts_to_uint8: bool = True
    system: str | None = None

    @property
    def runs_here(self) -> bool:
        """Whether this system runs such files, so that they are compared with the Keras model."""
        return self.system in (None, sys.platform)

    @property
    def label(self) -> str:
        """Name of the number format: "float32" for no quantization."""
        return self.quantize or "float32"


_integer_kind = partial(
    Kind,
    needs_calibration=True,
    norms_to_convolutions=True,
    # iCNN has 5x5 kernels and larger. With these as sub-pixel convolutions, TFLite's converter
    # loses the ranges of the maps that are pooled in parallel.
    largest_subpixel_kernel=3,
)
"""A kind whose maps are integers."""
_coreml_kind = partial(Kind, "coreml", images=("uint8",), system="darwin", casts_to_uint8=False)
"""A kind of Core ML package, which takes a picture."""
KINDS = {
    (kind.format, kind.quantize): kind
    for kind in (
        Kind(
            "tflite",
            None,
            "The file does not compute what the model does: please report the network.",
            is_exact=True,
        ),
        Kind("tflite", "fp16", f"Leave quantize out, or {ALLOW}"),
        Kind("tflite", "dynamic", f"Try quantize='fp16', or {ALLOW}"),
        _integer_kind(
            "tflite",
            "int8",
            f"{CALIBRATE}try quantize='mixed', 'dynamic' or 'fp16', fine-tune with "
            f"keras_seg.export.quantization_aware, or {ALLOW}",
            images=("float32", "uint8", "int8"),
            takes_trained_ranges=True,
            try_instead="quantize='mixed' or 'dynamic'",
            squares_as_products=True,
            attention_in_float="mixed",
        ),
        _integer_kind(
            "tflite",
            "int16x8",
            f"{CALIBRATE}try quantize='dynamic' or 'fp16', or {ALLOW}",
            try_instead="quantize='int8' or 'dynamic'",
            largest_subpixel_kernel=0,  # TFLite has no DEPTH_TO_SPACE with 16 bits
        ),
        _integer_kind(
            "tflite",
            "mixed",
            "It loses that much even with every operator in float: please report the network.",
            images=("float32", "uint8", "int8"),
        ),
        # In float, ONNX Runtime's transposed convolution is the faster form: 0.94 of the time in
        # U-Net++.
        Kind(
            "onnx",
            None,
            "The file does not compute what the model does: please report the network.",
            is_exact=True,
            norms_to_convolutions=True,
            subpixel_transposed=False,
        ),
        Kind(
            "onnx",
            "fp16",
            f"Leave quantize out, or {ALLOW}",
            norms_to_convolutions=True,
            subpixel_transposed=False,
        ),
        _integer_kind(
            "onnx",
            "int8",
            f"{CALIBRATE}try quantize='fp16', write a .tflite file with quantize='mixed', or "
            f"{ALLOW}",
        ),
        _coreml_kind(
            None,
            "The file does not compute what the model does: please report the network.",
            is_exact=True,
        ),
        _coreml_kind("fp16", f"Leave quantize out, or {ALLOW}"),
        _coreml_kind("dynamic", f"Try quantize='fp16', or {ALLOW}"),
    )
}
"""(format, quantize) → kind."""
AXIS_ORDERS = {"tflite": ("nhwc",), "onnx": ("nhwc", "nchw"), "coreml": ("nhwc",)}
"""Format → orders of the axes of the image and the scores that it can have."""
SUFFIXES = {"tflite": ".tflite", "onnx": ".onnx", "coreml": ".mlpackage"}
"""Format → suffix of its files; a Core ML package is a folder."""
FREE_FORMATS = ("onnx",)
"""Formats whose files may leave batch, height and width free, and have an opset."""
OPSETS = range(17, 27)
"""Versions of the ONNX operators that files can be written in; ONNX Runtime 1.32 runs them all."""
FORMATS = tuple(AXIS_ORDERS)
INPUTS = tuple(dict.fromkeys(image for kind in KINDS.values() for image in kind.images))
"""Types of the image that files take. Values are pixels in 0..255; as int8, pixel - 128."""


def quantizations(format: str | None = None) -> tuple[str | None, ...]:
    """The kinds of a format, or of all formats, as values of `quantize`; None is float32."""
    names = [kind.quantize for kind in KINDS.values() if format in (None, kind.format)]
    return tuple(dict.fromkeys(names))


def kinds_that(fits: Callable[[Kind], bool], format: str | None = None) -> str:
    """Names of the kinds for which `fits(kind)` is true, for a message: "'int8' or 'mixed'"."""
    names = [
        repr(kind.quantize)
        for kind in KINDS.values()
        if kind.quantize and format in (None, kind.format) and fits(kind)
    ]
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


QUANTIZATIONS = {format: quantizations(format) for format in FORMATS}
"""Format → what its files can be quantized to; None is float32."""
