"""What `benchmarks.peers` compares: networks, and the ways in which each is run."""

from __future__ import annotations

from dataclasses import dataclass, field

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
"""Name → arguments of `benchmarks/peers/smp_models.py`, without the number of classes."""
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Way:
    """One way to run a network.

    kind: function of `benchmarks/peers/inference.py`.
    file: the file that it runs, with `{size}` and `{batch}`; None for PyTorch's own weights.
    facts: further words for the process; environment: its variables.
    once: only in the first case, because it costs minutes or is for processors that others use.
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
"""The way that ratios are to: of the peers' it is the one that most people deploy."""
EXACT = 1e-3
"""Largest difference of float32 scores from PyTorch's, as a part of the largest score."""


def ways(*, first_case: bool = True) -> list[Way]:
    """All ways, without those of `once` in other cases than the first."""
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
