"""`keras-seg predict`: writes masks of images and videos."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keras_seg.cli.checks import check_apart, check_counts, check_model
from keras_seg.cli.output import (
    DONE,
    REFUSED,
    STANDARD_STREAM,
    complain,
    say,
    tell,
    text_on_stderr,
)
from keras_seg.cli.streams import (
    as_files,
    as_folder,
    check_standard_output,
    in_typed_names,
)
from keras_seg.cli.verbs.verb import Verb
from keras_seg.engines import check_engine

if TYPE_CHECKING:  # imported when a prediction runs
    from keras_seg.inference.prediction import Runner


def predict_verb(
    file: Path,
    inputs: list[str],
    output: str = "predictions",
    sizing: Literal["auto", "resize", "tile"] = "auto",
    flips: Literal["none", "horizontal", "both"] = "none",
    scales: tuple[float, ...] = (1.0,),
    polygons: Literal["geojson", "coco"] | None = None,
    instances: bool = False,
    min_area: int = 0,
    split_touching: Literal["distance"] | None = None,
    overlay: bool = False,
    probabilities: bool = False,
    uncertainty: bool = False,
    proposals: Literal["max", "mean"] | None = None,
    parts: dict[str, Path] | None = None,
    face_size: list[int] | None = None,
    overwrite: bool = False,
    frames: int | None = None,
    threads: int | None = None,
    workers: int | None = None,
    value_range: tuple[float, float] | None = None,
    threshold: float | list[float] | None = None,
    scores: Literal["logits", "probabilities"] | None = None,
    multi_label: bool | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
) -> int:
    """Write palette masks of images, folders, patterns, videos or a camera.

    Args:
        file: the model: .keras, .tflite or .onnx, or a name of `keras-seg weights`.
        inputs: image or video files, folders, patterns, camera:0, or - for standard input. Files
            and folders may be in an object store, as s3://bucket/photos.
        output: folder for X_mask.png and the other files of each image X, also in an object store.
            A multi-label model writes one X_LABEL_mask.png per label. - writes the mask of one
            image to standard output.
        sizing: how a network of fixed size processes other images: resized, or in overlapping
            tiles. auto resizes if the training did, and for models of other origin.
        flips: average the predictions over mirrored images.
        scales: average the predictions over these sizes of the image, such as 0.75 1 1.25.
        polygons: outlines of the regions, as X.geojson or as one coco.json. Those of a
            georeferenced TIFF are in map coordinates in X.geojson.
        min_area: smallest number of pixels of an object, for --instances.
        split_touching: distance separates touching objects at the necks of their region, for
            --instances. A border class of the network separates them without it.
        proposals: DeconvNet's ensemble, the largest or the mean score over parts of the image.
        parts: .keras files of iCNN's second stage, as `--parts.eyes eyes.keras`. The first stage is
            the model.
        face_size: height and width of the faces that the parts were cropped from in training.
        frames: number of frames of each video or camera; all by default.
        threads: number of CPU threads; all by default, and one per process with --engine ray.
        workers: number of images in work at the same time, which share the threads; by default one
            per thread, but at most 8.
        value_range: values of black and white in images of more than 8 bits; by default those of
            the training.
        threshold: probability above which a pixel has a label, or the second of two classes; for
            labels one number, or a list with one per label. By default that of the file, or 0.5.
        scores: output of a model that keras-seg did not write; by default read from its graph.
        multi_label: whether a pixel may have several labels, for a model that keras-seg did not
            write.
        engine: where images are predicted: in this process, or on the machines of a Ray cluster.
        address: the cluster, auto or HOST:PORT; by default that of RAY_ADDRESS, or a new one on
            this machine.
    """
    check_apart(file=file, output=Path(output))
    check_counts(frames=frames, threads=threads, workers=workers)
    check_engine(engine, address)
    to_stream = output == STANDARD_STREAM
    if engine != "local" and STANDARD_STREAM in (output, *inputs):
        raise ValueError("- is a stream of this machine, which --engine ray cannot use.")
    if to_stream:
        check_standard_output(
            inputs,
            overlay=overlay,
            probabilities=probabilities,
            uncertainty=uncertainty,
            polygons=polygons,
            instances=instances,
        )
    check_model(file)
    from keras_seg import inference
    from keras_seg.inference.files.inputs import check_inputs

    check_inputs(each for each in inputs if each != STANDARD_STREAM)
    from keras_seg.inference.files.options import OutputOptions, PredictionOptions
    from keras_seg.inference.files.predict_on import predict_anywhere
    from keras_seg.inference.instance_map import instance_options
    from keras_seg.inference.loading import with_range

    objects = instance_options(instances, min_area, split_touching)
    runner = _load(file, parts, face_size, threads, scores, multi_label)
    if parts is None:
        tell(_start_line(file, runner, engine))
    plain = flips == "none" and tuple(scales) == (1.0,)
    # Ray writes its own messages to standard output
    kept = text_on_stderr() if engine != "local" else nullcontext()
    with as_files(inputs) as paths, as_folder(output) as folder, kept:
        result = predict_anywhere(
            with_range(runner, value_range),
            paths,
            folder,
            PredictionOptions(
                sizing=sizing,
                tta=None if plain else inference.TestTimeAugmentation(flips, tuple(scales)),
                outputs=OutputOptions(overlay, probabilities, uncertainty, polygons, objects),
                frames=frames,
                proposals=proposals,
                threshold=threshold,
            ),
            overwrite=overwrite,
            engine=engine,
            address=address,
            threads=threads,
            workers=workers,
        )
    total = result.done + result.skipped + len(result.failed)
    before = f", {result.skipped} of them before" if result.skipped else ""
    done = result.done + result.skipped
    if not to_stream and (done or total > 1):
        say(f"{done} of {total} predicted{before}: {output}", soft_wrap=True)
    typed = dict(zip(paths, inputs, strict=True))
    for message in result.failed:
        complain(f"keras-seg predict: {in_typed_names(message, typed)}")
    return REFUSED if result.failed else DONE


def _start_line(file: Path, runner: Runner, engine: str) -> str:
    """What runs, on images of which size, and where."""
    card, size = runner.card, runner.input_shape[:2]
    kind = "labels" if card.multi_label else "classes"
    images = "images of any size" if None in size else f"images of {size[0]}x{size[1]} pixels"
    where = f"{runner.threads} CPU threads" if engine == "local" else f"the engine {engine}"
    return (
        f"Predicting with {file}: {card.network or 'a network'}, {len(card.classes)} {kind}, "
        f"{images}; {runner.format} on {where}"
    )


def _load(
    file: Path,
    parts: dict[str, Path] | None,
    face_size: list[int] | None,
    threads: int | None,
    scores: str | None,
    multi_label: bool | None,
) -> Runner:
    """The model, or the face parser of a first stage and its parts."""
    from keras_seg import inference

    if parts is None:
        if face_size is not None:
            raise ValueError("face_size belongs to face parsing. Give --parts, or leave it out.")
        return inference.load(file, threads=threads, scores=scores, multi_label=multi_label)
    if scores is not None or multi_label is not None:
        raise ValueError("Face parsing outputs logits. Leave --scores and --multi_label out.")
    size = None if face_size is None else tuple(face_size)
    return inference.load_face_parser(file, parts, face_size=size, threads=threads)


VERB = Verb(
    predict_verb,
    arguments={
        "inputs": {
            "nargs": "+",
            "type": str,
            "help": "image or video files, folders, patterns, camera:0, or - for standard input; "
            "files and folders may be in an object store, as s3://bucket/photos",
        },
        "--value_range": {
            "nargs": 2,
            "type": float,
            "metavar": ("BLACK", "WHITE"),
            "help": "values of black and white in images of more than 8 bits, such as 0 4095; by "
            "default those of the training",
        },
        "--instances": {
            "action": "store_true",
            "help": "also number the objects: X_instances.png, and a table X_instances.csv",
        },
        "--overlay": {"action": "store_true", "help": "also write the mask over the image"},
        "--probabilities": {"action": "store_true", "help": "also write probabilities, as .npz"},
        "--uncertainty": {
            "action": "store_true",
            "help": "also write the uncertainty of a Bayesian network, as .png",
        },
        "--overwrite": {"action": "store_true", "help": "also predict finished images again"},
    },
    topics={
        "Files": ("output", "overlay", "probabilities", "uncertainty", "polygons", "overwrite"),
        "Prediction": (
            *(
                "sizing",
                "flips",
                "scales",
                "threshold",
                "value_range",
                "frames",
                "threads",
                "workers",
            ),
        ),
        "Clusters": ("engine", "address"),
        "Objects": ("instances", "min_area", "split_touching"),
        "Single networks": ("proposals", "parts", "face_size"),
        "A model that keras-seg did not write": ("scores", "multi_label"),
    },
)
