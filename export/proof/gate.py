"""No file gets its name before it has answered as the Keras model does, on real images."""

from __future__ import annotations

from dataclasses import dataclass

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.errors import ExportError, GateError
from keras_seg.inference.evaluation import compare
from keras_seg.inference.prediction import Runner
from keras_seg.inference.results import Comparison

MIN_AGREEMENT = 0.999
"""Part of the pixels on which a float file must name the same class as the Keras model."""

CALIBRATE = "Calibrate on images that look more like these, try "
REMEDIES = {
    None: "The file does not compute what the model does: please report the network.",
    "int8": f"{CALIBRATE}quantize='mixed', 'dynamic' or 'fp16', train on with "
    "keras_seg.export.quantization_aware, or allow more with max_drop.",
    "int16x8": f"{CALIBRATE}quantize='dynamic' or 'fp16', or allow more with max_drop.",
    "mixed": "Even with every operator in float it loses that much: please report the network.",
    "dynamic": "Try quantize='fp16', or allow more with max_drop.",
    "fp16": "Leave quantize out, or allow more with max_drop.",
}
"""What to try, by quantization."""
REMEDIES_OF_ONNX = {
    "int8": f"{CALIBRATE}quantize='fp16', write a .tflite file with quantize='mixed', or allow "
    "more with max_drop.",
}
"""What to try instead of these for an .onnx file, which has fewer quantizations."""
OTHERWISE = "Try another quantize, or allow more with max_drop."


@dataclass(frozen=True)
class GateResult:
    """How an exported file compares with the Keras model.

    Attributes:
        passed: whether it may keep its name.
        rule: what was asked, in words.
        agreement: part of all pixels with the same class, 0..1.
        drop: points of mIoU that were lost on the way, negative for a gain.
        comparison: everything measured; "keras" and the file's format.
    """

    passed: bool
    rule: str
    agreement: float
    drop: float
    comparison: Comparison

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        return vars(self) | {"comparison": self.comparison.to_dict()}


def judge(
    reference: Runner,
    exported: Runner,
    dataset: SegmentationDataset,
    *,
    sizing: str,
    max_drop: float,
    limit: int | None = None,
    fused: bool = False,
) -> GateResult:
    """Compares an exported file with the Keras model, image by image.

    A float32 file must name the same class on 99.9 % of the pixels. A quantized one may lose at
    most `max_drop` points of mIoU, and so may one of head "fused_argmax", whose borders between
    classes are coarser by intent.

    Args:
        fused: whether the file was made with head "fused_argmax".

    Raises: GateError with the numbers and what to try.
    """
    name, quantize = exported.format, exported.card.quantize
    comparison = compare({"keras": reference, name: exported}, dataset, sizing=sizing, limit=limit)
    before, after = (comparison.evaluations[key].miou for key in ("keras", name))
    if before is None or after is None:
        raise unlabelled(dataset)
    agreement, drop = comparison.agreement[name], 100 * (before - after)
    if quantize is None and not fused:
        rule = f"same class on at least {100 * MIN_AGREEMENT:.1f} % of the pixels"
        passed = agreement >= MIN_AGREEMENT
    else:
        rule = f"at most {max_drop:g} points of mIoU lost"
        passed = drop <= max_drop
    result = GateResult(passed, rule, agreement, drop, comparison)
    if not passed:
        raise GateError(_refusal(result, before, after, name, quantize, fused), result)
    return result


def unlabelled(dataset: SegmentationDataset) -> ExportError:
    """The error for evaluation data without any truth."""
    return ExportError(
        f"The evaluation data {dataset.name!r} has no labelled pixel, so nothing can be measured "
        "on it. Pass images with masks, or leave evaluation out."
    )


def _refusal(
    result: GateResult,
    before: float,
    after: float,
    format: str,
    quantize: str | None,
    fused: bool,
) -> str:
    return (
        f"The exported file was refused and deleted: asked for {result.rule}. Received: mIoU "
        f"{100 * after:.2f} % after {100 * before:.2f} % in Keras ({result.drop:.2f} points lost), "
        f"same class on {100 * result.agreement:.2f} % of the pixels. "
        f"{remedy(format, quantize, fused=fused)}"
    )


def remedy(format: str, quantize: str | None, *, fused: bool = False) -> str:
    """What to try when a file of that kind answers too differently."""
    if fused:
        return "Use head='argmax', which decides at full resolution, or allow more with max_drop."
    if format == "onnx" and quantize in REMEDIES_OF_ONNX:
        return REMEDIES_OF_ONNX[quantize]
    return REMEDIES.get(quantize, OTHERWISE)
