"""What a training needs from a Keras backend and its devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import keras

from keras_seg.training.recipe import Recipe


class Checkpoint(Protocol):
    """Values of variables in files."""

    def write(self, folder: Path) -> None:
        """Writes the values into a folder."""

    def read(self, folder: Path) -> None:
        """Sets the variables to the values in a folder."""


class Engine(ABC):
    """A Keras backend with the devices of one training.

    The defaults are those of one process on one device.

    Attributes:
        name: name of the Keras backend.
        devices: number of devices that share a batch.
        replicas: number of parts of a batch that are computed separately. 1 if the backend computes
            with the whole batch and divides the work itself.
        half_precision: Keras dtype policy of mixed precision.
        writes: whether this process writes the files of the run.
        several_workers: whether other processes take part.
    """

    name: ClassVar[str]
    devices: int = 1
    replicas: int = 1
    half_precision: str = "mixed_float16"
    writes: bool = True
    several_workers: bool = False

    @classmethod
    @abstractmethod
    def for_recipe(cls, recipe: Recipe) -> Self:
        """The engine with the devices that `recipe.strategy` names.

        Raises: ValueError if they are missing, or the recipe has an entry that the backend lacks.
        """

    @staticmethod
    @abstractmethod
    def checkpoint(variables: Sequence[keras.Variable]) -> Checkpoint:
        """A checkpoint of these variables, which may be in use by a distributed training."""

    @abstractmethod
    def set_up(self, *, deterministic: bool) -> None:
        """Sets the options of the process, before a network is built."""

    @abstractmethod
    def has_gpu(self) -> bool:
        """Whether this process has a GPU."""

    @abstractmethod
    def compiles(self, jit: bool) -> bool:
        """Whether Keras compiles the step with XLA, if the recipe says `jit`."""

    @staticmethod
    @abstractmethod
    def update_variables(model: keras.Model) -> None:
        """Writes the values of a running `fit` into the variables of the model."""

    def running(self) -> AbstractContextManager:
        """The context of the whole training."""
        return nullcontext()

    def scope(self) -> AbstractContextManager:
        """The context in which variables are created."""
        return nullcontext()

    def trainable(self, model: keras.Model) -> keras.Model:
        """The model in the form that `fit` can train on these devices."""
        return model

    def with_less_memory(self, model: keras.Model, recipe: Recipe) -> keras.Model:
        """The model in the form that has `gradient_accumulation` and `recompute` of a recipe."""
        return model

    def training_batches(self, make: Callable[[tuple[int, int]], Any], batch_size: int) -> Any:
        """Batches as `fit` takes them.

        Args:
            make: (index, count) → a `tf.data.Dataset` of one of `count` equal parts of each batch.
            batch_size: images per batch, on all devices together.
        """
        return make((0, 1))

    def failures_explained(self, kept: Callable[[], str] = str) -> AbstractContextManager:
        """The context that explains errors which only this backend raises.

        Args:
            kept: returns the sentence about checkpoints.
        """
        return nullcontext()

    def check_batch(self, batch_size: int, parts: int = 1) -> None:
        """Raises ValueError if a batch cannot be divided evenly among the devices.

        Args:
            batch_size: images per batch, on all devices together.
            parts: number of parts in which each device computes its share.
        """
        if parts > 1 and batch_size % (self.devices * parts):
            raise ValueError(
                f"batch_size={batch_size} cannot be divided evenly into gradient_accumulation="
                f"{parts} parts on {self.devices} devices. Choose a multiple of "
                f"{self.devices * parts}, or fewer parts."
            )
        if batch_size % self.devices:
            raise ValueError(
                f"batch_size={batch_size} cannot be divided evenly among {self.devices} devices. "
                "It counts the crops of all devices together: choose a multiple of "
                f"{self.devices}."
            )
