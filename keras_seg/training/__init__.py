"""Training from a recipe with `model.fit`."""

from keras_seg.lazy import lazy_names
from keras_seg.training.recipe import Recipe

__all__ = ["Recipe", "TrainingResult", "train"]

# The recipe is read by the command line before TensorFlow is needed.
__getattr__, _ = lazy_names(
    __name__,
    {"TrainingResult": "keras_seg.training.fit", "train": "keras_seg.training.fit"},
)
