"""Checks the first batches of a training against its network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_seg.data.first_batch.class_weight_checks import class_weight_findings
from keras_seg.data.first_batch.compiled import (
    Scores,
    ignored_by,
    labels_overlap,
    losses_of,
    metrics_of,
    weights_of,
)
from keras_seg.data.first_batch.loss_checks import loss_findings
from keras_seg.data.first_batch.masks import mask_findings, weight_findings
from keras_seg.data.first_batch.metric_checks import metric_findings
from keras_seg.data.first_batch.network import heads, pixel_range, single_value_norms
from keras_seg.data.first_batch.pixels import pixel_findings
from keras_seg.data.first_batch.reading import MAIN, FirstBatches, take_batches
from keras_seg.data.first_batch.shapes import channels_of, shape_findings
from keras_seg.data.mask_values.finding import Finding
from keras_seg.names import IGNORE_CLASS

NUMBER_OF_BATCHES = 4
"""Number of batches that are checked by default."""
WRONG_AXES = ("axes", "channels first", "swapped")
"""Findings after which the pixels cannot be checked."""


def check_batches(
    batches: Any,
    model: keras.Model | None = None,
    *,
    number_of_batches: int = NUMBER_OF_BATCHES,
    batch_size: int | None = None,
    num_classes: int | None = None,
    ignore_class: int | None = IGNORE_CLASS,
    multi_label: bool | None = None,
    class_weights: Sequence[float] | Mapping[int, float] | None = None,
) -> Any:
    """Checks the first batches before `model.fit`, and refuses data that cannot be learnt from.

    It finds: pixels that are not finite, constant, or in another range than the network takes;
    axes, channels and sizes that do not fit; images and masks that are swapped; labels that are not
    class indices, that are all unknown or all of one class; batches of one image for which batch
    norm gets a single value per channel. For a compiled model it also finds losses and
    metrics that confuse logits, probabilities and class indices, and class weights of classes that
    do not occur.

    If data are shuffled or augmented anew in each pass, the check uses up one pass.

    Args:
        batches: what `fit` takes: a `tf.data.Dataset` (distributed or not), a `PyDataset`, a pair
            (images, masks) of arrays or a triple with weights, a list of batches, or a generator.
            Shapes: images (B, H, W, C), masks (B, H, W), (B, H, W, 1) or one-hot (B, H, W,
            classes), weights (B,) or (B, H, W).
        model: the network, compiled or not; None to check only the data.
        number_of_batches: number of batches to check, at least 1.
        batch_size: batch size for arrays, as for `fit`; None for Keras' 32.
        num_classes: number of classes in the masks; None for the channels of the model's output.
        ignore_class: mask value of unknown pixels; None for none. The losses of the model decide if
            it is 255, the default.
        multi_label: whether each channel of a mask is an independent label; None if the loss of the
            model decides.
        class_weights: class weights of a loss that is not from this package.

    Returns: the batches to train with. These are `batches` itself, or for a generator a new one
        that starts with the checked batches.

    Raises: ValueError with everything that is wrong, the share of pixels and what to write;
        TypeError if `model` is not a model.

    Warns: UserWarning for what may be intended, such as masks with only one class.

    Example:

        masks = np.zeros((8, 64, 64), "int32")
        images = np.random.default_rng(0).uniform(0, 1, (8, 64, 64, 3))
        keras_seg.data.check_batches((images, masks), model)
        # ValueError: The images lie in 0..1 (100.0% of the pixels), and the network takes 0..255
    """
    if model is not None and not isinstance(model, keras.Model):
        raise TypeError(
            "model must be a Keras model, such as keras_seg.models.load(path) returns. Received: "
            f"{model!r}"
        )
    first = take_batches(batches, number_of_batches, batch_size=batch_size)
    results = findings(
        first,
        model,
        num_classes=num_classes,
        ignore_class=ignore_class,
        multi_label=multi_label,
        class_weights=class_weights,
    )
    for message in doubtful(results):
        warnings.warn(message, stacklevel=2)
    refuse(results)
    return first.again


def refuse(results: Sequence[Finding]) -> None:
    """Raises ValueError with the findings that are errors."""
    wrong = [each.message for each in results if each.error]
    if len(wrong) == 1:
        raise ValueError(wrong[0])
    if wrong:
        listed = "".join(f"\n{number}. {message}" for number, message in enumerate(wrong, 1))
        raise ValueError(f"{len(wrong)} things are wrong with the first batches:{listed}")


def doubtful(results: Sequence[Finding]) -> list[str]:
    """The messages of the findings that are not errors."""
    return [each.message for each in results if not each.error]


def findings(
    first: FirstBatches,
    model: keras.Model | None,
    *,
    num_classes: int | None = None,
    ignore_class: int | None = IGNORE_CLASS,
    multi_label: bool | None = None,
    class_weights: Sequence[float] | Mapping[int, float] | None = None,
    replicas: int | None = None,
    count_all: Callable[[], Mapping[int, int]] | None = None,
) -> list[Finding]:
    """Lists everything that is wrong or doubtful, see `check_batches`.

    Args:
        first: the first batches.
        model, num_classes, ignore_class, multi_label, class_weights: as for `check_batches`.
        replicas: number of devices that share a batch; None for those of the model's strategy.
        count_all: returns the pixels of each class in all data. It is called only if class weights
            name a class that the first batches lack.
    """
    losses = losses_of(model) if model is not None and model.compiled else []
    if multi_label is None:
        multi_label = any(getattr(loss, "multi_label", False) for _, loss in losses)
    if ignore_class == IGNORE_CLASS:
        ignore_class = ignored_by([loss for _, loss in losses])
    results = _images(first, model)
    if any(each.kind in (*WRONG_AXES, "size") for each in results):
        return results
    channels = channels_of(model)
    num_classes = num_classes or channels
    last = {batch.masks.shape[-1] for batch in first.batches if batch.masks.ndim == 4}
    if not multi_label and channels is not None and last == {channels} and channels > 1:
        multi_label = labels_overlap([loss for _, loss in losses])
        ignore_class = None if multi_label else ignore_class  # Keras' losses ignore nothing
    about_masks, counts = mask_findings(
        first.batches,
        channels=channels,
        num_classes=num_classes,
        ignore_class=ignore_class,
        multi_label=multi_label,
        whole=first.whole,
    )
    results += about_masks + weight_findings(first.batches)
    if model is None or any(each.kind == "channels" for each in results):
        return results
    results += _single_values(first, model, replicas)
    results += _compiled(first, model, losses, counts, multi_label, channels, ignore_class)
    weighted = [weights_of(loss) for _, loss in losses]
    for weights in _different([class_weights, *weighted]):
        check = partial(
            class_weight_findings, weights, num_classes=num_classes, ignore_class=ignore_class
        )
        about_weights = check(counts, whole=first.whole)
        if about_weights and count_all is not None and not first.whole:
            about_weights = check(count_all(), whole=True)
        results += about_weights
    return results


def _images(first: FirstBatches, model: keras.Model | None) -> list[Finding]:
    """Findings about shapes, and about pixels if the axes are right."""
    results = next(filter(None, (shape_findings(batch, model) for batch in first.batches)), [])
    if {each.kind for each in results}.isdisjoint(WRONG_AXES):
        images = [batch.images for batch in first.batches]
        results = pixel_findings(images, pixel_range(model)) + results
    return results


def _different(entries: Iterable) -> list:
    """The entries without None and without repetitions."""
    return list({str(entry): entry for entry in entries if entry is not None}.values())


def _compiled(
    first: FirstBatches,
    model: keras.Model,
    losses: list[tuple[str, Any]],
    counts: Mapping[float, int],
    multi_label: bool,
    channels: int | None,
    ignored: int | None,
) -> list[Finding]:
    """Findings about the losses and metrics that a model is compiled with."""
    metrics = metrics_of(model) if model.compiled else []
    if not losses and not metrics:
        return []
    batch = first.batches[0]
    one_hot = batch.masks.ndim == 4 and batch.masks.shape[-1] > 1
    image = batch.images[:1].astype(np.float32)
    of_output = heads(model, image if np.isfinite(image).all() else None)
    main = of_output.get(MAIN, next(iter(of_output.values())))
    several, soft = _several_and_soft(first, ignored)
    labels = (channels, one_hot, counts, multi_label, ignored, several, soft)
    results = []
    for output, loss in losses:
        head = of_output.get(output, main)
        scores = Scores(head, *labels)
        results += loss_findings(loss, scores)
    for metric in metrics:
        results += metric_findings(metric, Scores(main, *labels))
    return list(dict.fromkeys(results))  # several outputs may give the same message


def _several_and_soft(first: FirstBatches, ignored: int | None) -> tuple[float, float]:
    """Shares of the pixels with several channels set, and with a label between 0 and 1."""
    several, soft = [], []
    for batch in first.batches:
        masks = batch.masks if batch.masks.ndim == 4 else batch.masks[..., None]
        several.append(((masks == 1).sum(-1) > 1).mean())
        between = (masks > 0) & (masks < 1) & (masks != ignored)
        soft.append(between.any(-1).mean())
    return float(np.mean(several)), float(np.mean(soft))


def _single_values(first: FirstBatches, model: keras.Model, replicas: int | None) -> list[Finding]:
    """Batch norms that get a single value per channel from the smallest batch."""
    if replicas is None:
        strategy = getattr(model, "distribute_strategy", None)
        replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    share = 1 if first.divided else replicas
    sizes = {max(1, size // share) for size in first.sizes if size}
    if 1 not in sizes:
        return []
    shape = (1, *first.batches[0].images.shape[1:])
    if len(shape) != 4:
        return []
    coping, spoilt = single_value_norms(model, shape, replicas=replicas)
    always = max(sizes) == 1
    device = " on each device" if replicas > 1 else ""
    which = f"Batches have one image{device}" if always else f"The last batch has one image{device}"
    remedy = "Take a batch_size of 2 or more" if always else "Leave it out: drop_remainder=True"
    if replicas > 1 and always:
        remedy = f"Take a batch_size of {2 * replicas} or more"
    results = []
    if spoilt:
        results.append(
            Finding(
                "single values",
                f"{which}, of which {_names(spoilt)} {_get(spoilt)} a single value per channel: it "
                "is its own mean, so that nothing of the image is left, and the moving variance, "
                f"by which a prediction divides, falls to 0. {remedy}, or freeze these norms.",
            )
        )
    if coping:
        results.append(
            Finding(
                "single values",
                f"{which}, of which {_names(coping)} {_get(coping)} a single value per channel. "
                "There is no mean and deviation of one value: the moving ones are taken instead, "
                f"and are not trained. {remedy} if memory allows.",
                error=False,
            )
        )
    return results


def _names(names: list[str]) -> str:
    if len(names) == 1:
        return f"the batch norm {names[0]!r}"
    return f"{len(names)} batch norms ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _get(names: list[str]) -> str:
    return "gets" if len(names) == 1 else "get"
