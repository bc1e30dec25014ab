"""What every runner does, whatever the format of its file."""

from __future__ import annotations

import abc
import os
from pathlib import Path

import numpy as np

from keras_seg.card import CARD_NAME, ModelCard
from keras_seg.data.classes import ClassTable

CARD_ENTRY = Path(CARD_NAME).stem
"""Name under which .tflite and .onnx files hold the model card."""

Shape = tuple[int | None, int | None, int]


class Runner(abc.ABC):
    """Runs a network on one image at a time.

    Attributes:
        path: the file, None for a model in memory.
        format: "keras", "tflite" or "onnx".
        card: what the file says of itself; classes are numbered where it says nothing.
        input_shape: (height, width, channels) of the image, None where free.
        num_classes: number of mask values, 2 for a network with a single logit.
        threads: number of CPU threads it runs on.
    """

    format: str

    def __init__(
        self, path: Path | None, card: ModelCard, input_shape: Shape, num_classes: int, threads: int
    ):
        self.path = path
        self.card = card
        self.input_shape = input_shape
        self.num_classes = num_classes
        self.threads = threads

    @property
    def size_multiple(self) -> int:
        """Free heights and widths must be multiples of this, in pixels."""
        return self.card.size_multiple

    def run(self, image: np.ndarray) -> np.ndarray:
        """Runs the network on an image of a size that it takes.

        Shapes: (H, W, C) uint8 pixels → (H, W, num_classes) float32, logits or probabilities as
        the card's `head` says; for head "argmax" (H, W) uint8 classes.

        Raises: ValueError for another type, channel count or size; `predict` takes any size.
        """
        self._check(image)
        output = self._forward(image[None])[0]
        if self.card.head == "argmax":
            return output.reshape(output.shape[:2]).astype(np.uint8)
        return output.astype(np.float32, copy=False)

    @abc.abstractmethod
    def _forward(self, images: np.ndarray) -> np.ndarray:
        """(1, H, W, C) uint8 → scores or classes with the batch axis, quantization undone."""

    def _check(self, image: np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3:
            raise ValueError(
                "An image to run must be uint8 of shape (height, width, channels). "
                f"Received: {image.dtype} of shape {image.shape}"
            )
        for received, expected in zip(image.shape, self.input_shape, strict=True):
            if received != expected and (expected is not None or received % self.size_multiple):
                raise ValueError(
                    f"The network takes images of shape {self.input_shape} (free sizes in steps of "
                    f"{self.size_multiple} pixels). Received: {image.shape}. "
                    "keras_seg.inference.predict fits any size to it."
                )


def available_threads() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def card_or_default(text: str | bytes | None, channels: int | None, path: Path) -> ModelCard:
    """The card that a file holds as JSON, or one with numbered classes for a foreign file.

    Args:
        channels: of the output; None for a file that puts out classes, not scores.

    Raises: ValueError if there is no card and the number of classes cannot be seen either, or if
    the card contradicts the output.
    """
    if text is None and channels is None:
        raise ValueError(
            f"{path} puts out class maps and does not say how many classes there are. "
            "Received: a file without the metadata that keras_seg.export writes. "
            "Export it with keras_seg.export."
        )
    if text is None:
        return ModelCard(ClassTable.numbered(count_classes(channels)))
    card = ModelCard.from_json(text if isinstance(text, str) else bytes(text).decode())
    check_classes(card, channels, path)
    return card


def check_classes(card: ModelCard, channels: int | None, path: Path | None):
    """Raises ValueError if a card names another number of classes than the network puts out."""
    named = len(card.classes)
    if channels not in (None, named) and not (channels == 1 and named == 2):
        raise ValueError(
            f"{path or 'The model'} puts out {channels} classes but its card names {named}: "
            f"{', '.join(card.classes.names)}. Give a card whose classes match."
        )


def count_classes(channels: int) -> int:
    """Number of mask values for a number of output channels: one logit separates two classes."""
    return 2 if channels == 1 else channels


def unreadable(path: Path, kind: str, why: object) -> ValueError:
    """The error for a file that is not what its name says."""
    size = path.stat().st_size
    return ValueError(
        f"{path} is no {kind} file, or it is damaged. Received: {size} bytes; {why}. "
        "Give an undamaged file, whose suffix says what it is, or export it again."
    )
