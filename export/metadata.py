"""What is written into a .tflite file besides the graph: the card and names that people can read.

The other direction, reading the card, is `keras_seg.inference`'s.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_seg.card import ModelCard
from keras_seg.inference.runner import CARD_ENTRY
from keras_seg.inference.tflite_runner import IDENTIFIER

SIGNATURE = "serving_default"


def with_card(content: bytes, card: ModelCard, output_name: str) -> bytes:
    """A .tflite file's bytes with the card, and with a signature "image" → `output_name`."""
    model = read_model(content)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(card.to_json().encode(), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = CARD_ENTRY, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    graph = model.subgraphs[0]
    graph.tensors[graph.outputs[0]].name = output_name
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = [_named("image", graph.inputs[0])]
    signature.outputs = [_named(output_name, graph.outputs[0])]
    model.signatureDefs = [signature]
    return write_model(model)


def read_model(content: bytes) -> schema.ModelT:
    """The objects of a .tflite file."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))


def write_model(model: schema.ModelT) -> bytes:
    """The bytes of a .tflite file."""
    builder = _AlignedBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


class _AlignedBuilder(flatbuffers.Builder):
    """Puts weights at multiples of 16 bytes, as the schema asks and flatbuffers in Python forgets.

    Small devices read weights in place, and some cannot read unaligned numbers.
    """

    def CreateNumpyVector(self, x):
        self.Prep(16, x.nbytes)
        return super().CreateNumpyVector(x)


def _named(name: str, tensor: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
