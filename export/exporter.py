"""`export`: one call from a trained network to a file that was compared with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import keras
import numpy as np

from keras_seg.backends import need_tensorflow_backend
from keras_seg.card import ModelCard
from keras_seg.data.as_dataset import Data, as_dataset, has_masks
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.aware.trained_ranges import has_trained_ranges
from keras_seg.export.board.pack import check_board, write_board
from keras_seg.export.conversion import ConvertedFile
from keras_seg.export.converters import converter_of
from keras_seg.export.errors import ExportError
from keras_seg.export.freed_memory import give_back_freed_memory
from keras_seg.export.int8.calibration import (
    COUNT,
    NO_IMAGES,
    SCANNED,
    Calibration,
    check_ranges,
    choose_images,
)
from keras_seg.export.network.deployed import deploy
from keras_seg.export.network_to_export import NetworkToExport, open_network
from keras_seg.export.options import ExportOptions, ExportWords, with_words
from keras_seg.export.proof.audit import Audit
from keras_seg.export.proof.gate import GateError, GateResult
from keras_seg.export.proof.publish import check_writable, publish
from keras_seg.export.report import ExportReport
from keras_seg.inference.comparable import check_comparable
from keras_seg.inference.sizing import resolve_sizing
from keras_seg.layers import DepthToSpace
from keras_seg.model_paths import check_model_path
from keras_seg.tested_versions import tell_if_untested


def export(
    model: keras.Model | str | Path,
    path: str | Path,
    options: ExportOptions | None = None,
    *,
    calibration: Data | None = None,
    evaluation: Data | None = None,
    card: ModelCard | None = None,
    **words: Unpack[ExportWords],
) -> ExportReport:
    """Writes a network as a .tflite, .onnx or .mlpackage file, and compares it with the network.

    Example:
        report = keras_seg.export.export(
            "run/model.keras", "model.tflite", quantize="int8", calibration=images
        )
        print(report.accuracy)

    Args:
        model: a .keras or .h5 file, or a model: image in 0..255 → logits or probabilities.
            Functional and Sequential models, and subclassed ones whose `call` consists of Keras
            layers.
        path: file to write. It appears only after all checks have passed; an older file of that
            name stays until then.
        options: format, precision, head and other properties of the file.
        calibration: training data, from which real images are chosen for integer files: a data
            set, its name ("builtin:cells", a folder, also of images without masks), an array or a
            list of images, a generator function as TFLite's `representative_dataset`, a
            `tf.data.Dataset` or a PyDataset. Images are pixels in 0..255, as the model takes them;
            floats are rounded to the nearest pixel value. For int8, outlier images are ignored if
            they widen the ranges too much (see `report.clipped`).
        evaluation: validation data for the comparison, in the same forms, with masks; None leaves
            the accuracy unmeasured.
        card: classes and size multiple of a model in memory; a .keras file has its own.
        words: any field of `ExportOptions` (format, quantize, input_shape, input, head, max_drop,
            sizing, layout, target, batch, opset, subpixel, limit, threads, scores, multi_label,
            threshold, board). It replaces the value in `options`.

    Returns: what the file contains, and how it compares with the Keras model. Core ML runs on macOS
        alone: a package that is exported elsewhere is not compared, which `accuracy` says.

    Raises: ValueError or OSError for a wrong request; TypeError for an unknown keyword;
        ExportError for a network that the format cannot hold; GateError, with the numbers, for a
        file that differs too much from the Keras model; ImportError without TensorFlow, and
        RuntimeError if Keras runs on another backend.
    """
    start = time.perf_counter()
    need_tensorflow_backend("Exports")
    tell_if_untested()
    path = Path(path)
    options = with_words(options, words).for_file(path)
    if not isinstance(model, keras.Model):
        model = check_model_path(model, exported=False)
    trained_ranges = has_trained_ranges(model)
    check_ranges(options.kind, calibration, has_trained_ranges=trained_ranges)
    check_writable(path)

    network = open_network(model, options, card)
    if options.board:
        check_board(path, network.shape)
    evaluation = _evaluation_data(network, evaluation)
    chosen = NO_IMAGES if trained_ranges else _calibration_images(network, calibration)
    network, file, audit, gate = _write(network, path, chosen.images, evaluation)
    report = ExportReport(
        path=str(path),
        options=network.options,
        audit=audit,
        gate=gate,
        calibration_images=len(chosen.names),
        missing_classes=tuple(chosen.missing),
        calibration_masks=chosen.has_masks,
        seconds=time.perf_counter() - start,
        card=network.card,
        mixed=file.mixed,
        clipped=file.clipped,
    )
    return replace(report, board_folder=str(write_board(report))) if options.board else report


Written = tuple[NetworkToExport, ConvertedFile, Audit, GateResult | None]


def _write(
    network: NetworkToExport,
    path: Path,
    images: Sequence[np.ndarray],
    evaluation: SegmentationDataset | None,
) -> Written:
    """Converts and publishes the fastest form of a network that the converter takes.

    TFLite's quantizer loses the ranges of some maps that a sub-pixel convolution pads. Whether it
    does depends on the graph around them. The second form has the network's own operators; if that
    is refused, too, the error is about layers that the user knows.

    Returns: the network with the options of that form, the file, its audit and its comparison.
    """
    own = replace(network, options=replace(network.options, subpixel=False))
    for form in [network, own] if network.options.subpixel else [own]:
        deployed = deploy(form.model, form.shape, form.options)
        is_rewritten = any(isinstance(layer, DepthToSpace) for layer in deployed.layers)
        give_back_freed_memory()  # models that were steps on the way
        try:
            files = [converter_of(form.options.kind)(deployed, form, images, evaluation)]
            del deployed
            # the file has no name here, so that `publish` can release it
            return form, *publish(files.pop(), path, form, evaluation)
        except GateError:
            raise
        except ExportError as error:
            refused = error
        if not is_rewritten:
            break
    raise refused


def _calibration_images(network: NetworkToExport, calibration: Data | None) -> Calibration:
    """The images on which ranges are measured; none for kinds that need none."""
    if calibration is None:
        return NO_IMAGES
    dataset = as_dataset(
        calibration, what="calibration", limit=COUNT * SCANNED, **_facts_for_data(network)
    )
    if not network.options.kind.needs_calibration:
        return NO_IMAGES
    sizing = resolve_sizing(network.options.sizing, network.card)
    return choose_images(dataset, network.tried_shape, sizing=sizing)


def _evaluation_data(
    network: NetworkToExport, evaluation: Data | None
) -> SegmentationDataset | None:
    """The data to compare on, checked before the slow part of an export."""
    if evaluation is None:
        return None
    dataset = as_dataset(evaluation, what="evaluation", split="val", **_facts_for_data(network))
    if not has_masks(dataset):
        raise ValueError(
            "evaluation: masks are needed, to measure the accuracy on. Received: images alone. "
            "Pass (images, masks), or leave evaluation out."
        )
    check_comparable({"keras": network.reference}, dataset, network.options.limit)
    return dataset


def _facts_for_data(network: NetworkToExport) -> dict:
    """The properties that data in memory do not state themselves, taken from the network."""
    return {
        "channels": network.shape[2],
        "classes": network.card.classes,
        "value_range": network.card.value_range,
        "nodata": network.card.nodata,
        "multi_label": network.card.multi_label,
    }
