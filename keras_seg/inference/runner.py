"""The contract of a runner: it runs a network on images of the sizes that the network takes.

`keras_seg.inference.prediction.Runner` adds prediction at any size. The runners of .keras, .tflite
and .onnx files derive from it.
"""

from __future__ import annotations

import abc
import importlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.data.reading.in_memory import pixels_and_known
from keras_seg.data.reading.ranges import ValueRange
from keras_seg.output_activation import (
    OutputActivation,
    check_multi_label,
    check_scores,
    check_sums,
    decide_head,
    is_sigmoid_per_channel,
    several_sigmoids,
)

PIXELS_AT_ONCE = 2**20
"""Pixels of all windows in one run: as many as one window of an image that is read in bands."""

PROBED = 256
"""Height or width of the test image where the network leaves it free."""

Shape = tuple[int | None, int | None, int]


class NetworkRunner(abc.ABC):
    """Runs a network on images of a size that it takes.

    A subclass sets `format` and defines `_forward`.

    Attributes:
        path: the file, None for a model in memory.
        format: "keras", "tflite" or "onnx".
        card: what the file says about itself; numbered classes where it says nothing.
        input_shape: (height, width, channels) of the image, None where free.
        num_classes: number of mask values, 2 for a network with a single logit; number of labels
            of a multi-label network.
        threads: number of CPU threads.
        files: all files that the predictions depend on.
        needs_whole: the network needs whole images and cannot work on windows.
        pixels_at_once: number of pixels of all windows in one run, for formats that take batches.
    """

    format: str

    def __init__(
        self, path: Path | None, card: ModelCard, input_shape: Shape, num_classes: int, threads: int
    ) -> None:
        self.path = path
        self.files = () if path is None else (path,)
        self.needs_whole = False
        self.pixels_at_once = PIXELS_AT_ONCE
        self.card = card
        self.input_shape = input_shape
        self.num_classes = num_classes
        self.threads = threads

    @property
    def what(self) -> object:
        """The file, or "The model", for messages."""
        return self.path or "The model"

    @property
    def size_multiple(self) -> int:
        """Free heights and widths must be multiples of this, in pixels."""
        return self.card.size_multiple

    @property
    def size_rule(self) -> tuple[int, int, int]:
        """(multiple, offset, smallest) in pixels: the values of a free height or width."""
        return self.size_multiple, 0, self.size_multiple

    @property
    def draws_random_numbers(self) -> bool:
        """Whether a prediction depends on those before it, as with dropout at inference."""
        return False

    @property
    def margin(self) -> tuple[int, int]:
        """(rows, columns) of the image that the output lacks on each side."""
        return self.card.margin

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which the network sees an image of this size.

        A fixed size is returned as it is. A free size is rounded up to the next one that the
        network takes; for a network without padding, so far that the mask covers the image.
        """
        multiple, offset, smallest = self.size_rule
        return tuple(
            fixed
            if fixed is not None
            else offset + multiple * -(-(max(length + 2 * lost, smallest) - offset) // multiple)
            for fixed, length, lost in zip(self.input_shape, size, self.margin, strict=False)
        )

    def pixels_of(self, image: object, value_range: ValueRange | None = None) -> np.ndarray:
        """An image as the network takes it: (H, W, C) uint8.

        Args:
            image: an array, tensor, path or PIL picture.
            value_range: (black, white) of an image of more than 8 bits; None for that of the card.

        Raises: ValueError for an image that does not fit; FileNotFoundError.
        """
        return self.pixels_and_known(image, value_range)[0]

    def pixels_and_known(
        self, image: object, value_range: ValueRange | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As `pixels_of`, and which pixels hold data: (H, W) bool, None if all do."""
        value_range, nodata = value_range or self.card.value_range, self.card.nodata
        return pixels_and_known(image, self.input_shape[2], value_range, nodata)

    def copies(self, count: int) -> list[Self]:
        """Runners of the same network that can run at the same time, each in its own thread.

        Returns: at most `count` runners, which share the CPU threads of this one; or this runner
            alone, if its format runs one image after the other.
        """
        return [self]

    def at_once(self, window: tuple[int, int]) -> int:
        """Number of windows of this size in one run: 1, for files that take one image."""
        return 1

    def run(self, image: np.ndarray) -> np.ndarray:
        """Runs the network on an image of a size that it takes.

        Shapes: (H, W, C) uint8 pixels → (H, W, num_classes) float32, logits or probabilities as
        `card.head` says; for head "argmax" (H, W) uint8 classes.

        Raises: ValueError for another type, channel count or size; `predict` takes any size.
        """
        self._check(image)
        return self._as_scores(self._forward(image[None]))[0]

    def run_batch(self, images: np.ndarray) -> np.ndarray:
        """`run` for images of one size: (B, H, W, C) → (B, H, W, num_classes) or (B, H, W)."""
        if len(images) == 1:  # without a copy
            return self.run(images[0])[None]
        return np.stack([self.run(image) for image in images])

    @abc.abstractmethod
    def _forward(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, C) uint8 → dequantized scores, or classes, with the batch axis.

        B is 1, or at most what `at_once` says.
        """

    def _as_scores(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs of `_forward` in the types that `run` promises."""
        if self.card.head == "argmax":
            return outputs.reshape(outputs.shape[:3]).astype(np.uint8)
        return outputs.astype(np.float32, copy=False)

    def _check(self, image: np.ndarray) -> None:
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

    def _decide_head(
        self,
        find_activation: Callable[[], OutputActivation],
        channels: int | None,
        *,
        scores: str | None,
        multi_label: bool | None,
        trusted: bool,
    ) -> None:
        """Writes into the card whether the scores are logits or probabilities.

        Args:
            find_activation: reads the function at the output from the graph.
            channels: number of output channels; None for a map of classes.
            scores, multi_label: what the caller says, None for nothing.
            trusted: whether the card states what the network outputs.

        Raises: ValueError as `keras_seg.output_activation.decide_head`.
        """
        what = self.what
        check_scores(scores)
        if channels is None or self.card.head == "argmax":
            if scores is not None:
                raise ValueError(
                    f"{what} outputs classes. Received: scores={scores!r}. Leave scores out."
                )
            return
        activation = find_activation()
        card_head = self.card.head if trusted else None
        probe = self._scores_of_test_image
        head = decide_head(
            activation, channels, what, scores=scores, card_head=card_head, probe=probe
        )
        if not trusted and (self.format != "keras" or activation.transposed):
            check_sums(activation, channels, what, probe)
        if self.card.multi_label:
            check_multi_label(activation, what)
        untold = multi_label is None and not trusted and not self.card.multi_label
        if untold and channels > 1 and is_sigmoid_per_channel(activation):
            # the line that called `load`
            level = 5 if self.format == "keras" else 6
            warnings.warn(several_sigmoids(what), stacklevel=level)
        self.card = replace(self.card, head=head)

    def _scores_of_test_image(self) -> np.ndarray:
        """Scores of an image whose left half is noise and whose right half is a grey ramp."""
        height, width = self.network_size((PROBED, PROBED))
        image = np.random.default_rng(0).integers(0, 256, (height, width, self.input_shape[2]))
        ramp = np.linspace(0, 255, height, dtype=np.float32)[:, None, None]
        image[:, width // 2 :] = ramp
        return self._forward(image[None].astype(np.uint8)).astype(np.float32)


def __getattr__(name: str) -> Any:
    """`Runner` under its former path."""
    if name == "Runner":
        from keras_seg.deprecation import warn_deprecated

        warn_deprecated("Import Runner from keras_seg.inference.")
        return importlib.import_module("keras_seg.inference").Runner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
