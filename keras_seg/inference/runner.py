"""What every runner does, whatever the format of its file."""

from __future__ import annotations

import abc
import os
from pathlib import Path

import numpy as np

from keras_seg.card import CARD_NAME, ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.data.pixels import as_pixels, sorted_out
from keras_seg.inference.test_time import (
    TestTimeAugmentation,
    groups_of_one_shape,
    predict_batch,
)

CARD_ENTRY = Path(CARD_NAME).stem
"""Name under which .tflite and .onnx files hold the model card."""

PIXELS_AT_ONCE = 2**20
"""Of the windows that run together: as many as one window of an image larger than memory has."""

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
        files: all files that the predictions depend on.
        needs_whole: the network makes sense of whole images only, not of windows of them.
        pixels_at_once: windows of so many pixels in all run together, where the format can.
    """

    format: str

    def __init__(
        self, path: Path | None, card: ModelCard, input_shape: Shape, num_classes: int, threads: int
    ):
        self.path = path
        self.files = () if path is None else (path,)
        self.needs_whole = False
        self.pixels_at_once = PIXELS_AT_ONCE
        self.card = card
        self.input_shape = input_shape
        self.num_classes = num_classes
        self.threads = threads

    @property
    def size_multiple(self) -> int:
        """Free heights and widths must be multiples of this, in pixels."""
        return self.card.size_multiple

    @property
    def size_rule(self) -> tuple[int, int, int]:
        """(multiple, offset, smallest) in pixels: the sizes that a free height or width has."""
        return self.size_multiple, 0, self.size_multiple

    @property
    def margin(self) -> tuple[int, int]:
        """(rows, columns) of the image that the output lacks on each side."""
        return self.card.margin

    def predict(
        self,
        images,
        *,
        probabilities: bool = False,
        sizing: str = "auto",
        tta: TestTimeAugmentation | None = None,
        batch_size: int = 8,
        value_range: tuple[float, float] | None = None,
    ) -> np.ndarray | list[np.ndarray]:
        """Masks, or probabilities of the classes, of images of any size.

        Shapes: one image (H, W, C) or grey (H, W) → (H, W) uint8 classes, or (H, W, num_classes)
        float32 probabilities; a batch (B, H, W, C) → the same with a batch axis; a list of images,
        each of its own size → a list.

        Args:
            images: an image is an array or tensor (NumPy, TensorFlow, PyTorch, JAX) of pixels in
                0..255, the path of a file, or a PIL picture. uint8 is taken as it is; other types
                by `value_range`, or if they are 0..255 beyond doubt.
            sizing: how images meet the network, see `keras_seg.inference.predict`.
            tta: flips and scales whose probabilities are averaged; None for the image alone.
            batch_size: at most so many images of one size in memory at a time; a .keras file runs
                them together, exported files one by one.
            value_range: (black, white) of images of more than 8 bits, which are mapped to 0..255;
                None for that of the training, which the card tells. Images of 8 bits stay as they
                are, as in training.

        Raises: ValueError for an image that does not fit, or probabilities of a file that puts out
            classes only; FileNotFoundError for a path.
        """
        single, images = sorted_out(images)
        pixels = (self.pixels_of(image, value_range) for image in images)
        found = []
        for group in groups_of_one_shape(pixels, batch_size):
            found.extend(predict_batch(self, np.stack(group), probabilities, sizing, tta))
        if single:
            return found[0]
        if not isinstance(images, np.ndarray):
            return found
        last = (self.num_classes,) if probabilities else ()
        empty = np.zeros((0, *images.shape[1:3], *last), np.float32 if last else np.uint8)
        return np.stack(found) if found else empty

    def pixels_of(self, image, value_range: tuple[float, float] | None = None) -> np.ndarray:
        """An image as the network takes it: (H, W, C) uint8, see `keras_seg.data.pixels`.

        Args:
            image, value_range: as for `predict`, of one image.

        Raises: as `predict`.
        """
        return as_pixels(image, self.input_shape[2], value_range or self.card.value_range)

    def at_once(self, window: tuple[int, int]) -> int:
        """Number of windows of that size to run together: one, as exported files have one image."""
        return 1

    def run_batch(self, images: np.ndarray) -> np.ndarray:
        """`run` of several images of one size, with a batch axis in front."""
        return np.stack([self.run(image) for image in images])

    def run(self, image: np.ndarray) -> np.ndarray:
        """Runs the network on an image of a size that it takes.

        Shapes: (H, W, C) uint8 pixels → (H, W, num_classes) float32, logits or probabilities as
        the card's `head` says; for head "argmax" (H, W) uint8 classes.

        Raises: ValueError for another type, channel count or size; `predict` takes any size.
        """
        self._check(image)
        return self._tidy(self._forward(image[None]))[0]

    def _tidy(self, outputs: np.ndarray) -> np.ndarray:
        if self.card.head == "argmax":
            return outputs.reshape(outputs.shape[:3]).astype(np.uint8)
        return outputs.astype(np.float32, copy=False)

    @abc.abstractmethod
    def _forward(self, images: np.ndarray) -> np.ndarray:
        """(1, H, W, C) uint8 → scores or classes with the batch axis, quantization undone."""

    def _check(self, image: np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3:
            raise ValueError(
                "An image to run must be uint8 of shape (height, width, channels). "
                f"Received: {image.dtype} of shape {image.shape}"
            )
        multiple, offset, smallest = self.size_rule
        for received, expected in zip(image.shape, self.input_shape, strict=True):
            misfit = (received - offset) % multiple or received < smallest
            if received != expected and (expected is not None or misfit):
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
            "Export it with keras_seg.export, or name the classes: keras_seg.inference.load(path, "
            "card=keras_seg.models.ModelCard(keras_seg.data.ClassTable(names), head='argmax'))."
        )
    if text is None:
        return ModelCard(ClassTable.numbered(count_classes(channels)))
    try:
        card = ModelCard.from_json(text)
    except ValueError as error:
        raise unreadable(path, path.suffix.lower(), error) from error
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
