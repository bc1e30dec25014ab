"""Verbs that use a model or look at data."""

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
        scores: what a foreign model puts out; by default what its graph shows.
        multi_label: whether a pixel may have several labels, of a foreign model.
        threshold: probability above which a pixel has the second of two classes, or a label.
    """
    check_apart(file=file, json_file=json_file)
    check_counts(threads=threads, limit=limit)
    from keras_seg import inference
    from keras_seg.training.run_folder import evaluation_data

    runner = inference.load(file, threads=threads, scores=scores, multi_label=multi_label)
    dataset = evaluation_data(
        file, data, split, runner.input_shape[2], value_range=runner.card.value_range
    )
    result = inference.evaluate(runner, dataset, sizing=sizing, limit=limit, threshold=threshold)
    say(result.table())
    write_json(json_file, result.to_dict())
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
    value_range: tuple[float, float] | None = None,
    threshold: float = 0.5,
    scores: Literal["logits", "probabilities"] | None = None,
    multi_label: bool | None = None,
) -> int:
    """Write palette masks of images, folders, patterns, videos, a camera.

    Args:
        file: the model: .keras, .tflite or .onnx.
        inputs: image or video files, folders, patterns, camera:0.
        output: folder for X_mask.png, and what else is asked for, of each image X; of a
            multi-label model X_LABEL_mask.png for each label.
        sizing: how images meet a network of fixed size.
        flips: average over mirror images.
        scales: average over the image at these times its size, such as [0.75,1,1.25].
        polygons: outlines of the regions, as X.geojson or as one coco.json.
        proposals: DeconvNet's ensemble: the largest, or mean, score over parts of the image.
        parts: .keras files of iCNN's second stage, as `--parts.eyes eyes.keras`; file is the first.
        face_size: height and width of the faces that the parts were cut from in training.
        frames: at most so many of each video or camera; all by default.
        threads: CPU threads; all by default.
        value_range: values of black and white in images of more than 8 bits; by default those of
            the training, which the file tells.
        threshold: probability above which a pixel has the second of two classes, or a label.
        scores: what a foreign model puts out; by default what its graph shows.
        multi_label: whether a pixel may have several labels, of a foreign model.
    """
    check_apart(file=file, output=output)
    check_counts(frames=frames, threads=threads)
    from keras_seg import inference
    from keras_seg.inference.files.options import OutputOptions
    from keras_seg.inference.files.predict import predict_files
    from keras_seg.inference.loading import with_range

    plain = flips == "none" and tuple(scales) == (1.0,)
    if parts is None:
        if face_size is not None:
            raise ValueError("face_size belongs to face parsing. Give --parts, or leave it out.")
        runner = inference.load(file, threads=threads, scores=scores, multi_label=multi_label)
    else:
        if scores is not None or multi_label is not None:
            raise ValueError("Face parsing puts out logits. Leave --scores and --multi_label out.")
        size = None if face_size is None else tuple(face_size)
        runner = inference.load_face_parser(file, parts, face_size=size, threads=threads)
    result = predict_files(
        with_range(runner, value_range),
        inputs,
        output,
        sizing=sizing,
        tta=None if plain else inference.TestTimeAugmentation(flips, tuple(scales)),
        outputs=OutputOptions(overlay, probabilities, uncertainty, polygons),
        overwrite=overwrite,
        frames=frames,
        proposals=proposals,
        threshold=threshold,
    )
    total = result.done + result.skipped + len(result.failed)
    before = f", {result.skipped} of them before" if result.skipped else ""
    done = result.done + result.skipped
    say(f"{done} of {total} predicted{before}: {output}", soft_wrap=True)
    for message in result.failed:
        complain(f"keras-seg predict: {message}")
    return REFUSED if result.failed else DONE


def verify_verb(
    data: str,
    channels: int = 3,
    json_file: Path | None = None,
    classes: list[str] | None = None,
) -> int:
    """Check images and masks: pairs, sizes, values, damage, duplicates, balance.

    Args:
        data: folder, built-in data set, or kind:FOLDER in an official layout.
        channels: of the images.
        json_file: file to write the report to.
        classes: class names, for a folder without classes.json.
    """
    from keras_seg.data import verify, verify_report

    report = verify.verify_dataset(data, classes=classes, channels=channels)
    say(verify_report.to_text(report))
    write_json(json_file, verify_report.to_dict(report))
    return REFUSED if report.errors else DONE
