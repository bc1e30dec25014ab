"""`keras-seg evaluate`: measures a model file."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keras_seg.cli.checks import check_apart, check_counts, check_data, check_model
from keras_seg.cli.output import DONE, say, text_on_stderr, write_json
from keras_seg.cli.verbs.verb import Verb
from keras_seg.engines import check_engine

if TYPE_CHECKING:  # imported when a threshold is written
    from keras_seg.card import ModelCard
    from keras_seg.inference.scores import Threshold


def evaluate_verb(
    file: Path,
    data: str | None = None,
    split: Literal["train", "val"] = "val",
    sizing: Literal["auto", "resize", "tile"] = "auto",
    threads: int | None = None,
    workers: int | None = None,
    limit: int | None = None,
    json_file: Path | None = None,
    scores: Literal["logits", "probabilities"] | None = None,
    multi_label: bool | None = None,
    threshold: float | list[float] | None = None,
    search_threshold: Literal["iou", "dice"] | None = None,
    write_threshold: bool = False,
    instances: bool = False,
    min_area: int = 0,
    split_touching: Literal["distance"] | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
) -> int:
    """Measure a .keras, .tflite or .onnx file: mIoU, latency and size.

    Args:
        file: the model.
        data: folder or built-in data set; by default the data of the run that the file is in.
        split: part of the data.
        sizing: how a network of fixed size processes other images: resized, or in overlapping
            tiles. auto resizes if the training did, and for models of other origin.
        threads: number of CPU threads; all by default, and one per process with --engine ray.
        workers: number of images in work at the same time, which share the threads; by default one
            per thread, but at most 8. The latency is measured with one.
        limit: number of images to use; all by default.
        json_file: file for the result as JSON; - for standard output.
        scores: output of a model that keras-seg did not write; by default read from its graph.
        multi_label: whether a pixel may have several labels, for a model that keras-seg did not
            write.
        threshold: probability above which a pixel has a label, or the second of two classes; for
            labels one number, or a list with one per label. By default that of the file, or 0.5.
        search_threshold: find the thresholds with the best IoU of all pixels, or the best mean Dice
            of the images, instead of measuring at one.
        write_threshold: write the given or found threshold into the .keras file.
        min_area: smallest number of pixels of a predicted object, for --instances.
        split_touching: distance separates touching objects at the necks of their region, for
            --instances.
        engine: where images are measured: in this process, or on the machines of a Ray cluster,
            which all have to see the data set.
        address: the cluster, auto or HOST:PORT; by default that of RAY_ADDRESS, or a new one on
            this machine.
    """
    check_apart(file=file, json_file=json_file)
    check_counts(threads=threads, workers=workers, limit=limit)
    check_engine(engine, address)
    if engine != "local" and search_threshold is not None:
        raise ValueError(
            "search_threshold runs in one process. Leave --engine out, or search on a part of the "
            "images: --limit 1000."
        )
    check_model(file)
    check_data(data)
    from keras_seg import inference
    from keras_seg.inference.instance_map import instance_options
    from keras_seg.training.run_folder import evaluation_data

    _check_threshold_options(file, threshold, search_threshold, write_threshold)
    if instances and search_threshold is not None:
        raise ValueError(
            "search_threshold finds the best scores of pixels, and --instances measures objects. "
            "Write the threshold found (--write_threshold), then measure with --instances."
        )
    if workers is not None and search_threshold is not None:
        raise ValueError(
            "search_threshold takes the images one by one. Received: workers="
            f"{workers}. Leave one of them out."
        )
    objects = instance_options(instances, min_area, split_touching)
    runner = inference.load(file, threads=threads, scores=scores, multi_label=multi_label)
    dataset = evaluation_data(
        file,
        data,
        split,
        runner.input_shape[2],
        value_range=runner.card.value_range,
        multi_label=runner.card.multi_label or None,
        nodata=runner.card.nodata,
    )
    options = {"sizing": sizing, "limit": limit}
    chosen: Threshold | None = threshold
    if search_threshold is not None:
        search = inference.search_threshold(runner, dataset, measure=search_threshold, **options)
        chosen = search.threshold
        say(search.table())
        write_json(json_file, search.to_dict())
    else:
        words = {"engine": engine, "address": address, "threads": threads, "workers": workers}
        # Ray writes its own messages to standard output
        with text_on_stderr() if engine != "local" else nullcontext():
            result = inference.evaluate(
                runner, dataset, threshold=threshold, instances=objects, **options, **words
            )
        say(result.table())
        say(result.class_table())
        write_json(json_file, result.to_dict())
    if write_threshold and chosen is not None:
        _write_threshold(file, runner.card, chosen)
    elif search_threshold is not None and chosen is not None:
        say(_how_to_use(file, chosen), soft_wrap=True)
    return DONE


def _check_threshold_options(
    file: Path, threshold: float | list[float] | None, search: str | None, write: bool
) -> None:
    """Raises ValueError for options that exclude each other, before a model is loaded."""
    if search is not None and threshold is not None:
        raise ValueError(
            f"search_threshold={search!r} contradicts threshold={threshold}, which would not be "
            "used. Leave one of them out."
        )
    if write and search is None and threshold is None:
        raise ValueError("write_threshold needs --threshold or --search_threshold.")
    if write and file.suffix.lower() != ".keras":
        raise ValueError(
            f"A threshold is written into a .keras file. Received: {file}. Write it into the "
            ".keras file and export that again, or pass --threshold to predict."
        )


def _how_to_use(file: Path, threshold: Threshold) -> str:
    """What to write so that a threshold that was found is used."""
    if file.suffix.lower() == ".keras":
        return "To use it in predict, evaluate and export: the same line with --write_threshold"
    if isinstance(threshold, float):
        numbers = f"{threshold:g}"
    else:
        numbers = f"'[{','.join(f'{each:g}' for each in threshold)}]'"
    return (
        f"To use it in predict and evaluate: --threshold {numbers}. To have it in the file, export "
        "the .keras file again with the same option."
    )


def _write_threshold(file: Path, card: ModelCard, threshold: Threshold) -> None:
    from keras_seg.models import files

    plain = float(threshold) if isinstance(threshold, int | float) else tuple(threshold)
    files.write_card(file, dataclasses.replace(card, threshold=plain))
    say(f"Written into {file}: predict, evaluate and export use it.", soft_wrap=True)


VERB = Verb(
    evaluate_verb,
    arguments={
        "--instances": {
            "action": "store_true",
            "help": "also measure the average precision of the objects, as the Data Science Bowl "
            "2018 does",
        },
        "--write_threshold": {
            "action": "store_true",
            "help": "write the given or found threshold into the .keras file, so that predict, "
            "evaluate and export use it",
        },
    },
    topics={
        "Images": ("data", "split", "sizing", "limit", "threads", "workers"),
        "Result": ("json_file",),
        "Clusters": ("engine", "address"),
        "Threshold": ("threshold", "search_threshold", "write_threshold"),
        "Objects": ("instances", "min_area", "split_touching"),
        "A model that keras-seg did not write": ("scores", "multi_label"),
    },
)
