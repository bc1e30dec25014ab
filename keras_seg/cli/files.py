"""Verbs that make files of a network for other places."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from keras_seg.cli.answers import (
    DONE,
    REFUSED,
    check_apart,
    complain,
    say,
    write_json,
)

FLOAT32 = "none"
"""`--quantize none`: the file is not quantized."""


def export_verb(
    file: Path,
    output: Path | None = None,
    data: str | None = None,
    json_file: Path | None = None,
    **options: Any,
) -> int:
    """Write a trained model as one TFLite or ONNX file and prove it equal.

    Args:
        file: the trained model, a .keras file.
        output: file to write; by default beside the model, named after format and quantization.
        data: calibrates (training split) and evaluates (validation split); by default the data of
            the run that the model is in. With a folder of images without masks the file is
            calibrated, and its accuracy is not measured.
        json_file: file to write the report to; by default FILE.json beside a file in its run.
        options: fields of `keras_seg.export.ExportOptions`.
    """
    check_apart(file=file, output=output, json_file=json_file)
    from keras_seg.export.options import ExportOptions

    if options["quantize"] == FLOAT32:
        options["quantize"] = None
    options = ExportOptions(**options)
    from keras_seg.export import GateError
    from keras_seg.export.run_folder import export_run
    from keras_seg.training.recipe import RECIPE_NAME

    try:
        report = export_run(file, options, output=output, data=data)
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
