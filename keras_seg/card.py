"""The model card: what a model file says about itself, whatever its format."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_seg.data.classes import ClassTable
from keras_seg.data.reading.ranges import ValueRange, checked_range
from keras_seg.version import __version__

CARD_NAME = "keras_seg.json"
"""Name of the card in a .keras archive."""
CARD_ENTRY = Path(CARD_NAME).stem
"""Name of the metadata entry with the card in .tflite and .onnx files."""
CARD_HEADS = ("logits", "probabilities", "argmax")
CARD_LAYOUTS = ("nhwc", "nchw")
EMPTY_CHECKSUM = "0" * 64
"""Placeholder for the checksum of an exported file."""


@dataclass(frozen=True)
class ModelCard:
    """The record inside .keras, .tflite and .onnx files, stored as JSON.

    Attributes:
        classes: names and colours of the mask values.
        network: registered name of the network, None for a foreign model.
        size_multiple: image height and width must be a multiple of this, in pixels.
        image_size: (height, width) to which images were resized in training, so that prediction
            resizes them too; None for a network that was trained on images at their own scale.
        margin: (rows, columns) of the image that the output lacks on each side, for networks
            without padding.
        head: what the file outputs: "logits", "probabilities" or "argmax" (class of each pixel).
        quantize: how an exported file was quantized, None for float.
        layout: order of the axes of an exported file's image and scores: "nhwc" or "nchw".
        value_range: (black, white) of training images of more than 8 bits, or one such pair per
            band, which were mapped to 0..255, so that prediction maps them too; None if all had
            8 bits.
        source_sha256: SHA-256 of the .keras file that an exported file was made from.
        seal: checksum of an exported file, see `keras_seg.inference.checksum`.
        version: version of this package that wrote the file.
        multi_label: whether each channel is an independent label (sigmoid), so that a pixel may
            have several labels or none; False if a pixel has one class.
        backend: Keras backend on which the network was trained; None if it is not known.
        threshold: probability above which a pixel has the second of two classes, or a label; one
            number per label, or one for all. None for 0.5. An exported class map was decided at it.
        nodata: value of image pixels that hold no data; None if the files state it, or all do.

    Example:
        >>> card = keras_seg.models.ModelCard(keras_seg.data.ClassTable(("cell", "gap")))
        >>> card.head, keras_seg.models.ModelCard.from_json(card.to_json()) == card
        ('logits', True)
    """

    classes: ClassTable
    network: str | None = None
    size_multiple: int = 1
    image_size: tuple[int, int] | None = None
    margin: tuple[int, int] = (0, 0)
    head: str = "logits"
    quantize: str | None = None
    layout: str = "nhwc"
    value_range: ValueRange | None = None
    source_sha256: str | None = None
    seal: str | None = field(default=None, compare=False)
    version: str = field(default=__version__)
    multi_label: bool = False
    backend: str | None = None
    threshold: float | tuple[float, ...] | None = None
    nodata: float | None = None

    def to_json(self) -> str:
        """The card as text."""
        record = asdict(self) | {"classes": self.classes.to_dict()}
        # without them, so that files equal earlier ones
        for name in ("value_range", "backend", "threshold", "nodata"):
            if record[name] is None:
                del record[name]
        return json.dumps(record, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelCard:
        """Reads what `to_json` wrote.

        Raises: ValueError for anything else.
        """
        try:
            record = json.loads(text)
            known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
            size = record.get("image_size")
            converted = {
                "classes": ClassTable.from_dict(record["classes"]),
                "image_size": tuple(size) if size else None,
                "margin": tuple(record.get("margin", (0, 0))),
                "value_range": checked_range(record.get("value_range")),
                "threshold": _as_threshold(record.get("threshold")),
            }
            return cls(**known | converted)._checked()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"its card is damaged: {error!r}") from error

    def _checked(self) -> ModelCard:
        """The card itself; ValueError for entries of the wrong type."""
        wrong = {
            "size_multiple": not _is_whole(self.size_multiple, 1),
            "image_size": self.image_size is not None and not _is_pair(self.image_size, 1),
            "margin": not _is_pair(self.margin, 0),
            "head": self.head not in CARD_HEADS,
            "layout": self.layout not in CARD_LAYOUTS,
            "version": not isinstance(self.version, str),
            "multi_label": not isinstance(self.multi_label, bool),
            "threshold": not self._has_fitting_threshold(),
            "nodata": not isinstance(self.nodata, int | float | None),
        } | {
            name: not isinstance(getattr(self, name), str | None)
            for name in ("network", "quantize", "source_sha256", "seal", "backend")
        }
        for name in (name for name, is_wrong in wrong.items() if is_wrong):
            raise ValueError(
                f"{name} cannot be {getattr(self, name)!r}. It was written by version "
                f"{self.version} of keras_seg, this is {__version__}."
            )
        return self

    def _has_fitting_threshold(self) -> bool:
        """Whether the threshold is None, or has the form that the classes need."""
        if self.threshold is None:
            return True
        count = len(self.classes)
        numbers = self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)
        fits = len(numbers) == count if isinstance(self.threshold, tuple) else True
        kind = self.multi_label or (count == 2 and not isinstance(self.threshold, tuple))
        return fits and kind and all(type(n) is float and 0 < n < 1 for n in numbers)


def _as_threshold(value: Any) -> Any:
    """A threshold as JSON has it, with a tuple for a list."""
    return tuple(value) if isinstance(value, list) else value


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _is_pair(value: Any, least: int) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_is_whole(n, least) for n in value)
