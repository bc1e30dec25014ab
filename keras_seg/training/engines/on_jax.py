"""Training on JAX: one device, or all devices of this process by `keras.distribution`.

TensorFlow reads and augments the images, on the CPU. JAX gets the batches as NumPy arrays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Self

import jax
import keras
import numpy as np
import tensorflow as tf

from keras_seg.training.engines.engine import Engine
from keras_seg.training.engines.tf_config import workers_of_environment
from keras_seg.training.recipe import Recipe

STATE = "state.npz"
ONE_PROCESS = (
    "On JAX a training runs in one process, on the devices that JAX lists there. Pass --strategy "
    "mirrored for all of them, or set KERAS_BACKEND=tensorflow."
)
DETERMINISTIC_GPU = "--xla_gpu_deterministic_ops=true"


class JaxEngine(Engine):
    """Trains on one device, or on several under `keras.distribution.DataParallel`.

    XLA computes each step with the whole batch and divides the work among the devices.

    Args:
        devices: names of the devices, as `keras.distribution.list_devices` returns them.
    """

    name = "jax"

    def __init__(self, devices: Sequence[str]):
        self.devices = len(devices)
        self.distribution = None
        if self.devices > 1:
            self.distribution = keras.distribution.DataParallel(
                devices=list(devices), auto_shard_dataset=False
            )
        if jax.default_backend() == "tpu":
            self.half_precision = "mixed_bfloat16"

    @classmethod
    def for_recipe(cls, recipe: Recipe) -> Self:
        if recipe.deterministic:  # read when JAX starts, which is when it lists its devices
            flags = os.environ.get("XLA_FLAGS", "")
            if DETERMINISTIC_GPU not in flags:
                os.environ["XLA_FLAGS"] = f"{flags} {DETERMINISTIC_GPU}".strip()
        for entry, usual in (("gradient_accumulation", 1), ("recompute", False)):
            if getattr(recipe, entry) != usual:
                raise ValueError(
                    f"{entry}={getattr(recipe, entry)} needs the Keras backend tensorflow. "
                    f"Received: jax. Set KERAS_BACKEND=tensorflow, or leave {entry} out."
                )
        devices = devices_of(recipe.strategy)
        if len(devices) > 1 and not recipe.sync_batch_norm:
            raise ValueError(
                "sync_batch_norm=False contradicts several devices on JAX, where batch norm always "
                "has the statistics of the whole batch. Leave sync_batch_norm out, or pass "
                "--strategy none."
            )
        return cls(devices)

    @staticmethod
    def checkpoint(variables: Sequence[keras.Variable]) -> JaxCheckpoint:
        return JaxCheckpoint(variables)

    def set_up(self, *, deterministic: bool) -> None:
        with contextlib.suppress(RuntimeError):  # too late if TensorFlow has run something
            tf.config.set_visible_devices([], "GPU")  # it would reserve the memory that JAX needs

    def has_gpu(self) -> bool:
        return jax.default_backend() == "gpu"

    def compiles(self, jit: bool) -> bool:
        """Always: without XLA, JAX would run each operation by itself."""
        return True

    @staticmethod
    def update_variables(model: keras.Model) -> None:
        model.jax_state_sync()

    def running(self) -> AbstractContextManager:
        return nullcontext() if self.distribution is None else self.distribution.scope()


class JaxCheckpoint:
    """Variables as one .npz file, in their order."""

    def __init__(self, variables: Sequence[keras.Variable]):
        self._variables = list(variables)

    def write(self, folder: Path) -> None:
        """Writes the values into a folder."""
        values = [keras.ops.convert_to_numpy(variable) for variable in self._variables]
        np.savez(folder / STATE, *values)

    def read(self, folder: Path) -> None:
        """Sets the variables to the values in a folder."""
        with np.load(folder / STATE) as archive:
            for variable, name in zip(self._variables, archive.files, strict=True):
                variable.assign(archive[name])


def devices_of(strategy: str) -> list[str]:
    """The names of the devices of a recipe's strategy.

    "mirrored" uses all devices of JAX, "auto" only if they are GPUs or TPUs.

    Raises: ValueError for a strategy that JAX lacks, and if TF_CONFIG names several workers.
    """
    if strategy in ("multiworker", "tpu"):
        raise ValueError(f'strategy "{strategy}" needs TensorFlow. {ONE_PROCESS}')
    workers = workers_of_environment()
    if strategy == "auto" and len(workers) > 1:
        raise ValueError(
            f"TF_CONFIG names {len(workers)} workers, which need TensorFlow. {ONE_PROCESS}"
        )
    devices = keras.distribution.list_devices()
    several = strategy == "mirrored" or (strategy == "auto" and jax.default_backend() != "cpu")
    return devices if several else devices[:1]
