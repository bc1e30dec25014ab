"""Every network trained on real images, in every form that it leaves in: what arrives, how fast.

    python -m benchmarks.edge --data NUCLEI [--runs FOLDER] [--quick]

Networks of which FOLDER holds a finished run (`camvid-segnet` for SegNet, and so on) are taken from
there; of the others a small version trains for some minutes on the images of NUCLEI, in that
folder too, so that a second call goes on. Then every form is exported, and the validation images go
through all files in turn. Last, DeepLabV3+ on MobileNetV2 at 512x512 is timed with 1 and 2 threads.

Writes `edge.json` after every network, goes on from there, and in the end `edge.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import common, own_process

RESULTS = common.RESULTS / "edge.json"
PACKAGES = ("keras-seg", "tensorflow", "keras", "ai-edge-litert", "onnxruntime", "tf2onnx")
KERAS, AWARE = "Keras", "TFLite int8, quantization-aware"
FORMS = {
    "TFLite float32": {},
    "TFLite fp16": {"quantize": "fp16"},
    "TFLite dynamic": {"quantize": "dynamic"},
    "TFLite int8": {"quantize": "int8", "input": "uint8"},
    "TFLite mixed": {"quantize": "mixed"},
    AWARE: {"quantize": "int8", "input": "uint8"},
    "ONNX float32": {"format": "onnx"},
    "ONNX int8": {"format": "onnx", "quantize": "int8"},
}
RUNS = {
    "deeplabv3plus": "camvid-deeplabv3plus",
    "segnet": "camvid-segnet",
    "unet": "nuclei-unet",
    "unetplusplus": "nuclei-unetplusplus",
}
SMALL = {
    "danet": {
        "backbone": "resnet18",
        "backbone_weights": None,
        "backbone_options": {"width": 16},
        "multi_grid": [4, 8],
    },
    "deconvnet": {
        "widths": [[16, 16], [32, 32], [64, 64, 64], [64, 64, 64], [64, 64, 64]],
        "fc": 0,
    },
    "deeplabv3plus": {"channels": 64, "backbone_weights": None},
    "gridnet": {"features": [8, 16, 24, 32, 48], "columns": 4, "dropout": 0.0},
    "hrnet": {"backbone": "hrnet_w18_small_v1", "backbone_weights": None},
    "icnn": {},
    "ocrnet": {
        "backbone": "hrnet_w18_small_v1",
        "backbone_weights": None,
        "mid_channels": 128,
        "key_channels": 64,
    },
    "resunet": {"widths": [16, 32, 64, 128]},
    "resunetplusplus": {"widths": [8, 16, 32, 64, 128]},
    "segnet": {"widths": [[16, 16], [32, 32], [64, 64, 64], [64, 64, 64], [64, 64, 64]]},
    "segnet_basic": {"widths": [16, 16, 16, 16]},
    "unet": {"widths": [16, 32, 64, 128, 256]},
    "unetplusplus": {"widths": [8, 16, 32, 64, 128]},
}
SIZE = 128
LARGE = 512
LARGE_FORMS = {
    "TFLite int8, uint8 in, classes out": ("tflite", "int8", "uint8", "argmax"),
    "TFLite float32": ("tflite", None, "float32", "logits"),
    "ONNX int8": ("onnx", "int8", "float32", "logits"),
    "ONNX float32": ("onnx", None, "float32", "logits"),
}


def main() -> None:
    options = parse()
    if options.worker:
        own_process.answer(measure(**json.loads(options.worker)))
        return
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "rows": {},
        "large": None,
    }
    if options.output.exists() and not options.fresh:
        old = json.loads(options.output.read_text())
        if old["versions"] == record["versions"]:
            record |= {key: old[key] for key in ("rows", "large")}
    for name in options.networks:
        if "error" in record["rows"].get(name, {"error": ""}):
            record["rows"][name] = ask(name, options)
            write_json(options.output, record)
    large = options.runs / RUNS["deeplabv3plus"] / "model.keras"
    if record["large"] is None and large.exists():
        record["large"] = ask("", options, large=str(large))
        write_json(options.output, record)
    common.write(options.output, record, markdown(record))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="builtin:cells", help="what the small versions train on")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of training runs")
    parser.add_argument("--networks", nargs="+", default=sorted(SMALL), choices=sorted(SMALL))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=int, default=40, help="validation images, at most")
    parser.add_argument("--quick", action="store_true", help="a few steps, a few images")
    parser.add_argument("--fresh", action="store_true", help="measure finished networks again")
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if options.quick else RESULTS.parent
    options.output = options.output or folder / RESULTS.name
    return options


def ask(network: str, options, **facts) -> dict:
    """Measures one network in a process of its own; {"error": ...} if that fails."""
    facts |= {
        "network": network,
        "data": options.data,
        "runs": str(options.runs),
        "threads": options.threads,
        "images": 4 if options.quick else options.images,
        "quick": options.quick,
    }
    print(network or f"DeepLabV3+ at {LARGE}x{LARGE}", flush=True)
    return own_process.ask("benchmarks.edge", ["--worker", json.dumps(facts)], timeout=3600)


def measure(network, data, runs, threads, images, quick, large=None) -> dict:
    from keras_seg.training.allocator import keep_freed_memory

    keep_freed_memory()
    if large:
        return time_large(Path(large), threads, quick)
    run = Path(runs) / RUNS.get(network, "")
    if network not in RUNS or not (run / "model.keras").exists():
        run = trained(network, data, Path(runs) / f"edge-{network}", quick)
    aware = trained_on(run, run.with_name(f"{run.name}_int8"), quick)
    return compared(run / "model.keras", aware, threads, images)


def trained(network: str, data: str, run: Path, quick: bool) -> Path:
    """The folder of a small version's training, which goes on if it was begun."""
    from keras_seg.training import Recipe, train

    recipe = Recipe(
        data=data,
        output=str(run),
        model=network,
        model_options=SMALL[network],
        resize=(SIZE, SIZE),
        crop=(SIZE, SIZE),
        batch_size=8,
        epochs=1 if quick else 5,
        steps_per_epoch=2 if quick else 30,
        learning_rate=2e-3,
        overlays=0,
    )
    train(recipe)
    return run


def trained_on(run: Path, output: Path, quick: bool) -> Path | str:
    """model.keras of a short training with roundings, or why there is none."""
    from keras_seg.export import ExportError, quantization_aware
    from keras_seg.training import train
    from keras_seg.training.run_folder import recipe_beside

    recipe = recipe_beside(run / "model.keras")
    tuned = replace(
        recipe,
        output=str(output),
        initial_weights=str(run / "model.keras"),
        epochs=1 if quick else 2,
        steps_per_epoch=2 if quick else 15,
        learning_rate=0.1 * recipe.learning_rate,
        schedule_options=replace(recipe.schedule_options, warmup_epochs=0.0),
        max_minutes=None,
        overlays=0,
    )
    try:
        train(tuned, rewrite=quantization_aware)
    except (ExportError, ValueError) as error:
        return str(error)
    return output / "model.keras"


def compared(path: Path, aware: Path | str, threads: int, images: int) -> dict:
    """Form → what was measured of it, or {"refused": why}, the Keras model first."""
    from keras_seg import inference
    from keras_seg.inference.keras_runner import KerasRunner
    from keras_seg.models import load, read_card
    from keras_seg.training.run_folder import evaluation_data, recipe_beside

    recipe = recipe_beside(path)
    dataset = evaluation_data(path, None, "val", recipe.channels)
    rows, runners = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, form in FORMS.items():
            source = aware if name == AWARE else path
            file = Path(folder) / f"{len(rows)}.{form.get('format', 'tflite')}"
            report = source if isinstance(source, str) else exported(source, file, form)
            if isinstance(report, str):
                rows[name] = {"refused": report}
                continue
            rows[name] = {
                "export_s": round(report.seconds, 1),
                "partitions": report.audit.partitions,
                "undelegated": report.audit.undelegated,
                "islands": list(report.audit.islands),
                "kept_float": [str(kept) for kept in report.mixed.kept] if report.mixed else [],
            }
            runners[name] = inference.load(file, threads=threads)
        shape = next(iter(runners.values())).input_shape
        keras_runner = KerasRunner(load(path), read_card(path), path=path, input_shape=shape)
        together = inference.compare({KERAS: keras_runner, **runners}, dataset, limit=images)
    rows = {KERAS: {}, **rows}
    for name, evaluation in together.evaluations.items():
        rows[name] |= {
            "miou": evaluation.miou,
            "agreement": together.agreement.get(name),
            "size_bytes": evaluation.size_bytes,
            "median_ms": round(evaluation.latency_ms_median, 2),
            "p90_ms": round(evaluation.latency_ms_p90, 2),
        }
    return {
        "data": Path(recipe.data).name,
        "images": together.evaluations[KERAS].images,
        "input_shape": list(shape),
        "parameters": int(keras_runner.model.count_params()),
        "files": rows,
    }


def exported(path: Path, file: Path, form: dict):
    """The report of an export that may lose whatever it loses, or why it was refused."""
    from keras_seg.export import ExportError
    from keras_seg.export.command import export_run

    words = {"format": "tflite", "quantize": None, "input": "float32", "head": "logits"} | form
    mixed = words["quantize"] == "mixed"  # its search needs the bound and more images
    try:
        return export_run(
            path,
            output=file,
            input_shape=None,
            data=None,
            max_drop=1.0 if mixed else 100.0,
            sizing="auto",
            limit=20 if mixed else 4,  # the whole comparison follows
            **words,
        )
    except (ExportError, ValueError) as error:
        return str(error).splitlines()[0]


def time_large(path: Path, threads: int, quick: bool) -> dict:
    """Threads → form → milliseconds of one file after the other, in turns."""
    from keras_seg import inference
    from keras_seg.export.command import export_run
    from keras_seg.training.run_folder import evaluation_data

    pixels = evaluation_data(path, None, "val", 3)[0].image
    image = np.asarray(Image.fromarray(pixels).resize((LARGE, LARGE)))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, (format, quantize, input, head) in LARGE_FORMS.items():
            files[name] = Path(folder) / f"{len(files)}.{format}"
            export_run(
                path,
                output=files[name],
                format=format,
                quantize=quantize,
                input_shape=[LARGE, LARGE],
                input=input,
                head=head,
                data=None,
                max_drop=100.0,
                sizing="auto",
                limit=2,
            )
        sizes = {name: file.stat().st_size for name, file in files.items()}
        for count in sorted({1, threads}):
            runners = {name: inference.load(file, threads=count) for name, file in files.items()}
            samplers = {
                name: (lambda runner=runner: common.milliseconds(lambda: runner.run(image)))
                for name, runner in runners.items()
            }
            found[str(count)] = common.interleaved(samplers, repeats=5 if quick else 40)
    return {"size_bytes": sizes, "threads": found}


def write_json(path: Path, record: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def markdown(record: dict) -> str:
    parts = [
        "# At the edge\n\n"
        f"{common.machine_line(record)} Small versions, trained on real images from random values; "
        "mIoU of their validation images. Latency of the network alone, one image at a time, files "
        "in turn, median / 90th percentile. TFLite by LiteRT with XNNPACK, ONNX by onnxruntime.\n"
    ]
    header = (
        *("file", "mIoU %", "points lost", "same class %", "MB", "ms", "x Keras"),
        "not in XNNPACK",
    )
    for name, row in record["rows"].items():
        if "error" in row:
            parts.append(f"## {name}\n\nFailed: {row['error']}\n")
            continue
        height, width, _ = row["input_shape"]
        parts.append(
            f"## {name}: {row['data']}, {height}x{width}, {row['images']} images, "
            f"{row['parameters']:,} parameters\n"
        )
        files = row["files"]
        parts.append(
            common.markdown_table(
                header, [cells(form, file, files[KERAS]) for form, file in files.items()]
            )
        )
        parts += [
            f"{form}: {note}.\n"
            for form, file in files.items()
            for note in (file.get("refused"), "; ".join(file.get("kept_float", ())))
            if note
        ]
    if record["large"] and "error" not in record["large"]:
        parts.append(f"## DeepLabV3+ on MobileNetV2, {LARGE}x{LARGE}\n")
        parts.append(large_table(record["large"]))
    return "\n".join(parts)


def cells(form: str, file: dict, keras_file: dict) -> list[str]:
    if "refused" in file:
        return [form, "refused", "", "", "", "", "", ""]
    left = ", ".join(f"{name} x {count}" for name, count in (file.get("undelegated") or {}).items())
    partitions = file.get("partitions")
    return [
        form,
        f"{100 * file['miou']:.2f}",
        "" if form == KERAS else f"{100 * (keras_file['miou'] - file['miou']):.2f}",
        "" if file["agreement"] is None else f"{100 * file['agreement']:.2f}",
        f"{file['size_bytes'] / 1e6:.2f}",
        f"{file['median_ms']:.1f} / {file['p90_ms']:.1f}",
        f"{keras_file['median_ms'] / file['median_ms']:.2f}",
        "" if partitions is None else left or "nothing",
    ]


def large_table(large: dict) -> str:
    best = "TFLite int8, uint8 in, classes out"
    rows = [
        [
            form,
            f"{large['size_bytes'][form] / 1e6:.2f}",
            *(
                f"{timed[form]['median_ms']:.1f} / {timed[form]['p90_ms']:.1f} "
                f"({timed[form]['median_ms'] / timed[best]['median_ms']:.2f})"
                for timed in large["threads"].values()
            ),
        ]
        for form in large["size_bytes"]
    ]
    counts = [
        f"ms, {count} thread{'s' if count != '1' else ''} (x int8)" for count in large["threads"]
    ]
    return common.markdown_table(("file", "MB", *counts), rows)


if __name__ == "__main__":
    main()
