"""The network that is exported, opened and checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from keras_seg.card import NO_SEAL, ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.export.deployment import float32_model
from keras_seg.export.request import Request, check_head, resolve_shape
from keras_seg.inference.keras_runner import KerasRunner, model_shapes
from keras_seg.inference.runner import count_classes
from keras_seg.model_paths import check_model_path
from keras_seg.models import files
from keras_seg.models.functional import as_functional
from keras_seg.models.sizes import output_margin
from keras_seg.shapes import checked_shape
from keras_seg.version import __version__


@dataclass(frozen=True)
class Source:
    """The network to export.

    card: of the file to be. shape: static (height, width, channels). reference: runs the network
    as it was trained, at that shape and with the head of the file, so that what separates the two
    is the file and not how scores or classes are resized (for "fused_argmax" with "argmax", so that
    what fusing costs is measured). from_logits: how the network ends.
    """

    model: keras.Model
    card: ModelCard
    shape: tuple[int, int, int]
    reference: KerasRunner
    from_logits: bool

    @classmethod
    def of(
        cls,
        model: keras.Model,
        card: ModelCard,
        sha256: str | None,
        input_shape,
        request: Request,
        threads: int | None,
    ) -> Source:
        own_shape, channels = model_shapes(model)
        check_head(request, card, count_classes(channels))
        shape = resolve_shape(own_shape, input_shape, card)
        exact = float32_model(model)
        return cls(
            model=model,
            card=replace(
                card,
                margin=output_margin(model),
                head=request.puts_out,
                quantize=request.quantize,
                layout=request.layout,
                source_sha256=sha256,
                seal=NO_SEAL,
                version=__version__,
            ),
            shape=shape,
            reference=KerasRunner(
                exact, card, input_shape=shape, threads=threads, head=request.puts_out
            ),
            from_logits=card.head == "logits",
        )


def opened(
    model: keras.Model | str | Path, card: ModelCard | None, input_shape
) -> tuple[keras.Model, ModelCard, str | None]:
    """The functional model to export, its card, and the SHA-256 of its file, None in memory.

    Raises: ValueError for a file or model that cannot be opened or followed.
    """
    sha256 = None
    if not isinstance(model, keras.Model):
        path = check_model_path(model, exported=False)
        model, card = files.load(path), card or files.read_card(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    known = None if input_shape is None else checked_shape(input_shape)
    network = as_functional(model, known)
    card = card or ModelCard(ClassTable.numbered(count_classes(model_shapes(network)[1])))
    return network, card, sha256
