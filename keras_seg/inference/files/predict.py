"""Prediction from image files, folders, videos and cameras to files."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from keras_seg.inference.files.coco import write_coco
from keras_seg.inference.files.earlier_results import without_earlier_results
from keras_seg.inference.files.inputs import Input, find_inputs, without_masks_beside
from keras_seg.inference.files.label_masks import mask_endings
from keras_seg.inference.files.options import OutputOptions, PredictionOptions
from keras_seg.inference.files.predictor import FilePredictor
from keras_seg.inference.files.resume import PredictionLog
from keras_seg.inference.prediction import Runner
from keras_seg.inference.scores import Threshold
from keras_seg.inference.views import TestTimeAugmentation
from keras_seg.parallel import checked_workers

UNREADABLE = (ValueError, OSError)
"""Errors of a damaged, missing or unsuitable file; the other inputs are still predicted."""


@dataclass(frozen=True)
class FilesResult:
    """How many inputs were predicted.

    Attributes:
        done: number of inputs that were predicted now.
        skipped: number of inputs that were predicted before.
        failed: one message per input that could not be predicted.
    """

    done: int
    skipped: int
    failed: list[str]


def predict_files(
    runner: Runner,
    inputs: Iterable[str | Path | Input],
    output: Path,
    *,
    sizing: str = "auto",
    tta: TestTimeAugmentation | None = None,
    outputs: OutputOptions | None = None,
    overwrite: bool = False,
    frames: int | None = None,
    proposals: str | None = None,
    threshold: Threshold | None = None,
    workers: int | None = None,
) -> FilesResult:
    """Writes `X_mask.png` (palette, class indices), and further files if asked, for each image X.

    A georeferenced TIFF also gets `X_mask.tif`, with the same pixels at the same place on the map.
    Pixels that hold no data are 255. A multi-label network gets one mask of 0 and 1 per label,
    `X_LABEL_mask.png`. Masks have the size of their image, after its EXIF orientation. Large images
    are read and predicted in bands.
    Images of more than 8 bits are mapped to 0..255 by the range in the runner's card. Each frame of
    a video X gets a mask in the folder X, and the overlays become one X_overlay.mp4.

    Inputs that cannot be read are skipped, and so are inputs that were finished before: the same
    file, with the same model and settings. Earlier results are never inputs, even if the output
    folder is among the inputs.

    Args:
        runner: the network.
        inputs: files, folders, patterns, and "camera:0".
        output: folder of the results.
        sizing, tta, threshold: as for `Runner.predict`.
        outputs: files to write beside the mask.
        overwrite: predict again what was finished before.
        frames: maximum number of frames of each video or camera.
        proposals: "max" or "mean" combines the scores for parts of the image, see
            `predict_by_proposals`.
        workers: number of images that are read, predicted and written at the same time. They share
            the CPU threads of the runner. None for one per thread, but at most 8. The files do not
            depend on it.

    Raises: ValueError for inputs or options that do not fit; OSError if nothing can be written.
    """
    outputs = outputs or OutputOptions()
    options = PredictionOptions(sizing, tta, outputs, frames, proposals, threshold)
    options.check(runner)
    checked_workers(workers)
    inputs = list(inputs)
    sources = find_inputs(inputs)
    output.mkdir(parents=True, exist_ok=True)
    log = PredictionLog(output, options.settings(runner))
    endings = mask_endings(runner.card.classes, runner.card.multi_label)
    sources = without_masks_beside(without_earlier_results(sources, log, endings), inputs)
    unfinished = [source for source in sources if overwrite or not log.is_finished(source)]
    predictor = FilePredictor(runner, options, log, workers=workers)
    failed = _predict_each(predictor, unfinished)
    if outputs.polygons == "coco":
        write_coco(sources, log, runner.card, instances=outputs.instances is not None)
    return FilesResult(len(unfinished) - len(failed), len(sources) - len(unfinished), failed)


def _predict_each(predictor: FilePredictor, sources: list[Input]) -> list[str]:
    """Predicts the inputs behind a progress bar; returns a message per input that failed."""
    failed = []
    console = Console(file=sys.stderr)
    hidden = not console.is_terminal
    with (
        Progress(console=console, disable=hidden, transient=True) as progress,
        closing(predictor.predict_all(sources)) as outcomes,
    ):
        task = progress.add_task("Predicting", total=len(sources))
        for source, outcome in outcomes:
            try:
                predictor.finish(source, outcome)
            except UNREADABLE as error:
                if isinstance(error, OSError) and not _is_about_input(error, source):
                    raise
                message = str(error)
                named = str(source.path) in message
                failed.append(message if named else f"{source.path}: {message}")
            progress.advance(task)
    return failed


def _is_about_input(error: OSError, source: Input) -> bool:
    """Whether an input could not be read; otherwise a result could not be written."""
    if error.errno == errno.ENAMETOOLONG:  # the input's name with an ending
        return True
    own = error.errno is None  # raised with a message of this package
    return own or (error.filename is not None and Path(error.filename) == source.path)
