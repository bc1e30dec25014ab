"""Graphs whose batch, height or width is free."""

from __future__ import annotations

import math

import onnx

AXES = {"nhwc": ("batch", "height", "width"), "nchw": ("batch", None, "height", "width")}
"""Layout → names of the axes that may be free."""
NUMBERS = ("strides", "dilations")
"""Attributes that have one number per axis, and 1 where they are missing."""


def name_free_axes(proto: onnx.ModelProto, layout: str, *, classes: bool) -> None:
    """Names the free axes of image and output "batch", "height" and "width".

    Args:
        classes: whether the output is a map of classes, which has no channels.
    """
    image, output = proto.graph.input[0], proto.graph.output[0]
    for value, axes in ((image, AXES[layout]), (output, AXES["nhwc" if classes else layout])):
        for axis, name in zip(value.type.tensor_type.shape.dim, axes, strict=False):
            if name and not axis.dim_value:
                axis.dim_param = name


def write_paddings(proto: onnx.ModelProto) -> None:
    """Writes the padding of convolutions of stride 1 in numbers, which do not depend on the size.

    At a free size tf2onnx names the rule instead, which ONNX Runtime refuses for dilated ones.
    """
    shapes = {tensor.name: tensor.dims for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        words = {attribute.name: attribute for attribute in node.attribute}
        rule = words.get("auto_pad")
        if node.op_type != "Conv" or rule is None or rule.s not in (b"SAME_UPPER", b"SAME_LOWER"):
            continue
        strides, rates = (list(words[name].ints) if name in words else [1, 1] for name in NUMBERS)
        if math.prod(strides) != 1 or node.input[1] not in shapes:
            continue
        kernel = shapes[node.input[1]][2:]
        totals = [rate * (size - 1) for rate, size in zip(rates, kernel, strict=True)]
        smaller, larger = [n // 2 for n in totals], [n - n // 2 for n in totals]
        pads = smaller + larger if rule.s == b"SAME_UPPER" else larger + smaller
        node.attribute.remove(rule)
        node.attribute.append(onnx.helper.make_attribute("pads", pads))
