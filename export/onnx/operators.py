"""Operators of TensorFlow that tf2onnx does not know, or writes badly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tf2onnx


def _write_erfc(context: Any, node: Any, _: str, __: list) -> None:
    """Erfc, which TensorFlow's exact GELU uses and tf2onnx does not know, as 1 - Erf."""
    outputs = node.output
    shapes = [context.get_shape(output) for output in outputs]
    dtypes = [context.get_dtype(output) for output in outputs]
    erf = context.make_node("Erf", node.input, shapes=shapes, dtypes=dtypes)
    one = context.make_const(f"{node.name}/one", np.ones((), np.float32))
    context.remove_node(node.name)
    context.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=outputs, shapes=shapes, dtypes=dtypes
    )


def _write_mirror_pad(context: Any, node: Any, name: str, arguments: list) -> None:
    """Padding by mirrored pixels. If it is one pixel, border included, the border is repeated.

    tf2onnx would pad twice, and remove rows and columns again by computed masks.
    """
    pads = node.inputs[1].get_tensor_value(as_list=False)
    if node.get_attr_value("mode").decode() != "SYMMETRIC" or pads.max() > 1:
        node.type = "Pad"
        tf2onnx.onnx_opset.nn.Pad.version_11(context, node)
        return
    shapes = [context.get_shape(output) for output in node.output]
    dtypes = [context.get_dtype(output) for output in node.output]
    image, outputs = node.input[0], node.output
    amounts = context.make_const(f"{node.name}/amounts", pads.T.flatten().astype(np.int64))
    context.remove_node(node.name)
    context.make_node(
        "Pad",
        [image, amounts.output[0]],
        attr={"mode": "edge"},
        outputs=outputs,
        shapes=shapes,
        dtypes=dtypes,
    )


WRITERS: dict[str, tuple[Callable, list]] = {
    "Erfc": (_write_erfc, []),
    "MirrorPad": (_write_mirror_pad, []),
}
"""Operator of TensorFlow → what writes it, and its arguments."""
