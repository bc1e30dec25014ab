"""Runs .tflite files by LiteRT, without TensorFlow."""

from __future__ import annotations

import struct
import threading
import zipfile
from pathlib import Path

import numpy as np

from keras_seg.inference.runner import (
    CARD_ENTRY,
    Runner,
    available_threads,
    card_or_default,
    count_classes,
    said_head,
    unreadable,
)
from keras_seg.inference.seal import check_seal
from keras_seg.inference.tflite_ending import tflite_ending

IDENTIFIER = b"TFL3"
"""Bytes 4 to 7 of every .tflite file."""
METADATA_ENTRY = "TFLITE_METADATA"
"""Name of the entry with the official metadata; with a card of ours, a label file follows it."""


class TFLiteRunner(Runner):
    """Runs a .tflite file: float, or with integer inputs and outputs, whose scales it undoes.

    Args:
        scores, multi_label: what a foreign file puts out, see `keras_seg.inference.load`.

    Raises: ValueError if the file is damaged, is no .tflite file, or needs operators that are not
    built into LiteRT; and as `load` for `scores` and `multi_label`.
    """

    format = "tflite"

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = None,
        scores: str | None = None,
        multi_label: bool | None = None,
    ):
        check_seal(path)
        threads = threads or available_threads()
        self._interpreter = _interpreter(path, threads)
        self._lock = threading.Lock()  # one interpreter has one set of tensors
        image, output = self._details()
        shape = image["shape_signature"] if len(image["shape_signature"]) else image["shape"]
        if len(shape) != 4:
            raise unreadable(path, "image network's .tflite", f"its input has shape {list(shape)}")
        # integers without a scale are classes, not scores
        are_scores = len(output["shape"]) == 4 and (
            np.issubdtype(output["dtype"], np.floating) or output["quantization"][0] != 0
        )
        channels = int(output["shape"][-1]) if are_scores else None
        content = path.read_bytes()
        try:
            text = read_metadata(content, CARD_ENTRY)
        except (struct.error, ValueError, TypeError) as error:  # flatbuffers reads where it is told
            raise unreadable(path, ".tflite", f"its metadata are damaged: {error}") from error
        if text and read_metadata(content, METADATA_ENTRY) and not zipfile.is_zipfile(path):
            raise unreadable(path, ".tflite", "the label file at its end is cut off")
        card = card_or_default(text, channels, path, multi_label)
        input_shape = tuple(None if size == -1 else int(size) for size in shape[1:])
        num_classes = count_classes(channels or len(card.classes), card.multi_label)
        super().__init__(path, card, input_shape, num_classes, threads)
        if card.head == "argmax":
            said_head(card, scores, path)
            return
        ending = tflite_ending(content, int(output["index"]))
        said = {"scores": scores, "multi_label": multi_label}
        self._settle_head(ending, channels, **said, trusted=text is not None)

    def _forward(self, images: np.ndarray) -> np.ndarray:
        with self._lock:
            return self._run(images)

    def _run(self, images: np.ndarray) -> np.ndarray:
        image, output = self._details()
        if tuple(image["shape"]) != images.shape:  # only a free-size file comes here
            self._interpreter.resize_tensor_input(image["index"], images.shape, strict=True)
            self._interpreter.allocate_tensors()
            image, output = self._details()
        self._interpreter.set_tensor(image["index"], quantized(images, image))
        self._interpreter.invoke()
        result = self._interpreter.get_tensor(output["index"])
        if self.card.head == "argmax":
            return result.view(np.uint8)  # int8 class maps hold 0..127
        return _dequantized(result, output)

    def _details(self) -> tuple[dict, dict]:
        interpreter = self._interpreter
        return interpreter.get_input_details()[0], interpreter.get_output_details()[0]


def read_metadata(content: bytes, name: str) -> bytes | None:
    """The metadata entry of that name in a .tflite file's bytes, None if there is none."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == name.encode():
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def _interpreter(path: Path, threads: int):
    from ai_edge_litert.interpreter import Interpreter

    with path.open("rb") as file:
        if file.read(8)[4:] != IDENTIFIER:
            raise unreadable(path, ".tflite", "it does not begin as such files do")
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise unreadable(path, ".tflite", f"LiteRT says: {error}") from error
    return interpreter


def quantized(images: np.ndarray, detail: dict) -> np.ndarray:
    """uint8 pixels in the type of an input tensor: value = pixel / scale + zero point."""
    dtype, (scale, zero_point) = detail["dtype"], detail["quantization"]
    if scale == 0 or (dtype == np.uint8 and (scale, zero_point) == (1, 0)):
        return images.astype(dtype)
    if dtype == np.int8 and images.dtype == np.uint8 and (scale, zero_point) == (1, -128):
        return (images ^ np.uint8(128)).view(np.int8)  # pixel - 128 in a hundredth of the time
    limits = np.iinfo(dtype)
    values = np.round(images / np.float32(scale)) + zero_point
    return np.clip(values, limits.min, limits.max).astype(dtype)


def _dequantized(values: np.ndarray, detail: dict) -> np.ndarray:
    scale, zero_point = detail["quantization"]
    if scale == 0:
        return values
    return (values.astype(np.float32) - zero_point) * np.float32(scale)
