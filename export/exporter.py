"""`export`: one call from a trained network to a proven file."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras

from keras_seg.card import ModelCard
from keras_seg.data.as_dataset import Data, as_dataset, has_masks
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.errors import ExportError, GateError
from keras_seg.export.int8.calibration import COUNT, SCANNED, Calibration, choose
from keras_seg.export.int8.clipped_ranges import ClippedRanges, with_clipped_ranges
from keras_seg.export.int8.mixed import to_mixed_tflite
from keras_seg.export.int8.mixed_report import MixedPrecision
from keras_seg.export.network.deployed import model_of_file
from keras_seg.export.onnx.convert import float_graph, onnx_file
from keras_seg.export.options import CALIBRATED, HEADS, Request
from keras_seg.export.proof.audit import Audit
from keras_seg.export.proof.gate import GateResult
from keras_seg.export.proof.publish import publish
from keras_seg.export.report import ExportReport, in_words
from keras_seg.export.source import Source, opened
from keras_seg.export.tflite.convert import to_tflite
from keras_seg.export.tflite.metadata import with_card
from keras_seg.export.trained_ranges import has_trained_ranges
from keras_seg.inference.evaluation import check_comparable
from keras_seg.inference.sizing import resolve_sizing
from keras_seg.layers import DepthToSpace
from keras_seg.model_paths import check_model_path
from keras_seg.tested_versions import tell_if_untested


def export(
    model: keras.Model | str | Path,
    path: str | Path,
    *,
    format: str | None = None,
    quantize: str | None = None,
    calibration: Data | None = None,
    evaluation: Data | None = None,
    input_shape: tuple[int, int, int] | None = None,
    input: str = "float32",
    head: str | None = None,
    max_drop: float = 1.0,
    sizing: str = "auto",
    layout: str = "nhwc",
    subpixel: bool = True,
    limit: int | None = None,
    threads: int | None = None,
    card: ModelCard | None = None,
    scores: str | None = None,
    multi_label: bool | None = None,
) -> ExportReport:
    """Writes a network as a .tflite or .onnx file, and proves that it answers as the network does.

    Args:
        model: a .keras or .h5 file, or a model: image in 0..255 → logits or probabilities.
            Functional and Sequential models, and subclassed ones whose `call` consists of Keras
            layers.
        path: file to write. It appears only when the export has passed everything; an older file
            of that name stays until then.
        format: "tflite" or "onnx"; None for what the suffix of `path` says.
        quantize: None (float32). For TFLite "fp16" (weights), "dynamic" (int8 weights), "int8"
            (everything), "mixed" (int8 but for attention and as many of the most sensitive layers
            as must stay float for the loss to fit `max_drop`, see `report.mixed`) or "int16x8"
            (int8 weights, 16-bit maps: more exact than int8 but run by no delegate, so slower than
            float32, and refused where an operator has no such form). For ONNX "fp16" (everything)
            or "int8" (QDQ pairs and int8 weights). "int8", "int16x8" and "mixed" need
            `calibration`, whose unusual images an "int8" file lets go where they spoil the ranges
            of the others (see `report.clipped`); a model of `quantization_aware` is written in
            TFLite "int8" with the ranges that it was trained in.
        calibration: training data, from which real images are chosen for integer files: a data
            set, its name ("builtin:cells", a folder, also of images without masks), an array or a
            list of images, a generator function as TFLite's `representative_dataset`, a
            `tf.data.Dataset` or a PyDataset. Images are pixels in 0..255, as the model takes them;
            floats are rounded to the nearest pixel value.
        evaluation: validation data for the comparison, in the same forms, with masks; None leaves
            the accuracy unmeasured.
        input_shape: (height, width, channels) for a model of free size; left out, the size that
            its training images were resized to.
        input: "float32" or "uint8", the type of the image. Values are pixels in 0..255 either way.
            "int8", for TFLite "int8" and "mixed", is pixel - 128: what such a file computes with,
            so that nothing is converted at its ends; scores come out as int8 with a scale, classes
            as int8, too. TFLite Micro needs it for class maps.
        head: None for what the model puts out, "logits" or "probabilities". Or one of these,
            "argmax" (uint8 classes), or "fused_argmax": uint8 classes,
            decided at the resolution of the network's head and repeated to the image's. That saves
            resizing scores, and gives up the smooth borders which resized scores draw between
            classes: they follow the cells of the head, 4 or 8 pixels wide. The gate compares it
            with "argmax" and lets it lose at most `max_drop`. A network that ends at full
            resolution has nothing to fuse.
        max_drop: points of mIoU that a quantized or fused file may lose; for "mixed" without
            evaluation data, percent of the calibration pixels whose class may change.
        sizing: how images of other sizes meet the file: "auto" (as in training), "resize", "tile".
        layout: "nhwc", or for ONNX "nchw": the order of the axes of the image and the scores.
        subpixel: whether nearest up-sampling with the convolution behind it, and transposed
            convolutions, are computed as convolutions of the small map whose channels are pixels:
            the same numbers in 0.7 to 0.97 of the time. It needs the operator DEPTH_TO_SPACE, which
            some accelerators lack; False leaves the network's own operators. A model of
            `quantization_aware` was trained with or without.
        limit: compare on this many evaluation images; None for all.
        threads: CPU threads for the comparison.
        card: classes and size multiple of a model in memory; a .keras file has its own.
        scores, multi_label: what a foreign model puts out, see `keras_seg.inference.load`. A
            multi-label model has no class maps.

    Raises: ValueError or OSError for what was asked wrongly; ExportError for a network that the
    format cannot hold; GateError, with the numbers, for a file that answers too differently.
    """
    start = time.perf_counter()
    tell_if_untested()
    if not isinstance(model, keras.Model):
        model = check_model_path(model, exported=False)
    trained_ranges = has_trained_ranges(model)
    request = Request.checked(
        path,
        format=format,
        quantize=quantize,
        calibration=calibration,
        trained_ranges=trained_ranges,
        input=input,
        head="logits" if head is None else head,
        sizing=sizing,
        max_drop=max_drop,
        limit=limit,
        layout=layout,
        subpixel=subpixel,
    )
    model, card, sha256 = opened(model, card, input_shape, multi_label)
    source = Source.of(
        model,
        card,
        sha256,
        input_shape,
        request,
        threads,
        own_head=head is None,
        scores=scores,
        multi_label=multi_label,
    )
    request = source.request
    calibration, evaluation = _data_sets(source, calibration, evaluation)
    if evaluation is not None:  # before the slow part
        check_comparable({"keras": source.reference}, evaluation, limit)
    chosen = Calibration([], [], [])
    if quantize in CALIBRATED and not trained_ranges:
        chosen = choose(calibration, source.shape, sizing=resolve_sizing(sizing, source.card))
    mixed, clipped, found, result = _made(source, request, chosen, evaluation, threads)
    return ExportReport(
        path=str(request.path),
        format=request.format,
        quantize=quantize,
        input_shape=source.shape,
        input=input,
        head=request.head,
        size_bytes=found.size_bytes,
        audit=found,
        gate=result,
        accuracy=in_words(result),
        calibration_images=len(chosen.images),
        missing_classes=tuple(chosen.missing),
        calibration_masks=chosen.has_masks,
        seconds=time.perf_counter() - start,
        card=source.card,
        mixed=mixed,
        clipped=clipped,
    )


def _data_sets(source: Source, calibration, evaluation) -> tuple:
    """What was given to calibrate and to evaluate on, as data sets."""
    words = {
        "channels": source.shape[2],
        "classes": source.card.classes,
        "value_range": source.card.value_range,
        "multi_label": source.card.multi_label,
    }
    if calibration is not None:
        calibration = as_dataset(calibration, what="calibration", limit=COUNT * SCANNED, **words)
    if evaluation is not None:
        evaluation = as_dataset(evaluation, what="evaluation", split="val", **words)
        if not has_masks(evaluation):
            raise ValueError(
                "evaluation: masks are needed, to measure the accuracy on. Received: images alone. "
                "Pass (images, masks), or leave evaluation out."
            )
    return calibration, evaluation


def _made(
    source: Source,
    request: Request,
    chosen: Calibration,
    evaluation: SegmentationDataset | None,
    threads: int | None,
) -> tuple[MixedPrecision | None, ClippedRanges | None, Audit, GateResult | None]:
    """Makes the file; tells how its precision was found, and what `publish` says of it."""
    model = model_of_file(source.model, source.shape, request)
    try:
        content, *how = _converted(model, source, request, chosen, evaluation, threads)
        return *how, *publish(content, source, request, evaluation, threads)
    except ExportError as error:
        rewritten = any(isinstance(layer, DepthToSpace) for layer in model.layers)
        if isinstance(error, GateError) or not (rewritten and request.subpixel):
            raise
    # the network's own operators may do, and if not, it is them that the error should name
    return _made(source, replace(request, subpixel=False), chosen, evaluation, threads)


def _converted(
    model: keras.Model,
    source: Source,
    request: Request,
    chosen: Calibration,
    evaluation: SegmentationDataset | None,
    threads: int | None,
) -> tuple[bytes, MixedPrecision | None, ClippedRanges | None]:
    """The file's bytes, with its card in them, and how a mixed file or its ranges were found."""
    mixed = clipped = None
    if request.format == "onnx":
        graph = float_graph(model, request, source.from_logits, source.card.multi_label)
        file = partial(onnx_file, graph, request, source.card)
        content = file(chosen.images)
        if request.quantize == "int8":
            content, clipped = with_clipped_ranges(content, source, request, chosen, threads, file)
        return content, None, clipped
    if request.quantize == "mixed":
        content, mixed = to_mixed_tflite(model, request, source, chosen, evaluation, threads)
    else:
        content = to_tflite(
            model, request, chosen.images, source.from_logits, source.card.multi_label
        )
    if request.quantize == "int8" and chosen.images:
        content, clipped = with_clipped_ranges(content, source, request, chosen, threads)
    return with_card(content, source.card, HEADS[request.head]), mixed, clipped
