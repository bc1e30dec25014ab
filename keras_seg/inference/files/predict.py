"""Prediction from image files, folders, videos and cameras to files."""

from __future__ import annotations

import errno
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from keras_seg.atomic_files import write_text
from keras_seg.data.reading.masks import read_mask
from keras_seg.data.reading.rows import ArrayRows, ImageRows, open_rows
from keras_seg.inference import bands
from keras_seg.inference.files.inputs import Source, expand
from keras_seg.inference.files.label_masks import mask_endings, overlay_of
from keras_seg.inference.files.outputs import PredictionFiles, Wanted
from keras_seg.inference.files.own_results import without_results
from keras_seg.inference.files.polygons import CocoBuilder
from keras_seg.inference.files.resume import Ledger
from keras_seg.inference.files.video import Film, FilmWriter
from keras_seg.inference.prediction import check_threshold, mask_of
from keras_seg.inference.proposals import check_proposals, predict_by_proposals
from keras_seg.inference.runner import Runner
from keras_seg.inference.uncertainty import check_uncertain, predict_uncertainty
from keras_seg.inference.views import TestTimeAugmentation

COCO_NAME = "coco.json"
UNREADABLE = (ValueError, OSError)
"""What a damaged, missing or unfit file raises; the rest go on."""


@dataclass(frozen=True)
class FilesResult:
    """done, skipped: numbers of sources that were predicted now, and before.

    failed: a message for each that could not be.
    """

    done: int
    skipped: int
    failed: list[str]


def predict_files(
    runner: Runner,
    inputs: Iterable[str | Path],
    output: Path,
    *,
    sizing: str = "auto",
    tta: TestTimeAugmentation | None = None,
    wanted: Wanted | None = None,
    overwrite: bool = False,
    frames: int | None = None,
    proposals: str | None = None,
    threshold: float = 0.5,
) -> FilesResult:
    """Writes `X_mask.png` (palette, class indices) and what else is wanted for each image X.

    A multi-label network gets a mask of 0 and 1 for each label, `X_LABEL_mask.png`.
    Masks have the size of their image, after its EXIF orientation. Large images are read and
    predicted in bands. Images of more than 8 bits are mapped to 0..255 by the range that the
    runner's card tells; those of 8 bits, and frames, are taken as they are. Each frame of a video
    X gets its mask in the folder X, the overlays become one X_overlay.mp4. Goes on past what cannot
    be read, and past what was finished before: the same file, by the same model and settings. What
    it wrote itself is no input, even where the output folder lies among the inputs.

    Args:
        inputs: files, folders, patterns, and "camera:0".
        overwrite: predict anew what was finished before.
        frames: at most so many of each video or camera.
        proposals: "max" or "mean" joins the network's answers to parts of the image, see
            `predict_by_proposals`.
        threshold: of two classes or of labels, see `Runner.predict`.

    Raises: ValueError for inputs or options that cannot be; OSError if nothing can be written.
    """
    wanted = wanted or Wanted()
    _check(runner, wanted, tta, proposals, threshold)
    sources = expand(inputs)
    output.mkdir(parents=True, exist_ok=True)
    settings = _settings(runner, sizing, tta, wanted, frames, proposals, threshold)
    ledger = Ledger(output, settings)
    sources = without_results(sources, ledger, _endings(runner))
    open_ones = [s for s in sources if overwrite or not ledger.is_finished(s)]
    work = _Work(runner, sizing, tta, wanted, ledger, frames, proposals, threshold)
    failed = []
    with _progress() as progress:
        task = progress.add_task("Predicting", total=len(open_ones))
        for source, rows in _read_ahead(open_ones, runner):
            try:
                work.predict(source, rows)
            except UNREADABLE as error:
                if isinstance(error, OSError) and not _is_about(error, source):
                    raise
                message = str(error)
                named = str(source.path) in message
                failed.append(message if named else f"{source.path}: {message}")
            progress.advance(task)
    if wanted.polygons == "coco":
        _write_coco(output / COCO_NAME, sources, ledger, runner)
    return FilesResult(len(open_ones) - len(failed), len(sources) - len(open_ones), failed)


def _check(runner: Runner, wanted: Wanted, tta, proposals, threshold: float) -> None:
    check_threshold(runner, threshold)
    if wanted.probabilities and runner.card.head == "argmax":
        raise ValueError(
            f"{runner.path} puts out classes, so that it has no probabilities. Export it with "
            "--head logits or probabilities."
        )
    if wanted.uncertainty:
        check_uncertain(runner)
        if tta is not None:
            raise ValueError("Uncertainty is of the image as it is. Leave flips and scales out.")
    if proposals is not None:
        check_proposals(runner, proposals)
        if tta is not None or wanted.probabilities or wanted.uncertainty or threshold != 0.5:
            raise ValueError(
                "Proposals give a mask alone, of the largest scores. Leave flips, scales, "
                "probabilities, uncertainty and threshold out."
            )


def _is_about(error: OSError, source: Source) -> bool:
    """Whether a file could not be read, or named, rather than results not be written."""
    if error.errno == errno.ENAMETOOLONG:  # the file's name with an ending
        return True
    own = error.errno is None  # raised with a message of this package
    return own or (error.filename is not None and Path(error.filename) == source.path)


def _progress() -> Progress:
    console = Console(file=sys.stderr)
    return Progress(console=console, disable=not console.is_terminal, transient=True)


def _settings(
    runner: Runner, sizing, tta, wanted: Wanted, frames, proposals, threshold: float
) -> dict:
    digests = []
    for path in runner.files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    settings = {
        "model": "+".join(digests) or None,
        "sizing": sizing,
        "tta": None if tta is None else asdict(tta),
        "frames": frames,
        "proposals": proposals,
        "size": runner.card.image_size,
        **({"value_range": runner.card.value_range} if runner.card.value_range else {}),
        **asdict(wanted),
    }
    # only what is not as in folders of earlier versions, which had neither
    if threshold != 0.5:
        settings["threshold"] = threshold
    if runner.card.head == "probabilities":
        settings["head"] = runner.card.head
    if runner.card.multi_label:
        settings["multi_label"] = True
    return json.loads(json.dumps(settings))  # as they will be read again


def _read_ahead(
    sources: list[Source], runner: Runner
) -> Iterator[tuple[Source, Future[ImageRows] | None]]:
    """Each source with its image, of which the next is read while one is predicted."""

    def begin(pool, source):
        if source.kind != "image":
            return None
        return pool.submit(
            open_rows,
            source.path,
            runner.input_shape[2],
            whole_pixels=bands.WHOLE_PIXELS,
            value_range=runner.card.value_range,
        )

    with ThreadPoolExecutor(1) as pool:
        following = begin(pool, sources[0]) if sources else None
        for i, source in enumerate(sources):
            present = following
            following = begin(pool, sources[i + 1]) if i + 1 < len(sources) else None
            yield source, present


class _Work:
    """Predicts one source after the other into the ledger's folder."""

    def __init__(
        self,
        runner: Runner,
        sizing,
        tta,
        wanted: Wanted,
        ledger: Ledger,
        frames,
        proposals,
        threshold: float,
    ):
        self.runner, self.sizing, self.tta, self.proposals = runner, sizing, tta, proposals
        self.threshold = threshold
        self.wanted, self.ledger, self.frames = wanted, ledger, frames

    def predict(self, source: Source, image: Future[ImageRows] | None) -> None:
        base = self.ledger.folder / self.ledger.name(source)
        if source.kind == "image":
            rows = image.result()
            try:
                files = self._image(base, rows, self.wanted)
            finally:
                rows.close()
            self.ledger.enter(source, files, rows.shape[:2])
        else:
            self.ledger.enter(source, self._film(base, source), None)

    def _image(self, base: Path, rows: ImageRows, wanted: Wanted) -> list[Path]:
        height, width, _ = rows.shape
        if height == 0 or width == 0:
            raise ValueError("The image has no pixels.")
        card = self.runner.card
        files = PredictionFiles(
            base, (height, width), card.classes, wanted, multi_label=card.multi_label
        )
        try:
            for band, deviation in self._bands(rows):
                files.write(band, deviation)
            return files.commit()
        except BaseException:
            files.discard()
            raise

    def _bands(self, rows: ImageRows) -> Iterator[tuple[bands.Band, np.ndarray | None]]:
        height, width, _ = rows.shape
        runner, large = self.runner, height * width > bands.WHOLE_PIXELS
        if large:
            self._check_large(height, width)
        if self.wanted.uncertainty:
            image = rows.read(0, height)
            found = predict_uncertainty(runner, image, sizing=self.sizing, threshold=self.threshold)
            yield bands.Band(image, found.mask, found.probabilities), found.deviation
        elif self.proposals is not None:
            image = rows.read(0, height)
            mask = predict_by_proposals(runner, image, combination=self.proposals)
            yield bands.Band(image, mask, None), None
        elif large:
            words = {"sizing": self.sizing, "tta": self.tta, "threshold": self.threshold}
            for band in bands.predict_bands(runner, rows, **words):
                yield band, None
        else:
            image, words = rows.read(0, height), {"sizing": self.sizing, "tta": self.tta}
            scores, threshold = None, self.threshold
            if self.wanted.probabilities:
                scores = runner.predict(image, probabilities=True, **words)
                mask = mask_of(runner, scores, "probabilities", threshold)
            else:
                mask = runner.predict(image, threshold=threshold, **words)
            yield bands.Band(image, mask, scores), None

    def _check_large(self, height: int, width: int) -> None:
        whole = {
            "Uncertainty": self.wanted.uncertainty,
            "Prediction by proposals": self.proposals is not None,
            "Face parsing at the image's own scale": self.runner.needs_whole,
        }
        for what in (name for name, holds in whole.items() if holds):
            raise ValueError(
                f"{what} is for images up to {bands.WHOLE_PIXELS} pixels. Received: "
                f"{height}x{width}. Make the image smaller first, or cut it."
            )

    def _film(self, base: Path, source: Source) -> list[Path]:
        """Masks of a film's frames, and its overlays as a film."""
        film, files, number = Film(source), [], 0
        path = base.with_name(f"{base.name}_overlay.mp4")
        part = path.with_name(f".{base.name}_overlay.part.mp4")
        base.mkdir(parents=True, exist_ok=True)
        writer = FilmWriter(part, film.rate) if self.wanted.overlay else None
        single = Wanted(polygons="geojson" if self.wanted.polygons == "geojson" else None)
        try:
            for frame in film.frames(self.runner.input_shape[2]):
                number += 1
                target = base / f"{number:06d}"
                files += self._image(target, ArrayRows(frame), single)
                if writer is not None:
                    mask = _read_back(target, self.runner)
                    writer.write(overlay_of(frame, mask, self.runner.card.classes))
                if number == self.frames:
                    break
        except KeyboardInterrupt:
            if source.kind != "camera":  # a camera ends so
                raise
        finally:
            film.close()
            if writer is not None:
                writer.close()
        if writer is not None:
            part.replace(path)
            files.append(path)
        return files


def _endings(runner: Runner) -> list[str]:
    return mask_endings(runner.card.classes, runner.card.multi_label)


def _read_back(base: Path, runner: Runner) -> np.ndarray:
    """The mask in the files of a prediction: (H, W) classes or (H, W, labels)."""
    masks = [read_mask(base.with_name(base.name + ending)) for ending in _endings(runner)]
    return np.stack(masks, -1) if runner.card.multi_label else masks[0]


def _write_coco(path: Path, sources: list[Source], ledger: Ledger, runner: Runner) -> None:
    """One file for all images whose masks lie in the folder, predicted now or before."""
    coco = CocoBuilder(runner.card.classes)
    first = _endings(runner)[0]
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # the masks are our own
    try:
        for source in sources:
            record = ledger.record(source)
            for name in record["files"] if record else ():
                if name.endswith(first):
                    film, base = source.kind != "image", name.removesuffix(first)
                    mask = _read_back(ledger.folder / base, runner)
                    coco.add(name if film else str(source.path), mask)
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    write_text(path, json.dumps(coco.to_dict()))
