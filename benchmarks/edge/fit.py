"""Short training of small networks on real images, with and without quantization."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from keras_seg import models
from keras_seg.backbones.hrnet import HRNetVariant
from keras_seg.data.augmentation.options import Augmentation
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.pipeline import training_pipeline
from keras_seg.data.wrappers.cached import CachedDataset
from keras_seg.data.wrappers.resized import ResizedDataset
from keras_seg.export import quantization_aware, soft_labels
from keras_seg.models import ModelCard
from keras_seg.models.sizes import size_rule
from keras_seg.training.outputs import at_image_size, output_losses, output_masks
from keras_seg.training.recipe import RECIPE_NAME, Recipe
from keras_seg.training.run_folder import MODEL_NAME

STAGES = ((8, 8), (16, 16), (32, 32, 32), (32, 32, 32), (64, 64, 64))
BRANCHES = HRNetVariant(8, (1, 1, 1), blocks=1, stem_blocks=1, stem_width=16)
SMALL = {
    "danet": {"backbone": "resnet18", "backbone_options": {"width": 16}, "multi_grid": (4, 8)},
    "deconvnet": {"widths": STAGES, "fc": 0},
    "deeplabv3plus": {"channels": 64},
    "gridnet": {"features": (8, 16, 16, 32, 32), "columns": 4, "dropout": 0.0},
    "hrnet": {"backbone": BRANCHES},
    "icnn": {"widths": (8, 8, 16, 16), "interlinks": 2},
    "ocrnet": {"backbone": BRANCHES, "mid_channels": 32, "key_channels": 16},
    "resunet": {"widths": (8, 16, 32, 64)},
    "resunetplusplus": {"widths": (8, 16, 16, 32, 32), "squeeze_ratio": 2, "aspp_rates": (1, 6)},
    "segnet": {"widths": STAGES},
    "segnet_basic": {"widths": (16, 16, 16, 16), "kernel": 5},
    "unet": {"widths": (8, 16, 32, 64, 64)},
    # without norms it predicted one class everywhere after a minute of training
    "unetplusplus": {"widths": (8, 16, 16, 32, 32), "variant": {"norm": True}},
}
"""Options that make each network small; weights start from random values."""
BATCH, AWARE_BATCH = 8, 4
LARGEST_CROP = 128
"""Largest side in pixels of the crops for quantization-aware training of a run without `resize`."""
RATE, AWARE_RATE = 2e-3, 1e-4
"""Learning rates of Adam: at first, and in quantization-aware training."""
ON_MASKS = ("ocrnet", "resunet", "resunetplusplus")
"""Networks that lost more than half a point with soft labels in this short time (0.8, 1.0 and 13.6
points). They are trained on masks instead, which also continues their short training."""
AWARE_MOMENTUM = 0.9
"""Momentum of the ranges: the usual 0.99 is too slow for some ten steps."""
ENCODERS = ("danet", "deeplabv3plus", "hrnet", "ocrnet")
"""Networks whose encoders load ImageNet weights by default."""
FACTS, RUN = "fit.json", "run "
CHUNK = 1000
"""Steps per epoch, more than a short training has."""


@dataclass(frozen=True)
class Subject:
    """A network to measure: its files, and its training and validation images.

    shape: (height, width, channels) of the exported files.
    crop: (height, width) of the training crops.
    """

    name: str
    model: Path
    aware: Path
    shape: tuple[int, int, int]
    crop: tuple[int, int]
    train: SegmentationDataset
    val: SegmentationDataset
    trained: str


class CentreWindows(SegmentationDataset):
    """One window in the middle of each image, so that a file of that size sees each image once."""

    def __init__(self, dataset: SegmentationDataset, size: tuple[int, int]):
        self._dataset, self._size = dataset, size
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.channels = dataset.classes, dataset.channels

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        tops = [
            max(0, full - size) // 2
            for full, size in zip(sample.mask.shape, self._size, strict=True)
        ]
        place = tuple(slice(top, top + size) for top, size in zip(tops, self._size, strict=True))
        return Sample(sample.name, sample.image[place], sample.mask[place])


class Deadline(keras.callbacks.Callback):
    """Lets the learning rate fall to zero until a time is over, then stops; counts steps.

    The time begins after the first step, which builds the graph.
    """

    def __init__(self, seconds: float, rate: float):
        super().__init__()
        self.seconds, self.rate, self.steps, self.start = seconds, rate, 0, None

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.start = self.start or time.monotonic()
        left = 1 - (time.monotonic() - self.start) / self.seconds
        self.model.optimizer.learning_rate = self.rate * max(left, 0.0) ** 0.9
        if left <= 0:
            self.model.stop_training = True


def subject(name: str, run: Path | None, data: str, size, cache: Path) -> Subject:
    """A network from a finished run, or one to train in `cache` on crops of `data`."""
    aware = cache / f"{name}-aware" / MODEL_NAME
    if run is None:
        train, val = (open_dataset(data, split, channels=3) for split in ("train", "val"))
        height, width = size
        return Subject(
            *(name, cache / name / MODEL_NAME, aware, (height, width, 3), (height, width)),
            *(CachedDataset(train), CentreWindows(val, size), Path(data).name),
        )
    recipe = Recipe.from_yaml(run / RECIPE_NAME)
    train, val = (
        open_dataset(recipe.data, split, channels=recipe.channels) for split in ("train", "val")
    )
    if recipe.resize is None:
        height, width = recipe.crop
        val = CentreWindows(val, (height, width))
        crop = (min(height, LARGEST_CROP), min(width, LARGEST_CROP))
    else:
        height, width = crop = recipe.resize
        train = ResizedDataset(train, (height, width))
    return Subject(
        *(name, run / MODEL_NAME, aware, (height, width, recipe.channels), crop),
        *(CachedDataset(train), val, f"{RUN}{run.name}"),
    )


def train(subject: Subject, seconds: float) -> dict:
    """Trains the network from random values, unless it is from a run or was trained before."""
    if subject.name not in SMALL:
        raise ValueError(f"{subject.name!r} has no small form. Add one to SMALL.")
    if subject.trained.startswith(RUN):
        return {}
    asked = {"seconds": seconds, "crop": list(subject.crop), "data": subject.trained}
    before = _done(subject.model, asked)
    if before is not None:
        return before
    keras.utils.set_random_seed(0)
    options = dict(SMALL[subject.name])
    if subject.name in ENCODERS:
        options["backbone_weights"] = None
    classes = subject.train.classes
    model = models.build(subject.name, (None, None, subject.shape[2]), len(classes), **options)
    card = ModelCard(classes, network=subject.name, size_multiple=size_rule(model)[0])
    network, batches = _on_masks(model, _batches(subject, BATCH), RATE)
    return _fitted(model, network, batches, card, subject.model, asked, RATE)


def train_aware(subject: Subject, seconds: float) -> dict:
    """Trains the network quantization-aware, unless that was done before."""
    source = hashlib.sha256(subject.model.read_bytes()).hexdigest()
    asked = {"seconds": seconds, "crop": list(subject.crop), "source_sha256": source}
    soft = subject.name not in ON_MASKS
    asked |= {"rate": AWARE_RATE, "labels": "soft" if soft else "masks"}
    before = _done(subject.aware, asked)
    if before is not None:
        return before
    keras.utils.set_random_seed(0)
    source_model = models.load(subject.model)
    model = quantization_aware(source_model, momentum=AWARE_MOMENTUM)
    card = models.read_card(subject.model)
    batches = _batches(subject, AWARE_BATCH)
    if not soft:
        network, batches = _on_masks(model, batches, AWARE_RATE)
        return _fitted(model, network, batches, card, subject.aware, asked, AWARE_RATE)
    model.compile(
        keras.optimizers.Adam(AWARE_RATE),
        jit_compile=False,
        **output_losses(model, keras.losses.CategoricalCrossentropy(from_logits=True)),
    )
    # masks would continue the training, which hides the cost of rounding
    batches = batches.map(soft_labels(source_model))
    return _fitted(model, model, batches, card, subject.aware, asked, AWARE_RATE)


def _done(path: Path, asked: dict) -> dict | None:
    """The result of an earlier fit with the same settings; None if there was none."""
    facts = path.with_name(FACTS)
    if not path.exists() or not facts.exists():
        return None
    found = json.loads(facts.read_text())
    return found if {key: found.get(key) for key in asked} == asked else None


def _on_masks(
    model: keras.Model, batches: tf.data.Dataset, rate: float
) -> tuple[keras.Model, tf.data.Dataset]:
    """The compiled network to fit, and its batches of images and masks."""
    network = at_image_size(model)
    network.compile(
        keras.optimizers.Adam(rate),
        jit_compile=False,
        **output_losses(network, "cross_entropy+dice"),
    )
    return network, batches.map(output_masks(network), num_parallel_calls=tf.data.AUTOTUNE)


def _batches(subject: Subject, batch: int) -> tf.data.Dataset:
    return training_pipeline(
        subject.train,
        crop=subject.crop,
        batch_size=batch,
        epochs=1,
        steps=CHUNK,
        augmentation=Augmentation(flip_horizontal=True, scale=(0.8, 1.25)),
    )


def _fitted(
    model: keras.Model,
    network: keras.Model,
    batches: tf.data.Dataset,
    card: ModelCard,
    path: Path,
    asked: dict,
    rate: float,
) -> dict:
    """Fits `network` for the given seconds and saves `model`; returns the settings, steps, loss."""
    deadline = Deadline(asked["seconds"], rate)
    history = network.fit(batches.repeat(), steps_per_epoch=CHUNK, callbacks=[deadline], verbose=0)
    loss = round(float(history.history["loss"][-1]), 4)
    found = asked | {"steps": deadline.steps, "mean_loss": loss}
    path.parent.mkdir(parents=True, exist_ok=True)
    models.save(model, path, card)
    path.with_name(FACTS).write_text(json.dumps(found))
    return found
