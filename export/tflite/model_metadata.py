"""The official TFLite Model Metadata, which MediaPipe Tasks and other clients read.

It is written with flatbuffers alone, field by field in the order of the schemas, so that an export
needs no package of a client:

    metadata_schema.fbs 1.5 ("M001") and image_segmenter_metadata_schema.fbs 1.0 ("V001") of
    https://github.com/google-ai-edge/mediapipe, folder mediapipe/tasks/metadata
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers.number_types import UOffsetTFlags

from keras_seg.card import ModelCard

SEGMENTER_ENTRY = "SEGMENTER_METADATA"
"""Name of the image segmenter's part of the metadata."""
LABELS = "labels.txt"
"""The file of class names, one per line, attached to the .tflite file as a ZIP archive."""
IMAGE_PROPERTIES, NORMALIZATION = np.uint8(2), np.uint8(1)
"""Numbers of these tables in the schema's unions."""
COLOUR_SPACES = {3: np.int8(1), 1: np.int8(2)}
"""Number of channels → RGB or GRAYSCALE."""
AXIS_LABELS, VALUE_LABELS = np.int8(2), np.int8(3)
"""Meaning of the lines of a label file: channels of the scores, or values of a class map."""
NO_ACTIVATION, SIGMOID, SOFTMAX = np.int8(0), np.int8(1), np.int8(2)
"""What a client applies to the scores to get probabilities."""


def model_metadata(
    card: ModelCard, image_shape: tuple[int, ...], output_shape: tuple[int, ...], output_name: str
) -> bytes:
    """The metadata flatbuffer of a file.

    It states that the image is pixels in 0..255 (mean 0, deviation 1, since normalisation is a
    layer of the network), what the scores are, and which file has their names. A file that outputs
    classes has no part for the image segmenter, because MediaPipe would read classes as scores.

    Shapes: image (1, H, W, C); output (1, H, W, num_classes) scores or (1, H, W) classes.
    """
    classes = card.head == "argmax"
    labels = (LABELS, "names of the classes", VALUE_LABELS if classes else AXIS_LABELS)
    output = (output_name, _meaning(card), None, None, None, None, [labels])
    segmenter = None
    if not classes:
        activation = _activation(card, output_shape[-1])
        segmenter = [(SEGMENTER_ENTRY, _finished((activation, "1.0.0"), b"V001"))]
    nothing = (None,) * 5
    graph = ("segmentation", None, [_image(image_shape)], [output], *nothing, segmenter)
    model = (
        card.network or "segmentation network",
        "Semantic segmentation: the class of every pixel of an image",
        card.version,
        [graph],
        None,
        None,
        None,
        "1.5.0",
    )
    return _finished(model, b"M001")


def label_lines(card: ModelCard, output_shape: tuple[int, ...]) -> str:
    """The label file: one name per channel of the scores, or per value of a class map.

    A single logit has one channel, the score of the second of two classes.
    """
    names = card.classes.names
    if card.head != "argmax" and output_shape[-1] == 1 and not card.multi_label:
        names = names[1:]
    return "\n".join(" ".join(name.split()) for name in names)


def with_files(content: bytes, files: dict[str, str]) -> bytes:
    """Appends text files to a .tflite file, as an uncompressed ZIP archive."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # dated 1980, for equal bytes
    return stream.getvalue()


def _image(shape: tuple[int, ...]) -> tuple:
    _, height, width, channels = shape
    size = (np.uint32(width), np.uint32(height))
    properties = (COLOUR_SPACES.get(channels, np.int8(0)), size)
    normalization = (np.zeros(1, np.float32), np.ones(1, np.float32))
    extremes = (np.full(1, 255, np.float32), np.zeros(1, np.float32))
    content = (IMAGE_PROPERTIES, properties, None)
    steps = [(NORMALIZATION, normalization)]
    return ("image", "pixels in 0..255", None, content, steps, extremes, None)


def _meaning(card: ModelCard) -> str:
    if card.multi_label:
        what = {"logits": "a score", "probabilities": "the probability"}[card.head]
        return f"{what} of each label at every pixel, which may have several"
    return {
        "logits": "a score of each class at every pixel",
        "probabilities": "the probability of each class at every pixel",
        "argmax": "the class of every pixel",
    }[card.head]


def _activation(card: ModelCard, channels: int) -> np.int8:
    if card.head == "probabilities":
        return NO_ACTIVATION
    return SIGMOID if channels == 1 or card.multi_label else SOFTMAX


def _finished(table: tuple, identifier: bytes) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, table), file_identifier=identifier)
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, fields: tuple) -> int:
    """Writes a table.

    Args:
        fields: in the order of the schema, None for a field that is left out. A NumPy scalar is a
            number of that type, str a string, bytes a vector of bytes, an array a vector of floats,
            a list a vector of tables, a tuple a table.
    """
    offsets = [None if isinstance(f, np.generic) else _offset(builder, f) for f in fields]
    builder.StartObject(len(fields))
    for slot, (field, offset) in enumerate(zip(fields, offsets, strict=True)):
        if offset is not None:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        elif isinstance(field, np.int8):
            builder.PrependInt8Slot(slot, int(field), 0)
        elif isinstance(field, np.uint8):
            builder.PrependUint8Slot(slot, int(field), 0)
        elif isinstance(field, np.uint32):
            builder.PrependUint32Slot(slot, int(field), 0)
    return builder.EndObject()


def _offset(builder: flatbuffers.Builder, field: Any) -> int | None:
    if isinstance(field, str):
        return builder.CreateString(field)
    if isinstance(field, bytes):
        builder.Prep(16, len(field))  # the schema's alignment of a part's bytes
        return builder.CreateByteVector(field)
    if isinstance(field, np.ndarray):
        return builder.CreateNumpyVector(field)
    if isinstance(field, list):
        tables = [_table(builder, table) for table in field]
        builder.StartVector(UOffsetTFlags.bytewidth, len(tables), UOffsetTFlags.bytewidth)
        for table in reversed(tables):
            builder.PrependUOffsetTRelative(table)
        return builder.EndVector()
    return None if field is None else _table(builder, field)
