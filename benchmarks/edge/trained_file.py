"""Converts and measures one file of a trained network for `benchmarks.edge`, in its own process."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common import interleaved, milliseconds
from benchmarks.edge.toolchains import vela
from benchmarks.edge.trained import FILES, KERAS, VELA
from benchmarks.own_process import answer, forget_peak, peak_mib, resident_mib
from keras_seg import inference, models
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export import TARGETS, ExportError, audit, export
from keras_seg.inference.evaluation import evenly_spread
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.inference.prediction import Runner
from keras_seg.masks.confusion import confusion_matrix, empty_confusion, mean_iou
from keras_seg.training.run_folder import evaluation_data, recipe_beside

MAX_DROP = 1.0
"""Points of mIoU that a mixed file may lose."""


@dataclass(frozen=True)
class Words:
    """What to measure.

    rows: a row of the table; or several, whose latency is measured in turn.
    model: path of the .keras file. data: name of the data set, None for that of the run.
    size: (height, width) of the files, None for that of the training.
    folder: the files and the masks of the network stay here.
    images: number of validation images, evenly spread. repeats: timed runs of each file.
    """

    rows: str | list[str]
    model: str
    data: str | None
    size: list[int] | None
    folder: str
    images: int
    threads: int
    vela: str | None
    repeats: int

    def file(self, row: str) -> Path:
        """The file of a row."""
        return Path(self.folder) / FILES[row][0]

    def split(self, name: str) -> SegmentationDataset:
        """The training or validation images."""
        channels = models.load(self.model).input_shape[-1]
        return evaluation_data(self.model, self.data, name, channels)

    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the files."""
        model, card, recipe = (
            models.load(self.model),
            models.read_card(self.model),
            recipe_beside(self.model),
        )
        trained = None if recipe is None else recipe.resize or recipe.crop
        own = model.input_shape[1:3] if None not in model.input_shape[1:3] else None
        size = self.size or own or card.image_size or trained
        if size is None:
            raise SystemExit("The size of the training is not known. Pass --size HEIGHT WIDTH.")
        return (*size, model.input_shape[-1])

    def runner(self, row: str) -> Runner:
        """The runner of a file, or of the network."""
        if row != KERAS:
            return inference.load(self.file(row), threads=self.threads)
        return KerasRunner(
            models.load(self.model),
            models.read_card(self.model),
            path=Path(self.model),
            input_shape=self.shape(),
            threads=self.threads,
        )


def measure(words: Words) -> dict:
    """The facts of a row; {"refused": why} for a file that is refused."""
    if not isinstance(words.rows, str):
        return latency(words)
    Path(words.folder).mkdir(parents=True, exist_ok=True)
    if words.rows == KERAS:
        model = models.load(words.model)
        parameters = int(sum(np.prod(weight.shape) for weight in model.trainable_weights))
        facts = {"parameters": parameters, "input_shape": words.shape()}
        return facts | accuracy(words, KERAS)
    try:
        facts = converted(words, words.rows)
    except ExportError as error:
        return {"refused": str(error)}
    return facts | accuracy(words, words.rows)


def converted(words: Words, row: str) -> dict:
    """Converts a file: its cost, and how devices take it.

    Raises: ExportError if it is refused.
    """
    options = dict(FILES[row][1])
    calibration = words.split("train")
    validation = words.split("val") if options.get("quantize") == "mixed" else None
    shape, before = words.shape(), resident_mib()
    forget_peak()
    start, cpu = time.perf_counter(), time.process_time()
    report = export(
        Path(words.model),
        words.file(row),
        calibration=calibration,
        evaluation=validation,  # only the search needs it
        limit=words.images,
        max_drop=MAX_DROP,
        input_shape=shape,
        threads=words.threads,
        **options,
    )
    facts = {
        "size_bytes": report.size_bytes,
        "before_mib": round(before),
        "peak_mib": round(peak_mib()),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "maps_bytes": report.audit.arena_bytes,
        "multiply_adds": report.audit.multiply_adds,
        "undelegated": report.audit.undelegated,
    }
    if report.mixed is not None:
        facts["kept"] = [str(kept) for kept in report.mixed.kept]
    if report.clipped is not None:
        facts["clipped"] = str(report.clipped)
    if options.get("quantize") == "int8" and report.format == "tflite":
        facts["placement"] = placement(words.file(row))
    if words.vela and row in VELA:
        content = words.file(row).read_bytes()
        facts["vela"] = {target: vela(content, target, words.vela) for target in VELA[row]}
    return facts


def placement(path: Path) -> dict[str, dict]:
    """Target → operators of a file that it runs, all, and those that it leaves to the CPU."""
    found = {}
    for target in TARGETS:
        audited = audit(path, target)
        left = {entry.operator: 0 for entry in audited.left_over}
        for entry in audited.left_over:
            left[entry.operator] += entry.count
        operators = sum(audited.operators.values())
        found[target] = {"placed": audited.placed, "operators": operators, "left": left}
    return found


def accuracy(words: Words, row: str) -> dict:
    """mIoU of a file, its loss, and the share of the pixels with the class of the Keras model.

    The masks of the Keras model are kept for this, so that its row comes first.
    """
    runner, dataset = words.runner(row), words.split("val")
    multi_label = runner.card.multi_label
    counts, masks = empty_confusion(runner.num_classes, multi_label=multi_label), []
    for index in evenly_spread(len(dataset), words.images):
        sample = dataset[index]
        masks.append(inference.predict(runner, sample.image))
        counts += confusion_matrix(sample.mask, masks[-1], runner.num_classes, name=sample.name)
    miou, kept = mean_iou(counts), Path(words.folder) / "keras.npz"
    if row == KERAS:
        np.savez_compressed(kept, miou=miou, **{f"mask{i}": mask for i, mask in enumerate(masks)})
        return {"miou": miou, "images": len(masks)}
    before = np.load(kept)
    same = [(mask == before[f"mask{i}"]).mean() for i, mask in enumerate(masks)]
    return {
        "miou": miou,
        "drop": 100 * (float(before["miou"]) - miou),
        "agreement": float(np.mean(same)),
        "images": len(masks),
    }


def latency(words: Words) -> dict[str, dict]:
    """Row → milliseconds of one run at the size of the file, all files in turn."""
    image = np.random.default_rng(0).integers(0, 256, words.shape()).astype(np.uint8)
    runners = {row: words.runner(row) for row in words.rows}
    samplers = {
        row: partial(milliseconds, partial(runner.run, image)) for row, runner in runners.items()
    }
    return interleaved(samplers, repeats=words.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", help="the fields of Words as JSON")
    answer(measure(Words(**json.loads(parser.parse_args().words))))


if __name__ == "__main__":
    main()
