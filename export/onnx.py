"""The deployed graph as an .onnx file."""

from __future__ import annotations

import keras
import onnx
import tf2onnx

from keras_seg.card import ModelCard
from keras_seg.export.audit import foreign_nodes
from keras_seg.export.deployment import deployed_function
from keras_seg.export.errors import ExportError
from keras_seg.export.request import Request
from keras_seg.inference.runner import CARD_ENTRY

OPSET = 18


def to_onnx(
    model: keras.Model, request: Request, card: ModelCard, from_logits: bool = True
) -> bytes:
    """Converts a deployed model (see `deployed_model`) and writes the card into it.

    The image stays (1, H, W, C), as everywhere in this package; ONNX's own order of axes costs one
    transpose after it and one before the scores.

    Raises: ExportError that names the operators which ONNX does not have.
    """
    function, spec = deployed_function(model, request.input, request.head, from_logits)
    try:
        proto, _ = tf2onnx.convert.from_function(function, input_signature=[spec], opset=OPSET)
    except Exception as error:  # tf2onnx raises whatever its rewriters run into
        raise ExportError(f"tf2onnx cannot write this network. It says: {error}") from error
    foreign = foreign_nodes(proto)
    if foreign:
        raise ExportError(
            f"ONNX has no operator for {', '.join(foreign)}. Replace that layer, or export to "
            "TFLite."
        )
    onnx.helper.set_model_props(proto, {CARD_ENTRY: card.to_json()})
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()
