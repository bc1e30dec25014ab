"""Runs .onnx files by ONNX Runtime, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_seg.endings import Ending
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

DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}


class ONNXRunner(Runner):
    """Runs an .onnx file on the CPU.

    Its image and scores are (1, H, W, C), or (1, C, H, W) if its card says layout "nchw".

    Args:
        scores, multi_label: what a foreign file puts out, see `keras_seg.inference.load`.

    Raises: ValueError if the file is damaged, is no .onnx file, or is not a network for images; and
        as `load` for `scores` and `multi_label`.
    """

    format = "onnx"

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
        self._session = _session(path, threads)
        image, output, text = _described(self._session, path)
        if image.type not in DTYPES or len(image.shape) != 4:
            found = f"its input is {image.type} of shape {image.shape}"
            raise unreadable(path, "image network's .onnx", found)
        self._image_name, self._dtype = image.name, DTYPES[image.type]
        channels_first = text is not None and card_or_default(text, None, path).layout == "nchw"
        are_scores = len(output.shape) == 4 and "float" in output.type
        channels = output.shape[1 if channels_first else -1] if are_scores else None
        card = card_or_default(text, channels, path, multi_label)
        # a free size is a name or None
        shape = tuple(size if isinstance(size, int) else None for size in image.shape[1:])
        shape = (*shape[1:], shape[0]) if channels_first else shape
        num_classes = count_classes(channels or len(card.classes), card.multi_label)
        super().__init__(path, card, shape, num_classes, threads)
        if card.head == "argmax":
            said_head(card, scores, path)
            return
        ending = Ending()
        if card.head == "logits":  # of other files the card says more than the graph can
            from keras_seg.inference.onnx_ending import onnx_ending

            ending = onnx_ending(path, output.name)
        said = {"scores": scores, "multi_label": multi_label}
        self._settle_head(ending, channels, **said, trusted=text is not None)

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
