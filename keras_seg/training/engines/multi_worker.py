"""Two repairs of Keras' trainer for `fit` on several workers (keras#20585).

Both replace private functions, so they are limited to the Keras versions they were tested with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_seg.tested_versions import KERAS_OF_WORKERS, minor_version

REPAIRED = ("_maybe_symbolic_build", "_make_function")


def trainable_by_workers(model: keras.Model) -> keras.Model:
    """Wraps a model so that `fit` can train it under MultiWorkerMirroredStrategy.

    Must be called in the scope of the strategy. The layers are shared.

    Raises: RuntimeError for a version of Keras that this was not tested with.
    """
    check_version(keras.__version__)
    return WorkerModel(model.inputs, model.output, name=model.name)


def check_version(version: str) -> None:
    """Raises RuntimeError unless the repairs were tested with this version of Keras."""
    missing = [name for name in REPAIRED if not hasattr(keras.Model, name)]
    if minor_version(version) not in KERAS_OF_WORKERS or missing:
        raise RuntimeError(
            f"Training on several workers repairs private functions of Keras "
            f"{KERAS_OF_WORKERS[0]} to {KERAS_OF_WORKERS[-1]}, and is not tested with Keras "
            f"{version}. Install 'keras=={KERAS_OF_WORKERS[-1]}.*', or train with "
            "--strategy mirrored on one machine."
        )


class WorkerModel(keras.Model):
    """A functional model with the repaired functions."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Builds metrics and optimizer from shapes.

        Keras passes the values of all workers, which are not tensors ("PerReplica cannot be
        converted").
        """
        if iterator is not None:
            for *_, batches in iterator:  # preceded by one step number in Keras 3.10, then by two
                data_batch = next(batches)
                break
        local = tf.nest.map_structure(self._first_replica, tuple(data_batch))
        symbols = keras.tree.map_structure(
            lambda value: keras.KerasTensor(value.shape, dtype=value.dtype.name), local
        )
        image, mask, *weights = symbols
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=(image, mask, weights[0] if weights else None))

    def _make_function(self, step_function: Callable) -> Callable:
        """Returns the values of the first replica, which are already summed over all workers.

        Keras averages scalars over axis 0 ("Invalid reduction dimension 0").
        """

        @tf.autograph.experimental.do_not_convert
        def one_step(data: Any) -> Any:
            outputs = self.distribute_strategy.run(step_function, args=(data,))
            return tf.nest.map_structure(self._first_replica, outputs)

        compiled = one_step if self.run_eagerly else tf.function(one_step, reduce_retracing=True)
        return lambda iterator: compiled(next(iterator))

    def _first_replica(self, value: Any) -> Any:
        return self.distribute_strategy.experimental_local_results(value)[0]
