"""What a .tflite file holds besides the graph: the card, the official metadata, names.

`keras_seg.inference` reads the card.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_seg.card import CARD_ENTRY, ModelCard
from keras_seg.export.tflite.model_metadata import (
    LABELS,
    label_lines,
    model_metadata,
    with_files,
)
from keras_seg.inference.tflite_file import IDENTIFIER, METADATA_ENTRY

SIGNATURE = "serving_default"


def with_card(content: bytes, card: ModelCard, output_name: str) -> bytes:
    """Adds the card, the official metadata, the label file and a signature to a .tflite file.

    Args:
        content: the bytes of the file.
        output_name: name of the output; the signature is "image" → this name.
    """
    model = read_model(content)
    graph = model.subgraphs[0]
    image, output = (graph.tensors[ends[0]] for ends in (graph.inputs, graph.outputs))
    shapes = tuple(image.shape), tuple(output.shape)
    _add_entry(model, CARD_ENTRY, card.to_json().encode())
    _add_entry(model, METADATA_ENTRY, model_metadata(card, *shapes, output_name))
    output.name = output_name
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = [_named("image", graph.inputs[0])]
    signature.outputs = [_named(output_name, graph.outputs[0])]
    model.signatureDefs = [signature]
    del content  # while a file is written, only its objects are needed
    return with_files(write_model(model), {LABELS: label_lines(card, shapes[1])})


def read_model(content: bytes) -> schema.ModelT:
    """The objects of a .tflite file."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))


def write_model(model: schema.ModelT) -> bytes:
    """The bytes of a .tflite file."""
    return _packed(model, _AlignedBuilder(_room_for(model)))


def as_tensorflow_writes(model: Any, behind: bytes = b"") -> bytes:
    """What `flatbuffer_utils.convert_object_to_bytearray` of TensorFlow returns, in less memory."""
    return _packed(model, flatbuffers.Builder(_room_for(model))) + behind


def _packed(model: Any, builder: flatbuffers.Builder) -> bytes:
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    with memoryview(builder.Bytes) as view:
        return bytes(view[builder.Head() :])


def _room_for(model: Any) -> int:
    """Bytes that hold a model; a builder without enough room doubles its own, with a copy."""
    sizes = (np.size(buffer.data) for buffer in model.buffers if buffer.data is not None)
    return int(1.01 * sum(sizes)) + 2**20


class _AlignedBuilder(flatbuffers.Builder):
    """Aligns weights to 16 bytes, as the schema requires; flatbuffers in Python does not.

    Small devices read weights in place, and some cannot read unaligned numbers.
    """

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        self.Prep(16, x.nbytes)
        return super().CreateNumpyVector(x)


def _add_entry(model: schema.ModelT, name: str, content: bytes) -> None:
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = name, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def _named(name: str, tensor: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
