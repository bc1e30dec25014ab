"""Less memory per training step: a batch is computed in parts, whose gradients are averaged."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class Accumulating:
    """Mix-in of a functional model whose step computes its batch part by part.

    Keras' `gradient_accumulation_steps` counts every part as a step: schedules, warm-up and the
    moving average of the weights then run faster than the updates, and it fails on several devices.
    Here a step is one update, whatever the number of parts.
    """

    parts: int

    def train_step(self, data: Any) -> dict[str, Any]:
        """One update of the weights with the mean gradient of all parts."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        given = (x, y) if weight is None else (x, y, weight)
        batch = keras.tree.map_structure(tf.convert_to_tensor, given)
        model: Any = self
        self._build_metrics(batch)
        sums = [tf.zeros(v.shape, v.dtype) for v in model.trainable_weights]
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # sums over replicas cannot be computed in a loop of TensorFlow
            for index in range(self.parts):
                with tf.control_dependencies(sums):
                    sums = self._added(sums, batch, index)
        else:
            _, sums = tf.while_loop(
                lambda index, _: index < self.parts,
                lambda index, sums: (index + 1, self._added(sums, batch, index)),
                (tf.constant(0), sums),
                parallel_iterations=1,
            )
        model.optimizer.apply([total / self.parts for total in sums], model.trainable_weights)
        return model.get_metrics_result()

    def _added(self, sums: list[Any], batch: tuple, index: Any) -> list[Any]:
        """`sums` plus the gradients of a part."""
        model: Any = self
        part = keras.tree.map_structure(lambda values: part_of(values, index, self.parts), batch)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(part)
        with tf.GradientTape() as tape:
            scores = model(x, training=True)
            loss = model.compute_loss(x, y, scores, weight, training=True)
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(
            scaled, model.trainable_weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        model._loss_tracker.update_state(loss * replicas, sample_weight=tf.shape(x)[0])
        model.compute_metrics(x, y, scores, weight)
        return [total + gradient for total, gradient in zip(sums, gradients, strict=True)]

    def _build_metrics(self, batch: tuple) -> None:
        """Creates the variables of the metrics, which cannot be created in a loop."""
        model: Any = self
        if model._compile_metrics is None or model._compile_metrics.built:
            return
        symbols = keras.tree.map_structure(
            lambda values: keras.KerasTensor(values.shape, dtype=values.dtype.name), batch
        )
        with tf.init_scope():
            model._symbolic_build(data_batch=(*symbols, None)[:3])


def part_of(values: tf.Tensor, index: Any, parts: int) -> tf.Tensor:
    """One of `parts` equal parts of a batch."""
    # a slice with moving ends has no size that XLA knows
    shape = tf.concat([[parts, -1], tf.shape(values)[1:]], axis=0)
    part = tf.gather(tf.reshape(values, shape), index)
    whole = values.shape[0]
    part.set_shape((None if whole is None else whole // parts, *values.shape[1:]))
    return part


def accumulating(model: keras.Model, parts: int) -> keras.Model:
    """The same model, whose training step computes a batch in `parts`. Layers are shared."""
    name = f"Accumulating{type(model).__name__}"
    kind = type(name, (Accumulating, type(model)), {"parts": parts})
    return kind(model.inputs[0], model.output, name=model.name)
