"""Runs .onnx files by ONNX Runtime, without TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.inference.foreign import End, find_ends
from keras_seg.inference.runner import (
    CARD_ENTRY,
    Runner,
    available_threads,
    card_or_default,
    check_classes,
    count_classes,
    unreadable,
)
from keras_seg.inference.seal import check_seal

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(uint8)": np.uint8,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class ONNXRunner(Runner):
    """Runs an .onnx file on the CPU.

    Its image and scores are (1, H, W, C), or (1, C, H, W) if its card says layout "nchw". Of files
    of other exporters axes, batch and output are found, see `keras_seg.inference.foreign`.

    Args:
        card: what a file of another exporter is; None for numbered classes and logits.

    Raises: ValueError if the file is damaged, is no .onnx file, or is not a network for images.
    """

    format = "onnx"

    def __init__(self, path: Path, *, threads: int | None = None, card: ModelCard | None = None):
        check_seal(path)
        threads = threads or available_threads()
        self._session = _session(path, threads)
        image, output, text = _described(self._session, path)
        if image.type not in DTYPES or (text is not None and len(image.shape) != 4):
            found = f"its input is {image.type} of shape {image.shape}"
            raise unreadable(path, "image network's .onnx", found)
        self._image_name, self._dtype = image.name, DTYPES[image.type]
        self._ends = None
        if text is None:
            self._ends = ends = find_ends(path, *_named_ends(self._session), self._outputs)
            card = card or card_or_default(None, ends.channels, path)
            card = replace(card, margin=ends.margin)
            check_classes(card, ends.channels, path)
            super().__init__(path, card, ends.shape, len(card.classes), threads)
            return
        channels_first = text is not None and card_or_default(text, None, path).layout == "nchw"
        channels = output.shape[1 if channels_first else -1] if len(output.shape) == 4 else None
        card = card_or_default(text, channels, path)
        # a free size is a name or None
        shape = tuple(size if isinstance(size, int) else None for size in image.shape[1:])
        shape = (*shape[1:], shape[0]) if channels_first else shape
        super().__init__(path, card, shape, count_classes(channels or len(card.classes)), threads)

    def _outputs(self, images: np.ndarray) -> list[np.ndarray]:
        return self._session.run(None, {self._image_name: images.astype(self._dtype)})

    def _forward(self, images: np.ndarray) -> np.ndarray:
        if self._ends is not None:
            outputs = self._outputs(self._ends.given(images))
            return self._ends.taken(outputs[self._ends.output], len(images))
        channels_first = self.card.layout == "nchw"
        images = images.astype(self._dtype)
        images = images.transpose(0, 3, 1, 2) if channels_first else images
        output = self._session.run(None, {self._image_name: images})[0]
        return output.transpose(0, 2, 3, 1) if channels_first and output.ndim == 4 else output


def _named_ends(session) -> tuple[list[End], list[End]]:
    """Inputs and outputs; a free length is a name or None."""

    def end(node) -> End:
        shape = tuple(size if isinstance(size, int) else None for size in node.shape)
        return End(node.name, shape, "int" in node.type)

    return list(map(end, session.get_inputs())), list(map(end, session.get_outputs()))


def _described(session, path: Path) -> tuple:
    """Image, output and card, as a file describes them."""
    try:
        text = session.get_modelmeta().custom_metadata_map.get(CARD_ENTRY)
        return session.get_inputs()[0], session.get_outputs()[0], text
    except (UnicodeDecodeError, IndexError) as error:
        raise unreadable(path, ".onnx", f"its description is damaged: {error}") from error


def _session(path: Path, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class below Exception
        raise unreadable(path, ".onnx", f"ONNX Runtime says: {error}") from error
