"""The strategies of `tf.distribute`: all local devices, several machines, or a TPU."""

from __future__ import annotations

import os
from functools import cache

import tensorflow as tf

from keras_seg.training.engines.tf_config import workers_of_environment


def make_strategy(name: str) -> tf.distribute.Strategy | None:
    """Creates the strategy of a recipe; None for a single device.

    "auto" uses several workers if TF_CONFIG names them, else a TPU if TPU_NAME is set, else all
    GPUs if there are several. On several workers this must be the first use of TensorFlow.

    Raises: ValueError if the devices of the strategy are missing.
    """
    workers = workers_of_environment()
    if name == "multiworker" and not workers:
        raise ValueError(
            'strategy "multiworker" needs TF_CONFIG, such as {"cluster": {"worker": ["host1:2222", '
            '"host2:2222"]}, "task": {"type": "worker", "index": 0}}, in the environment of each '
            "worker. Received: none."
        )
    if name == "multiworker" or (name == "auto" and len(workers) > 1):
        return _workers()
    if name == "tpu" or (name == "auto" and os.environ.get("TPU_NAME")):
        return _tpu_strategy()
    if name == "mirrored" or (name == "auto" and len(tf.config.list_logical_devices("GPU")) > 1):
        return _mirrored(_local_devices())
    return None


# One strategy per process: each numbers its collective operations from 0, and TensorFlow confuses
# equal numbers of two strategies, which fails if their shapes differ.
@cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(list(devices))


@cache
def _workers() -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


def _local_devices() -> tuple[str, ...]:
    gpus = tf.config.list_logical_devices("GPU")
    return tuple(device.name for device in gpus or tf.config.list_logical_devices("CPU"))


def _tpu_strategy() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise ValueError(
            f'strategy "tpu" needs a TPU: {str(error).splitlines()[0]}. Set TPU_NAME, or choose '
            "another --strategy."
        ) from error
    return tf.distribute.TPUStrategy(resolver)
