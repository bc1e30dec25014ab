"""Predicts one input after the other into the folder of a log."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from keras_seg.data.mask_colors import outline_width, overlay
from keras_seg.data.reading.georeference import GeoReference, read_georeference
from keras_seg.data.reading.rows import ArrayRows, ImageRows
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
from keras_seg.inference.scores import mask_of
from keras_seg.inference.uncertainty import predict_uncertainty


class FilePredictor:
    """Predicts inputs with a runner, writes the files and records them in the log."""

    def __init__(self, runner: Runner, options: PredictionOptions, log: PredictionLog) -> None:
        self._runner = runner
        self._options = options
        self._log = log

    def predict(self, source: Input, image: Future[ImageRows] | None) -> None:
        """Predicts an input; `image` is the future of its image, None for a video or camera."""
        base = self._log.folder / self._log.name_of(source)
        if image is None:
            self._log.add(source, self._predict_video(base, source), None)
            return
        rows = image.result()
        try:
            place = read_georeference(source.path)
            files = self._predict_image(base, rows, self._options.outputs, place)
        finally:
            rows.close()
        self._log.add(source, files, rows.shape[:2])

    def _predict_image(
        self,
        base: Path,
        rows: ImageRows,
        outputs: OutputOptions,
        place: GeoReference | None = None,
    ) -> list[Path]:
        height, width, _ = rows.shape
        if height == 0 or width == 0:
            raise ValueError("The image has no pixels.")
        files = PredictionFiles(base, (height, width), self._runner.card, outputs, place=place)
        top = 0
        try:
            for band, deviation in self._bands(rows):
                bottom = top + len(band.image)
                files.write(band, deviation, rows.take_known(top, bottom))
                top = bottom
            return files.commit()
        except BaseException:
            files.discard()
            raise

    def _bands(self, rows: ImageRows) -> Iterator[tuple[Band, np.ndarray | None]]:
        """Bands of the prediction, each with its deviation or None; small images are one band."""
        height, width, _ = rows.shape
        runner, options = self._runner, self._options
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
                files += self._predict_image(target, ArrayRows(frame), outputs)
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
