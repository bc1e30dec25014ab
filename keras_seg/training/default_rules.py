"""The rules that choose a recipe from the fingerprint of the data, as one table: `RULES`.

A rule chooses some entries of a recipe and says why. Entries that the user gave are kept, and later
rules use them. Imports no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from keras_seg.training.fingerprint import Fingerprint, Machine

BLOCK = 32
"""Crops are multiples of this many pixels, so that they fit every network that is chosen."""
LARGEST_SIDE = 2048
"""Larger images are resized: whole images are validated at once."""
SMALL_IMAGE = 224
"""Below this short side, a network with maps at a 16th of the size has too little to look at."""
MANY_CLASSES = 4
LARGE_OBJECT = 128
PIXELS_PER_STEP = 8 * 256 * 256
PIXELS_VALIDATED = 8 * 1024 * 1024
"""Largest number of pixels of a batch of whole images, as validation has them."""
SMALLEST_BATCH, LARGEST_BATCH = 4, 32
SHORTEST_EPOCH, EPOCHS = 40, 10
"""Steps of the shortest epoch, and the smallest number of epochs, each with a validation."""
UNTRAINED_ENCODER = "mobilenetv2"
ENCODER_NAMES = {"mobilenetv2": "MobileNetV2", "efficientnet_lite0": "EfficientNet-Lite0"}
RARE = 0.05
"""Below this share of the pixels, a class is rare: its weight is raised."""
LARGEST_WEIGHT = 5.0
RARELY_SHOWN, ENOUGH_IMAGES = 0.2, 30
"""A class in fewer images than this share is drawn more often, if there are this many images."""
ADAPTIVE = ("adam", "adamw", "nadam")
"""Optimizers for which the learning rate is chosen."""
UPRIGHT, SIDED = 0.25, 0.8
"""Above these, images are not turned upside down, or not mirrored left to right."""


class Budget(NamedTuple):
    """How long a training is.

    Attributes:
        passes: wanted number of passes over the images.
        fewest, most: limits of the number of steps.
        crop: largest side of a crop in pixels, without and with a network that looks far.
        widths: channels of U-Net.
        device: name of the device for messages.
    """

    passes: int
    fewest: int
    most: int
    crop: tuple[int, int]
    widths: tuple[int, ...]
    device: str


ON_CPU = Budget(40, 800, 2000, (256, 384), (16, 32, 64, 128, 256), "a CPU")
ON_GPU = Budget(100, 4000, 20000, (512, 512), (32, 64, 128, 256, 512), "a GPU")


@dataclass
class Facts:
    """What a rule sees.

    Attributes:
        data: the fingerprint of the data.
        machine: the machine.
        entries: entries of the recipe that the user gave, or earlier rules chose.
        given: entries that the user gave.
    """

    data: Fingerprint
    machine: Machine
    entries: dict[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def budget(self) -> Budget:
        """How long the training is on this machine."""
        return ON_GPU if self.machine.gpu else ON_CPU

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the median image, after `resize`."""
        height, width = self.entries.get("resize") or self.data.size
        return height, width

    @property
    def looks_far(self) -> bool:
        """Whether the network has dilated convolutions, which need large crops."""
        return self.entries.get("model") == "deeplabv3plus"


class Choice(NamedTuple):
    """What a rule chose: entries of a recipe, how to say them, and the reason."""

    entries: dict[str, Any]
    text: str
    reason: str


class Rule(NamedTuple):
    """A row of the table.

    Attributes:
        line: the line in which the choice is said: "network", "images", "training" or "loss".
        entries: the entries of the recipe that it may choose.
        choose: the choice for some facts; None to leave the defaults of `Recipe`.
    """

    line: str
    entries: tuple[str, ...]
    choose: Callable[[Facts], Choice | None]


def _channels(facts: Facts) -> Choice | None:
    data = facts.data
    if data.channels == 1:
        return Choice({"channels": 1}, "1 channel", "all images are grey")
    if data.channels != 3:
        return Choice({"channels": data.channels}, f"{data.channels} channels", "as in the files")
    return None


def _range(facts: Facts) -> Choice | None:
    if not facts.data.stored_bits or facts.entries.get("window") is not None:
        return None
    reason = "the images have more than 8 bits, and nothing states their black and white"
    return Choice({"value_range": "auto"}, "measured range", reason)


def _resize(facts: Facts) -> Choice | None:
    longest = max(facts.data.size)
    if longest <= LARGEST_SIDE:
        return None
    factor = LARGEST_SIDE / longest
    height, width = (max(1, round(side * factor / BLOCK)) * BLOCK for side in facts.data.size)
    size = height, width
    reason = f"whole images of {_by(facts.data.size)} take too much memory in validation"
    return Choice({"resize": size}, f"resized to {_by(size)}", reason)


def _network(facts: Facts) -> Choice | None:
    if {"model", "model_options"} & facts.given.keys():
        return None  # options of one network mean nothing to another
    data, small = facts.data, min(facts.size) < SMALL_IMAGE
    widths = facts.budget.widths
    suits = f"its width suits {facts.budget.device}"
    unet = {"model": "unet", "model_options": {"widths": list(widths)}}
    text = f"U-Net, {widths[0]} to {widths[-1]} channels"
    if facts.entries.get("channels", 3) != 3:
        return Choice(unet, text, f"the images are not RGB; {suits}")
    if small:
        return Choice(unet, text, f"images of {_by(facts.size)} are small; {suits}")
    large = data.object_diameter is not None and data.object_diameter >= LARGE_OBJECT
    if data.num_classes < MANY_CLASSES and not large:
        return Choice(unet, text, f"few classes, objects below {LARGE_OBJECT} pixels; {suits}")
    encoder = facts.machine.trained_encoder()
    weights = "imagenet" if encoder else None
    start = "ImageNet weights" if weights else "random values, as ImageNet weights are out of reach"
    options = {"backbone": encoder or UNTRAINED_ENCODER, "backbone_weights": weights}
    why = f"{data.num_classes} classes" if data.num_classes >= MANY_CLASSES else "large objects"
    return Choice(
        {"model": "deeplabv3plus", "model_options": options},
        f"DeepLabV3+ on {ENCODER_NAMES[options['backbone']]} from {start}",
        f"{why} in RGB images of {_by(facts.size)} need their surroundings",
    )


def _crop(facts: Facts) -> Choice:
    limit = facts.budget.crop[facts.looks_far]
    wanted = (LARGEST_SIDE, LARGEST_SIDE) if facts.looks_far else facts.data.crop
    sides = (min(w, limit, s // BLOCK * BLOCK) for w, s in zip(wanted, facts.size, strict=True))
    height, width = (max(BLOCK, side) for side in sides)
    crop = height, width
    objects = facts.data.object_diameter
    reason = f"images of {_by(facts.size)}"
    if facts.looks_far:
        reason = f"as much of {reason} as fits"
    elif objects is not None:
        reason += f" with objects of up to about {objects:.0f} pixels"
    return Choice({"crop": crop}, f"crop {_by(crop)}", reason)


def _batch(facts: Facts) -> Choice:
    height, width = facts.entries["crop"]
    batch = round(PIXELS_PER_STEP / (height * width))
    batch = min(max(batch, SMALLEST_BATCH), LARGEST_BATCH)
    validated = max(2, PIXELS_VALIDATED // math.prod(facts.size))
    reason = f"about {round(batch * height * width, -4):,} pixels per step"
    if validated < batch:
        batch, reason = validated, "whole images of this size fit into memory in validation"
    if facts.data.images < batch:
        batch, reason = facts.data.images, "all images"
    return Choice({"batch_size": batch}, f"batch {batch}", reason)


def _augmentation(facts: Facts) -> Choice:
    data = facts.data
    options: dict[str, Any] = {"scale": (0.7, 1.5)}
    if data.sided >= SIDED:
        options["flip_horizontal"] = False
        reason = "a class is always on the same side"
        return Choice({"augmentation": options}, "not mirrored", reason)
    if data.upright >= UPRIGHT:
        reason = "upper and lower half show different classes"
        return Choice({"augmentation": options}, "mirrored, but upright", reason)
    options |= {"flip_vertical": True, "rotation": 180.0}
    reason = "every part of the images shows the same classes"
    return Choice({"augmentation": options}, "turned by any angle", reason)


def _length(facts: Facts) -> Choice | None:
    budget, given = facts.budget, facts.given
    one_pass = max(1, facts.data.images // facts.entries["batch_size"])
    if "epochs" in given:
        return None
    steps = min(max(budget.passes * one_pass, budget.fewest), budget.most)
    epoch = given.get("steps_per_epoch")
    if epoch is None:
        validated = facts.data.validation_images // facts.entries["batch_size"]
        longest = max(1, steps // EPOCHS)
        epoch = min(max(one_pass, SHORTEST_EPOCH, validated), longest)
    epochs = max(1, round(steps / epoch))
    entries: dict[str, Any] = {"epochs": epochs}
    if epoch != one_pass:
        entries["steps_per_epoch"] = epoch
    passes = epochs * epoch / one_pass
    shown = f"{passes:.0f}" if passes >= 10 else f"{passes:.1f}"
    reason = f"{shown} passes over {_images(facts)}, within {budget.fewest:,} to {budget.most:,} "
    reason += f"steps for {budget.device}"
    return Choice(entries, f"{epochs} epochs of {epoch} steps", reason)


def _rate(facts: Facts) -> Choice | None:
    if facts.given.get("optimizer", "adam") not in ADAPTIVE:
        return None
    pretrained = facts.entries.get("model_options", {}).get("backbone_weights") == "imagenet"
    rate, reason = (5e-4, "trained weights change little") if pretrained else (2e-3, "new weights")
    if facts.entries["batch_size"] < SMALLEST_BATCH:
        rate, reason = rate / 2, f"{reason}, and small batches are noisy"
    epochs = facts.entries.get("epochs", 50)
    warmup = {"warmup_epochs": min(1.0, epochs / 20)}
    chosen: dict[str, Any] = {"learning_rate": rate}
    if facts.given.get("schedule", "poly") != "plateau":  # it sets the rate of whole epochs
        chosen["schedule_options"] = warmup
    return Choice(chosen, f"learning rate {rate:g}", reason)


def _loss(facts: Facts) -> Choice:
    data = facts.data
    plain = Choice(
        {"loss": "cross_entropy+dice"},
        "cross_entropy+dice",
        f"the rarest class has {_percent(data.rarest)} of the pixels",
    )
    if data.multi_label:
        return plain._replace(reason="each label has its own sigmoid, and Dice balances them")
    if data.rarest >= RARE:
        return plain
    weights = class_weights(data)
    term = {"name": "cross_entropy", "class_weights": weights}
    return Choice(
        {"loss": [term, "dice"]},
        f"cross_entropy+dice, class weights {min(weights):g} to {max(weights):g}",
        plain.reason,
    )


def _balance(facts: Facts) -> Choice | None:
    data = facts.data
    rare = [share for share in data.shown if 0 < share < RARELY_SHOWN]
    if not rare or data.images < ENOUGH_IMAGES:
        return None
    reason = f"a class is in {_percent(min(rare))} of the images"
    return Choice({"balance": True}, "images with rare classes more often", reason)


RULES = (
    Rule("images", ("channels",), _channels),
    Rule("images", ("value_range",), _range),
    Rule("images", ("resize",), _resize),
    Rule("network", ("model", "model_options"), _network),
    Rule("images", ("crop",), _crop),
    Rule("images", ("batch_size",), _batch),
    Rule("images", ("augmentation",), _augmentation),
    Rule("training", ("epochs", "steps_per_epoch"), _length),
    Rule("training", ("learning_rate", "schedule_options"), _rate),
    Rule("loss", ("loss",), _loss),
    Rule("loss", ("balance",), _balance),
)
"""All rules, in the order in which they are applied."""


def class_weights(data: Fingerprint) -> list[float]:
    """A weight per class: 1 / square root of its share, with mean 1 over the pixels, at most 5.

    The square root keeps a rare class from being predicted everywhere. A class that the sample of
    images does not show gets the largest weight, not 0: other images may show it.
    """
    shares = np.array(data.shares)
    present = shares > 0
    weights = np.full(len(shares), LARGEST_WEIGHT)
    roots = 1 / np.sqrt(shares[present])
    weights[present] = roots * shares[present].sum() / (roots * shares[present]).sum()
    return [round(float(weight), 2) for weight in np.minimum(weights, LARGEST_WEIGHT)]


def _images(facts: Facts) -> str:
    count = facts.data.images
    return f"{count:,} image{'s' if count > 1 else ''}"


def _percent(share: float) -> str:
    """A share with two significant digits, as in "0.12 %" or "100 %"."""
    return f"{float(f'{100 * share:.2g}'):g} %"


def _by(size: tuple[int, int]) -> str:
    """A size as in "256x384"."""
    return f"{size[0]}x{size[1]}"
