"""Runs .tflite files by LiteRT, without TensorFlow."""

from __future__ import annotations

import struct
import threading
import warnings
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.inference.checksum import check_seal
from keras_seg.inference.foreign import End, find_ends
from keras_seg.inference.runner import (
    CARD_ENTRY,
    Runner,
    available_threads,
    card_or_default,
    count_classes,
    foreign_card,
    is_trusted,
    unreadable,
)
from keras_seg.inference.tflite_ending import tflite_ending

NARROW = 64
"""Inputs of fewer numbers than this from end to end are no pixels in 0..255."""
IDENTIFIER = b"TFL3"
"""Bytes 4 to 7 of every .tflite file."""
METADATA_ENTRY = "TFLITE_METADATA"
"""Name of the entry with the official metadata; with a card of ours, a label file follows it."""


class TFLiteRunner(Runner):
    """Runs a .tflite file: float, or with integer inputs and outputs, whose scales it undoes.

    Of files of other exporters axes, batch and output are found, see `keras_seg.inference.foreign`.

    Args:
        card: what a file of another exporter is; None for numbered classes.
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
        card: ModelCard | None = None,
        scores: str | None = None,
        multi_label: bool | None = None,
    ):
        check_seal(path)
        threads = threads or available_threads()
        self._interpreter = _interpreter(path, threads)
        self._lock = threading.Lock()  # one interpreter has one set of tensors
        self._ends = None
        said = {"scores": scores, "multi_label": multi_label}
        content = path.read_bytes()
        try:
            text = read_metadata(content, CARD_ENTRY)
        except (struct.error, ValueError, TypeError) as error:  # flatbuffers reads where it is told
            raise unreadable(path, ".tflite", f"its metadata are damaged: {error}") from error
        if text and read_metadata(content, METADATA_ENTRY) and not zipfile.is_zipfile(path):
            raise unreadable(path, ".tflite", "the label file at its end is cut off")
        if text is None:
            self._init_foreign(path, threads, card, content, said)
            return
        image, output = self._details()
        shape = image["shape_signature"] if len(image["shape_signature"]) else image["shape"]
        if len(shape) != 4:
            raise unreadable(path, "image network's .tflite", f"its input has shape {list(shape)}")
        channels = int(output["shape"][-1]) if len(output["shape"]) == 4 else None
        card = card_or_default(text, channels, path, multi_label)
        input_shape = tuple(None if size == -1 else int(size) for size in shape[1:])
        num_classes = count_classes(channels or len(card.classes), card.multi_label)
        super().__init__(path, card, input_shape, num_classes, threads)
        find = partial(tflite_ending, content, int(output["index"]))
        self._settle_head(find, channels, said, trusted=True)

    def _init_foreign(
        self, path: Path, threads: int, card: ModelCard | None, content: bytes, words: dict
    ) -> None:
        interpreter = self._interpreter
        parts = (interpreter.get_input_details(), interpreter.get_output_details())
        inputs, outputs = (list(map(_end, part)) for part in parts)
        self._ends = ends = find_ends(path, inputs, outputs, self._outputs)
        if (said := _own_range(parts[0][0])) is not None:
            warnings.warn(
                f"{path} takes numbers from {said[0]:.3g} to {said[1]:.3g}, to which the pixel "
                "values 0 to 255 are mapped.",
                stacklevel=4,
            )
        trusted = is_trusted(card)
        card = foreign_card(card, ends.channels, path, words["multi_label"])
        card = replace(card, margin=ends.margin)
        super().__init__(path, card, ends.shape, len(card.classes), threads)
        find = partial(tflite_ending, content, int(parts[1][ends.output]["index"]))
        self._settle_head(find, ends.channels, words, trusted)

    def _outputs(self, images: np.ndarray) -> list[np.ndarray]:
        """All outputs of a file of another exporter, for images as it takes them."""
        (image,) = self._interpreter.get_input_details()
        self._fit(image, images.shape)
        fill = _as_codes if _own_range(image) is not None else quantized
        self._interpreter.set_tensor(image["index"], fill(images, image))
        self._interpreter.invoke()
        return [
            _dequantized(self._interpreter.get_tensor(output["index"]), output)
            for output in self._interpreter.get_output_details()
        ]

    def _fit(self, image: dict, shape: tuple[int, ...]) -> None:
        if tuple(image["shape"]) != shape:  # only a free-size file comes here
            self._interpreter.resize_tensor_input(image["index"], shape, strict=True)
            self._interpreter.allocate_tensors()

    def _forward(self, images: np.ndarray) -> np.ndarray:
        with self._lock:
            if self._ends is None:
                return self._run(images)
            outputs = self._outputs(self._ends.given(images))
            return self._ends.taken(outputs[self._ends.output], len(images))

    def _run(self, images: np.ndarray) -> np.ndarray:
        self._fit(self._details()[0], images.shape)
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


def _end(detail: dict) -> End:
    signature = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    shape = tuple(None if size == -1 else int(size) for size in signature)
    whole = detail["dtype"] not in (np.float32, np.float16) and not detail["quantization"][0]
    return End(detail["name"], shape, whole)


def _own_range(image: dict) -> tuple[float, float] | None:
    """(smallest, largest) number that a quantized input takes, where these are no pixel values.

    A quantized file of a network for images in 0..1 or -1..1 says so by its scale.
    """
    dtype, (scale, zero_point) = image["dtype"], image["quantization"]
    if dtype not in (np.uint8, np.int8) or not 0 < 255 * scale < NARROW:
        return None
    limits = np.iinfo(dtype)
    return (limits.min - zero_point) * scale, (limits.max - zero_point) * scale


def _as_codes(images: np.ndarray, image: dict) -> np.ndarray:
    """uint8 pixels as the 256 values that a quantized input has."""
    return images if image["dtype"] == np.uint8 else (images ^ np.uint8(128)).view(np.int8)


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
