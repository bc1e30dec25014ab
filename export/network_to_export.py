"""The network to export: opened, with a fixed size and a known head."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from keras_seg.card import EMPTY_CHECKSUM, ModelCard
from keras_seg.export.errors import ExportError
from keras_seg.export.kinds import FREE_FORMATS
from keras_seg.export.network.deployed import float32_model
from keras_seg.export.options import ExportOptions
from keras_seg.inference.cards import check_card_arguments, count_classes, numbered_card
from keras_seg.inference.keras_runner import KerasRunner, model_shapes
from keras_seg.inference.scores import check_threshold_values
from keras_seg.layers.size_guard import nearest_sizes
from keras_seg.model_paths import check_model_path
from keras_seg.models import files
from keras_seg.models.functional import as_functional
from keras_seg.models.sizes import output_margin
from keras_seg.version import __version__

MAX_CLASSES = {"uint8": 255, "int8": 128, "int32": 255}
"""Type of a class map → number of classes that it holds; 255 means "unknown" in masks."""


TRIED = 128
"""Height or width in pixels at which a file of free size is tried."""


@dataclass(frozen=True)
class NetworkToExport:
    """A network, the options of its file, and a runner of the network to compare the file with.

    Attributes:
        model: the functional model as it was trained.
        options: with the format, the head and the (height, width, channels) of the file.
        card: card of the file.
        reference: runs the network as it was trained, in float32, with the size and head of the
            file. So a difference between the two comes from the file, and not from how scores or
            classes are resized. For head "fused_argmax" its head is "argmax", which shows what
            fusing costs.
    """

    model: keras.Model
    options: ExportOptions
    card: ModelCard
    reference: KerasRunner

    @property
    def shape(self) -> tuple[int | None, int | None, int]:
        """(height, width, channels) of the image in pixels, None where free."""
        return self.reference.input_shape

    @property
    def tried_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) at which a file is calibrated and tried.

        Free sides have the size of the training images, or else about `TRIED` pixels.
        """
        return tried_shape(self.reference)

    @property
    def from_logits(self) -> bool:
        """Whether the network ends in logits, not in probabilities."""
        return self.reference.own_head == "logits"


def open_network(
    model: keras.Model | Path, options: ExportOptions, card: ModelCard | None
) -> NetworkToExport:
    """Opens a network and completes the options with what it says.

    Args:
        model: a model, or the path of a .keras or .h5 file.
        card: None for the card of the file, or a numbered class table.

    Raises: ValueError or OSError for a model that cannot be opened or followed, or a size that it
        cannot take; ExportError for a head that it cannot have.
    """
    check_card_arguments(card, options.multi_label)
    sha256 = None
    if not isinstance(model, keras.Model):
        path = check_model_path(model, exported=False)
        model, card = files.load(path), card or files.read_card(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    has_channels = options.input_shape is not None and len(options.input_shape) == 3
    model = as_functional(model, options.input_shape if has_channels else None)
    own_shape, channels = model_shapes(model)
    card = card or numbered_card(channels, bool(options.multi_label))
    check_class_map(options, count_classes(channels))
    may_be_free = options.format in FREE_FORMATS
    shape = resolve_shape(own_shape, options.input_shape, card, may_be_free=may_be_free)
    reference = KerasRunner(
        float32_model(model),
        card,
        input_shape=shape,
        threads=options.threads,
        scores=options.scores,
        multi_label=options.multi_label,
    )
    head = reference.own_head if options.head is None else options.head
    options = replace(options, head=head, input_shape=shape)
    check_head(options, reference.card)
    reference.card = replace(
        reference.card, threshold=_threshold_of_file(reference, options.threshold)
    )
    reference.put_out(options.runner_head)
    _check_decided(reference)
    card = replace(
        reference.card,
        margin=output_margin(model),
        head=options.runner_head,
        quantize=options.quantize,
        layout=options.layout,
        source_sha256=sha256,
        seal=EMPTY_CHECKSUM,
        version=__version__,
    )
    return NetworkToExport(model, options, card, reference)


def tried_shape(reference: KerasRunner) -> tuple[int, int, int]:
    """`NetworkToExport.tried_shape` from the runner of the network."""
    size = reference.card.image_size or (TRIED, TRIED)
    return (*reference.network_size(size), reference.input_shape[2])


def resolve_shape(
    own_shape: tuple[int | None, ...],
    input_shape: tuple[int | None, ...] | None,
    card: ModelCard,
    *,
    may_be_free: bool = False,
) -> tuple[int | None, int | None, int]:
    """The (height, width, channels) of the file.

    Args:
        own_shape: shape of the model, None where free.
        input_shape: (height, width) or (height, width, channels); None for the shape of the model,
            or for the size of its training images if the model leaves both sides free.
        may_be_free: whether None in `input_shape` leaves a side of the file free.

    Raises: ValueError for a shape that stays free, contradicts the model, or is not a size that it
        can take.
    """
    shape = own_shape if input_shape is None else input_shape
    if len(shape) == 2:
        shape = (*shape, own_shape[2])
    is_free = may_be_free and input_shape is not None
    if shape[:2] == (None, None) and card.image_size is not None and not is_free:
        shape = (*card.image_size, own_shape[2])
    if len(shape) != 3 or (None in shape and not is_free):
        raise ValueError(
            "A file for a device has a fixed size. "
            f"Received: input_shape={input_shape} for a model of {own_shape}. "
            f"Pass input_shape, such as (256, 256, {own_shape[2]}). An .onnx file may leave the "
            "size free: input_shape=(None, None)."
        )
    if shape[2] != own_shape[2]:
        size = shape[1:] if shape[0] == own_shape[2] else shape[:2]  # with the channels first
        raise ValueError(
            f"The model takes images of {own_shape[2]} channels. Received: input_shape={shape}. "
            f"Pass {(*size, own_shape[2])}."
        )
    for axis, size, own in zip(("height", "width"), shape, own_shape, strict=False):
        if own not in (None, size):
            free = " A file of free size needs a model of free size." if size is None else ""
            raise ValueError(
                f"The model has the fixed {axis} {own}. Received: input_shape={shape}. "
                f"Leave input_shape out.{free}"
            )
        if size is None:
            continue
        if size < 1 or size % card.size_multiple:
            near = " and ".join(map(str, nearest_sizes(max(size, 1), card.size_multiple)))
            raise ValueError(
                f"The {axis} must be a multiple of {card.size_multiple} pixels. "
                f"Received: {size} in input_shape={shape}. The nearest valid sizes are {near}."
            )
    return shape


def _threshold_of_file(
    reference: KerasRunner, threshold: float | Sequence[float] | None
) -> float | tuple[float, ...] | None:
    """The threshold that the card of the file holds; None for 0.5, which needs no entry.

    Raises: ValueError for a threshold that the network cannot have.
    """
    if threshold is None:
        return reference.card.threshold
    multi_label = reference.card.multi_label
    check_threshold_values(threshold, reference.num_classes, multi_label, reference.what)
    if isinstance(threshold, int | float):
        return None if threshold == 0.5 else float(threshold)
    return tuple(map(float, threshold))


def _check_decided(reference: KerasRunner) -> None:
    """Raises ValueError if a class map is to be decided at a threshold that has no meaning.

    This is so for two channels that are no probabilities of exclusive classes.
    """
    if reference.card.head == "argmax" and reference.card.threshold is not None:
        reference.run(np.zeros(tried_shape(reference), np.uint8))


def check_class_map(options: ExportOptions, num_classes: int) -> None:
    """Raises ValueError for more classes than a class map of the file holds."""
    most = MAX_CLASSES[options.class_dtype]
    if options.puts_out_classes and num_classes > most:
        raise ValueError(
            f"head={options.head!r} with input={options.input!r} writes classes as "
            f"{options.class_dtype}, for at most {most} of them. Received: {num_classes} classes. "
            "Use head='logits'."
        )


def check_head(options: ExportOptions, card: ModelCard) -> None:
    """Raises ExportError for a head that the model cannot have."""
    head = options.head
    if card.multi_label and options.puts_out_classes:
        raise ExportError(
            f"head={head!r} writes one class per pixel. Received: a multi-label model, whose "
            "pixels may have several labels. Use head='logits' or 'probabilities'."
        )
    if card.head == "argmax" or (card.head == "probabilities" and head == "logits"):
        raise ExportError(
            f"head={head!r} cannot be computed from {card.head}, which the model outputs. Use "
            "head='probabilities' or 'argmax' with a model that ends in logits or probabilities."
        )
