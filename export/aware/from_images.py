"""Quantization-aware training without masks: the float network teaches its rounding copy."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_seg import models
from keras_seg.backends import need_tensorflow_backend
from keras_seg.card import ModelCard
from keras_seg.data.as_dataset import Data, as_dataset
from keras_seg.data.augmentation.options import Augmentation
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.pipeline import steps_per_epoch, training_pipeline
from keras_seg.data.wrappers.resized import ResizedDataset
from keras_seg.export.aware.rewrite import quantization_aware
from keras_seg.export.aware.soft_labels import soft_labels
from keras_seg.models.output_activation import model_output_activation
from keras_seg.models.sizes import size_rule
from keras_seg.training.run_folder import MODEL_NAME, recipe_beside

STEPS = 100
"""Training steps by default, rounded up to whole epochs. A few dozen are enough."""
LEARNING_RATE = 1e-4
BATCH, CROP = 8, 256
"""Images per step, and the largest side in pixels of the crops for a model of free size."""
AUGMENTATION = Augmentation(scale=(0.8, 1.25))
COMPARED = 16
"""Images on which the copy is compared with the float model."""


@dataclass(frozen=True)
class TunedOnImages:
    """The result of `train_on_images`.

    Attributes:
        model_path: file of the quantization-aware model.
        images: number of images.
        steps: number of training steps.
        agreement: share of the pixels, 0..1, to which it gives the class of the float model.
    """

    model_path: Path
    images: int
    steps: int
    agreement: float


def train_on_images(
    model_path: str | Path,
    data: Data,
    output: str | Path,
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
) -> TunedOnImages:
    """Fine-tunes a quantization-aware copy of a model on images alone.

    The labels are the predictions of the model itself, see `soft_labels`, so the copy learns to
    compensate for the roundings and nothing else. Masks beside the images are not used.

    Args:
        model_path: the trained .keras file. It needs no run folder.
        data: a folder of images, or anything that `export` takes as calibration.
        output: folder for the new `model.keras`.
        epochs: passes over the images; None for at least 100 steps.
        learning_rate: rate of Adam; None for 0.0001.

    Raises: FileExistsError if the output folder holds a model; ValueError for images that the
        model does not take; as `quantization_aware` otherwise.
    """
    need_tensorflow_backend("Quantization-aware training")
    target = Path(output) / MODEL_NAME
    if target.exists():
        raise FileExistsError(f"{target} exists. Choose another --output.")
    model = models.for_inference(models.load(model_path))
    model = keras.Model(model.inputs[0], model.output, name=model.name)
    card = models.read_card(model_path) or ModelCard(ClassTable.numbered(_classes(model)))
    dataset, crop = _images(model, model_path, card, data)
    batch = min(BATCH, len(dataset))
    per_epoch = steps_per_epoch(dataset, batch)
    epochs = -(-STEPS // per_epoch) if epochs is None else epochs
    sys.stderr.write(
        f"Training {epochs * per_epoch} steps on {len(dataset)} images, with the predictions of "
        f"{model_path} as labels.\n"
    )
    batches = training_pipeline(
        dataset, crop=crop, batch_size=batch, epochs=epochs, augmentation=AUGMENTATION
    )
    aware = _compiled(model, card, LEARNING_RATE if learning_rate is None else learning_rate)
    labelled = batches.map(soft_labels(model, multi_label=card.multi_label))
    aware.fit(labelled, epochs=epochs, steps_per_epoch=per_epoch, verbose=0)
    target.parent.mkdir(parents=True, exist_ok=True)
    models.save(aware, target, card)
    agreement = _agreement(model, aware, dataset, crop, card.multi_label)
    return TunedOnImages(target, len(dataset), epochs * per_epoch, agreement)


def _compiled(model: keras.Model, card: ModelCard, learning_rate: float) -> keras.Model:
    """The rounding copy of a model, with the loss for its probabilities as labels."""
    aware = quantization_aware(model)
    binary = card.multi_label or model.output.shape[-1] == 1
    loss = keras.losses.BinaryCrossentropy if binary else keras.losses.CategoricalCrossentropy
    from_logits = not model_output_activation(model.output).are_probabilities
    aware.compile(
        keras.optimizers.Adam(learning_rate), loss(from_logits=from_logits), jit_compile=False
    )
    return aware


def _classes(model: keras.Model) -> int:
    return max(2, model.output.shape[-1])


def _images(
    model: keras.Model, model_path: str | Path, card: ModelCard, data: Data
) -> tuple[SegmentationDataset, tuple[int, int]]:
    """The images, resized as in the training of the model, and the size of its crops."""
    dataset = as_dataset(
        data,
        what="data",
        channels=model.input.shape[-1],
        classes=card.classes,
        value_range=card.value_range,
        multi_label=card.multi_label,
        nodata=card.nodata,
    )
    if card.image_size is not None:
        dataset = ResizedDataset(dataset, card.image_size)
    recipe = recipe_beside(model_path)
    fixed = tuple(model.input.shape[1:3])
    if None not in fixed:
        return dataset, fixed
    if recipe is not None:
        return dataset, recipe.crop
    multiple, offset, smallest = size_rule(model)
    sides = (max(min(CROP, side), smallest) - offset for side in dataset[0].image.shape[:2])
    height, width = (offset + multiple * max(1, -(-side // multiple)) for side in sides)
    return dataset, (height, width)


def _agreement(
    model: keras.Model,
    aware: keras.Model,
    dataset: SegmentationDataset,
    crop: tuple[int, int],
    multi_label: bool,
) -> float:
    """Share of the pixels of some images to which two networks give the same classes."""
    count = min(COMPARED, len(dataset))
    plain = Augmentation(
        flip_horizontal=False, scale=(1, 1), brightness=0, contrast=0, saturation=0
    )
    batches = training_pipeline(
        dataset, crop=crop, batch_size=1, epochs=1, steps=count, augmentation=plain
    )
    limit = 0.5 if model_output_activation(model.output).are_probabilities else 0.0

    def classes(network: keras.Model, images: np.ndarray) -> np.ndarray:
        scores = np.asarray(network(images, training=False))
        return scores > limit if multi_label or scores.shape[-1] == 1 else scores.argmax(-1)

    return float(np.mean([(classes(model, x) == classes(aware, x)).mean() for x, *_ in batches]))
