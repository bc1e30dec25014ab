"""Checks the labels and sample weights of the first batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from keras_seg.data.first_batch.reading import Batch
from keras_seg.data.mask_values.counts import count_labels
from keras_seg.data.mask_values.finding import Finding
from keras_seg.data.mask_values.findings import label_findings
from keras_seg.data.mask_values.remedies import ARRAYS


def mask_findings(
    batches: Sequence[Batch],
    *,
    channels: int | None,
    num_classes: int | None,
    ignore_class: int | None,
    multi_label: bool,
    whole: bool,
) -> tuple[list[Finding], dict[float, int]]:
    """Checks masks whose sizes are right.

    Args:
        batches: the batches.
        channels: number of output channels of the network; None if unknown.
        num_classes: number of classes; None if unknown.
        ignore_class: mask value of unknown pixels; None for none.
        multi_label: whether each channel is an independent label.
        whole: whether these are all masks.

    Returns: the findings, and label → number of pixels.
    """
    masks = [batch.masks for batch in batches]
    last = masks[0].shape[-1] if masks[0].ndim == 4 else 1
    if multi_label:
        finding = _multi_label(masks, channels, ignore_class)
        return [finding] if finding else [], {}
    if last > 1:
        wrong = _not_one_hot(masks, channels)
        if wrong:
            return [wrong], {}
        masks = [_ids_of_one_hot(mask, ignore_class) for mask in masks]
    counts = count_labels(masks)
    findings = label_findings(
        counts,
        num_classes=num_classes,
        ignore_class=ignore_class,
        remedies=ARRAYS,
        sampled=not whole,
    )
    if not whole:  # crops of partly labelled data may be unknown throughout
        findings = [replace(f, error=False) if f.kind == "all ignored" else f for f in findings]
    if channels == 1:
        findings = [_soft(each, counts, ignore_class) for each in findings]
    if not any(each.error for each in findings):
        findings += _absent(counts, num_classes, ignore_class, whole)
    return findings, counts


def _soft(finding: Finding, counts: Mapping[float, int], ignore_class: int | None) -> Finding:
    """Softens a finding: with one channel, fractions may be probabilities of class 1."""
    known = [value for value in counts if value != ignore_class]
    divided = max(known) < 0.1  # 1 / 255
    if finding.kind != "fractional" or divided or not 0 <= min(known) <= max(known) <= 1:
        return finding
    share = sum(counts[value] for value in known if value not in (0, 1)) / sum(counts.values())
    return Finding(
        "fractional",
        f"The masks hold fractions in {_share(share)} of the pixels, and losses of this package "
        "take these for probabilities of class 1. If masks were resized smoothly, resize them with "
        "the nearest neighbour.",
        error=False,
    )


def _ids_of_one_hot(mask: np.ndarray, ignore_class: int | None) -> np.ndarray:
    unknown = 255 if ignore_class is None else ignore_class
    return np.where(mask.max(-1) > 0, mask.argmax(-1), unknown)


def _not_one_hot(masks: Sequence[np.ndarray], channels: int | None) -> Finding | None:
    """Why masks with several channels are not one-hot; None if they are."""
    shape = _shown(masks[0].shape)
    last = masks[0].shape[-1]
    low, high = min(mask.min() for mask in masks), max(mask.max() for mask in masks)
    if not (np.isfinite(low) and np.isfinite(high)):
        return Finding(
            "not finite",
            f"The one-hot masks of shape {shape} hold NaN or infinity. Write 0 to all channels of "
            "a pixel that is unknown.",
        )
    if last == 3 and all((mask == mask[..., :1]).all() for mask in masks) and high > 0:
        return Finding(
            "equal channels",
            f"The masks of shape {shape} have three equal channels: they were read as colour "
            "pictures. Take one channel, which holds the class of each pixel: masks[..., 0].",
        )
    if high > 1 or low < 0:
        return _beyond_one(masks, low, high)
    if channels not in (None, last):
        advice = (
            "A network with one channel takes masks of 0 and 1: masks[..., 1]."
            if channels == 1
            else f"Build the network with num_classes={last}, or correct the labels."
        )
        return Finding(
            "channels",
            f"The masks of shape {shape} are one-hot labels of {last} classes, and the network "
            f"outputs {channels} {'channel' if channels == 1 else 'channels'}. {advice}",
        )
    return _wrong_sums(masks)


def _beyond_one(masks: Sequence[np.ndarray], low: float, high: float) -> Finding:
    """Masks with several channels and values outside 0..1."""
    shape, last = _shown(masks[0].shape), masks[0].shape[-1]
    share = _share(np.mean([((mask > 1) | (mask < 0)).any(-1).mean() for mask in masks]))
    message = (
        f"The masks of shape {shape} hold values from {low:.6g} to {high:.6g} (outside of 0..1 in "
        f"{share} of the pixels)"
    )
    if last in (3, 4):
        return Finding(
            "colours",
            f"{message}: they are colour pictures. Replace each colour by the number of its class, "
            "(B, H, W); a folder with classes.json is read so by keras_seg.data.FolderDataset.",
        )
    advice = "Divide them by 255." if high == 255 and low == 0 else "One-hot labels are 0 or 1."
    return Finding("one-hot", f"{message}. {advice}")


def _wrong_sums(masks: Sequence[np.ndarray]) -> Finding | None:
    """Masks whose channels do not sum to 1 at each pixel."""
    last = masks[0].shape[-1]
    total = [mask.sum(-1, dtype=np.float64) for mask in masks]
    rounding = 0.01 + last * 0.5 / 255  # the shares may have been stored in 8 bits
    several = np.mean([(sums > 1 + rounding).mean() for sums in total])
    if several:
        return Finding(
            "several labels",
            f"In {_share(several)} of the pixels several channels of the mask are set, and a "
            "softmax gives each pixel one class. If labels may overlap, train with "
            "multi_label=True: keras_seg.losses.CrossEntropy(multi_label=True), or another loss, "
            f"and keras_seg.metrics.MeanIoU({last}, multi_label=True). Otherwise keep one label "
            "per pixel.",
        )
    partial = np.mean([((sums > 0) & (sums < 1 - rounding)).mean() for sums in total])
    if partial:
        return Finding(
            "one-hot",
            f"In {_share(partial)} of the pixels the channels of the mask sum to less than 1, so "
            "that they are no shares of classes. Give shares that sum to 1, or one-hot labels.",
        )
    return None


def _multi_label(
    masks: Sequence[np.ndarray], channels: int | None, ignore_class: int | None
) -> Finding | None:
    """What is wrong with masks of one channel per label; None if nothing is."""
    shape = _shown(masks[0].shape)
    if masks[0].ndim != 4 or (channels is not None and masks[0].shape[-1] != channels):
        expected = "(B, H, W, labels)" if channels is None else f"(B, H, W, {channels})"
        return Finding(
            "channels",
            f"multi_label=True takes masks {expected} of 0 and 1. Received: masks of shape "
            f"{shape}. One class per pixel is the default: leave multi_label out.",
        )
    counts = count_labels(masks)
    wrong = [
        value
        for value in counts
        if value != ignore_class and not 0 <= value <= 1  # also true for NaN
    ]
    if wrong:
        share = _share(sum(counts[value] for value in wrong) / sum(counts.values()))
        values = ", ".join(f"{value:.6g}" for value in wrong[:6])
        return Finding(
            "outside",
            f"The masks hold {values} in {share} of the labels, and each channel is 0 or 1"
            f"{'' if ignore_class is None else f', or {ignore_class} where it is unknown'}.",
        )
    return _nothing_to_learn(counts, ignore_class)


def _nothing_to_learn(counts: Mapping[float, int], ignore_class: int | None) -> Finding | None:
    """Labels that are all unknown, or all equal."""
    known = sorted(value for value in counts if value != ignore_class)
    if set(counts) == {0, 255} and ignore_class == 255:
        return Finding(
            "0 and 255",
            f"The masks hold only 0 and 255; 255 means unknown: "
            f"{_share(counts[255] / sum(counts.values()))} of the labels would be left out, and no "
            "label would ever be set. Divide the masks by 255.",
        )
    if not known:
        return Finding("all ignored", "All labels are unknown: nothing can be learnt.")
    if len(known) == 1:
        return Finding(
            "one class",
            f"All labels of all channels are {known[0]:g}. Check the masks.",
            error=False,
        )
    return None


def _absent(
    counts: Mapping[float, int], num_classes: int | None, ignore_class: int | None, whole: bool
) -> list[Finding]:
    """Classes without a pixel in all masks, or a network with far too many classes."""
    if num_classes is None or num_classes < 3:
        return []
    present = {int(value) for value in counts if value != ignore_class}
    absent = [number for number in range(num_classes) if number not in present]
    if len(present) < 2 or not absent:
        return []
    # a part of the data hardly ever shows just the first classes, unless there are no others
    first = max(present) + 1
    if len(present) == first and num_classes >= 2 * first + 2:
        message = f"The masks hold only the classes 0 to {first - 1}, and the network has "
        message += f"{num_classes}. If these are all, build it with num_classes={first}."
    elif whole:
        message = f"No mask holds {len(absent)} of the {num_classes} classes: "
        message += f"{', '.join(map(str, absent[:12]))}. The network cannot learn them."
    else:
        return []
    return [Finding("absent class", message, error=False)]


def weight_findings(batches: Sequence[Batch]) -> list[Finding]:
    """Lists what is wrong with the weights of images or pixels in the loss."""
    given = [batch.weights for batch in batches if batch.weights is not None]
    if not given:
        return []
    if any(not np.isfinite(weights).all() or (weights < 0).any() for weights in given):
        return [
            Finding("weights", "The sample weights hold NaN or negative values. Give 0 or more.")
        ]
    if all((weights == 0).all() for weights in given):
        return [
            Finding("weights", "All sample weights are 0: no pixel counts, and nothing is learnt.")
        ]
    allowed = {1, 3}
    shape = next((w.shape for w in given if w.ndim not in allowed and w.shape[-1] != 1), None)
    if shape is not None:
        return [
            Finding(
                "weights",
                f"Sample weights are one number for an image (B,) or a pixel (B, H, W). Received "
                f"shape: {_shown(shape)}.",
            )
        ]
    return []


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


def _shown(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"
