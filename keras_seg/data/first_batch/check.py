"""Looks at the first batches of a training, beside its network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import keras
import numpy as np

from keras_seg.data.first_batch.compiled import (
    Scores,
    class_weight_findings,
    ignored_by,
    labels_overlap,
    loss_findings,
    losses_of,
    metric_findings,
    metrics_of,
    weights_of,
)
from keras_seg.data.first_batch.masks import mask_findings, weight_findings
from keras_seg.data.first_batch.network import heads, pixel_range, single_value_norms
from keras_seg.data.first_batch.pixels import pixel_findings
from keras_seg.data.first_batch.reading import MAIN, Looked, look
from keras_seg.data.first_batch.shapes import channels_of, shape_findings
from keras_seg.data.mask_values.findings import Finding
from keras_seg.names import IGNORE_CLASS

NUMBER_OF_BATCHES = 4


def check_batches(
    batches,
    model: keras.Model | None = None,
    *,
    number_of_batches: int = NUMBER_OF_BATCHES,
    batch_size: int | None = None,
    num_classes: int | None = None,
    ignore_class: int | None = IGNORE_CLASS,
    multi_label: bool | None = None,
    class_weights: Sequence[float] | Mapping[int, float] | None = None,
):
    """Looks at the first batches before `model.fit` does; refuses what cannot be learnt from.

        check_batches(batches, model)
        model.fit(batches)

    Found are: pixels in another range than the network takes, or not finite, or constant; axes,
    channels and sizes that do not belong together; images and masks in each other's place; labels
    that are no class numbers, that are all unknown or all of one class; a batch of one image where
    a batch norm gets a single value per channel; and, if the model is compiled, losses and metrics
    that take logits for probabilities or the reverse, or class numbers for scores, and class
    weights of classes that do not occur.

    Data that are shuffled or augmented anew in each pass have one pass more behind them.

    Args:
        batches: what `fit` takes: a `tf.data.Dataset` (distributed or not), a `PyDataset`, a pair
            (images, masks) or triple with weights of arrays, a list of batches, or a generator.
            Shapes: images (B, H, W, C), masks (B, H, W), (B, H, W, 1) or one-hot (B, H, W,
            classes), weights (B,) or (B, H, W).
        model: the network, compiled or not; None to look at the data alone.
        number_of_batches: that are looked at, 1 or more.
        batch_size: of arrays, as it is given to `fit`; None for Keras' 32.
        num_classes: of the masks; None for the channels of the model's output.
        ignore_class: mask value that means unknown; None for none. Left at 255, what the losses
            of the model say.
        multi_label: whether each channel of a mask is a label of its own; None for what the loss of
            the model says.
        class_weights: those of the loss, if it is none of this package.

    Returns: the batches to train with: `batches` itself, and for a generator, which gives a batch
        once, a generator that begins with those that were looked at:
        `model.fit(check_batches(generator, model))`.
    Raises: ValueError with all that is wrong, each with the share of pixels and what to write;
        TypeError for a model that is none.
    Warns: UserWarning for what may be meant, such as one class alone.

    Example:

        masks = np.zeros((8, 64, 64), "int32")
        images = np.random.default_rng(0).uniform(0, 1, (8, 64, 64, 3))
        keras_seg.data.check_batches((images, masks), model)
        # ValueError: The images lie in 0..1 (100.0% of the pixels), and the network takes 0..255
    """
    if model is not None and not isinstance(model, keras.Model):
        raise TypeError(
            "model is a Keras model, such as keras_seg.models.load(path) gives. Received: "
            f"{model!r}"
        )
    looked = look(batches, number_of_batches, batch_size=batch_size)
    found = findings(
        looked,
        model,
        num_classes=num_classes,
        ignore_class=ignore_class,
        multi_label=multi_label,
        class_weights=class_weights,
    )
    for message in doubtful(found):
        warnings.warn(message, stacklevel=2)
    refuse(found)
    return looked.again


def refuse(found: Sequence[Finding]) -> None:
    """Raises ValueError with the findings that are errors."""
    wrong = [each.message for each in found if each.error]
    if len(wrong) == 1:
        raise ValueError(wrong[0])
    if wrong:
        listed = "".join(f"\n{number}. {message}" for number, message in enumerate(wrong, 1))
        raise ValueError(f"{len(wrong)} things are wrong with the first batches:{listed}")


def doubtful(found: Sequence[Finding]) -> list[str]:
    """The messages of the findings that are no errors."""
    return [each.message for each in found if not each.error]


def findings(
    looked: Looked,
    model: keras.Model | None,
    *,
    num_classes: int | None = None,
    ignore_class: int | None = IGNORE_CLASS,
    multi_label: bool | None = None,
    class_weights: Sequence[float] | Mapping[int, float] | None = None,
    replicas: int | None = None,
    count_all: Callable[[], Mapping[int, int]] | None = None,
) -> list[Finding]:
    """All that is wrong or doubtful, see `check_batches`.

    replicas: devices that share a batch; None for those of the model's strategy.
    count_all: gives the pixels of each class in the whole data set; asked only if class weights are
    for a class that the first batches lack.
    """
    losses = losses_of(model) if model is not None and model.compiled else []
    if multi_label is None:
        multi_label = any(getattr(loss, "multi_label", False) for _, loss in losses)
    if ignore_class == IGNORE_CLASS:
        ignore_class = ignored_by([loss for _, loss in losses])
    found = next(filter(None, (shape_findings(batch, model) for batch in looked.batches)), [])
    of_images = not {each.kind for each in found} & {"axes", "channels first", "swapped"}
    if of_images:
        images = [batch.images for batch in looked.batches]
        found = pixel_findings(images, pixel_range(model)) + found
    if any(each.kind in ("axes", "channels first", "swapped", "size") for each in found):
        return found
    channels = channels_of(model)
    num_classes = num_classes or channels
    last = {batch.masks.shape[-1] for batch in looked.batches if batch.masks.ndim == 4}
    if not multi_label and channels is not None and last == {channels} and channels > 1:
        multi_label = labels_overlap([loss for _, loss in losses])
        ignore_class = None if multi_label else ignore_class  # Keras' losses leave nothing out
    of_masks, counts = mask_findings(
        looked.batches,
        channels=channels,
        num_classes=num_classes,
        ignore_class=ignore_class,
        multi_label=multi_label,
        whole=looked.whole,
    )
    found += of_masks + weight_findings(looked.batches)
    if model is None or any(each.kind == "channels" for each in found):
        return found
    found += _single_values(looked, model, replicas)
    found += _compiled(looked, model, losses, counts, multi_label, channels, ignore_class)
    weighted = [weights_of(loss) for _, loss in losses]
    for weights in _different([class_weights, *weighted]):
        rule = partial(
            class_weight_findings, weights, num_classes=num_classes, ignore_class=ignore_class
        )
        of_weights = rule(counts, whole=looked.whole)
        if of_weights and count_all is not None and not looked.whole:
            of_weights = rule(count_all(), whole=True)
        found += of_weights
    return found


def _different(entries) -> list:
    """Without None, and the same weights once."""
    return list({str(entry): entry for entry in entries if entry is not None}.values())


def _compiled(looked, model, losses, counts, multi_label, channels, ignored) -> list[Finding]:
    metrics = metrics_of(model) if model.compiled else []
    if not losses and not metrics:
        return []
    first = looked.batches[0]
    one_hot = first.masks.ndim == 4 and first.masks.shape[-1] > 1
    image = first.images[:1].astype(np.float32)
    of_output = heads(model, image if np.isfinite(image).all() else None)
    main = of_output.get(MAIN, next(iter(of_output.values())))
    several, soft = _several_and_soft(looked, ignored)
    labels = (channels, one_hot, counts, multi_label, ignored, several, soft)
    found = []
    for output, loss in losses:
        head = of_output.get(output, main)
        scores = Scores(head, *labels)
        found += loss_findings(loss, scores)
    for metric in metrics:
        found += metric_findings(metric, Scores(main, *labels))
    return list(dict.fromkeys(found))  # of several outputs each message once


def _several_and_soft(looked: Looked, ignored: int | None) -> tuple[float, float]:
    """Shares of the pixels with several channels set, and with a label between 0 and 1."""
    several, soft = [], []
    for batch in looked.batches:
        masks = batch.masks if batch.masks.ndim == 4 else batch.masks[..., None]
        several.append(((masks == 1).sum(-1) > 1).mean())
        between = (masks > 0) & (masks < 1) & (masks != ignored)
        soft.append(between.any(-1).mean())
    return float(np.mean(several)), float(np.mean(soft))


def _single_values(looked: Looked, model: keras.Model, replicas: int | None) -> list[Finding]:
    """Batch norms that get a single value per channel from the smallest batch."""
    if replicas is None:
        strategy = getattr(model, "distribute_strategy", None)
        replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    share = 1 if looked.divided else replicas
    sizes = {max(1, size // share) for size in looked.sizes if size}
    if 1 not in sizes:
        return []
    shape = (1, *looked.batches[0].images.shape[1:])
    if len(shape) != 4:
        return []
    coping, spoilt = single_value_norms(model, shape, replicas=replicas)
    # the norms that the largest batch spoils are those of maps of one pixel
    always = max(sizes) == 1
    device = " on each device" if replicas > 1 else ""
    which = f"Batches have one image{device}" if always else f"The last batch has one image{device}"
    remedy = "Take a batch_size of 2 or more" if always else "Leave it out: drop_remainder=True"
    if replicas > 1 and always:
        remedy = f"Take a batch_size of {2 * replicas} or more"
    found = []
    if spoilt:
        found.append(
            Finding(
                "single values",
                f"{which}, of which {_names(spoilt)} {_get(spoilt)} a single value per channel: it "
                "is its own mean, so that nothing of the image is left, and the moving variance, "
                f"by which a prediction divides, falls to 0. {remedy}, or freeze these norms.",
            )
        )
    if coping:
        found.append(
            Finding(
                "single values",
                f"{which}, of which {_names(coping)} {_get(coping)} a single value per channel. "
                "There is no mean and deviation of one value: the moving ones are taken instead, "
                f"and are not trained. {remedy} if memory allows.",
                error=False,
            )
        )
    return found


def _names(names: list[str]) -> str:
    if len(names) == 1:
        return f"the batch norm {names[0]!r}"
    return f"{len(names)} batch norms ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _get(names: list[str]) -> str:
    return "gets" if len(names) == 1 else "get"
