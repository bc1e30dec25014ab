"""Checks the values of images against the range that a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_seg.data.mask_values.finding import Finding

OVERSHOOT = 0.01
"""Share of pixels that smooth resizing may push outside 0..255."""
FLOAT_ERROR = 1e-3


@dataclass(frozen=True)
class ImageFacts:
    """Facts about each image, as (images,) arrays. Pixels that are not finite are left out.

    Attributes:
        low, high: smallest and largest value.
        negative, beyond_one, above: share of pixels below 0, above 1 and above 255.
        whole: whether all values are whole numbers.
    """

    low: np.ndarray
    high: np.ndarray
    negative: np.ndarray
    beyond_one: np.ndarray
    above: np.ndarray
    whole: np.ndarray

    @property
    def constant(self) -> np.ndarray:
        """Whether all pixels of an image are equal."""
        return self.low == self.high

    def __getitem__(self, chosen: np.ndarray) -> ImageFacts:
        return ImageFacts(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def pixel_findings(batches: Sequence[np.ndarray], takes: str | None) -> list[Finding]:
    """Lists what is wrong with the pixels of images (B, H, W, C).

    Args:
        batches: the images.
        takes: the range that the network takes, from `pixel_range`.
    """
    findings = _not_finite(batches)
    facts = _facts(batches)
    constant = facts.constant
    if constant.all():
        value = f"{facts.low[0]:.6g}"
        same = len(set(facts.low.tolist())) == 1
        hold = f"hold {value} in every pixel" if same else "have one value for all pixels"
        number = len(constant)
        what = f"All {number} images {hold}" if number > 1 else f"The image {hold}"
        return [*findings, Finding("constant", f"{what}. Check how they are read.")]
    if constant.mean() >= 0.5:
        findings.append(
            Finding(
                "constant",
                f"{constant.sum()} of {len(constant)} images have one value for all pixels. "
                "Check how they are read.",
                error=False,
            )
        )
    facts = facts[~constant]
    mixed = _mixed(facts)
    if mixed:
        return [*findings, mixed]
    wrong = _range(facts, takes)
    return [*findings, wrong] if wrong else findings


def _not_finite(batches: Sequence[np.ndarray]) -> list[Finding]:
    wrong = sum(int((~np.isfinite(batch)).sum()) for batch in batches if batch.dtype.kind == "f")
    if not wrong:
        return []
    total = sum(batch.size for batch in batches)
    return [
        Finding(
            "not finite",
            f"The images hold NaN or infinity in {_share(wrong / total)} of their values; one is "
            "enough to make the loss NaN. Replace them: np.nan_to_num(images, posinf=0, neginf=0).",
        )
    ]


def _facts(batches: Sequence[np.ndarray]) -> ImageFacts:
    rows = []
    for image in (image for batch in batches for image in batch):
        values = image if image.dtype.kind != "f" else image[np.isfinite(image)]
        values = values.astype(np.float32, copy=False).reshape(-1)
        if not values.size:
            values = np.zeros(1, np.float32)
        rows.append(
            (
                values.min(),
                values.max(),
                (values < -FLOAT_ERROR).mean(),
                (values > 1 + FLOAT_ERROR).mean(),
                (values > 255.5).mean(),
                image.dtype.kind != "f" or bool((values == np.round(values)).all()),
            )
        )
    return ImageFacts(*map(np.array, zip(*rows, strict=True)))


def _mixed(facts: ImageFacts) -> Finding | None:
    """Some images were divided by 255, others not: some libraries read PNG and JPEG differently."""
    small = (facts.high <= 1 + FLOAT_ERROR) & (facts.low >= -FLOAT_ERROR) & ~facts.whole
    large = (facts.high > 2) & facts.whole
    if not small.any() or not large.any():
        return None
    return Finding(
        "mixed ranges",
        f"{small.sum()} of {len(small)} images lie in 0..1, and {large.sum()} reach "
        f"{facts.high.max():.6g}. One network cannot take both: give all of them in 0..255.",
    )


def _range(facts: ImageFacts, takes: str | None) -> Finding | None:
    kind = range_of(facts)
    low, high = facts.low.min(), facts.high.max()
    held = f"The images lie in {_number(low)}..{_number(high)}"
    if takes == "0..255":
        return _for_bytes(kind, held, facts)
    if takes == "0..1" and kind in ("0..255", "deep"):
        top = 255 if kind == "0..255" else 65535
        return Finding(
            "range",
            f"{held} ({_share(facts.beyond_one.mean())} of the pixels are above 1), and the first "
            f"layers of the network take 0..1. Divide them: images / {top}.",
        )
    if takes == "0..65535" and kind in ("0..1", "-1..1", "standardised", "0..255"):
        return Finding(
            "range",
            f"{held}, and the first layers of the network divide by 65535: nothing of the image "
            "would be left. Give 16-bit values.",
        )
    if takes == "raw" and kind in ("0..255", "deep", "mean subtracted"):
        return Finding(
            "range",
            f"{held} ({_share(facts.beyond_one.mean())} of the pixels are above 1), and the "
            "network has no layer that normalises them: its first weights get these numbers as "
            "they are. Build a network of this package with "
            'preprocessing="unit", put keras.layers.Rescaling(1 / 255) first in one of your own, '
            "or give the images as its weights were trained.",
            error=False,
        )
    return None


def _for_bytes(kind: str, held: str, facts: ImageFacts) -> Finding | None:
    """The finding for a network that takes 0..255 and normalises itself."""
    why = "the network takes pixels in 0..255 and normalises them itself"
    twice = f"{held} (100.0% of the pixels), and {why}"
    back = {
        "0..1": "do not divide by 255 (or multiply: images * 255)",
        "-1..1": "do not scale to -1..1 (or go back: (images + 1) * 127.5)",
        "standardised": "do not subtract a mean and divide by a deviation",
    }
    if kind in back:
        spread = (facts.high - facts.low).max() / 255
        return Finding(
            "range",
            f"{twice}: after it black and white would differ by {spread:.2g} of what they should. "
            f"Leave one normalisation out: {back[kind]}, or build the network with "
            "preprocessing=None and give it such images in prediction, too.",
        )
    if kind == "mean subtracted":
        share = _share(facts.negative.mean())
        return Finding(
            "range",
            f"{held} ({share} of the pixels are negative), and {why}. Leave out what subtracts a "
            "mean, such as preprocess_input of Keras Applications.",
        )
    if kind == "deep":
        share = _share(facts.above.mean())
        high = facts.high.max()
        bits = next((bits for bits in (10, 12, 14, 16) if high < 2**bits), None)
        divisor = f"{(2**bits - 1) / 255:.6g}" if bits and facts.low.min() >= 0 else "..."
        return Finding(
            "range",
            f"{held} ({share} of the pixels are above 255), and {why}. Map the darkest and the "
            f'brightest value to 0 and 255: images / {divisor}; for a folder, "range": [black, '
            "white] in classes.json.",
            # brightness augmentation without clipping reaches at most twice white
            error=bool(high > 512),
        )
    if facts.negative.mean() > OVERSHOOT:
        return Finding(
            "range",
            f"{held} ({_share(facts.negative.mean())} of the pixels are negative), and {why}. Clip "
            "them after the augmentation: tf.clip_by_value(images, 0, 255).",
            error=False,
        )
    return None


def range_of(facts: ImageFacts) -> str:
    """ "0..1", "-1..1", "standardised", "mean subtracted", "deep" or "0..255"."""
    low, high = float(facts.low.min()), float(facts.high.max())
    if high <= 1 + FLOAT_ERROR and low >= -FLOAT_ERROR:
        return "0..1"
    if high <= 1 + FLOAT_ERROR and low >= -1 - FLOAT_ERROR:
        return "-1..1"
    if low < -0.1 and high <= 20 and low >= -20:
        return "standardised"
    if low < -30 and high < 256 and facts.negative.mean() > 5 * OVERSHOOT:
        return "mean subtracted"
    if high > 512 or (high > 255.5 and facts.above.mean() > OVERSHOOT):
        return "deep"
    return "0..255"


def _number(value: float) -> str:
    return f"{value:.6g}" if value == round(value) else f"{value:.4g}"


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"
