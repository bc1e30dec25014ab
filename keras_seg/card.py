"""What a model file says of itself, whatever its format."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from keras_seg.data.class_file import checked_range
from keras_seg.data.classes import ClassTable
from keras_seg.version import __version__

CARD_NAME = "keras_seg.json"
"""Name of the record in a .keras archive; its stem names the entry in .tflite and .onnx files."""
CARD_HEADS = ("logits", "probabilities", "argmax")
CARD_LAYOUTS = ("nhwc", "nchw")
NO_SEAL = "0" * 64
"""Stands where an exported file's checksum will."""


@dataclass(frozen=True)
class ModelCard:
    """The record that travels inside .keras, .tflite and .onnx files as JSON.

    Attributes:
        classes: names and colours of the mask values.
        network: registered name of the network, None for a foreign model.
        size_multiple: image height and width must be a multiple of this, in pixels.
        image_size: (height, width) that images were resized to in training, so that others are to
            be resized too; None for a network that was trained on images at their own scale.
        margin: (rows, columns) of the image that the output lacks on each side, for networks
            without padding.
        head: what the file puts out: "logits", "probabilities" or "argmax" (class of each pixel).
        quantize: how an exported file was quantized, None for float.
        layout: order of the axes of an exported file's image and scores: "nhwc" or "nchw".
        value_range: (black, white) of training images with more than 8 bits, which were mapped to
            0..255, so that others are to be, too; None where all had 8 bits.
        source_sha256: SHA-256 of the .keras file that an exported file was made from.
        seal: checksum of an exported file, see `keras_seg.inference.checksum`.
        version: of this package, when the file was written.
        multi_label: each channel is a label of its own, of which a pixel may have several or none
            (sigmoid); False where a pixel has one class.
    """

    classes: ClassTable
    network: str | None = None
    size_multiple: int = 1
    image_size: tuple[int, int] | None = None
    margin: tuple[int, int] = (0, 0)
    head: str = "logits"
    quantize: str | None = None
    layout: str = "nhwc"
    value_range: tuple[float, float] | None = None
    source_sha256: str | None = None
    seal: str | None = field(default=None, compare=False)
    version: str = field(default=__version__)
    multi_label: bool = False

    def to_json(self) -> str:
        record = asdict(self) | {"classes": self.classes.to_dict()}
        if self.value_range is None:  # so that files of 8-bit images are as they were
            del record["value_range"]
        return json.dumps(record, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelCard:
        """Reads what `to_json` wrote; ValueError for anything else."""
        try:
            record = json.loads(text)
            known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
            size = record.get("image_size")
            return cls(
                **known
                | {
                    "classes": ClassTable.from_dict(record["classes"]),
                    "image_size": tuple(size) if size else None,
                    "margin": tuple(record.get("margin", (0, 0))),
                    "value_range": checked_range(record.get("value_range")),
                }
            )._check()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"its card is damaged: {error!r}") from error

    def _check(self) -> ModelCard:
        """Itself; ValueError for entries that are not what is said above."""
        wrong = {
            "size_multiple": not _whole(self.size_multiple, 1),
            "image_size": self.image_size is not None and not _pair(self.image_size, 1),
            "margin": not _pair(self.margin, 0),
            "head": self.head not in CARD_HEADS,
            "layout": self.layout not in CARD_LAYOUTS,
            "version": not isinstance(self.version, str),
            "multi_label": not isinstance(self.multi_label, bool),
        } | {
            name: not isinstance(getattr(self, name), str | None)
            for name in ("network", "quantize", "source_sha256", "seal")
        }
        for name in (name for name, is_wrong in wrong.items() if is_wrong):
            raise ValueError(
                f"{name} cannot be {getattr(self, name)!r}. It was written by version "
                f"{self.version} of keras_seg, this is {__version__}."
            )
        return self


def _whole(value, least: int) -> bool:
    return type(value) is int and value >= least


def _pair(value, least: int) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_whole(n, least) for n in value)
