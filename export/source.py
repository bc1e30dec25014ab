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
from keras_seg.models import files
from keras_seg.models.sizes import output_margin
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
    def opened(cls, model, card, input_shape, request: Request, threads) -> Source:
        sha256 = None
        if not isinstance(model, keras.Model):
            path = Path(model)
            model, card = files.load(path), card or files.read_card(path)
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        own_shape, channels = model_shapes(model)
        card = card or ModelCard(ClassTable.numbered(count_classes(channels)))
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
