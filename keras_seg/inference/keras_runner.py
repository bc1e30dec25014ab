"""Runs Keras models, from a .keras file or from memory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_seg.card import ModelCard
from keras_seg.inference.cards import (
    check_card_channels,
    count_classes,
    is_trusted,
    numbered_card,
    with_multi_label,
)
from keras_seg.inference.keras_forward import forward_of, use_threads
from keras_seg.inference.prediction import Runner
from keras_seg.inference.runner import Shape
from keras_seg.inference.scores import class_map, threshold_in_use, to_probabilities
from keras_seg.layers import MonteCarloDropout
from keras_seg.models import files
from keras_seg.models.functional import as_functional
from keras_seg.models.output_activation import model_output_activation
from keras_seg.models.sizes import output_margin, size_rule


class KerasRunner(Runner):
    """Runs a Keras model, compiled once per image size, for single images and batches.

    Args:
        model: image (B, H, W, C) in 0..255 → logits or probabilities (B, H, W, num_classes), or a
            dict whose first entry they are; functional, Sequential or subclassed.
        card: what the model says about itself; None for numbered classes. A sigmoid or softmax at
            the model's end overrides its `head`.
        path: the file, None for a model in memory.
        input_shape: (height, width, channels) at which a model of free size runs.
        threads: number of CPU threads, if TensorFlow has not run anything in this process yet.
            Other backends of Keras use all.
        head: what to output instead of the model's own output, as an exported file may:
            "probabilities" or "argmax" from logits or probabilities.
        scores, multi_label: what a foreign model outputs, see `keras_seg.inference.load`.

    Attributes:
        own_head: what the model itself outputs, "logits" or "probabilities".

    Raises: ValueError if the model, the card and the arguments contradict each other, or if
        `scores` must be given.
    """

    format = "keras"

    def __init__(
        self,
        model: keras.Model,
        card: ModelCard | None = None,
        *,
        path: Path | None = None,
        input_shape: Shape | None = None,
        threads: int | None = None,
        head: str | None = None,
        scores: str | None = None,
        multi_label: bool | None = None,
    ) -> None:
        model = as_functional(model, input_shape, only_to_run=True)
        own_shape, channels = model_shapes(model)
        shape = _fitting_shape(own_shape, input_shape)
        trusted = is_trusted(card)
        card = card or numbered_card(channels, bool(multi_label))
        card = with_multi_label(card, multi_label, trusted, path)
        check_card_channels(card, channels, path)
        self.model, self.own_head = model, card.head
        margin = card.margin if any(card.margin) else output_margin(model)
        card = replace(card, margin=margin)
        num_classes = count_classes(channels, card.multi_label)
        super().__init__(path, card, shape, num_classes, use_threads(threads))
        self._run_model = forward_of(model, first_output)
        find = partial(model_output_activation, first_output(model.output))
        self._decide_head(find, channels, scores=scores, multi_label=multi_label, trusted=trusted)
        self.own_head = self.card.head
        if head is not None:
            self.put_out(head)

    def put_out(self, head: str) -> None:
        """Outputs "logits", "probabilities" or "argmax" from now on.

        Raises: ValueError for a head that cannot be computed from the model's output.
        """
        if head == "logits" != self.own_head:
            raise ValueError(
                f"The model outputs {self.own_head}, which cannot be turned into logits. "
                "Received: head='logits'. Take head='probabilities'."
            )
        if head == "argmax" and self.card.multi_label:
            raise ValueError(
                "A pixel of a multi-label model has no single class. Received: head='argmax'. Take "
                "head='logits' or 'probabilities'."
            )
        self.card = replace(self.card, head=head)

    @classmethod
    def from_file(
        cls,
        path: Path,
        card: ModelCard | None = None,
        *,
        threads: int | None = None,
        input_shape: Shape | None = None,
        scores: str | None = None,
        multi_label: bool | None = None,
    ) -> KerasRunner:
        """The runner of a .keras or .h5 file; `card` is for files without one."""
        return cls(
            files.load(path),
            files.read_card(path) or card,
            path=path,
            input_shape=input_shape,
            threads=threads,
            scores=scores,
            multi_label=multi_label,
        )

    @property
    def draws_random_numbers(self) -> bool:
        layers = self.model._flatten_layers()
        return any(isinstance(layer, MonteCarloDropout) for layer in layers)

    @property
    def size_rule(self) -> tuple[int, int, int]:
        own = size_rule(self.model)
        return own if own != (1, 0, 1) else super().size_rule  # not known for a foreign model

    def at_once(self, window: tuple[int, int]) -> int:
        """Number of windows of this size in one run, from `pixels_at_once`."""
        return max(1, self.pixels_at_once // (window[0] * window[1]))

    def run_batch(self, images: np.ndarray) -> np.ndarray:
        """`run` for images of one size, in one run of the model."""
        self._check(images[0])
        return self._as_scores(self._forward(images))

    def _forward(self, images: np.ndarray) -> np.ndarray:
        scores = self._run_model(images)
        if self.card.head == self.own_head:
            return scores
        if self.card.head == "argmax":
            threshold = threshold_in_use(self, None)
            maps = [class_map(each, self.own_head, threshold=threshold) for each in scores]
            return np.stack(maps)
        return to_probabilities(scores, self.own_head, self.num_classes, self.card.multi_label)


def model_shapes(model: keras.Model) -> tuple[Shape, int]:
    """(height, width, channels) of a model's image, and the number of its output channels.

    Raises: ValueError if the model does not take one image and output one map of scores.
    """
    inputs, output = model.inputs, first_output(model.output)
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[-1] is None:
        raise ValueError(
            "A segmentation network takes one image (batch, height, width, channels). "
            f"Received: {model.name!r} with inputs {[tuple(x.shape) for x in inputs]}"
        )
    if not hasattr(output, "shape") or len(output.shape) != 4 or output.shape[-1] is None:
        raise ValueError(
            "A segmentation network outputs scores (batch, height, width, classes), or a dict "
            f"whose first entry they are. Received: {model.name!r} with output {output}"
        )
    return tuple(inputs[0].shape[1:]), output.shape[-1]


def first_output(output: Any) -> Any:
    """The logits of a model that may output a dict with auxiliary training outputs."""
    if isinstance(output, dict):
        return output["logits"] if "logits" in output else next(iter(output.values()))
    return output


def _fitting_shape(own: Shape, given: Shape | None) -> Shape:
    """The shape at which a model runs; ValueError if the given one does not fit."""
    shape = own if given is None else tuple(given)
    if len(shape) != 3 or any(n not in (None, m) for n, m in zip(own, shape, strict=True)):
        raise ValueError(f"The model takes images of shape {own}. Received: input_shape={shape}")
    return shape
