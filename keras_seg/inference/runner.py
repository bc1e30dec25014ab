"""What every runner does, whatever the format of its file."""

from __future__ import annotations

import abc
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_seg.card import CARD_NAME, ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.data.reading.in_memory import as_pixels, sorted_out
from keras_seg.endings import (
    Ending,
    check_multi_label,
    check_scores,
    check_sums,
    head_of,
    independent,
    several_sigmoids,
)
from keras_seg.inference.prediction import network_size
from keras_seg.inference.views import (
    TestTimeAugmentation,
    groups_of_one_shape,
    predict_batch,
)
from keras_seg.option_values import flag

CARD_ENTRY = Path(CARD_NAME).stem
"""Name under which .tflite and .onnx files hold the model card."""

PIXELS_AT_ONCE = 2**20
"""Of the windows that run together: as many as one window of an image larger than memory has."""

PROBED = 256
"""Pixels that stand for a free height or width of a test image."""

Shape = tuple[int | None, int | None, int]


class Runner(abc.ABC):
    """Runs a network on one image at a time.

    Attributes:
        path: the file, None for a model in memory.
        format: "keras", "tflite" or "onnx".
        card: what the file says of itself; classes are numbered where it says nothing.
        input_shape: (height, width, channels) of the image, None where free.
        num_classes: number of mask values, 2 for a network with a single logit; of labels for a
            multi-label network.
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
        threshold: float = 0.5,
        value_range: tuple[float, float] | None = None,
    ) -> np.ndarray | list[np.ndarray]:
        """Masks, or probabilities of the classes, of images of any size.

        Shapes: one image (H, W, C) or grey (H, W) → (H, W) uint8 classes, or (H, W, num_classes)
        float32 probabilities; a batch (B, H, W, C) → the same with a batch axis; a list of images,
        each of its own size → a list. Masks of a multi-label network are (H, W, num_classes) uint8
        of 0 and 1.

        Args:
            images: an image is an array or tensor (NumPy, TensorFlow, PyTorch, JAX) of pixels in
                0..255, the path of a file, or a PIL picture. uint8 is taken as it is; other types
                by `value_range`, or if they are 0..255 beyond doubt.
            sizing: how images meet the network, see `keras_seg.inference.predict`.
            tta: flips and scales whose probabilities are averaged; None for the image alone.
            batch_size: at most so many images of one size in memory at a time; a .keras file runs
                them together, exported files one by one.
            threshold: a pixel has the second of two classes, or a label of a multi-label network,
                where the probability is above it.
            value_range: (black, white) of images of more than 8 bits, which are mapped to 0..255;
                None for that of the training, which the card tells. Images of 8 bits stay as they
                are, as in training.

        Raises: ValueError for an image that does not fit, probabilities of a file that puts out
            classes only, or a threshold that is not in 0..1 or for more than two classes;
            FileNotFoundError for a path.
        """
        single, images = sorted_out(images)
        pixels = (self.pixels_of(image, value_range) for image in images)
        found = []
        for group in groups_of_one_shape(pixels, batch_size):
            words = (probabilities, sizing, tta, threshold)
            found.extend(predict_batch(self, np.stack(group), *words))
        if single:
            return found[0]
        if not isinstance(images, np.ndarray):
            return found
        last = (self.num_classes,) if probabilities or self.card.multi_label else ()
        kind = np.float32 if probabilities else np.uint8
        return np.stack(found) if found else np.zeros((0, *images.shape[1:3], *last), kind)

    def pixels_of(self, image, value_range: tuple[float, float] | None = None) -> np.ndarray:
        """An image as the network takes it: (H, W, C) uint8, by `as_pixels`.

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

    def _settle_head(
        self,
        find_ending: Callable[[], Ending],
        channels: int | None,
        said: dict,
        trusted: bool,
    ) -> None:
        """Writes into the card what the scores are.

        Args:
            channels: of the scores; None for a map of classes.
            said: `scores` and `multi_label` of the caller, None for nothing.
            trusted: whether the card was written by who knew what the network puts out.

        Raises: ValueError as `keras_seg.endings.head_of`.
        """
        what, scores, multi_label = self.path or "The model", said["scores"], said["multi_label"]
        check_scores(scores)
        if channels is None or self.card.head == "argmax":
            if scores is not None:
                raise ValueError(
                    f"{what} puts out classes. Received: scores={scores!r}. Leave scores out."
                )
            return
        ending = find_ending()
        card_head = self.card.head if trusted else None
        head = head_of(ending, channels, what, said=scores, card_head=card_head, probe=self._probed)
        if not trusted and (self.format != "keras" or ending.moved):
            check_sums(ending, channels, what, self._probed)
        if self.card.multi_label:
            check_multi_label(ending, what)
        elif multi_label is None and not trusted and channels > 1 and independent(ending):
            warnings.warn(several_sigmoids(what), stacklevel=5)
        self.card = replace(self.card, head=head)

    def _probed(self) -> np.ndarray:
        """Scores of noise beside a shade of grey."""
        height, width = network_size(self, (PROBED, PROBED))
        image = np.random.default_rng(0).integers(0, 256, (height, width, self.input_shape[2]))
        shades = np.linspace(0, 255, height, dtype=np.float32)[:, None, None]
        image[:, width // 2 :] = shades
        return self._forward(image[None].astype(np.uint8)).astype(np.float32)

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


def card_or_default(
    text: str | bytes | None, channels: int | None, path: Path, multi_label: bool | None = None
) -> ModelCard:
    """The card that a file holds as JSON, or one with numbered classes for a foreign file.

    Args:
        channels: of the output; None for a file that puts out classes, not scores.
        multi_label: what the caller says of a foreign file, None for nothing.

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
        return numbered_card(channels, bool(multi_label))
    try:
        card = ModelCard.from_json(text)
    except ValueError as error:
        raise unreadable(path, path.suffix.lower(), error) from error
    check_classes(card, channels, path)
    if multi_label not in (None, card.multi_label):
        raise contradicted(path, card.multi_label)
    return card


def foreign_card(
    card: ModelCard | None, channels: int | None, path: Path, multi_label: bool | None
) -> ModelCard:
    """The card of a file without one: what the caller gave, or numbered classes.

    Raises: ValueError as `card_or_default`.
    """
    if card is None:
        return card_or_default(None, channels, path, multi_label)
    card = labelled(card, multi_label, is_trusted(card), path)
    check_classes(card, channels, path)
    return card


def numbered_card(channels: int, multi_label: bool) -> ModelCard:
    """The card of a foreign network, of which only the number of channels is known."""
    if not multi_label:
        return ModelCard(ClassTable.numbered(count_classes(channels)))
    colors = ClassTable.numbered(channels + 1).colors[1:]  # no label is black
    names = tuple(f"label {i}" for i in range(channels))
    return ModelCard(ClassTable(names, colors), multi_label=True)


def check_said(card: ModelCard | None, multi_label: bool | None) -> None:
    """Raises ValueError for words of the caller that are of another type than they should be."""
    if card is not None and not isinstance(card, ModelCard):
        raise ValueError(
            "card is a keras_seg.models.ModelCard, such as ModelCard(ClassTable(names)). "
            f"Received: {card!r}"
        )
    if multi_label is not None:
        flag(multi_label, "multi_label")


def labelled(
    card: ModelCard, multi_label: bool | None, trusted: bool, path: Path | None
) -> ModelCard:
    """The card with what the caller says of a foreign network's labels.

    Raises: ValueError if that contradicts a card that is to be trusted.
    """
    if multi_label in (None, card.multi_label):
        return card
    if trusted:
        raise contradicted(path, card.multi_label)
    return replace(card, multi_label=multi_label)


def is_trusted(card: ModelCard | None) -> bool:
    """Whether a card tells what a foreign network puts out: the default head alone does not."""
    return card is not None and (card.network is not None or card.head != "logits")


def contradicted(path: Path | None, multi_label: bool) -> ValueError:
    """The error for `multi_label` that the card contradicts."""
    kind = "labels of which a pixel may have several" if multi_label else "exclusive classes"
    return ValueError(
        f"{path or 'The model'} has {kind}, as its card says. Received: multi_label="
        f"{not multi_label}. Leave multi_label out."
    )


def check_classes(card: ModelCard, channels: int | None, path: Path | None):
    """Raises ValueError if a card names another number of classes than the network puts out."""
    named = len(card.classes)
    binary = channels == 1 and named == 2 and not card.multi_label
    if channels not in (None, named) and not binary:
        raise ValueError(
            f"{path or 'The model'} puts out {channels} classes but its card names {named}: "
            f"{', '.join(card.classes.names)}. Give a card whose classes match."
        )


def count_classes(channels: int, multi_label: bool = False) -> int:
    """Number of mask values for a number of output channels: one logit separates two classes."""
    return 2 if channels == 1 and not multi_label else channels


def unreadable(path: Path, kind: str, why: object) -> ValueError:
    """The error for a file that is not what its name says."""
    size = path.stat().st_size
    return ValueError(
        f"{path} is no {kind} file, or it is damaged. Received: {size} bytes; {why}. "
        "Give an undamaged file, whose suffix says what it is, or export it again."
    )
