"""Statistics of batch norm, computed anew over the training images, as SegNet's authors do.

In training, the moving statistics are an average of the last batches: of about ten with momentum
0.9. They follow weights that still change, and small or unequal batches make them inexact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.training.network import batch_norms

Moments = tuple[Any, Any, Any]
"""Mean and variance (C,) of the values of a batch norm's input, and the number of values per
channel."""


def recalibrate(model: keras.Model, batches: Iterable, *, steps: int | None = None) -> int:
    """Sets the moving statistics of every batch norm to those of the given images.

    The batch norms normalize by the statistics of their batch, as in training. Everything else is
    as in a prediction: no dropout. The new mean is the mean of the batches' means. The new variance
    is the mean of their variances plus the variance of their means. Both are accumulated in
    float64, and a batch counts by its number of values. Frozen batch norms keep their statistics.

    Args:
        model: a trained model; it is not changed if an error is raised.
        batches: batches of images (B, H, W, C), or of (images, masks), of the size that they had in
            training: a `tf.data.Dataset`, such as `keras_seg.data.training_pipeline` returns, or
            another iterable. It should have no random changes of the images.
        steps: number of batches to take; by default all.

    Returns: the number of images.

    Raises: ValueError for a model without a batch norm that is trained, for no batch, for images
        of another shape, and if a statistic is not finite.

    Example:

        model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        cells = keras_seg.data.BuiltinDataset("cells", "train", length=8)
        plain = keras_seg.data.Augmentation(
            flip_horizontal=False, scale=(1, 1), brightness=0, contrast=0, saturation=0
        )
        batches = keras_seg.data.training_pipeline(
            cells, crop=(64, 64), batch_size=4, epochs=1, augmentation=plain
        )
        # ... model.fit
        keras_seg.training.recalibrate(model, batches)
    """
    norms = [norm for norm in batch_norms(model) if norm.trainable]
    if not norms:
        raise ValueError(
            "recalibrate needs a model with a batch norm that is trained. Received: "
            f"{model.name!r} with {len(batch_norms(model))} batch norms, none of them trainable."
        )
    totals = [_Total() for _ in norms]
    moments_of, images = _moments_function(model, norms), 0
    for batch in islice(batches, steps):
        pixels = _images_of(batch)
        images += len(pixels)
        for number, moments in moments_of(pixels):
            totals[number].add(*moments)
    if not images:
        raise ValueError("recalibrate needs at least one batch of images. Received: none.")
    _check_finite(norms, totals)
    for norm, total in zip(norms, totals, strict=True):
        if total.count:  # 0 for the norm of a layer that the model has and does not call
            norm.moving_mean.assign(total.mean)
            norm.moving_variance.assign(total.variance)
    return images


class _Total:
    """Mean and variance of all batches so far, in float64, merged as by Chan et al. (1979)."""

    def __init__(self):
        self.count = 0.0
        self.mean: Any = 0.0
        self.variance: Any = 0.0

    def add(self, mean: Any, variance: Any, count: Any) -> None:
        """Adds the moments of a batch."""
        mean, variance, count = (
            np.asarray(ops.convert_to_numpy(value), np.float64) for value in (mean, variance, count)
        )
        total = self.count + float(count)
        old, new = self.count / total, float(count) / total
        self.variance = old * self.variance + new * variance + old * new * (mean - self.mean) ** 2
        self.mean = old * self.mean + new * mean
        self.count = total


def _images_of(batch: Any) -> np.ndarray:
    images = batch[0] if isinstance(batch, tuple | list) else batch
    images = np.asarray(images, "float32")
    if images.ndim != 4:
        raise ValueError(
            "recalibrate takes batches of images (B, H, W, C), or of (images, masks). Received: "
            f"images of shape {images.shape}"
        )
    return images


def _check_finite(norms: Sequence[keras.Layer], totals: Sequence[_Total]) -> None:
    for norm, total in zip(norms, totals, strict=True):
        if not (np.isfinite(total.mean).all() and np.isfinite(total.variance).all()):
            raise ValueError(
                f"The statistics of {norm.name!r} are not finite for these images, so none were "
                "changed. Check the images and the weights of the model."
            )


def _moments_function(
    model: keras.Model, norms: Sequence[keras.Layer]
) -> Callable[[np.ndarray], list[tuple[int, Moments]]]:
    """images → (index of the norm, its moments) of each call of a norm, compiled if possible."""
    calls: list[int] = []

    def recorded(run: Callable[[], Any]) -> list[Moments]:
        """The moments of all norms while `run` calls the model."""
        moments: list[Moments] = []
        calls.clear()
        with _in_training(norms, calls, moments):
            run()
        return moments

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def stateless(trainable: list, others: list, images: Any) -> list[Moments]:
            return recorded(lambda: model.stateless_call(trainable, others, images, training=False))

        compiled = jax.jit(stateless)

        def moments_of(images: np.ndarray) -> list[Moments]:
            return compiled(
                [variable.value for variable in model.trainable_variables],
                [variable.value for variable in model.non_trainable_variables],
                images,
            )

    else:

        def moments_of(images: np.ndarray) -> list[Moments]:
            return recorded(lambda: model(images, training=False))

        if backend == "tensorflow":
            import tensorflow as tf

            moments_of = tf.function(moments_of, autograph=False, reduce_retracing=True)
    return lambda images: list(zip(calls, moments_of(ops.convert_to_tensor(images)), strict=True))


@contextmanager
def _in_training(
    norms: Sequence[keras.Layer], calls: list[int], moments: list[Moments]
) -> Iterator[None]:
    """Lets the norms normalize by the statistics of the batch, and records them."""
    for number, norm in enumerate(norms):
        norm.__dict__["call"] = _recording(norm, number, calls, moments)
    try:
        yield
    finally:
        for norm in norms:
            del norm.__dict__["call"]


def _recording(
    norm: keras.layers.BatchNormalization, number: int, calls: list[int], moments: list[Moments]
) -> Callable[..., Any]:
    """A `call` for a batch norm that does not change its moving statistics."""

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        x = ops.cast(inputs, dtype)
        axis = norm.axis % len(x.shape)
        axes = [each for each in range(len(x.shape)) if each != axis]
        mean, variance = ops.moments(x, axes)
        count = ops.size(x) // x.shape[axis]
        calls.append(number)
        moments.append((mean, variance, count))
        # A single value is normalized by the moving statistics, as in training.
        single = count <= 1
        return ops.cast(
            ops.batch_normalization(
                x,
                ops.where(single, ops.cast(norm.moving_mean, dtype), mean),
                ops.where(single, ops.cast(norm.moving_variance, dtype), variance),
                axis,
                offset=ops.cast(norm.beta, dtype) if norm.center else None,
                scale=ops.cast(norm.gamma, dtype) if norm.scale else None,
                epsilon=norm.epsilon,
            ),
            norm.compute_dtype,
        )

    return call
