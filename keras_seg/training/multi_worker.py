"""Two repairs of Keras' trainer that `fit` needs with several workers (keras#20585).

Both concern private functions, so they are bound to the Keras versions that they were tested with.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_seg.tested_versions import KERAS_OF_WORKERS, minor_version

REPAIRED = ("_maybe_symbolic_build", "_make_function")


def trainable_by_workers(model: keras.Model) -> keras.Model:
    """A model with the same layers that `fit` can train under MultiWorkerMirroredStrategy.

    To be called under the scope of the strategy.

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
    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Builds metrics and optimizer from shapes. Keras feeds values of all workers to it, which
        are no tensors: "PerReplica cannot be converted"."""
        if iterator is not None:
            for *_, batches in iterator:  # after one number of a step in Keras 3.10, then two
                data_batch = next(batches)
                break
        local = tf.nest.map_structure(self._first_replica, tuple(data_batch))
        symbols = keras.tree.map_structure(
            lambda value: keras.KerasTensor(value.shape, dtype=value.dtype.name), local
        )
        image, mask, *weights = symbols
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=(image, mask, weights[0] if weights else None))

    def _make_function(self, step_function):
        """Gives each worker its own first replica's values, which are summed over all already.
        Keras takes a mean over axis 0 of scalars: "Invalid reduction dimension 0"."""

        @tf.autograph.experimental.do_not_convert
        def one_step(data):
            outputs = self.distribute_strategy.run(step_function, args=(data,))
            return tf.nest.map_structure(self._first_replica, outputs)

        compiled = one_step if self.run_eagerly else tf.function(one_step, reduce_retracing=True)
        return lambda iterator: compiled(next(iterator))

    def _first_replica(self, value):
        return self.distribute_strategy.experimental_local_results(value)[0]
