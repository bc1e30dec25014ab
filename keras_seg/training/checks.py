"""The checks of a training in their order. Each raises ValueError with the entry to correct.

1. `Recipe` checks each entry by itself when it is made.
2. `check_recipe` finds entries that contradict each other, before a Keras backend is used.
3. `check_before_data` finds networks, losses and batches that cannot work, before data are read.
4. `check_with_data` finds entries that contradict the classes of the data, and computes losses
   and metrics of the user on a small batch.
"""

from __future__ import annotations

from keras_seg import losses, models
from keras_seg.data.classes import ClassTable
from keras_seg.model_paths import check_model_entry
from keras_seg.published_weights import is_published
from keras_seg.training.class_weights import options_without_data
from keras_seg.training.contradictions import check_loss, check_recipe
from keras_seg.training.engines import Engine
from keras_seg.training.network import backbone_name, output_channels
from keras_seg.training.own_losses import check_own_losses, check_own_steps, own_metrics
from keras_seg.training.recipe import Recipe

__all__ = ["check_before_data", "check_recipe", "check_with_data"]


def check_before_data(recipe: Recipe, engine: Engine) -> None:
    """Checks everything that needs neither data nor a built network."""
    engine.check_batch(recipe.batch_size, recipe.gradient_accumulation)
    for entry in ("initial_weights", "teacher"):
        if not is_published(getattr(recipe, entry)):
            check_model_entry(getattr(recipe, entry), entry)
    _check_network(recipe)
    _check_loss_options(recipe)
    own_metrics(recipe.metrics)
    check_own_steps(recipe)


def check_with_data(recipe: Recipe, classes: ClassTable, *, multi_label: bool = False) -> None:
    """Checks the recipe against the classes of its data.

    Args:
        multi_label: whether a pixel of the data may have several classes.
    """
    _check_classes(recipe, classes, multi_label)
    check_loss(recipe, len(classes), classes.names, multi_label=multi_label)
    channels = output_channels(recipe, len(classes))
    check_own_losses(recipe, len(classes), channels, multi_label)


def _check_network(recipe: Recipe) -> None:
    if recipe.model == "auto":
        raise ValueError(
            'The model "auto" is chosen from the data by keras-seg train --config, or in Python by '
            "training.choose_recipe(data, output, ...). Received a Recipe with it."
        )
    models.find(recipe.model)
    if recipe.freeze != "none" or recipe.optimizer_options.head_rate != 1:
        backbone_name(recipe)


def _check_loss_options(recipe: Recipe) -> None:
    """Builds each loss, without class weights that are counted from data or given by name."""
    for term in recipe.loss_terms:
        losses.get({"name": term.name, "weight": term.weight} | options_without_data(term))


def _check_classes(recipe: Recipe, classes: ClassTable, multi_label: bool) -> None:
    one_channel = recipe.num_classes == 1 and len(classes) == 2 and not multi_label
    if recipe.num_classes not in (None, len(classes)) and not one_channel:
        raise ValueError(
            f"num_classes={recipe.num_classes} contradicts the data: {recipe.data} has "
            f"{len(classes)} classes ({', '.join(classes.names)}). Leave num_classes out, or "
            "correct classes.json."
        )
