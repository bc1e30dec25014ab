"""Runs .onnx files by ONNX Runtime, without TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.endings import Ending
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
        card: what a file of another exporter is; None for numbered classes.
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
        card: ModelCard | None = None,
        scores: str | None = None,
        multi_label: bool | None = None,
    ):
        check_seal(path)
        threads = threads or available_threads()
        self._session = _session(path, threads)
        image, output, text = _described(self._session, path)
        if image.type not in DTYPES or (text is not None and len(image.shape) != 4):
            found = f"its input is {image.type} of shape {image.shape}"
            raise unreadable(path, "image network's .onnx", found)
        self._image_name, self._dtype = image.name, DTYPES[image.type]
        self._ends = None
        said = {"scores": scores, "multi_label": multi_label}
        if text is None:
            self._ends = ends = find_ends(path, *_named_ends(self._session), self._outputs)
            name = self._session.get_outputs()[ends.output].name
            trusted = is_trusted(card)
            card = foreign_card(card, ends.channels, path, multi_label)
            card = replace(card, margin=ends.margin)
            super().__init__(path, card, ends.shape, len(card.classes), threads)
            self._settle_head(partial(_ending, path, name), ends.channels, said, trusted)
            return
        channels_first = text is not None and card_or_default(text, None, path).layout == "nchw"
        channels = output.shape[1 if channels_first else -1] if len(output.shape) == 4 else None
        card = card_or_default(text, channels, path, multi_label)
        # a free size is a name or None
        shape = tuple(size if isinstance(size, int) else None for size in image.shape[1:])
        shape = (*shape[1:], shape[0]) if channels_first else shape
        num_classes = count_classes(channels or len(card.classes), card.multi_label)
        super().__init__(path, card, shape, num_classes, threads)
        # of probabilities the card says all, and to read a large graph takes time
        find = partial(_ending, path, output.name) if card.head == "logits" else Ending
        self._settle_head(find, channels, said, trusted=True)

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


def _ending(path: Path, output: str) -> Ending:
    from keras_seg.inference.onnx_ending import onnx_ending  # imports onnx

    return onnx_ending(path, output)


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
