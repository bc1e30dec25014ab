"""The image and the output of an exported file, as its runtime describes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_seg.inference.tflite_file import open_interpreter


@dataclass(frozen=True)
class End:
    """An input or output tensor.

    Attributes:
        name: its name in the file.
        shape: with the batch axis.
        dtype: "float32", "uint8" or the like.
        scale, zero_point: number = scale * (stored - zero_point); a scale of 0 if stored numbers
            are the numbers themselves.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    @property
    def limits(self) -> tuple[float, float] | None:
        """Smallest and largest number that a quantized tensor can hold; None for others."""
        if not self.scale:
            return None
        limits = np.iinfo(self.dtype)
        low, high = (limits.min - self.zero_point), (limits.max - self.zero_point)
        return self.scale * low, self.scale * high


def read_ends(path: Path) -> tuple[End, End]:
    """The image and the output of a .tflite or .onnx file."""
    return _tflite_ends(path) if path.suffix.lower() == ".tflite" else _onnx_ends(path)


def _tflite_ends(path: Path) -> tuple[End, End]:
    interpreter = open_interpreter(path, threads=1)
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    image_end, output_end = (
        End(
            detail["name"],
            tuple(map(int, detail["shape"])),
            np.dtype(detail["dtype"]).name,
            float(detail["quantization"][0]),
            int(detail["quantization"][1]),
        )
        for detail in (image, output)
    )
    return image_end, output_end


def _onnx_ends(path: Path) -> tuple[End, End]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image_end, output_end = (
        End(node.name, tuple(node.shape), _dtype(node.type))
        for node in (session.get_inputs()[0], session.get_outputs()[0])
    )
    return image_end, output_end


def _dtype(kind: str) -> str:
    """ "float32" for ONNX Runtime's "tensor(float)"."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)
