"""What a study is: a paper's claim and the trainings that test it.

A study compares variants of one idea. All variants of a study have the same images, number of
steps, batch, crop, optimizer and seeds; they differ in what `Variant` says. Variants with equal
recipes in several studies are trained once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CAMVID, NUCLEI, ISBI, FACES = "camvid", "dsb2018_nuclei", "isbi2012", "builtin:faces"
PLAIN = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


@dataclass(frozen=True)
class Variant:
    """One side of a comparison.

    Attributes:
        name: name of the row, unique in its study.
        recipe: entries of the recipe that differ from those of the study.
        network: function of `benchmarks.papers.networks` that changes the network.
        data: function of `benchmarks.papers.object_crops` that makes the training data.
        initial, teacher: name of another variant of the study, whose model the training starts from
            or learns from.
        extra: further measurements of the trained model, names in `benchmarks.papers.measuring`.
        against: name of the variant that the difference is to; None for the first of the study.
        only_a_step: the training is needed by another variant and has no row.
    """

    name: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    data: str | None = None
    initial: str | None = None
    teacher: str | None = None
    extra: tuple[str, ...] = ()
    against: str | None = None
    only_a_step: bool = False


@dataclass(frozen=True)
class Study:
    """One idea of a paper, and how it is measured here.

    Attributes:
        idea: the idea, in one phrase.
        paper: the paper.
        claim: what the paper states, with the place.
        data: name of the data set.
        recipe: entries of the recipe that all variants share.
        variants: the compared trainings, the baseline first.
        metrics: names in `benchmarks.papers.measuring`; the first decides.
        seeds: number of trainings of each variant.
        minutes: estimate for one seed of all variants on two cores.
        note: what is done differently than in the paper.
    """

    idea: str
    paper: str
    claim: str
    data: str
    recipe: Mapping[str, Any]
    variants: tuple[Variant, ...]
    metrics: tuple[str, ...]
    seeds: int
    minutes: int
    note: str = ""


def steps(epochs: int, per_epoch: int) -> dict[str, int]:
    return {"epochs": epochs, "steps_per_epoch": per_epoch}


def unet(first: int) -> dict[str, Any]:
    """A U-Net by the channels of its first stage."""
    return {"model": "unet", "model_options": {"widths": [first * 2**i for i in range(5)]}}


BASIS = {"loss": "cross_entropy+dice", "optimizer": "adam", "learning_rate": 1e-3}
MEDIAN_FREQUENCY = {"name": "cross_entropy", "class_weights": "median_frequency"}
