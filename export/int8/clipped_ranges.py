"""Ranges of an integer file that leave out what only a few images reach.

The converter gives a tensor the range from the smallest to the largest value that it had on any
calibration image. Where a product is unbounded, as in the gates of ResUNet++, one unusual image
reaches hundreds of times what the others do, and leaves them the few steps about zero. A range may
hold less, and cut off what is beyond.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_seg.export.aware.rewrite import quantization_aware
from keras_seg.export.aware.tflite import float_layers
from keras_seg.export.errors import ExportError
from keras_seg.export.int8.calibration import Calibration
from keras_seg.export.int8.loss import OtherClasses, loss_of, loss_of_file
from keras_seg.export.network.deployed import deployed_model
from keras_seg.export.options import Request
from keras_seg.export.source import Source
from keras_seg.export.tflite.convert import to_tflite
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.layers import FakeQuantize

ACCEPTED = 5.0
"""Percent of the calibration pixels with another class up to which other ranges are not tried."""
WORTH = 0.75
"""Part of that which other ranges must leave at most: they cut off something, too."""
QUANTILES = (0.9, 0.8, 0.75, 0.7, 0.6, 0.5)
TINY = 1e-6
"""Range of a tensor that is zero on most images."""


@dataclass(frozen=True)
class ClippedRanges:
    """How the ranges of an integer file were chosen, where the extremes of all images were bad.

    Attributes:
        quantile: of the calibration images, up to which the ranges reach.
        loss, before: percent of the pixels of the calibration images that have another class than
            in Keras, with these ranges and with those of all images.
    """

    quantile: float
    loss: float
    before: float

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"hold what {self.quantile:.0%} of the calibration images reach: another class on "
            f"{self.loss:.1f} % of their pixels, on {self.before:.1f} % with the ranges of all"
        )


def with_clipped_ranges(
    content: bytes,
    source: Source,
    request: Request,
    chosen: Calibration,
    threads: int | None,
    of_images: Callable[[Sequence[np.ndarray]], bytes] | None = None,
) -> tuple[bytes, ClippedRanges | None]:
    """An int8 file, or if it answers badly one with clipped ranges, if that answers better.

    TFLite: each range ends at a quantile of the extremes that the tensor had on each image. ONNX:
    images with unusual extremes are left out of those that ONNX Runtime measures ranges on, by
    `of_images`, which makes a file with the ranges of some images.
    """
    loss = OtherClasses(source.reference, chosen.images)

    def measured(file: bytes) -> float:
        if request.format == "onnx":  # which has its card already
            return loss_of_file(file, "onnx", loss, threads)
        return loss_of(file, source.card, request.head, loss, threads)

    before = measured(content)
    if before <= ACCEPTED:
        return content, None
    try:
        aware = quantization_aware(source.model, subpixel=request.subpixel)
    except ExportError:
        return content, None
    console = Console(file=sys.stderr, markup=False, emoji=False)
    console.print(f"int8: {before:.1f} {loss.measure}; looking for ranges that fit more images")
    if request.format == "tflite":
        trials = _of_tensors(aware, source, request, chosen.images, loss)
    else:
        trials = _of_images(aware, chosen.images, of_images, measured)
    found = {}
    for quantile, file, lost in trials:
        console.print(f"  ranges of {quantile:.0%} of the images: {lost:.1f} %")
        if lost <= WORTH * before:
            found[quantile] = file, lost
    if not found:
        return content, None
    best = min(found, key=lambda quantile: found[quantile][1])
    clipped = found[best][0]()
    after = measured(clipped)
    if after > WORTH * before:
        return content, None
    return clipped, ClippedRanges(best, after, before)


Trial = tuple[float, Callable[[], bytes], float]
"""Quantile, what makes the file, and its loss."""


def _of_tensors(
    aware: keras.Model, source: Source, request: Request, images, loss: OtherClasses
) -> Iterator[Trial]:
    """Trials in a network that rounds as the file will, unless that would have layers in float."""
    if float_layers(aware):
        return
    own_head = source.reference.own_head
    card = replace(source.reference.card, head=own_head)
    words = {"head": request.puts_out, "scores": own_head}
    rounded = KerasRunner(aware, card, input_shape=source.shape, **words)
    extremes = _extremes(aware, images)

    def file(quantile: float) -> bytes:
        _end_at(quantile, extremes)
        deployed = deployed_model(aware, source.shape)
        return to_tflite(deployed, request, [], source.from_logits, source.card.multi_label)

    for quantile in (1.0, *QUANTILES):
        _end_at(quantile, extremes)
        yield quantile, partial(file, quantile), loss(rounded)


def _of_images(aware: keras.Model, images, of_images, measured) -> Iterator[Trial]:
    """Trials with the files themselves."""
    reach = [np.abs(values).max((1, 2)) for _, values in _extremes(aware, images)]
    # how far an image goes beyond the usual, in the tensor where it goes farthest
    unusual = np.max([values / max(np.median(values), TINY) for values in reach], axis=0)
    tried = {len(images)}
    for quantile in QUANTILES:
        count = math.ceil(quantile * len(images))
        if count in tried:
            continue
        tried.add(count)
        file = of_images([images[i] for i in np.argsort(unusual)[:count]])
        yield quantile, partial(bytes, file), measured(file)


def _extremes(
    aware: keras.Model, images: Sequence[np.ndarray]
) -> list[tuple[FakeQuantize, np.ndarray]]:
    """Each measured range with (images, its members, 2) smallest and largest values."""
    ranges = [x for x in aware.layers if isinstance(x, FakeQuantize) and x.fixed is None]
    for layer in ranges:
        layer.momentum = 0.0  # the image alone counts
    spec = tf.TensorSpec((1, *images[0].shape), tf.float32)
    look = tf.function(lambda pixels: aware(pixels, training=True), input_signature=[spec])
    found = [[] for _ in ranges]
    for image in images:
        look(tf.constant(image[None], tf.float32))
        for values, layer in zip(found, ranges, strict=True):
            values.append(np.asarray(layer.extremes))
    return [(layer, np.stack(values)) for layer, values in zip(ranges, found, strict=True)]


def _end_at(quantile: float, extremes: list[tuple[FakeQuantize, np.ndarray]]) -> None:
    for layer, values in extremes:
        low = np.quantile(values[..., 0], 1 - quantile, axis=0)
        high = np.quantile(values[..., 1], quantile, axis=0)
        layer.extremes.assign(np.stack([low, high], axis=-1))
