"""What `benchmarks.peers` compares: the networks, and the ways to run them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

CLASSES = 21
_STRIDE_16 = {"encoder_output_stride": 16}
NETWORKS = {
    "U-Net ResNet-34": {"network": "Unet", "encoder": "resnet34", "options": {}},
    "DeepLabV3+ MobileNetV2": {
        "network": "DeepLabV3Plus",
        "encoder": "mobilenet_v2",
        "options": _STRIDE_16,
    },
    "DeepLabV3+ ResNet-50": {
        "network": "DeepLabV3Plus",
        "encoder": "resnet50",
        "options": _STRIDE_16,
    },
    "U-Net++ ResNet-34": {"network": "UnetPlusPlus", "encoder": "resnet34", "options": {}},
}
"""Name → arguments of `benchmarks/peers/scripts/smp_models.py`, without the number of classes."""
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Way:
    """One way to run a network.

    kind: function of `benchmarks/peers/scripts/inference.py`.
    file: the file that it runs, with `{size}` and `{batch}`; None for PyTorch's own weights.
    facts: further arguments of the process; environment: its variables.
    once: only in the first case, because it takes minutes or is for shared processors.
    """

    name: str
    kind: str
    precision: str = "float32"
    file: str | None = None
    facts: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    ours: bool = False
    once: bool = False


SMP_ONNX, SMP_ONNX_INT8 = "smp-{size}-{batch}.onnx", "smp-int8-{size}-{batch}.onnx"
OUR_ONNX, OUR_ONNX_INT8 = "ours-{size}.onnx", "ours-int8-{size}.onnx"
REFERENCE = "smp, ONNX Runtime"
"""The way that ratios refer to: the peer that most people deploy."""
EXACT = 1e-3
"""Largest difference of float32 scores from PyTorch's, relative to the largest score."""
EQUAL = 0.999
"""Smallest share of pixels with the class of PyTorch, for float32 ways."""


class Case(NamedTuple):
    """A network, its images, and whether scores or classes are measured.

    Classes: from a photo, (H, W, 3) bytes, to one byte per pixel. NumPy or PyTorch does the steps
    that the file does not contain.
    """

    network: str
    size: int
    batch: int
    classes: bool = False

    @property
    def title(self) -> str:
        what = "photo to classes" if self.classes else f"batch {self.batch}"
        return f"{self.network}, {self.size}x{self.size}, {what}"


def class_ways() -> list[Way]:
    """Ways from a photo to classes, by files that output classes or scores."""
    last = {"channels_last": True}
    found = [Way("smp, PyTorch, channels last", "torch_eager", facts=last)]
    for precision, end in (("float32", ""), ("int8", "-int8")):
        name = end.replace("-", " ")
        smp, ours = (f"{side}-classes{end}-{{size}}" for side in ("smp", "ours"))
        scores = f"smp{end}-{{size}}.tflite"
        facts = {"spinning": True}
        found += [
            Way(f"smp, ONNX Runtime{name}", "onnx", precision, f"{smp}.onnx", facts),
            Way(f"smp, OpenVINO{name}", "openvino", precision, f"{smp}.onnx"),
            Way(f"smp, litert-torch{name}", "litert", precision, f"{smp}.tflite"),
            Way(f"smp, litert-torch{name}, NumPy's argmax", "litert", precision, scores),
            Way(
                f"keras_seg, ONNX Runtime{name}",
                "onnx",
                precision,
                f"{ours}.onnx",
                facts,
                ours=True,
            ),
            Way(f"keras_seg, LiteRT{name}", "litert", precision, f"{ours}.tflite", ours=True),
        ]
    return found


def ways(*, first_case: bool = True) -> list[Way]:
    """All ways; those with `once` only for the first case."""
    found = [*_torch_ways(), *_onnx_ways(), *_other_ways()]
    return [way for way in found if first_case or not way.once]


def _torch_ways() -> list[Way]:
    found = []
    for channels_last in (False, True):
        name = f"smp, PyTorch{', channels last' if channels_last else ''}"
        facts = {"channels_last": channels_last}
        found.append(Way(name, "torch_eager", facts=facts))
        name = f"{name}, OpenMP passive"
        found.append(Way(name, "torch_eager", facts=facts, environment=PASSIVE, once=True))
    return found


def _onnx_ways() -> list[Way]:
    found = []
    for ours, side, files in (
        (False, "smp", (SMP_ONNX, SMP_ONNX_INT8)),
        (True, "keras_seg", (OUR_ONNX, OUR_ONNX_INT8)),
    ):
        for file, precision, number in zip(files, ("float32", "int8"), ("", " int8"), strict=True):
            name = f"{side}, ONNX Runtime{number}"
            found.append(Way(name, "onnx", precision, file, {"spinning": True}, ours=ours))
            name = f"{name}, no spinning"
            facts = {"spinning": False}
            found.append(Way(name, "onnx", precision, file, facts, ours=ours, once=True))
    return found


def _other_ways() -> list[Way]:
    model = "model.keras"
    return [
        Way("smp, OpenVINO", "openvino", "float32", SMP_ONNX),
        Way("smp, OpenVINO int8", "openvino", "int8", SMP_ONNX_INT8),
        Way("smp, litert-torch", "litert", "float32", "smp-{size}.tflite"),
        Way("smp, litert-torch int8", "litert", "int8", "smp-int8-{size}.tflite"),
        Way("smp, onnx2tf", "litert", "float32", "onnx2tf-{size}.tflite"),
        Way("smp, onnx2tf int8", "litert", "int8", "onnx2tf-int8-{size}.tflite"),
        Way("keras_seg, Keras", "keras", "float32", model, {"jit": False}, ours=True),
        Way("keras_seg, Keras XLA", "keras", "float32", model, {"jit": True}, ours=True, once=True),
        Way("keras_seg, LiteRT", "litert", "float32", "ours-{size}.tflite", ours=True),
        Way("keras_seg, LiteRT int8", "litert", "int8", "ours-int8-{size}.tflite", ours=True),
    ]
