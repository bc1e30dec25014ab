"""The Keras backends that `train` runs on. Each has a file; no other file of training asks for it.

`current_engine()` is the class for the backend of this process, `engine_for(recipe)` an instance
with the devices of a recipe.
"""

from __future__ import annotations

import keras

from keras_seg.training.engines.engine import Checkpoint, Engine
from keras_seg.training.recipe import Recipe

__all__ = ["Checkpoint", "Engine", "current_engine", "engine_for"]


def current_engine() -> type[Engine]:
    """The engine of the Keras backend of this process.

    Raises: ValueError for a backend on which `train` does not run.
    """
    name = keras.backend.backend()
    if name == "tensorflow":
        from keras_seg.training.engines.on_tensorflow import TensorFlowEngine

        return TensorFlowEngine
    if name == "jax":
        from keras_seg.training.engines.on_jax import JaxEngine

        return JaxEngine
    raise ValueError(
        f"train runs on the Keras backends tensorflow and jax. Received: {name}. Set "
        "KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax in the environment."
    )


def engine_for(recipe: Recipe) -> Engine:
    """Finds the devices of a recipe.

    Raises: ValueError if the backend or the devices cannot do what the recipe asks for.
    """
    return current_engine().for_recipe(recipe)
