"""`keras-seg export`: writes a TFLite or ONNX file and proves it equal."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from keras_seg.cli.checks import check_apart, check_counts
from keras_seg.cli.output import DONE, REFUSED, complain, say, write_json
from keras_seg.cli.verbs.verb import Verb


def export_verb(
    file: Path,
    output: Path | None = None,
    format: Literal["tflite", "onnx"] | None = None,
    quantize: Literal["none", "fp16", "dynamic", "int8", "int16x8", "mixed"] = "none",
    input_shape: list[int] | None = None,
    input: Literal["float32", "uint8", "int8"] = "float32",
    head: Literal["logits", "probabilities", "argmax", "fused_argmax"] | None = None,
    data: str | None = None,
    max_drop: float = 1.0,
    sizing: Literal["auto", "resize", "tile"] = "auto",
    limit: int | None = None,
    layout: Literal["nhwc", "nchw"] = "nhwc",
    subpixel: bool = True,
    json_file: Path | None = None,
    scores: Literal["logits", "probabilities"] | None = None,
    multi_label: bool | None = None,
) -> int:
    """Write a trained model as one TFLite or ONNX file and prove it equal.

    Args:
        file: the trained model, a .keras file.
        output: file to write; by default beside the model, named after format and quantization.
        format: tflite or onnx; by default from the suffix of output, else tflite.
        quantize: weights and arithmetic of the file; mixed keeps in float what int8 hurts most.
        input_shape: height and width in pixels; by default what the run was trained with.
        input: type of the image that the file takes; uint8 takes camera pixels, int8 the same less
            128, for int8 and mixed files.
        head: what the file puts out; by default what the model does, logits or probabilities.
            argmax is a uint8 class map, fused_argmax one that is decided at the resolution of the
            network's head and repeated: faster, with coarser borders.
        data: calibrates (training split) and evaluates (validation split); by default the data of
            the run that the model lies in. Of a folder of images without masks the file is
            calibrated, and its accuracy stays unmeasured.
        max_drop: largest loss of mIoU, in points, with which a file passes that is quantized or has
            head fused_argmax.
        sizing: how images meet the file's size.
        limit: evaluate on this many images; all by default.
        layout: order of the axes of image and scores; nchw for ONNX only.
        subpixel: whether up-sampling is part of the convolutions beside it: faster, but false for
            devices without DEPTH_TO_SPACE.
        json_file: file to write the report to; by default FILE.json beside a file in its run.
        scores: what a foreign model puts out; by default what its graph shows.
        multi_label: whether a pixel may have several labels, of a foreign model.
    """
    check_apart(file=file, output=output, json_file=json_file)
    check_counts(limit=limit)
    from keras_seg.export import GateError
    from keras_seg.export.run_folder import export_run
    from keras_seg.training.recipe import RECIPE_NAME

    try:
        report = export_run(
            file,
            output=output,
            format=format,
            quantize=None if quantize == "none" else quantize,
            input_shape=input_shape,
            input=input,
            head=head,
            data=data,
            max_drop=max_drop,
            sizing=sizing,
            limit=limit,
            layout=layout,
            subpixel=subpixel,
            scores=scores,
            multi_label=multi_label,
        )
    except GateError as refusal:
        complain(f"keras-seg export: {refusal}")
        return REFUSED
    say(report.table())
    folder = Path(report.path).parent
    in_its_run = folder.samefile(file.parent) and (folder / RECIPE_NAME).exists()
    if json_file is None and in_its_run:
        json_file = Path(f"{report.path}.json")  # where `keras-seg report` looks
    write_json(json_file, report.to_dict())
    return DONE


VERB = Verb(export_verb)
