"""Runs a Keras model on arrays, compiled once per image size, on each backend of Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np

from keras_seg.parallel import available_threads

MAX_GRAPHS = 8
"""Number of image sizes for which a compiled model is kept, so that memory is limited."""


class Forward(Protocol):
    """A model as a function: pixels (B, H, W, C) → float32 scores (B, H, W, classes)."""

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


def forward_of(model: keras.Model, scores_of: Callable[[Any], Any]) -> Forward:
    """The function of a model on the Keras backend of this process.

    Args:
        model: a model that has its variables.
        scores_of: the output of the model → its scores.
    """
    name = keras.backend.backend()
    if name == "tensorflow":
        return TensorFlowForward(model, scores_of)
    return JaxForward(model, scores_of) if name == "jax" else EagerForward(model, scores_of)


def use_threads(threads: int | None) -> int:
    """Sets the number of CPU threads, where that is possible, and returns the number in use.

    TensorFlow takes a number until it has run something. The other backends always use all.
    """
    if keras.backend.backend() != "tensorflow":
        return available_threads()
    import tensorflow as tf

    if threads is not None:
        with contextlib.suppress(RuntimeError):  # TensorFlow has started
            tf.config.threading.set_intra_op_parallelism_threads(threads)
    return tf.config.threading.get_intra_op_parallelism_threads() or available_threads()


class EagerForward:
    """Runs the model operation by operation."""

    def __init__(self, model: keras.Model, scores_of: Callable[[Any], Any]):
        self.model, self.scores_of = model, scores_of

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return keras.ops.convert_to_numpy(self._scores(images.astype(np.float32)))

    def _scores(self, pixels: Any) -> Any:
        return keras.ops.cast(self.scores_of(self.model(pixels, training=False)), "float32")


class TensorFlowForward(EagerForward):
    """Runs the model as graphs, one per image size. Sizes beyond `MAX_GRAPHS` run without one."""

    def __init__(self, model: keras.Model, scores_of: Callable[[Any], Any]):
        super().__init__(model, scores_of)
        self.graphs: dict[tuple[int | None, ...], Callable] = {}

    def __call__(self, images: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        return self._graph(images.shape)(tf.constant(images, tf.float32)).numpy()

    def _graph(self, images: tuple[int, ...]) -> Callable:
        import tensorflow as tf

        # one graph for batches of all lengths
        shape = (None if images[0] > 1 else images[0], *images[1:])
        if shape in self.graphs:
            return self.graphs[shape]
        if len(self.graphs) == MAX_GRAPHS:
            return self._scores
        spec = tf.TensorSpec(shape, tf.float32)
        self.graphs[shape] = tf.function(self._scores, input_signature=[spec])
        return self.graphs[shape]


class JaxForward:
    """Runs the model under `jax.jit`, which compiles it once per shape of the images."""

    def __init__(self, model: keras.Model, scores_of: Callable[[Any], Any]):
        import jax

        weights = {id(variable) for variable in model.weights}
        self.model = model
        self.random = [v for v in model.non_trainable_variables if id(v) not in weights]
        """States of random generators, which dropout at inference advances."""
        places = [i for i, v in enumerate(model.non_trainable_variables) if id(v) not in weights]

        def call(trainable: list, others: list, pixels: Any) -> tuple[Any, list]:
            output, others = model.stateless_call(trainable, others, pixels, training=False)
            scores = keras.ops.cast(scores_of(output), "float32")
            return scores, [others[place] for place in places]

        self._compiled = jax.jit(call)
        self._shapes: set[tuple[int, ...]] = set()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        if images.shape not in self._shapes and len(self._shapes) == MAX_GRAPHS:
            self._compiled.clear_cache()
            self._shapes.clear()
        self._shapes.add(images.shape)
        values = ([v.value for v in self.model.trainable_variables],)
        values += ([v.value for v in self.model.non_trainable_variables],)
        scores, states = self._compiled(*values, images.astype(np.float32))
        for variable, state in zip(self.random, states, strict=True):
            variable.assign(state)
        return np.asarray(scores)
