"""A finished .tflite file in the operators of a device.

Only the operators that the device lacks are replaced, and only where those of the replacement are
in its table. Everything else, scales included, stays as it is. Comparisons in steps of 1 or more,
which no runtime computes, are replaced for every device.
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from keras_seg.export.devices.device import Device
from keras_seg.export.tflite.spellings.comparisons import comparison_in_small_steps, is_coarse
from keras_seg.export.tflite.spellings.editor import FileEditor
from keras_seg.export.tflite.spellings.resizes import bilinear_resize, resize_grid
from keras_seg.export.tflite.spellings.squares import depth_to_space, space_to_depth

SQUARES = {"DEPTH_TO_SPACE": depth_to_space, "SPACE_TO_DEPTH": space_to_depth}
OF_SQUARES = ("SPLIT", "CONCATENATION", "RESHAPE")
OF_RESIZES = ("TRANSPOSE", "CONV_2D")
RESIZED_TYPES = ("INT8", "FLOAT32")


def respelled(content: bytes, device: Device) -> bytes:
    """A .tflite file without attached files, in the operators of a device.

    Returns: `content` itself if nothing has to be replaced.
    """
    editor, replacements = FileEditor(content), {}
    for i, operator in enumerate(editor.graph.operators):
        if is_coarse(editor, operator):
            replacements[i] = comparison_in_small_steps(editor, operator)
        elif can_be_respelled(editor, operator, device):
            replacements[i] = _spelling(editor, operator, device)
    if not replacements:
        return content
    editor.replace(replacements)
    return editor.content()


def can_be_respelled(editor: FileEditor, operator: schema.OperatorT, device: Device) -> bool:
    """Whether a device lacks an operator, and has those of its other spelling."""
    kind, x = editor.kind(operator), operator.inputs[0] if len(operator.inputs) else None
    if x is None or len(editor.shape(x)) != 4 or editor.shape(x)[0] != 1 or -1 in editor.shape(x):
        return False
    if kind in SQUARES:
        return not device.takes(kind) and device.takes(*OF_SQUARES)
    if kind == "RESIZE_BILINEAR":
        has_products = device.takes(*OF_RESIZES) and editor.dtype(x) in RESIZED_TYPES
        return has_products and resize_refusal(editor, operator, device) is not None
    return False


def resize_refusal(editor: FileEditor, operator: schema.OperatorT, device: Device) -> str | None:
    """Why a device does not take a resize, in words; None if it does."""
    height, width = editor.shape(operator.inputs[0])[1:3]
    rows, columns = editor.shape(operator.outputs[0])[1:3]
    nearest = editor.kind(operator) == "RESIZE_NEAREST_NEIGHBOR"
    rules = device.nearest if nearest else device.bilinear
    return rules.refusal(resize_grid(operator.builtinOptions), (height, width), (rows, columns))


def _spelling(
    editor: FileEditor, operator: schema.OperatorT, device: Device
) -> list[schema.OperatorT]:
    kind = editor.kind(operator)
    if kind in SQUARES:
        return SQUARES[kind](editor, operator)
    return bilinear_resize(editor, operator, per_channel=device.per_channel)
