"""Which operators of a .tflite file a device leaves to the CPU, why, and what avoids it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from keras_seg.export.devices.device import Device
from keras_seg.export.tflite.spellings.editor import FileEditor
from keras_seg.export.tflite.spellings.resizes import resize_grid
from keras_seg.export.tflite.spellings.respell import can_be_respelled, resize_refusal

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
RESIZES = ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
MASKED = ("CAST", "EQUAL", "SELECT", "SELECT_V2")
"""Operators of pooling indices, which masks do not have."""
FLOATS = ("FLOAT32", "FLOAT16")
UNREAD = "its rule in the published table could not be read"
DECIDE_LATER = "Export with head='logits', and decide the classes on the CPU"


@dataclass(frozen=True)
class LeftOver:
    """Operators that a device leaves to the CPU, all for the same reason.

    Attributes:
        operator: such as "RESIZE_BILINEAR".
        count: number of such operators.
        why: the rule of the device, in words.
        remedy: the option that avoids it, in words; empty if none is known.
    """

    operator: str
    count: int
    why: str
    remedy: str

    def __str__(self) -> str:
        remedy = f". {self.remedy}" if self.remedy else ""
        return f"{self.operator} x {self.count}: {self.why}{remedy}"


def left_over(content: bytes, device: Device) -> tuple[LeftOver, ...]:
    """The operators of a .tflite file that a device leaves to the CPU, most frequent first."""
    placement = _Placement(FileEditor(content), device)
    counts = Counter(
        (placement.editor.kind(operator), *refusal)
        for operator in placement.editor.graph.operators
        if (refusal := placement.refusal(operator))
    )
    return tuple(
        LeftOver(kind, count, why, remedy) for (kind, why, remedy), count in counts.most_common()
    )


class _Placement:
    """The rules of a device for the operators of one file."""

    def __init__(self, editor: FileEditor, device: Device):
        self.editor, self.device = editor, device
        self.makers = {
            int(tensor): operator
            for operator in editor.graph.operators
            for tensor in operator.outputs
        }
        self.ends = {*map(int, editor.graph.inputs), *map(int, editor.graph.outputs)}
        self.export = f"Export with target={device.name!r}"
        self.one_scale = (
            f"{self.export}, which writes one scale per tensor; a quantization-aware model keeps "
            "its scales"
        )

    def refusal(self, operator: schema.OperatorT) -> tuple[str, str] | None:
        """Why an operator is left to the CPU and what avoids it; None if the device runs it."""
        rules = (self.by_table, self.by_types, self.by_shape, self.by_size, self.by_weights)
        return next((refusal for rule in rules if (refusal := rule(operator))), None)

    def by_table(self, operator: schema.OperatorT) -> tuple[str, str] | None:
        kind, device = self.editor.kind(operator), self.device
        if device.takes(kind):
            return None
        why = UNREAD if kind in device.unread else "it is not in the table of the device"
        return why, self.remedy(operator)

    def remedy(self, operator: schema.OperatorT) -> str:
        """What avoids an operator that is not in the table."""
        kind, device = self.editor.kind(operator), self.device
        if can_be_respelled(self.editor, operator, device):
            return f"{self.export}: it has other operators that compute the same"
        if kind == "DEPTH_TO_SPACE":
            return "Export with subpixel=False, which keeps transposed convolutions"
        if kind == "CAST" and self.follows(operator, "ARG_MAX"):
            return self.remedy_of_classes()
        if kind in MASKED and device.compares_by_masks:
            return f"{self.export}, which writes pooling indices as masks"
        if kind == "GATHER":
            return "Export with head='argmax' in place of 'fused_argmax'"
        if kind == "ARG_MAX":
            return DECIDE_LATER
        if kind == "DEQUANTIZE":
            return self.remedy_of_floats(operator)
        if kind in ("EXP", "LOG") and device.takes("RSQRT"):
            return f"{self.export}, which writes local response normalization with roots"
        if kind == "SQUARE":
            return "Export with quantize='int8', which writes squares as products"
        return ""

    def remedy_of_classes(self) -> str:
        """What avoids a class map of a type that the device does not write."""
        if not self.device.takes("ARG_MAX"):
            return DECIDE_LATER
        if not self.device.casts_classes:
            return f"{self.export}, whose class maps are int32"
        return "" if self.device.casts_to("uint8") else f"{self.export}, whose class maps are int8"

    def by_types(self, operator: schema.OperatorT) -> tuple[str, str] | None:
        kind, types = self.editor.kind(operator), self.types(operator)
        allowed = self.device.types_of(kind)
        wrong = sorted(types - allowed) if allowed is not None else []
        if wrong:
            return f"its maps are {', '.join(wrong)}", self.remedy_of_types(operator, wrong)
        if kind in self.device.scaled and not self.is_scaled(operator):
            return "its maps have no scale", self.remedy_of_types(operator, [])
        return None

    def remedy_of_types(self, operator: schema.OperatorT, wrong: list[str]) -> str:
        if set(wrong) & set(FLOATS):
            return self.remedy_of_floats(operator)
        reads_image = int(operator.inputs[0]) in map(int, self.editor.graph.inputs)
        if self.editor.kind(operator) == "CAST" and reads_image:
            return "Export with input='float32'"
        return self.remedy(operator)

    def remedy_of_floats(self, operator: schema.OperatorT) -> str:
        """What avoids an operator that reads or writes floats."""
        tensors = {*map(int, operator.inputs), *map(int, operator.outputs)}
        conversion = self.editor.kind(operator) in ("QUANTIZE", "DEQUANTIZE")
        if not (conversion and self.ends & tensors):
            return "Export with quantize='int8'"
        if "INT16" in self.types(operator):  # such files have no integer ends
            return "Export with quantize='int8' and input='int8'"
        return "Export with input='int8'"

    def by_shape(self, operator: schema.OperatorT) -> tuple[str, str] | None:
        rank = max((len(self.editor.shape(tensor)) for tensor in self.maps(operator)), default=0)
        if self.device.rank is not None and rank > self.device.rank:
            return f"its maps have {rank} axes, more than {self.device.rank}", ""
        kind = self.editor.kind(operator)
        if kind in self.device.vectors:
            rows = math.prod(self.editor.shape(int(operator.inputs[0]))[:-1])
            if rows > 1:
                last = int(operator.outputs[0]) in self.ends
                return f"it runs on one pixel; the map has {rows}", DECIDE_LATER if last else ""
        if kind in RESIZES and (why := resize_refusal(self.editor, operator, self.device)):
            return why, self.remedy_of_resize(operator)
        return None

    def remedy_of_resize(self, operator: schema.OperatorT) -> str:
        sizes = "images of 32k+1 pixels, such as input_shape=(129, 161)"
        if resize_grid(operator.builtinOptions) == "align_corners":
            native = f"{sizes}, give factors that the device takes"
        else:
            native = f"a network with variant={{'resize_grid': 'align_corners'}} and {sizes}, "
            native += "has factors that the device takes"
        if can_be_respelled(self.editor, operator, self.device):
            return f"{self.export}, which computes it as two products; {native}"
        return native[0].upper() + native[1:]

    def by_size(self, operator: schema.OperatorT) -> tuple[str, str] | None:
        kind, device, options = self.editor.kind(operator), self.device, operator.builtinOptions
        if kind == "ARG_MAX" and device.classes is not None:
            classes = self.editor.shape(int(operator.inputs[0]))[-1]
            if classes > device.classes:
                return f"it chooses among {classes} classes, more than {device.classes}", ""
        if kind in WEIGHTED[:2] and device.dilations is not None and options is not None:
            rates = {options.dilationHFactor, options.dilationWFactor}
            if not rates <= device.dilations:
                known = ", ".join(map(str, sorted(device.dilations)))
                return f"its dilation is {max(rates)}; taken are {known}", ""
        return None

    def by_weights(self, operator: schema.OperatorT) -> tuple[str, str] | None:
        if self.device.per_channel or self.editor.kind(operator) not in WEIGHTED:
            return None
        weights = int(operator.inputs[1])
        if self.editor.is_constant(weights) and self.editor.scale_count(weights) > 1:
            return "its weights have a scale per channel", self.one_scale
        return None

    def maps(self, operator: schema.OperatorT) -> list[int]:
        """Numbers of the tensors that are computed, not stored."""
        tensors = [int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0]
        return [i for i in tensors if not self.editor.is_constant(i)]

    def types(self, operator: schema.OperatorT) -> set[str]:
        return {self.editor.dtype(tensor) for tensor in self.maps(operator)}

    def is_scaled(self, operator: schema.OperatorT) -> bool:
        """Whether all maps have a scale, or the operator reads truth values, which need none."""
        maps = self.maps(operator)
        reads_truth = any(self.editor.dtype(int(tensor)) == "BOOL" for tensor in operator.inputs)
        return reads_truth or all(self.editor.scale_count(tensor) for tensor in maps)

    def follows(self, operator: schema.OperatorT, kind: str) -> bool:
        """Whether an operator reads what an operator of that kind wrote."""
        makers: Iterator[schema.OperatorT | None] = (
            self.makers.get(int(tensor)) for tensor in operator.inputs
        )
        return any(maker is not None and self.editor.kind(maker) == kind for maker in makers)
