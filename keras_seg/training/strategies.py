"""Distribution strategies: one device, all local devices, several machines, or a TPU."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import tensorflow as tf


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


def workers_of_environment() -> list[str]:
    """The addresses of the workers that TF_CONFIG names.

    Raises: ValueError if TF_CONFIG is not JSON, or JSON of another form.
    """
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"TF_CONFIG is no JSON: {error}. Received: {text[:200]}") from error
    cluster = config.get("cluster", {}) if isinstance(config, dict) else None
    workers = cluster.get("worker", []) if isinstance(cluster, dict) else None
    if not isinstance(workers, list):
        raise ValueError(
            'TF_CONFIG must look like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
            f'"worker", "index": 0}}}}. Received: {text[:200]}'
        )
    return workers


def replicas(strategy: tf.distribute.Strategy | None) -> int:
    """Number of devices that share a batch."""
    return 1 if strategy is None else strategy.num_replicas_in_sync


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether this process writes the files of the run."""
    if not is_multi_worker(strategy):
        return True
    resolver = strategy.cluster_resolver
    return resolver.task_type in (None, "chief") or (
        resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    )


def is_multi_worker(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether there are several workers."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and bool(
        strategy.extended._in_multi_worker_mode()
    )


def scope(strategy: tf.distribute.Strategy | None) -> AbstractContextManager:
    """The scope in which variables are created; does nothing for a single device."""
    return nullcontext() if strategy is None else strategy.scope()


def check_batch(batch_size: int, strategy: tf.distribute.Strategy | None) -> None:
    """Raises ValueError if a batch cannot be split evenly over the devices."""
    count = replicas(strategy)
    if batch_size % count:
        raise ValueError(
            f"batch_size={batch_size} cannot be shared out evenly among {count} devices. It counts "
            f"the crops of all devices together: choose a multiple of {count}."
        )


def jit_of(jit: bool, strategy: tf.distribute.Strategy | None) -> bool:
    """Switches XLA off on several devices, where it cannot access the variables of the others."""
    if jit and replicas(strategy) > 1 and not isinstance(strategy, tf.distribute.TPUStrategy):
        sys.stderr.write("jit is switched off: XLA does not train on several devices here.\n")
        return False
    return jit


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
            f'strategy "tpu" found no TPU: {str(error).splitlines()[0]}. Set TPU_NAME, or choose '
            "another --strategy."
        ) from error
    return tf.distribute.TPUStrategy(resolver)
