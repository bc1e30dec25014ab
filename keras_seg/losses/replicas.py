"""Sums over the replicas of `tf.distribute`, so that many devices give the loss of one."""

from __future__ import annotations

from typing import Any

import keras


def sum_over_replicas(value: Any) -> Any:
    """`value` summed over all replicas, with its gradient; `value` itself on one device."""
    context = _replica_context()
    return value if context is None else context.all_reduce("sum", value)


def share_of_replica(value: Any) -> Any:
    """`value`, equal on all replicas, divided so that the sum over the replicas is `value`."""
    context = _replica_context()
    return value if context is None else value / context.num_replicas_in_sync


def _replica_context() -> Any:
    """None with one replica, and while Keras traces a model outside of `strategy.run`."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context
