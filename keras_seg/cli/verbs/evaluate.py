"""`keras-seg evaluate`: measures a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from keras_seg.cli.checks import check_apart, check_counts
from keras_seg.cli.output import DONE, say, write_json
from keras_seg.cli.verbs.verb import Verb


def evaluate_verb(
    file: Path,
    data: str | None = None,
    split: Literal["train", "val"] = "val",
    sizing: Literal["auto", "resize", "tile"] = "auto",
    threads: int | None = None,
    limit: int | None = None,
    json_file: Path | None = None,
    scores: Literal["logits", "probabilities"] | None = None,
    multi_label: bool | None = None,
    threshold: float = 0.5,
    instances: bool = False,
    min_area: int = 0,
    split_touching: Literal["distance"] | None = None,
) -> int:
    """Measure a .keras, .tflite or .onnx file: mIoU, latency and size.

    Args:
        file: the model.
        data: folder or built-in data set; by default the data of the run that the file is in.
        split: part of the data.
        sizing: how a network of fixed size processes other images: resized, or in overlapping
            tiles. auto resizes if the training did, and for models of other origin.
        threads: number of CPU threads; all by default.
        limit: number of images to use; all by default.
        json_file: file for the result as JSON.
        scores: output of a model that keras-seg did not write; by default read from its graph.
        multi_label: whether a pixel may have several labels, for a model that keras-seg did not
            write.
        threshold: smallest probability of a label, or of the second of two classes.
        min_area: smallest number of pixels of a predicted object, for --instances.
        split_touching: distance separates touching objects at the necks of their region, for
            --instances.
    """
    check_apart(file=file, json_file=json_file)
    check_counts(threads=threads, limit=limit)
    from keras_seg import inference
    from keras_seg.inference.instance_map import instance_options
    from keras_seg.training.run_folder import evaluation_data

    objects = instance_options(instances, min_area, split_touching)
    runner = inference.load(file, threads=threads, scores=scores, multi_label=multi_label)
    dataset = evaluation_data(
        file,
        data,
        split,
        runner.input_shape[2],
        value_range=runner.card.value_range,
        nodata=runner.card.nodata,
    )
    result = inference.evaluate(
        runner,
        dataset,
        sizing=sizing,
        limit=limit,
        threshold=threshold,
        instances=objects,
    )
    say(result.table())
    write_json(json_file, result.to_dict())
    return DONE


VERB = Verb(
    evaluate_verb,
    arguments={
        "--instances": {
            "action": "store_true",
            "help": "also measure the average precision of the objects, as the Data Science Bowl "
            "2018 does",
        },
    },
)
