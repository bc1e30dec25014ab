"""The network that is exported, opened and checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from keras_seg.arguments import checked_shape
from keras_seg.card import EMPTY_CHECKSUM, ModelCard
from keras_seg.export.network.deployed import float32_model
from keras_seg.export.options import Request, check_class_map, check_head, resolve_shape
from keras_seg.inference.cards import check_card_arguments, count_classes, numbered_card
from keras_seg.inference.keras_runner import KerasRunner, model_shapes
from keras_seg.model_paths import check_model_path
from keras_seg.models import files
from keras_seg.models.functional import as_functional
from keras_seg.models.sizes import output_margin
from keras_seg.version import __version__


@dataclass(frozen=True)
class Source:
    """The network to export.

    card: of the file to be. shape: static (height, width, channels). reference: runs the network
    as it was trained, at that shape and with the head of the file, so that what separates the two
    is the file and not how scores or classes are resized (for "fused_argmax" with "argmax", so that
    what fusing costs is measured). request: with the head of the file.
    """

    model: keras.Model
    card: ModelCard
    shape: tuple[int, int, int]
    reference: KerasRunner
    request: Request

    @property
    def from_logits(self) -> bool:
        """How the network ends."""
        return self.reference.own_head == "logits"

    @classmethod
    def of(
        cls,
        model: keras.Model,
        card: ModelCard,
        sha256: str | None,
        input_shape,
        request: Request,
        threads: int | None,
        *,
        own_head: bool = False,
        scores: str | None = None,
        multi_label: bool | None = None,
    ) -> Source:
        """Finds out what the network puts out.

        Args:
            own_head: the file is to put out what the network does, whatever `request` says.
            scores, multi_label: as of `export`.

        Raises: ValueError or ExportError for what cannot be had from the network.
        """
        own_shape, channels = model_shapes(model)
        check_class_map(request, count_classes(channels))
        shape = resolve_shape(own_shape, input_shape, card)
        reference = KerasRunner(
            float32_model(model),
            card,
            input_shape=shape,
            threads=threads,
            scores=scores,
            multi_label=multi_label,
        )
        if own_head:
            request = replace(request, head=reference.own_head)
        check_head(request, reference.card)
        reference.put_out(request.puts_out)
        return cls(
            model=model,
            card=replace(
                reference.card,
                margin=output_margin(model),
                head=request.puts_out,
                quantize=request.quantize,
                layout=request.layout,
                source_sha256=sha256,
                seal=EMPTY_CHECKSUM,
                version=__version__,
            ),
            shape=shape,
            reference=reference,
            request=request,
        )


def opened(
    model: keras.Model | str | Path,
    card: ModelCard | None,
    input_shape,
    multi_label: bool | None = None,
) -> tuple[keras.Model, ModelCard, str | None]:
    """The functional model to export, its card, and the SHA-256 of its file, None in memory.

    Raises: ValueError for a file or model that cannot be opened or followed.
    """
    check_card_arguments(card, multi_label)
    sha256 = None
    if not isinstance(model, keras.Model):
        path = check_model_path(model, exported=False)
        model, card = files.load(path), card or files.read_card(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    known = None if input_shape is None else checked_shape(input_shape)
    network = as_functional(model, known)
    card = card or numbered_card(model_shapes(network)[1], bool(multi_label))
    return network, card, sha256
