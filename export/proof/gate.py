"""The gate: a file keeps its name only if it agrees with the Keras model on real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.errors import ExportError, without_labels
from keras_seg.export.options import ExportOptions
from keras_seg.inference.evaluation import compare
from keras_seg.inference.prediction import Runner
from keras_seg.inference.results import Comparison

MIN_AGREEMENT = 0.999
"""Share of the pixels on which a float file must predict the same class as the Keras model."""


@dataclass(frozen=True)
class GateResult:
    """How an exported file compares with the Keras model.

    Attributes:
        passed: whether it may keep its name.
        rule: the requirement, in words.
        agreement: share of all pixels with the same class, 0..1.
        drop: points of mIoU that the file loses; negative for a gain.
        comparison: everything that was measured, for "keras" and the format of the file.
    """

    passed: bool
    rule: str
    agreement: float
    drop: float
    comparison: Comparison

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return vars(self) | {"comparison": self.comparison.to_dict()}


class GateError(ExportError):
    """The file was written but differs too much from the Keras model; it was deleted.

    Attributes:
        result: the GateResult with the numbers of both.
    """

    def __init__(self, message: str, result: GateResult):
        super().__init__(message)
        self.result = result


def judge(
    reference: Runner, exported: Runner, dataset: SegmentationDataset, options: ExportOptions
) -> GateResult:
    """Compares an exported file with the Keras model, image by image.

    A float32 file must predict the same class on 99.9 % of the pixels. A quantized one may lose at
    most `max_drop` points of mIoU, and so may one of head "fused_argmax", whose borders between
    classes are coarser by design.

    Raises: GateError with the numbers and what to try.
    """
    name = exported.format
    comparison = compare(
        {"keras": reference, name: exported},
        dataset,
        sizing=options.sizing,
        limit=options.limit,
    )
    before, after = (comparison.evaluations[key].miou for key in ("keras", name))
    if before is None or after is None:
        raise without_labels(dataset.name)
    agreement, drop = comparison.agreement[name], 100 * (before - after)
    if options.kind.is_exact and not is_fused(options):
        rule = f"same class on at least {100 * MIN_AGREEMENT:.1f} % of the pixels"
        passed = agreement >= MIN_AGREEMENT
    else:
        rule = f"at most {options.max_drop:g} points of mIoU lost"
        passed = drop <= options.max_drop
    result = GateResult(passed, rule, agreement, drop, comparison)
    if not passed:
        raise GateError(refusal(result, before, after, options), result)
    return result


def is_fused(options: ExportOptions) -> bool:
    """Whether classes are decided at the resolution of the network's head."""
    return options.head == "fused_argmax"


def refusal(result: GateResult, before: float, after: float, options: ExportOptions) -> str:
    """Why a file was refused, and what to try; mIoU of the Keras model and the file are in 0..1."""
    return (
        f"The exported file was refused and deleted. Required: {result.rule}. Received: mIoU "
        f"{100 * after:.2f} % after {100 * before:.2f} % in Keras ({result.drop:.2f} points lost), "
        f"same class on {100 * result.agreement:.2f} % of the pixels. {remedy(options)}"
    )


def remedy(options: ExportOptions) -> str:
    """What to try when a file differs too much."""
    if is_fused(options):
        return "Use head='argmax', which decides at full resolution, or allow more with max_drop."
    return options.kind.remedy
