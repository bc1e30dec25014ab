"""Predicts inputs into the folder of a log: images in several threads, videos one by one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import numpy as np

from keras_seg.data.mask_colors import outline_width, overlay
from keras_seg.data.reading.georeference import GeoReference, read_georeference
from keras_seg.data.reading.rows import ArrayRows, ImageRows, open_rows
from keras_seg.inference import bands
from keras_seg.inference.bands import Band, predict_in_bands
from keras_seg.inference.files.inputs import Input
from keras_seg.inference.files.options import OutputOptions, PredictionOptions
from keras_seg.inference.files.outputs import PredictionFiles
from keras_seg.inference.files.read_back import read_prediction
from keras_seg.inference.files.resume import PredictionLog
from keras_seg.inference.files.video import Video, VideoWriter
from keras_seg.inference.prediction import Runner
from keras_seg.inference.proposals import predict_by_proposals
from keras_seg.inference.runner_pool import RunnerPool
from keras_seg.inference.scores import mask_of
from keras_seg.inference.uncertainty import predict_uncertainty
from keras_seg.parallel import in_order


class FilePredictor:
    """Predicts inputs with a runner, writes the files and records them in the log.

    Several images are read, predicted and written at the same time, each in its own thread. Their
    files get names, and lines in the log, in the order of the inputs.

    Args:
        runner, options, log: the network, how to predict, and the folder.
        workers: number of images in work, see `RunnerPool`.
    """

    def __init__(
        self,
        runner: Runner,
        options: PredictionOptions,
        log: PredictionLog,
        *,
        workers: int | None = None,
    ) -> None:
        self._runner, self._options = runner, options
        self._log, self._workers = log, workers

    def predict_all(
        self, sources: list[Input]
    ) -> Generator[tuple[Input, Future[PredictionFiles | None]]]:
        """Each input with its outcome, for `finish`. Closing it removes unfinished files."""
        images = sum(source.kind == "image" for source in sources)
        self._pool = RunnerPool(self._runner, self._workers, images)
        # one thread more, so that an image is read while others are predicted; but random numbers
        # of dropout belong to images in their order
        threads = self._pool.count + (0 if self._runner.draws_random_numbers else 1)
        outcomes = in_order(self._image_files, self._named(sources), threads, unused=_discard)
        with closing(outcomes):
            yield from zip(sources, outcomes, strict=True)

    def finish(self, source: Input, outcome: Future[PredictionFiles | None]) -> None:
        """Gives the files of an input their names and records them; predicts a video.

        Raises: what the prediction raised.
        """
        files = outcome.result()
        if files is None:
            base = self._log.folder / self._log.name_of(source)
            self._log.add(source, self._predict_video(base, source), None)
            return
        self._log.add(source, files.commit(), files.size)

    def _named(self, sources: Iterable[Input]) -> Iterator[tuple[Input, Path]]:
        """Each input with the path of its files; names are given in the order of the inputs."""
        for source in sources:
            yield source, self._log.folder / self._log.name_of(source)

    def _image_files(self, named: tuple[Input, Path]) -> PredictionFiles | None:
        """The complete files of an image; None for a video or camera."""
        source, base = named
        if source.kind != "image":
            return None
        card = self._runner.card
        rows = open_rows(
            source.path,
            self._runner.input_shape[2],
            whole_pixels=bands.WHOLE_PIXELS,
            value_range=card.value_range,
            nodata=card.nodata,
        )
        try:
            place = read_georeference(source.path)
            return self._predict_image(base, rows, self._options.outputs, place)
        finally:
            rows.close()

    def _predict_image(
        self,
        base: Path,
        rows: ImageRows,
        outputs: OutputOptions,
        place: GeoReference | None = None,
        *,
        alone: bool = False,
    ) -> PredictionFiles:
        height, width, _ = rows.shape
        if height == 0 or width == 0:
            raise ValueError("The image has no pixels.")
        alone = alone or self._pool.needs_all(rows.shape)
        files = PredictionFiles(base, (height, width), self._runner.card, outputs, place=place)
        try:
            with self._pool.taken(alone=alone) as runner:
                predicted: Iterable = self._bands(runner, rows)
                if alone:
                    _write(files, rows, predicted)
                else:
                    predicted = list(predicted)  # one band, written while others are predicted
            if not alone:
                _write(files, rows, predicted)
            files.complete()
        except BaseException:
            files.discard()
            raise
        return files

    def _bands(self, runner: Runner, rows: ImageRows) -> Iterator[tuple[Band, np.ndarray | None]]:
        """Bands of the prediction, each with its deviation or None; small images are one band."""
        height, width, _ = rows.shape
        options = self._options
        sizing, tta, threshold = options.sizing, options.tta, options.threshold
        large = height * width > bands.WHOLE_PIXELS
        if large:
            self._check_large(height, width)
        if options.outputs.uncertainty:
            image = rows.read(0, height)
            result = predict_uncertainty(runner, image, sizing=sizing, threshold=threshold)
            yield Band(image, result.mask, result.probabilities), result.deviation
        elif options.proposals is not None:
            image = rows.read(0, height)
            mask = predict_by_proposals(runner, image, combination=options.proposals)
            yield Band(image, mask, None), None
        elif large:
            for band in predict_in_bands(runner, rows, sizing=sizing, tta=tta, threshold=threshold):
                yield band, None
        elif options.outputs.probabilities or self._scores_objects:
            image = rows.read(0, height)
            scores = runner.predict(image, probabilities=True, sizing=sizing, tta=tta)
            mask = mask_of(runner, scores, "probabilities", threshold)
            yield Band(image, mask, scores), None
        else:
            image = rows.read(0, height)
            mask = runner.predict(image, threshold=threshold, sizing=sizing, tta=tta)
            yield Band(image, mask, None), None

    @property
    def _scores_objects(self) -> bool:
        """Whether objects get scores, for which the network must output scores."""
        return self._options.outputs.instances is not None and self._runner.card.head != "argmax"

    def _check_large(self, height: int, width: int) -> None:
        needs_whole = {
            "Uncertainty": self._options.outputs.uncertainty,
            "Prediction by proposals": self._options.proposals is not None,
            "Face parsing at the image's own scale": self._runner.needs_whole,
        }
        for what in (name for name, holds in needs_whole.items() if holds):
            raise ValueError(
                f"{what} is for images up to {bands.WHOLE_PIXELS} pixels. Received: "
                f"{height}x{width}. Make the image smaller first, or cut it."
            )

    def _predict_video(self, base: Path, source: Input) -> list[Path]:
        """Masks of the frames of a video, and a video of their overlays."""
        options, card = self._options, self._runner.card
        video, files, number = Video(source), [], 0
        path = base.with_name(f"{base.name}_overlay.mp4")
        hidden = path.with_name(f".{base.name}_overlay.part.mp4")
        base.mkdir(parents=True, exist_ok=True)
        writer = VideoWriter(hidden, video.rate) if options.outputs.overlay else None
        polygons = "geojson" if options.outputs.polygons == "geojson" else None
        try:
            for frame in video.frames(self._runner.input_shape[2]):
                number += 1
                target = base / f"{number:06d}"
                outputs = OutputOptions(polygons=polygons, instances=options.outputs.instances)
                rows = ArrayRows(frame)
                files += self._predict_image(target, rows, outputs, alone=True).commit()
                if writer is not None:
                    mask = read_prediction(target, card)
                    width = outline_width(mask.shape[:2])
                    writer.write(overlay(frame, mask, card.classes, outline=width))
                if number == options.frames:
                    break
        except KeyboardInterrupt:
            if source.kind != "camera":  # a camera is stopped this way
                raise
        finally:
            video.close()
            if writer is not None:
                writer.close()
        if writer is not None:
            hidden.replace(path)
            files.append(path)
        return files


def _write(
    files: PredictionFiles, rows: ImageRows, predicted: Iterable[tuple[Band, np.ndarray | None]]
) -> None:
    top = 0
    for band, deviation in predicted:
        bottom = top + len(band.image)
        files.write(band, deviation, rows.take_known(top, bottom))
        top = bottom


def _discard(files: PredictionFiles | None) -> None:
    if files is not None:
        files.discard()
