"""`keras-seg <verb>`: the command line. TensorFlow is imported when a verb needs it."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Literal

import jsonargparse
from rich.console import Console
from rich.table import Table

from keras_seg.drafts import write_text
from keras_seg.training.presets import list_presets, preset_path, summary
from keras_seg.training.recipe import Recipe, read_yaml
from keras_seg.training.records import check_keys
from keras_seg.version import __version__

DONE, REFUSED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, ImportError)  # the last: extras


def main(argv: list[str] | None = None) -> int:
    """Runs one verb and returns its exit code: 0 done, 1 refused, 2 wrong input."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = make_parser()
    try:
        options = parser.parse_args(argv)
    except ValueError as error:  # of a recipe file or preset
        _complain(f"keras-seg: {error}")
        return WRONG_INPUT
    verb = options.verb
    try:
        arguments = vars(parser.instantiate_classes(options)[verb])
        arguments.pop("config", None)
        return train_verb(Recipe(**arguments)) if verb == "train" else VERBS[verb](**arguments)
    except KeyboardInterrupt:
        _complain("keras-seg: interrupted; nothing that was saved is lost.")
        return INTERRUPTED
    except EXPECTED_ERRORS as error:
        if options.traceback:
            traceback.print_exc()
        _complain(f"keras-seg {verb}: {error}")
        return WRONG_INPUT


def make_parser() -> jsonargparse.ArgumentParser:
    parser = jsonargparse.ArgumentParser(
        prog="keras-seg",
        description="Train segmentation networks, export them, and prove the files equal.",
        version=__version__,
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )
    verbs = parser.add_subcommands(dest="verb", metavar="VERB")
    train_parser = jsonargparse.ArgumentParser(description="Train a network from a recipe.")
    train_parser.add_argument(
        "--config",
        "--preset",
        action=RecipeFile,
        help="YAML file with the same words, or a name of `keras-seg presets`; flags win",
    )
    train_parser.add_class_arguments(Recipe)
    verbs.add_subcommand("train", train_parser, help="images and masks in, model.keras out")
    for name, function in VERBS.items():
        summary = function.__doc__.splitlines()[0]
        verb_parser = jsonargparse.ArgumentParser(description=summary)
        explicit = EXPLICIT.get(name, {})
        skipped = {argument.lstrip("-") for argument in explicit}
        verb_parser.add_function_arguments(function, as_positional=True, skip=skipped)
        for argument, options in explicit.items():
            verb_parser.add_argument(argument, **options)
        verbs.add_subcommand(name, verb_parser, help=summary.rstrip(".").lower())
    return parser


class RecipeFile(jsonargparse.ActionConfigFile):
    """A recipe file or a preset's name; unknown entries are answered with the nearest."""

    def __call__(self, parser, cfg, values, option_string=None):
        if option_string == "--preset":
            values = str(preset_path(values))
        if Path(values).is_file():
            check_keys(read_yaml(values), Recipe, f"entry of {values}")
        super().__call__(parser, cfg, values, option_string)


def train_verb(recipe: Recipe) -> int:
    # By itself TensorFlow takes the faster convolutions only on processors with AVX-512.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from keras_seg import training

    return _report_training(training.train(recipe), recipe.output)


def _report_training(result, output) -> int:
    console = Console()
    if result.finished and not result.new_steps:
        console.print(f"{output} was finished before; --overwrite true trains anew.")
    if result.interrupted:
        console.print(f"Interrupted after {result.epochs} epochs.")
    if not result.finished:
        console.print("The same command goes on from the last checkpoint.")
    if result.model_path is None:
        console.print("No epoch was completed, so no model was saved.")
        return INTERRUPTED if result.interrupted else REFUSED
    console.print(
        f"Best validation mIoU {result.best_miou:.4f} in epoch {result.best_epoch}: "
        f"{result.model_path}"
    )
    return INTERRUPTED if result.interrupted else DONE


def export_verb(
    file: Path,
    output: Path | None = None,
    format: Literal["tflite", "onnx"] | None = None,
    quantize: Literal["none", "fp16", "dynamic", "int8", "int16x8", "mixed"] = "none",
    input_shape: list[int] | None = None,
    input: Literal["float32", "uint8"] = "float32",
    head: Literal["logits", "probabilities", "argmax", "fused_argmax"] = "logits",
    data: str | None = None,
    max_drop: float = 1.0,
    sizing: Literal["auto", "resize", "tile"] = "auto",
    limit: int | None = None,
    layout: Literal["nhwc", "nchw"] = "nhwc",
    json_file: Path | None = None,
) -> int:
    """Write a trained model as one TFLite or ONNX file and prove it equal.

    Args:
        file: the trained model, a .keras file.
        output: file to write; by default beside the model, named after format and quantization.
        format: tflite or onnx; by default from the suffix of output, else tflite.
        quantize: weights and arithmetic of the file; mixed keeps in float what int8 hurts most.
        input_shape: height and width in pixels; by default what the run was trained with.
        input: type of the image that the file takes; uint8 takes camera pixels.
        head: what the file puts out; argmax is a uint8 class map, fused_argmax one that is decided
            at the resolution of the network's head and repeated: faster, with coarser borders.
        data: calibrates (training split) and evaluates (validation split); by default the data of
            the run that the model lies in.
        max_drop: largest loss of mIoU, in points, with which a file passes that is quantized or has
            head fused_argmax.
        sizing: how images meet the file's size.
        limit: evaluate on this many images; all by default.
        layout: order of the axes of image and scores; nchw for ONNX only.
        json_file: file to write the report to; by default FILE.json beside a file in its run.
    """
    from keras_seg.export import GateError
    from keras_seg.export.command import export_run
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
        )
    except GateError as refusal:
        _complain(f"keras-seg export: {refusal}")
        return REFUSED
    Console().print(report.table())
    folder = Path(report.path).parent
    in_its_run = folder.samefile(file.parent) and (folder / RECIPE_NAME).exists()
    if json_file is None and in_its_run:
        json_file = Path(f"{report.path}.json")  # where `keras-seg report` looks
    _write_json(json_file, report.to_dict())
    return DONE


def quantize_aware_verb(
    file: Path,
    output: Path | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
) -> int:
    """Train a trained model on with the roundings of int8, for files that lose less.

    Args:
        file: the trained model.keras, in the folder of its run.
        output: folder of the new run; by default beside the first, its name with _int8.
        epochs: passes over the training images; by default a tenth of the run's.
        learning_rate: at the first step; by default a tenth of the run's.
    """
    from keras_seg.export.command import beside, train_quantized

    output = output or beside(file)
    return _report_training(train_quantized(file, output, epochs, learning_rate), output)


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
        file: the checkpoint: .pth, .pt, .safetensors, .npz or .h5.
        source: public repository that the checkpoint comes from.
        output: .keras file to write.
        input_shape: height, width and channels of the image, null for a free size.
        options: arguments of the network's builder, such as `--options.preprocessing imagenet`;
            by default images are expected as the repository normalises them.
        classes: a name for each mask value; numbered by default.
    """
    from keras_seg.checkpoints.command import convert_file, summary

    model = convert_file(
        file, source, output, input_shape=tuple(input_shape), options=options, classes=classes
    )
    Console().print(f"{summary(model)}\nsaved as    {output}", highlight=False)
    return DONE


def evaluate_verb(
    file: Path,
    data: str | None = None,
    split: Literal["train", "val"] = "val",
    sizing: Literal["auto", "resize", "tile"] = "auto",
    threads: int | None = None,
    limit: int | None = None,
    json_file: Path | None = None,
) -> int:
    """Measure a .keras, .tflite or .onnx file: mIoU, latency, size.

    Args:
        file: the model.
        data: folder or built-in data set; by default the data of the run that the file lies in.
        split: part of the data.
        sizing: how images meet a network of fixed size.
        threads: CPU threads; all by default.
        limit: use this many images; all by default.
        json_file: file to write the result to.
    """
    from keras_seg import inference
    from keras_seg.training.run_folder import evaluation_data

    runner = inference.load(file, threads=threads)
    dataset = evaluation_data(file, data, split, runner.input_shape[2])
    result = inference.evaluate(runner, dataset, sizing=sizing, limit=limit)
    Console().print(result.table())
    _write_json(json_file, result.to_dict())
    return DONE


def predict_verb(
    file: Path,
    inputs: list[str],
    output: Path = Path("predictions"),
    sizing: Literal["auto", "resize", "tile"] = "auto",
    flips: Literal["none", "horizontal", "both"] = "none",
    scales: tuple[float, ...] = (1.0,),
    polygons: Literal["geojson", "coco"] | None = None,
    overlay: bool = False,
    probabilities: bool = False,
    uncertainty: bool = False,
    proposals: Literal["max", "mean"] | None = None,
    parts: dict[str, Path] | None = None,
    face_size: list[int] | None = None,
    overwrite: bool = False,
    frames: int | None = None,
    threads: int | None = None,
) -> int:
    """Write palette masks of images, folders, patterns, videos, a camera.

    Args:
        file: the model: .keras, .tflite or .onnx.
        inputs: image or video files, folders, patterns, camera:0.
        output: folder for X_mask.png, and what else is asked for, of each image X.
        sizing: how images meet a network of fixed size.
        flips: average over mirror images.
        scales: average over the image at these times its size, such as [0.75,1,1.25].
        polygons: outlines of the regions, as X.geojson or as one coco.json.
        proposals: DeconvNet's ensemble: the largest, or mean, score over parts of the image.
        parts: .keras files of iCNN's second stage, as `--parts.eyes eyes.keras`; file is the first.
        face_size: height and width of the faces that the parts were cut from in training.
        frames: at most so many of each video or camera; all by default.
        threads: CPU threads; all by default.
    """
    from keras_seg import inference
    from keras_seg.inference.files import predict_files
    from keras_seg.inference.outputs import Wanted

    plain = flips == "none" and tuple(scales) == (1.0,)
    if parts is None:
        if face_size is not None:
            raise ValueError("face_size belongs to face parsing. Give --parts, or leave it out.")
        runner = inference.load(file, threads=threads)
    else:
        size = None if face_size is None else tuple(face_size)
        runner = inference.load_face_parser(file, parts, face_size=size, threads=threads)
    result = predict_files(
        runner,
        inputs,
        output,
        sizing=sizing,
        tta=None if plain else inference.TestTimeAugmentation(flips, tuple(scales)),
        wanted=Wanted(overlay, probabilities, uncertainty, polygons),
        overwrite=overwrite,
        frames=frames,
        proposals=proposals,
    )
    total = result.done + result.skipped + len(result.failed)
    before = f", {result.skipped} of them before" if result.skipped else ""
    done = result.done + result.skipped
    Console().print(f"{done} of {total} predicted{before}: {output}", soft_wrap=True)
    for message in result.failed:
        _complain(f"keras-seg predict: {message}")
    return REFUSED if result.failed else DONE


def report_verb(
    run: Path, output: Path | None = None, data: str | None = None, limit: int | None = None
) -> int:
    """Write one HTML page of a run: curves, classes, images, files, recipe.

    Args:
        run: folder of the run.
        output: HTML file; by default report.html in the run.
        data: folder or built-in data set; by default the data of the run.
        limit: look at this many validation images; all by default.
    """
    from keras_seg import inference
    from keras_seg.report.page import write_report
    from keras_seg.training.run_folder import MODEL_NAME, evaluation_data

    output = output or run / "report.html"
    runner = inference.load(run / MODEL_NAME)
    dataset = evaluation_data(run / MODEL_NAME, data, "val", runner.input_shape[2])
    write_report(run, output, runner, dataset, limit=limit)
    Console().print(f"Report: {output}", soft_wrap=True)
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
    Console().print(
        f"{output}: a page for any static server. Try it: python -m http.server -d {output}",
        highlight=False,
        soft_wrap=True,
    )
    return DONE


def verify_verb(data: str, channels: int = 3, json_file: Path | None = None) -> int:
    """Check images and masks: pairs, sizes, values, damage, duplicates, balance.

    Args:
        data: folder, built-in data set, or kind:FOLDER in an official layout.
        channels: of the images.
        json_file: file to write the report to.
    """
    from keras_seg.data import verify, verify_report

    report = verify.verify_dataset(data, channels=channels)
    Console().print(verify_report.to_text(report))
    _write_json(json_file, verify_report.to_dict(report))
    return REFUSED if report.errors else DONE


def demo_verb(output: Path = Path("keras-seg-demo"), epochs: int = 14) -> int:
    """Train, evaluate, export and prove a small U-Net on the built-in cells.

    Args:
        output: folder for everything that the demo makes.
        epochs: passes over the built-in training images.
    """
    from keras_seg.demo import run_demo

    return DONE if run_demo(output, epochs=epochs) else REFUSED


def presets_verb() -> int:
    """List the recipes of the papers that train --preset takes."""
    table = Table("preset", "trains", box=None)
    for name in list_presets():
        table.add_row(name, summary(name))
    Console().print(table)
    return DONE


def models_verb(
    name: str | None = None,
    plot: Path | None = None,
    input_shape: list[int] = (256, 256, 3),
    options: dict | None = None,
) -> int:
    """List networks and encoders with their sizes, or show and draw one network.

    Args:
        name: a network; all networks and encoders if it is left out.
        plot: .svg, .png or .pdf file to draw its blocks into.
        input_shape: height, width and channels of the image that it is built for.
        options: arguments of its builder, such as `--options.backbone resnet50`.
    """
    from keras_seg import overview

    if name is None:
        if plot is not None or options:
            raise ValueError("--plot and --options are for one network: keras-seg models unet ...")
        for table in overview.tables():
            Console().print(table)
    else:
        text = overview.describe(name, tuple(input_shape), options or {}, plot)
        Console().print(text, highlight=False, soft_wrap=True)
    return DONE


# Functions are not called like rooms of the package, because jsonargparse looks a function up under
# every shorter path that its name could have, which would load those rooms for `--help`.
VERBS = {
    "convert": convert_verb,
    "presets": presets_verb,
    "export": export_verb,
    "quantize-aware": quantize_aware_verb,
    "evaluate": evaluate_verb,
    "predict": predict_verb,
    "report": report_verb,
    "web": web_verb,
    "verify-dataset": verify_verb,
    "demo": demo_verb,
    "models": models_verb,
}
EXPLICIT = {
    "models": {"name": {"nargs": "?", "type": str, "help": "a network; all if left out"}},
    "convert": {
        "--source": {"type": str, "required": True, "help": "repository it comes from"},
        "--output": {"type": Path, "required": True, "help": ".keras file to write"},
    },
    "predict": {
        "inputs": {
            "nargs": "+",
            "type": str,
            "help": "image or video files, folders, patterns, camera:0",
        },
        "--overlay": {"action": "store_true", "help": "also the colours over the image"},
        "--probabilities": {"action": "store_true", "help": "also of the classes, as .npz"},
        "--uncertainty": {"action": "store_true", "help": "also of a Bayesian network, as .png"},
        "--overwrite": {"action": "store_true", "help": "also what was finished before"},
    },
}
"""Arguments that signatures cannot tell: lists of positions, and options without a default."""


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _write_json(path: Path | None, record: dict) -> None:
    if path is not None:
        write_text(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
