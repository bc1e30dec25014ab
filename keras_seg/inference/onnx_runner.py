"""Runs .onnx files by ONNX Runtime, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_seg.inference.runner import (
    CARD_ENTRY,
    Runner,
    available_threads,
    card_or_default,
    count_classes,
    unreadable,
)
from keras_seg.inference.seal import check_seal

DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}


class ONNXRunner(Runner):
    """Runs an .onnx file on the CPU.

    Its image and scores are (1, H, W, C), or (1, C, H, W) if its card says layout "nchw".

    Raises: ValueError if the file is damaged, is no .onnx file, or is not a network for images.
    """

    format = "onnx"

    def __init__(self, path: Path, *, threads: int | None = None):
        check_seal(path)
        threads = threads or available_threads()
        self._session = _session(path, threads)
        image, output, text = _described(self._session, path)
        if image.type not in DTYPES or len(image.shape) != 4:
            found = f"its input is {image.type} of shape {image.shape}"
            raise unreadable(path, "image network's .onnx", found)
        self._image_name, self._dtype = image.name, DTYPES[image.type]
        channels_first = text is not None and card_or_default(text, None, path).layout == "nchw"
        channels = output.shape[1 if channels_first else -1] if len(output.shape) == 4 else None
        card = card_or_default(text, channels, path)
        # a free size is a name or None
        shape = tuple(size if isinstance(size, int) else None for size in image.shape[1:])
        shape = (*shape[1:], shape[0]) if channels_first else shape
        super().__init__(path, card, shape, count_classes(channels or len(card.classes)), threads)

    def _forward(self, images: np.ndarray) -> np.ndarray:
        channels_first = self.card.layout == "nchw"
        images = images.astype(self._dtype)
        images = images.transpose(0, 3, 1, 2) if channels_first else images
        output = self._session.run(None, {self._image_name: images})[0]
        return output.transpose(0, 2, 3, 1) if channels_first and output.ndim == 4 else output


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
