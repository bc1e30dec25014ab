"""An exported file gets its name only after it was audited, run and compared."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_seg import inference
from keras_seg.atomic_files import draft_of, replace_path
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.aware.trained_ranges import unexpected_islands
from keras_seg.export.conversion import ConvertedFile
from keras_seg.export.coreml.package import SUFFIX, unpack
from keras_seg.export.coreml.runner import CoreMLRunner
from keras_seg.export.errors import ExportError
from keras_seg.export.freed_memory import give_back_freed_memory
from keras_seg.export.kinds import Kind
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.proof.audit import Audit, audit
from keras_seg.export.proof.freedom import check_freedom
from keras_seg.export.proof.gate import GateResult, judge
from keras_seg.inference.checksum import parts_with_checksum


def check_writable(path: Path) -> None:
    """Raises OSError unless a file can be written there.

    A file is really written, because permissions alone do not reveal read-only or full disks.
    """
    if path.is_dir() and path.suffix.lower() != SUFFIX:
        raise IsADirectoryError(f"{path} is a folder. Give the name of a file to write.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise type(error)(
            f"Cannot write into the folder {str(path.parent)!r}: {error}. "
            "Make it first, or choose another."
        ) from error


def publish(
    file: ConvertedFile,
    path: Path,
    network: NetworkToExport,
    evaluation: SegmentationDataset | None,
) -> tuple[ConvertedFile, Audit, GateResult | None]:
    """Writes a file under a temporary name, checks it, and then renames it.

    Args:
        evaluation: images with masks; None leaves the accuracy unmeasured.

    Returns: the file without its content, which is on disk; its audit and its comparison.

    Raises: ExportError or GateError for a file that is refused; it is deleted.
    """
    result = None
    with draft_of(path) as draft:
        _write(draft, file.content, network.options.kind)
        file = replace(file, content=b"")  # releases as much memory as the file is large
        give_back_freed_memory()
        # the audit comes first, because running some files ends the process
        audited = _audited(draft, network)
        give_back_freed_memory()
        if network.options.kind.runs_here:
            exported = _opened(draft, network)
            _check_runs(exported, network)
            check_freedom(exported, network)
            if evaluation is not None:
                result = judge(network.reference, exported, evaluation, network.options)
        replace_path(draft, path)
    return file, replace(audited, path=str(path)), result


def _write(draft: Path, content: bytes, kind: Kind) -> None:
    """Writes a file; a Core ML package is a folder."""
    if kind.format == "coreml":
        unpack(content, draft)
    else:
        with draft.open("wb") as file:
            file.writelines(parts_with_checksum(content))


def _opened(draft: Path, network: NetworkToExport) -> inference.Runner:
    """The runner of a file."""
    threads = network.options.threads
    if network.options.kind.format == "coreml":
        return CoreMLRunner(draft, threads=threads)
    return inference.load(draft, threads=threads)


def _check_runs(exported: inference.Runner, network: NetworkToExport) -> None:
    """Raises ExportError unless the file takes its image and outputs finite numbers."""
    if exported.input_shape != network.shape:
        raise ExportError(
            f"The file takes images of {exported.input_shape} instead of {network.shape}. "
            "Please report the network."
        )
    if not np.isfinite(exported.run(np.zeros(network.tried_shape, np.uint8))).all():
        raise ExportError(
            "The outputs of the file are not finite for a black image. Look for NaN or infinite "
            "weights in the model. A learning rate that is too high causes them."
        )


def _audited(draft: Path, network: NetworkToExport) -> Audit:
    """The audit of a file.

    Raises: ExportError for operators that a device cannot run, or that compute in float in a file
        that should be all integers.
    """
    kind, faults, target = network.options.kind, [], network.options.target
    audited = audit(draft, None if target == "cpu" else target)
    if audited.problems:
        faults.append(
            f"{'; '.join(audited.problems)}. Replace the layers that these come from, or try "
            "another quantize."
        )
    islands = unexpected_islands(audited.islands, network.model)
    if islands and kind.try_instead:
        faults.append(
            "it computes some operators in float, because TFLite has no "
            f"{kind.label} form of {', '.join(islands)}. Replace these layers, or use "
            f"{kind.try_instead}."
        )
    if faults:
        raise ExportError(f"The file was refused and deleted: {' Also, '.join(faults)}")
    return audited
