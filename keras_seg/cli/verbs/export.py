"""`keras-seg export`: writes a TFLite, ONNX or Core ML file and compares it with the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from keras_seg.cli.checks import check_apart, check_data
from keras_seg.cli.output import DONE, REFUSED, complain, say, write_json
from keras_seg.cli.verbs.verb import Verb, add_signature
from keras_seg.model_paths import check_model_path

if TYPE_CHECKING:  # takes most of the time of `keras-seg --help`
    from jsonargparse import ArgumentParser

FLOAT32 = "none"
"""`--quantize none`: the file is not quantized."""


def export_verb(
    file: Path,
    output: Path | None = None,
    data: str | None = None,
    json_file: Path | None = None,
    **options: Any,
) -> int:
    """Write a trained model as a TFLite, ONNX or Core ML file, and compare it with the model.

    Args:
        file: the trained model, a .keras file, or nuclei, the model of the package.
        output: file to write; by default beside the model, named after format and quantization.
        data: calibrates (training split) and evaluates (validation split); by default the data of
            the run that the model is in. With a folder of images without masks the file is
            calibrated, and its accuracy is not measured.
        json_file: file for the report, or - for standard output; by default FILE.json beside
            a file in its run.
        options: fields of `keras_seg.export.ExportOptions`.
    """
    check_apart(file=file, output=output, json_file=json_file)
    from keras_seg.export.options import ExportOptions

    if options["quantize"] == FLOAT32:
        options["quantize"] = None
    options = ExportOptions(**options)
    check_model_path(file, exported=False)
    check_data(data)
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


def add_export_options(verb: Verb, parser: ArgumentParser) -> None:
    """Adds the arguments of the verb, and the fields of `ExportOptions` with their docstring."""
    from keras_seg.export.options import ExportOptions, choices

    types = get_type_hints(ExportOptions)
    for option, names in choices().items():
        literal = Literal[tuple(filter(None, names))]
        types[option] = literal | None if None in names else literal
    fields = {field.name: field.default for field in dataclasses.fields(ExportOptions)}
    types["quantize"] = Literal[FLOAT32, *filter(None, choices()["quantize"])]
    fields["quantize"] = FLOAT32
    types["input_shape"] = list[int | None] | None
    types["threshold"] = float | list[float] | None
    add_signature(verb, parser, skip=fields)
    del fields["board"]
    parser.add_argument("--board", action="store_true", help=_help_of("board", ExportOptions))
    arguments = dataclasses.make_dataclass(
        ExportOptions.__name__,
        [(option, types[option], default) for option, default in fields.items()],
        namespace={"__doc__": ExportOptions.__doc__},
    )
    parser.add_class_arguments(arguments)


def _help_of(option: str, record: type) -> str:
    """What the docstring of a record says about one of its fields."""
    import docstring_parser

    parameters = docstring_parser.parse(record.__doc__ or "").params
    text = next(each.description for each in parameters if each.arg_name == option)
    return " ".join((text or "").split())


VERB = Verb(
    export_verb,
    backends=("tensorflow",),
    define=add_export_options,
    topics={
        "File": (
            *("output", "format", "quantize", "input_shape", "input", "head", "threshold", "board"),
        ),
        "Spelling for a device": ("target", "layout", "batch", "opset", "subpixel"),
        "Comparison with the model": (
            *("data", "max_drop", "sizing", "limit", "threads", "json_file"),
        ),
        "A model that keras-seg did not write": ("scores", "multi_label"),
    },
)
