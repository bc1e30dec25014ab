"""Knowledge distillation: a trained network teaches the network of a training.

Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, arXiv:1503.02531; per pixel as
in Liu et al.: Structured Knowledge Distillation for Semantic Segmentation, CVPR 2019,
arXiv:1903.04197.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from keras_seg import models
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.losses.replicas import share_of_replica
from keras_seg.models.output_activation import model_output_activation
from keras_seg.models.sizes import output_margin
from keras_seg.training.outputs import MAIN, at_image_size
from keras_seg.training.recipe import Recipe


class Lesson:
    """The loss of a network against its teacher.

    It is T² KL(p, q), averaged over all pixels, times a weight. p and q are the softmax of the
    teacher's and of the network's logits divided by the temperature T; with several labels per
    pixel, the sigmoid of each. T² keeps the gradients at the same size for all temperatures. The
    teacher computes as in a prediction.

    Args:
        teacher: network with scores (B, H, W, classes) at the size of the image. It is frozen.
        weight: factor of the loss.
        temperature: T.
        margin: (rows, columns) that the teacher's scores have more than the network's on each side.
        probabilities: whether (the network, the teacher) end in probabilities, not in logits.
        multi_label: whether a pixel may have several classes.
    """

    def __init__(
        self,
        teacher: keras.Model,
        *,
        weight: float,
        temperature: float,
        margin: tuple[int, int] = (0, 0),
        probabilities: tuple[bool, bool] = (False, False),
        multi_label: bool = False,
    ):
        teacher.trainable = False
        self.teacher = teacher
        self.weight, self.temperature, self.margin = weight, temperature, margin
        self.probabilities, self.multi_label = probabilities, multi_label

    def loss(self, scores: Any, image: Any) -> Any:
        """The share of this replica in the loss for scores (B, h, w, classes) of an image."""
        return share_of_replica(self.weight * self.divergence(scores, image))

    def divergence(self, scores: Any, image: Any) -> Any:
        """The loss without its weight."""
        top, left = self.margin
        shown = ops.stop_gradient(self.teacher(image, training=False))
        shown = shown[:, top : -top or None, left : -left or None]
        student, teacher = (
            class_logits(values, squashed, self.multi_label) / self.temperature
            for values, squashed in zip((scores, shown), self.probabilities, strict=True)
        )
        if self.multi_label:
            share = ops.sigmoid(teacher)
            values = share * (ops.log_sigmoid(teacher) - ops.log_sigmoid(student))
            values += (1 - share) * (ops.log_sigmoid(-teacher) - ops.log_sigmoid(-student))
        else:
            teacher = ops.log_softmax(teacher)
            values = ops.sum(ops.exp(teacher) * (teacher - ops.log_softmax(student)), -1)
        return self.temperature**2 * ops.mean(values)


class Taught:
    """Mix-in of a functional model whose main output also learns the scores of a teacher.

    The loss is computed beside those of `compile`, and not by `add_loss`: the replicas of
    `tf.distribute` share the list of such losses. A validation does not run the teacher.
    """

    lesson: Lesson
    teacher: keras.Model
    """The teacher again, where Keras finds its variables."""

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The losses of `compile`, and in training that of the lesson."""
        loss = super().compute_loss(  # pyrefly: ignore[missing-attribute]
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        if not training:
            return loss
        scores = y_pred[MAIN] if isinstance(y_pred, dict) else y_pred
        return loss + self.lesson.loss(scores, x)


def class_logits(scores: Any, are_probabilities: bool, multi_label: bool) -> Any:
    """float32 logits of every class or label; one channel z becomes the two classes 0 and z."""
    scores = ops.cast(scores, "float32")
    if are_probabilities:
        least = keras.config.epsilon()
        shares = ops.clip(scores, least, 1 - least)
        odds = multi_label or scores.shape[-1] == 1
        scores = ops.log(shares) - (ops.log1p(-shares) if odds else 0.0)
    if scores.shape[-1] == 1 and not multi_label:
        scores = ops.concatenate([ops.zeros_like(scores), scores], -1)
    return scores


def taught(
    model: keras.Model,
    network: keras.Model,
    recipe: Recipe,
    dataset: SegmentationDataset,
    *,
    tell: Callable[[str], None] = lambda sentence: None,
) -> keras.Model:
    """A model as `model`, whose main output also learns from the recipe's teacher.

    Args:
        model: `network` with outputs at the size of the image, of any class that Keras trains.
        network: the network of the recipe.
        recipe: the recipe.
        dataset: the training data.
        tell: takes the sentences about a teacher that may have learned from other data.

    Raises: ValueError for a teacher with other channels, classes or sizes.
    """
    if recipe.teacher is None:
        return model
    teacher = open_teacher(recipe.teacher, recipe, dataset)
    for sentence in _doubts(recipe.teacher, dataset):
        tell(sentence)
    rows, columns = (
        own - its for own, its in zip(output_margin(model), output_margin(teacher), strict=True)
    )
    if min(rows, columns) < 0:
        raise ValueError(
            f"teacher={recipe.teacher} has scores for less of the image than {recipe.model}: its "
            f"border lacks {output_margin(teacher)} pixels, here {output_margin(model)}. Take a "
            "teacher that pads its convolutions."
        )
    lesson = Lesson(
        teacher,
        weight=recipe.teacher_weight,
        temperature=recipe.teacher_temperature,
        margin=(rows, columns),
        probabilities=(
            model_output_activation(network.output).are_probabilities,
            model_output_activation(teacher.output).are_probabilities,
        ),
        multi_label=dataset.multi_label,
    )
    kind = type(f"Taught{type(model).__name__}", (Taught, type(model)), {})
    student = kind(model.input, model.output, name=model.name)
    student.lesson, student.teacher = lesson, teacher
    return student


def variables_of_teacher(model: keras.Model) -> list[keras.Variable]:
    """The variables of the teacher of a model, which no checkpoint needs."""
    return model.teacher.variables if isinstance(model, Taught) else []


def open_teacher(path: str, recipe: Recipe, dataset: SegmentationDataset) -> keras.Model:
    """The teacher in a file, with scores at the size of the image.

    Raises: ValueError if it does not take the crops of the recipe, or has other classes.
    """
    model = models.for_inference(models.load(path))
    image = model.inputs[0]
    model = keras.Model(image, model.output, name=model.name)
    channels = image.shape[-1]
    if channels != recipe.channels:
        raise ValueError(
            f"teacher={path} takes images of {channels} channels. Received: channels="
            f"{recipe.channels}. Take a teacher that was trained on such images."
        )
    _check_classes(path, model, dataset)
    fixed = tuple(image.shape[1:3])
    if any(side not in (None, crop) for side, crop in zip(fixed, recipe.crop, strict=True)):
        raise ValueError(
            f"teacher={path} takes images of {fixed} pixels. Received: crop={list(recipe.crop)}. "
            "Choose that crop, or a teacher that takes images of any size."
        )
    try:
        model.compute_output_shape((None, *recipe.crop, channels))
    except ValueError as error:
        raise ValueError(
            f"teacher={path} does not take crops of {list(recipe.crop)} pixels: {error}"
        ) from error
    return at_image_size(model)


def _check_classes(path: str, model: keras.Model, dataset: SegmentationDataset) -> None:
    card, names = models.read_card(path), dataset.classes.names
    number = model.output.shape[-1]
    expected = len(names) if dataset.multi_label or number > 1 else 1
    if number != expected or (number == 1 and not dataset.multi_label and len(names) != 2):
        raise ValueError(
            f"teacher={path} has {number} output channels. Received: data of "
            f"{len(names)} classes ({', '.join(names)}). Take a teacher of the same classes."
        )
    if card is None:
        return
    if card.multi_label != dataset.multi_label:
        kind = {True: "several classes per pixel", False: "one class per pixel"}
        raise ValueError(
            f"teacher={path} has {kind[card.multi_label]}. Received: data with "
            f"{kind[dataset.multi_label]}. Take a teacher that was trained on such masks."
        )
    there = card.classes.names
    if tuple(there) != tuple(names) and set(there) == set(names):
        raise ValueError(
            f"teacher={path} has the classes {', '.join(there)}. Received: data with "
            f"{', '.join(names)}. Take a teacher whose classes have the same order."
        )


def _doubts(path: str, dataset: SegmentationDataset) -> Iterator[str]:
    """What may be wrong with a teacher whose channels fit."""
    card = models.read_card(path)
    if card is None:
        return
    if set(card.classes.names) != set(dataset.classes.names):
        yield (
            f"The classes of the teacher have other names: {', '.join(card.classes.names)} there, "
            f"{', '.join(dataset.classes.names)} here. It must mean the same by them."
        )
    if card.value_range != dataset.value_range:
        yield (
            f"The teacher was trained with the black and white {card.value_range} of its images; "
            f"here they are {dataset.value_range}."
        )
