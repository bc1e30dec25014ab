"""Runs .onnx files with ONNX Runtime, without TensorFlow."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from keras_seg.card import CARD_ENTRY, ModelCard
from keras_seg.inference.cards import card_from_text, count_classes, foreign_card, is_trusted
from keras_seg.inference.checksum import check_checksum
from keras_seg.inference.foreign import Tensor, find_tensors
from keras_seg.inference.prediction import Runner
from keras_seg.model_paths import unreadable_file
from keras_seg.output_activation import OutputActivation
from keras_seg.parallel import available_threads

if TYPE_CHECKING:
    import onnxruntime

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

    Its image and scores are (B, H, W, C), or (B, C, H, W) if its card says layout "nchw". B is 1,
    another number, or free; several images then run together. The axes, the batch size and the
    score output of a foreign file are found from its shapes, see `keras_seg.inference.foreign`.

    Args:
        path: the file.
        threads: number of CPU threads; None for all that this process may use.
        card: the card of a foreign file; None for numbered classes.
        scores, multi_label: what a foreign file outputs, see `keras_seg.inference.load`.

    Raises: ValueError if the file is damaged, is not an .onnx file, or is not a network for images;
        and as `load` for `scores` and `multi_label`.
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
    ) -> None:
        check_checksum(path)
        threads = threads or available_threads()
        self._session = _open_session(path, threads)
        image, output, text = _description(self._session, path)
        if image.type not in DTYPES or (text is not None and len(image.shape) != 4):
            reason = f"its input is {image.type} of shape {image.shape}"
            raise unreadable_file(path, "image network's .onnx", reason)
        self._image_name, self._dtype = image.name, DTYPES[image.type]
        self._batch = image.shape[0] if isinstance(image.shape[0], int) else None
        self._batch_is_tried = False
        self._foreign = None
        if text is None:
            self._init_foreign(path, threads, card, scores, multi_label)
            return
        channels_first = card_from_text(text, None, path).layout == "nchw"
        channels = output.shape[1 if channels_first else -1] if len(output.shape) == 4 else None
        card = card_from_text(text, channels, path, multi_label)
        # a free length is a name or None
        shape = tuple(size if isinstance(size, int) else None for size in image.shape[1:])
        shape = (*shape[1:], shape[0]) if channels_first else shape
        num_classes = count_classes(channels or len(card.classes), card.multi_label)
        super().__init__(path, card, shape, num_classes, threads)
        # for probabilities the card is enough, and reading a large graph takes time
        is_logits = card.head == "logits"
        find = partial(_activation, path, output.name) if is_logits else OutputActivation
        self._decide_head(find, channels, scores=scores, multi_label=multi_label, trusted=True)

    def _init_foreign(
        self,
        path: Path,
        threads: int,
        card: ModelCard | None,
        scores: str | None,
        multi_label: bool | None,
    ) -> None:
        """Reads a file that another exporter wrote."""
        self._foreign = tensors = find_tensors(path, *_tensors(self._session), self._run_all)
        name = self._session.get_outputs()[tensors.output].name
        trusted = is_trusted(card)
        card = foreign_card(card, tensors.channels, path, multi_label)
        card = replace(card, margin=tensors.margin)
        super().__init__(path, card, tensors.shape, len(card.classes), threads)
        find = partial(_activation, path, name)
        self._decide_head(
            find, tensors.channels, scores=scores, multi_label=multi_label, trusted=trusted
        )

    def copies(self, count: int) -> list[Self]:
        """`count` runners that share one session, see `NetworkRunner.copies`."""
        if count == 1:
            return [self]
        share = max(1, self.threads // count)
        assert self.path is not None  # it was opened from there
        session = _open_session(self.path, share)
        runners = [copy.copy(self) for _ in range(count)]
        for runner in runners:
            runner.threads, runner._session = share, session
        return runners

    def at_once(self, window: tuple[int, int]) -> int:
        """Number of windows of this size in one run: the batch of the file, or for a free one as
        many as `pixels_at_once` allows.
        """
        if self._batch is None:
            return max(1, self.pixels_at_once // (window[0] * window[1]))
        return self._batch

    def run_batch(self, images: np.ndarray) -> np.ndarray:
        """`run` for images of one size, as many together as the file takes."""
        self._check(images[0])
        if len(images) > 1 and self._foreign is not None and not self._batch_is_tried:
            self._batch = self._batch or self._foreign_batch(images[:2])
            self._batch_is_tried = True
        step = self.at_once(images.shape[1:3])
        groups = [images[start : start + step] for start in range(0, len(images), step)]
        return np.concatenate([self._as_scores(self._forward(group)) for group in groups])

    def _foreign_batch(self, images: np.ndarray) -> int | None:
        """1 for a foreign file that names its batch as free and takes one image all the same."""
        try:
            return None if len(self._forward(images)) == len(images) else 1
        except Exception:  # the errors of ONNX Runtime share no base class below Exception
            return 1

    def _run_all(self, images: np.ndarray) -> list[np.ndarray]:
        """All outputs, for images as the file takes them."""
        return self._session.run(None, {self._image_name: images.astype(self._dtype)})

    def _forward(self, images: np.ndarray) -> np.ndarray:
        count = len(images)
        if self._batch is not None and count < self._batch:
            rest = np.repeat(images[-1:], self._batch - count, axis=0)
            images = np.concatenate([images, rest])
        if self._foreign is not None:
            outputs = self._run_all(self._foreign.to_input(images))
            return self._foreign.from_output(outputs[self._foreign.output], count)
        channels_first = self.card.layout == "nchw"
        images = images.astype(self._dtype)
        images = images.transpose(0, 3, 1, 2) if channels_first else images
        output = self._session.run(None, {self._image_name: images})[0][:count]
        return output.transpose(0, 2, 3, 1) if channels_first and output.ndim == 4 else output


def _activation(path: Path, output: str) -> OutputActivation:
    # imports onnx
    from keras_seg.inference.onnx_output_activation import onnx_output_activation

    return onnx_output_activation(path, output)


def _tensors(session: onnxruntime.InferenceSession) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs; a free length is a name or None."""

    def tensor(node: onnxruntime.NodeArg) -> Tensor:
        shape = tuple(size if isinstance(size, int) else None for size in node.shape)
        return Tensor(node.name, shape, "int" in node.type)

    return list(map(tensor, session.get_inputs())), list(map(tensor, session.get_outputs()))


def _description(session: onnxruntime.InferenceSession, path: Path) -> tuple:
    """The image, the first output and the card of a file."""
    try:
        text = session.get_modelmeta().custom_metadata_map.get(CARD_ENTRY)
        return session.get_inputs()[0], session.get_outputs()[0], text
    except (UnicodeDecodeError, IndexError) as error:
        raise unreadable_file(path, ".onnx", f"its description is damaged: {error}") from error


def _open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class below Exception
        raise unreadable_file(path, ".onnx", f"ONNX Runtime says: {error}") from error
