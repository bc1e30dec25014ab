"""Runs Keras models, from a .keras file or from memory."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_seg.card import ModelCard
from keras_seg.inference.prediction import class_map
from keras_seg.inference.runner import (
    Runner,
    Shape,
    available_threads,
    check_classes,
    count_classes,
    is_trusted,
    labelled,
    numbered_card,
)
from keras_seg.inference.tiles import to_probabilities
from keras_seg.models import files
from keras_seg.models.endings import model_ending
from keras_seg.models.functional import as_functional
from keras_seg.models.sizes import output_margin, size_rule

MAX_GRAPHS = 8
"""Sizes for which a graph is built; a folder of ever new sizes then runs without building more."""


class KerasRunner(Runner):
    """Runs a Keras model as a graph, built once for each image size, alone and in batches.

    Args:
        model: image (B, H, W, C) in 0..255 → logits or probabilities (B, H, W, num_classes), or a
            dict whose first entry they are; functional, Sequential or subclassed.
        card: what the model says of itself; left out, the classes are numbered. A sigmoid or
            softmax at the model's end counts more than its `head`.
        input_shape: (height, width, channels) to hold a free-size model to.
        threads: CPU threads, if TensorFlow has not run anything in this process yet.
        head: puts out this instead of what the model does, as an exported file may: with logits or
            probabilities from the model, "probabilities" or "argmax".
        scores, multi_label: what a foreign model puts out, see `keras_seg.inference.load`.

    Attributes:
        own_head: what the model itself puts out, "logits" or "probabilities".

    Raises: ValueError if the model, the card and what is said contradict each other, or if scores
        must be said.
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
    ):
        model = as_functional(model, input_shape, only_to_run=True)
        own_shape, channels = model_shapes(model)
        shape = tuple(input_shape) if input_shape is not None else own_shape
        if len(shape) != 3 or any(
            own not in (None, given) for own, given in zip(own_shape, shape, strict=True)
        ):
            raise ValueError(
                f"The model takes images of shape {own_shape}. Received: input_shape={shape}"
            )
        trusted = is_trusted(card)
        card = card or numbered_card(channels, bool(multi_label))
        card = labelled(card, multi_label, trusted, path)
        check_classes(card, channels, path)
        self.model, self.own_head = model, card.head
        margin = card.margin if any(card.margin) else output_margin(model)
        card = replace(card, margin=margin)
        num_classes = count_classes(channels, card.multi_label)
        super().__init__(path, card, shape, num_classes, _use_threads(threads))
        self._graphs = {}
        said = {"scores": scores, "multi_label": multi_label}
        find = partial(model_ending, first_output(model.output))
        self._settle_head(find, channels, said, trusted)
        self.own_head = self.card.head
        if head is not None:
            self.put_out(head)

    def put_out(self, head: str) -> None:
        """Makes "logits", "probabilities" or "argmax" of what the model puts out.

        Raises: ValueError for a head that cannot be had from it.
        """
        if head == "logits" != self.own_head:
            raise ValueError(
                f"The model puts out {self.own_head}, of which no logits can be had. Received: "
                "head='logits'. Take head='probabilities'."
            )
        if head == "argmax" and self.card.multi_label:
            raise ValueError(
                "A pixel of a multi-label model has no one class. Received: head='argmax'. Take "
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
    def size_rule(self) -> tuple[int, int, int]:
        own = size_rule(self.model)
        return own if own != (1, 0, 1) else super().size_rule  # a foreign model says nothing

    def at_once(self, window: tuple[int, int]) -> int:
        return max(1, self.pixels_at_once // (window[0] * window[1]))

    def run_batch(self, images: np.ndarray) -> np.ndarray:
        self._check(images[0])
        return self._tidy(self._forward(images))

    def _forward(self, images: np.ndarray) -> np.ndarray:
        pixels = tf.constant(images, tf.float32)
        scores = self._graph(images.shape)(pixels).numpy()
        if self.card.head == self.own_head:
            return scores
        if self.card.head == "argmax":
            return np.stack([class_map(each, self.own_head) for each in scores])
        return to_probabilities(scores, self.own_head, self.num_classes, self.card.multi_label)

    def _graph(self, shape: tuple):
        if shape[0] > 1:
            shape = (None, *shape[1:])  # one graph for batches of all lengths
        if shape in self._graphs:
            return self._graphs[shape]
        if len(self._graphs) == MAX_GRAPHS:
            return self._scores
        spec = tf.TensorSpec(shape, tf.float32)
        self._graphs[shape] = tf.function(self._scores, input_signature=[spec])
        return self._graphs[shape]

    def _scores(self, pixels: tf.Tensor) -> tf.Tensor:
        return tf.cast(first_output(self.model(pixels, training=False)), tf.float32)


def model_shapes(model: keras.Model) -> tuple[Shape, int]:
    """(height, width, channels) of a model's image and the number of its output channels.

    Raises: ValueError if the model is not one image in, one map of scores out.
    """
    inputs, output = model.inputs, first_output(model.output)
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[-1] is None:
        raise ValueError(
            "A segmentation network takes one image (batch, height, width, channels). "
            f"Received: {model.name!r} with inputs {[tuple(x.shape) for x in inputs]}"
        )
    if not hasattr(output, "shape") or len(output.shape) != 4 or output.shape[-1] is None:
        raise ValueError(
            "A segmentation network puts out scores (batch, height, width, classes), or a dict "
            f"whose first entry they are. Received: {model.name!r} with output {output}"
        )
    return tuple(inputs[0].shape[1:]), output.shape[-1]


def first_output(output):
    """The logits of a model that may put out a dict with further training outputs."""
    if isinstance(output, dict):
        return output["logits"] if "logits" in output else next(iter(output.values()))
    return output


def _use_threads(threads: int | None) -> int:
    if threads is not None:
        # once TensorFlow has started, its number stays, and is what we report
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
    return tf.config.threading.get_intra_op_parallelism_threads() or available_threads()
