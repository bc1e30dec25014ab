"""Training from a recipe with `model.fit`, and helpers for a bare `model.fit`."""

from keras_seg.lazy import lazy_names
from keras_seg.training.allocator import keep_freed_memory
from keras_seg.training.recipe import OptimizerOptions, Recipe, ScheduleOptions

__all__ = [
    "CrossValidation",
    "Diverged",
    "FirstBatchCheck",
    "OptimizerOptions",
    "Recipe",
    "ScheduleOptions",
    "TrainingResult",
    "choose_recipe",
    "cross_validate",
    "keep_freed_memory",
    "output_losses",
    "output_masks",
    "recalibrate",
    "train",
]

# These need TensorFlow, which the command line does not load for reading a recipe.
__getattr__, _ = lazy_names(
    __name__,
    {
        "choose_recipe": "keras_seg.training.chosen_recipe",
        "CrossValidation": "keras_seg.training.cross_validation",
        "cross_validate": "keras_seg.training.cross_validation",
        "Diverged": "keras_seg.training.failures",
        "FirstBatchCheck": "keras_seg.training.first_batch",
        "TrainingResult": "keras_seg.training.fit",
        "recalibrate": "keras_seg.training.recalibration",
        "train": "keras_seg.training.fit",
        "output_losses": "keras_seg.training.outputs",
        "output_masks": "keras_seg.training.outputs",
    },
    tensorflow_for="Training runs",
)
