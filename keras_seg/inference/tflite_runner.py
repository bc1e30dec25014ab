"""Runs .tflite files with LiteRT, without TensorFlow."""

from __future__ import annotations

import copy
import threading
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.inference.cards import card_from_text, count_classes, foreign_card, is_trusted
from keras_seg.inference.checksum import check_checksum
from keras_seg.inference.foreign import Tensor, find_tensors
from keras_seg.inference.prediction import Runner
from keras_seg.inference.tflite_file import open_interpreter, read_card_text
from keras_seg.inference.tflite_output_activation import tflite_output_activation
from keras_seg.model_paths import unreadable_file
from keras_seg.parallel import available_threads

NARROW = 64
"""An input whose range is smaller than this does not take pixels in 0..255."""


class TFLiteRunner(Runner):
    """Runs a .tflite file with float inputs and outputs, or with quantized ones.

    Quantized inputs and outputs are converted by their scales. The axes, the batch size and the
    score output of a foreign file are found from its shapes, see `keras_seg.inference.foreign`.

    Args:
        path: the file.
        threads: number of CPU threads; None for all that this process may use.
        card: the card of a foreign file; None for numbered classes.
        scores, multi_label: what a foreign file outputs, see `keras_seg.inference.load`.

    Raises: ValueError if the file is damaged, is not a .tflite file, or needs operators that are
        not built into LiteRT; and as `load` for `scores` and `multi_label`.
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
    ) -> None:
        check_checksum(path)
        threads = threads or available_threads()
        self._interpreter = open_interpreter(path, threads)
        self._lock = threading.Lock()  # an interpreter has one set of tensors
        self._ends: tuple[dict, dict] | None = None
        self._foreign = None
        content = path.read_bytes()
        text = read_card_text(path, content)
        if text is None:
            self._init_foreign(path, threads, card, content, scores, multi_label)
            return
        image, output = self._details()
        shape = image["shape_signature"] if len(image["shape_signature"]) else image["shape"]
        if len(shape) != 4:
            reason = f"its input has shape {list(shape)}"
            raise unreadable_file(path, "image network's .tflite", reason)
        channels = int(output["shape"][-1]) if len(output["shape"]) == 4 else None
        card = card_from_text(text, channels, path, multi_label)
        input_shape = tuple(None if size == -1 else int(size) for size in shape[1:])
        num_classes = count_classes(channels or len(card.classes), card.multi_label)
        super().__init__(path, card, input_shape, num_classes, threads)
        find = partial(tflite_output_activation, content, int(output["index"]))
        self._decide_head(find, channels, scores=scores, multi_label=multi_label, trusted=True)

    def _init_foreign(
        self,
        path: Path,
        threads: int,
        card: ModelCard | None,
        content: bytes,
        scores: str | None,
        multi_label: bool | None,
    ) -> None:
        """Reads a file that another exporter wrote."""
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        ends = (list(map(_tensor, details)) for details in (inputs, outputs))
        self._foreign = tensors = find_tensors(path, *ends, self._run_all)
        if (own_range := _own_range(inputs[0])) is not None:
            warnings.warn(
                f"{path} takes numbers from {own_range[0]:.3g} to {own_range[1]:.3g}, to which the "
                "pixel values 0 to 255 are mapped.",
                stacklevel=5,
            )
        trusted = is_trusted(card)
        card = foreign_card(card, tensors.channels, path, multi_label)
        card = replace(card, margin=tensors.margin)
        super().__init__(path, card, tensors.shape, len(card.classes), threads)
        find = partial(tflite_output_activation, content, int(outputs[tensors.output]["index"]))
        self._decide_head(
            find, tensors.channels, scores=scores, multi_label=multi_label, trusted=trusted
        )

    def copies(self, count: int) -> list[Self]:
        """`count` runners with interpreters of their own, see `NetworkRunner.copies`."""
        return [self] if count == 1 else [self._copy(count) for _ in range(count)]

    def _copy(self, count: int) -> Self:
        """A runner with its own interpreter and one of `count` shares of the threads."""
        other = copy.copy(self)
        other.threads = max(1, self.threads // count)
        assert self.path is not None  # it was opened from there
        other._interpreter = open_interpreter(self.path, other.threads)
        other._lock, other._ends = threading.Lock(), None
        return other

    def _run_all(self, images: np.ndarray) -> list[np.ndarray]:
        """All outputs of a foreign file, for images as it takes them."""
        (image,) = self._interpreter.get_input_details()
        self._resize_input(image, images.shape)
        fill = _as_codes if _own_range(image) is not None else quantized
        self._interpreter.set_tensor(image["index"], fill(images, image))
        self._interpreter.invoke()
        return [
            _dequantized(self._interpreter.get_tensor(output["index"]), output)
            for output in self._interpreter.get_output_details()
        ]

    def _resize_input(self, image: dict, shape: tuple[int, ...]) -> None:
        if tuple(image["shape"]) != shape:  # only in a file of free size
            self._interpreter.resize_tensor_input(image["index"], shape, strict=True)
            self._interpreter.allocate_tensors()
            self._ends = None

    def _forward(self, images: np.ndarray) -> np.ndarray:
        with self._lock:
            if self._foreign is None:
                return self._run_own(images)
            outputs = self._run_all(self._foreign.to_input(images))
            return self._foreign.from_output(outputs[self._foreign.output], len(images))

    def _run_own(self, images: np.ndarray) -> np.ndarray:
        """The output of a file of this package."""
        self._resize_input(self._details()[0], images.shape)
        image, output = self._details()
        self._interpreter.set_tensor(image["index"], quantized(images, image))
        self._interpreter.invoke()
        result = self._interpreter.get_tensor(output["index"])
        if self.card.head == "argmax":
            return result.astype(np.uint8)  # int8 class maps hold 0..127, int32 ones 0..254
        return _dequantized(result, output)

    def _details(self) -> tuple[dict, dict]:
        """Input and output, kept because LiteRT takes long to describe them."""
        if self._ends is None:
            interpreter = self._interpreter
            self._ends = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        return self._ends


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
    result = values.astype(np.float32)
    result -= zero_point
    result *= np.float32(scale)
    return result


def _tensor(detail: dict) -> Tensor:
    signature = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    shape = tuple(None if size == -1 else int(size) for size in signature)
    whole = detail["dtype"] not in (np.float32, np.float16) and not detail["quantization"][0]
    return Tensor(detail["name"], shape, whole)


def _own_range(image: dict) -> tuple[float, float] | None:
    """(smallest, largest) value of a quantized input; None if it takes pixels in 0..255.

    The scale of a quantized file shows whether its network takes images in 0..1 or -1..1.
    """
    dtype, (scale, zero_point) = image["dtype"], image["quantization"]
    if dtype not in (np.uint8, np.int8) or not 0 < 255 * scale < NARROW:
        return None
    limits = np.iinfo(dtype)
    return (limits.min - zero_point) * scale, (limits.max - zero_point) * scale


def _as_codes(images: np.ndarray, image: dict) -> np.ndarray:
    """uint8 pixels as the 256 values of a quantized input."""
    return images if image["dtype"] == np.uint8 else (images ^ np.uint8(128)).view(np.int8)
