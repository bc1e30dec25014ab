"""Verbs that make files of a network for other places."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from keras_seg.cli.answers import (
    DONE,
    REFUSED,
    check_apart,
    check_counts,
    complain,
    say,
    write_json,
)


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


def convert_verb(
    file: Path,
    source: str,
    output: Path,
    input_shape: list[int | None] = (None, None, 3),  # as the builders' own default
    options: dict | None = None,
    classes: list[str] | None = None,
) -> int:
    """Turn a published checkpoint into a .keras file.

    Args:
        file: the checkpoint: .pth, .pt, .ckpt, .safetensors, .npz or .h5, or the folder that
            save_pretrained writes, whose config.json is read, too.
        source: public repository that the checkpoint comes from.
        output: .keras file to write.
        input_shape: height, width and channels of the image, null for a free size.
        options: arguments of the network's builder, such as `--options.preprocessing imagenet`;
            by default images are expected as the repository normalises them.
        classes: a name for each mask value; numbered by default.
    """
    check_apart(file=file, output=output)
    from keras_seg.checkpoints.command import convert_file, summary

    model = convert_file(
        file, source, output, input_shape=tuple(input_shape), options=options, classes=classes
    )
    say(f"{summary(model)}\nsaved as    {output}", highlight=False)
    return DONE


def web_verb(
    file: Path,
    output: Path = Path("site"),
    sample: Path | None = None,
    runtime: Path | None = None,
    sizing: Literal["auto", "resize", "tile"] = "auto",
) -> int:
    """Write a static page that runs a .tflite or .onnx file in the browser.

    Args:
        file: the exported model, of a fixed size.
        output: folder of the page; one that this verb wrote before is replaced.
        sample: picture that the page offers to try; drawn shapes by default.
        runtime: node_modules folder with the JavaScript runtime; by default npm brings it.
        sizing: how images meet the network's size.
    """
    from keras_seg.web import write_site

    write_site(file, output, sample=sample, runtime=runtime, sizing=sizing)
    say(
        f"{output}: a page for any static server. Try it: python -m http.server -d {output}",
        highlight=False,
        soft_wrap=True,
    )
    return DONE
