"""An exported file gets its name only after it has proven itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_seg import inference
from keras_seg.atomic_files import draft_of
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.aware.tflite import unexpected_islands
from keras_seg.export.errors import ExportError
from keras_seg.export.options import Request
from keras_seg.export.proof.audit import Audit, audit
from keras_seg.export.proof.gate import GateResult, judge
from keras_seg.export.source import Source
from keras_seg.inference.checksum import with_checksum

INSTEAD = {"int8": "quantize='mixed' or 'dynamic'", "int16x8": "quantize='int8' or 'dynamic'"}
"""What to ask for where an integer file cannot be had."""


def publish(
    content: bytes,
    source: Source,
    request: Request,
    evaluation: SegmentationDataset | None,
    threads: int | None,
) -> tuple[Audit, GateResult | None]:
    """Writes the file beside its place, proves it there, and only then gives it its name."""
    path, result = request.path, None
    with draft_of(path) as draft:
        draft.write_bytes(with_checksum(content))
        # first, as some files end a process that runs them
        found = _audited(draft, source, request)
        exported = inference.load(draft, threads=threads)
        _check_runs(exported, source)
        if evaluation is not None:
            result = judge(
                source.reference,
                exported,
                evaluation,
                sizing=request.sizing,
                max_drop=request.max_drop,
                limit=request.limit,
                fused=request.head == "fused_argmax",
            )
        draft.replace(path)
    return replace(found, path=str(path)), result


def _check_runs(exported: inference.Runner, source: Source):
    """Raises ExportError unless the file takes its image and puts out finite numbers."""
    if exported.input_shape != source.shape:
        raise ExportError(
            f"The file came out for images of {exported.input_shape} instead of {source.shape}. "
            "Please report the network."
        )
    if not np.isfinite(exported.run(np.zeros(source.shape, np.uint8))).all():
        raise ExportError(
            "The file answers a black image with numbers that are not finite. Look for NaN or "
            "infinite weights in the model, which training with too high a rate leaves."
        )


def _audited(draft: Path, source: Source, request: Request) -> Audit:
    """The file's audit.

    Raises: ExportError for operators that a device could not run, or not in integers where all
    should be.
    """
    found, faults = audit(draft), []
    islands = unexpected_islands(found.islands, source.model)
    if found.problems:
        faults.append(
            f"{'; '.join(found.problems)}. Replace the layers that these come from, or try another "
            "quantize."
        )
    if islands and request.format == "tflite" and request.quantize != "mixed":
        faults.append(
            "not everything in it is computed in integers, because TFLite has no "
            f"{request.quantize} form of {', '.join(islands)}. Replace these layers, or use "
            f"{INSTEAD.get(request.quantize, 'another quantize')}."
        )
    if faults:
        raise ExportError(f"The file was refused and deleted: {' Also, '.join(faults)}")
    return found
