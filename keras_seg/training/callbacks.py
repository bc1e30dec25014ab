"""Callbacks of a training: checkpoints, the log, the learning rate, and early ends."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import keras
import numpy as np

from keras_seg.metrics import MeanIoU
from keras_seg.training.failures import Diverged
from keras_seg.training.history import History
from keras_seg.training.optimizers import averaged_weights
from keras_seg.training.recipe import Recipe
from keras_seg.training.saved_state import SavedState

OUTPUT = re.compile(r"^(val_)?logits_(?!loss$)")
"""The name of the main output before that of a metric."""


class StepCounter(keras.callbacks.Callback):
    """Counts the steps of all epochs, saves checkpoints, and stops at NaN losses and at Ctrl-C.

    At Ctrl-C or SIGTERM the training stops after the current step or validation, with a checkpoint.
    A second signal stops it at once.

    Args:
        state: the checkpoints.
        epoch_steps: steps per epoch.
        first_step: the step at which the training starts or resumes.
        every: steps between checkpoints.
        per_call: steps between two calls of the callbacks, a divisor of `epoch_steps`.
    """

    def __init__(
        self,
        state: SavedState,
        *,
        epoch_steps: int,
        first_step: int,
        every: int,
        per_call: int = 1,
    ):
        super().__init__()
        self.per_call = per_call
        self.state, self.epoch_steps, self.every = state, epoch_steps, every
        self.step = first_step
        self.asked_to_stop = False
        self._add_metrics = bool(first_step % epoch_steps)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step += self.per_call
        if self._add_metrics:  # from the first part of an interrupted epoch
            self._add_metrics = False
            self.state.add_metrics_of_interrupted_epoch()
        if not np.isfinite(logs["loss"]):
            raise Diverged(f"The loss is {float(logs['loss'])} at step {self.step}.")
        if self.step % self.epoch_steps == 0:
            return  # the checkpoint follows the validation
        if self.asked_to_stop:
            self._stop()
        if self.step % self.every < self.per_call:
            self.state.save(self.step)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.state.save(self.step)
        if self.asked_to_stop:
            raise KeyboardInterrupt

    def _stop(self) -> None:
        self.state.save(self.step)
        raise KeyboardInterrupt

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked_to_stop:
            raise KeyboardInterrupt
        self.asked_to_stop = True
        sys.stderr.write("\nStopping after this step. Press Ctrl-C again to stop at once.\n")


@contextmanager
def catching_signals(steps: StepCounter) -> Iterator[None]:
    """Passes SIGINT and SIGTERM to `steps` while the block runs."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, steps.on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class EpochLog(keras.callbacks.Callback):
    """Adds each epoch to the history, with the IoU of each class.

    Args:
        history: the log.
        names: names of the classes.
        metric: validation metric that knows the IoU of each class.
    """

    def __init__(self, history: History, names: tuple[str, ...], metric: MeanIoU):
        super().__init__()
        self.history, self.names, self.metric = history, names, metric

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        optimizer = self.model.optimizer
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        iou = [None if np.isnan(v) else round(float(v), 6) for v in self.metric.per_class()]
        self.history.append(
            {"epoch": epoch + 1}
            # with several outputs Keras prefixes the names of metrics
            | {OUTPUT.sub(r"\1", name): float(value) for name, value in (logs or {}).items()}
            | {"learning_rate": rate, "seconds": round(time.monotonic() - self.start, 3)}
            | {"val_iou": dict(zip(self.names, iou, strict=False))}
        )


class TellDuration(keras.callbacks.Callback):
    """Says once, after the first steps, how long the training will take.

    Args:
        steps: number of steps that are left.
        per_call: steps between two calls of the callbacks.
    """

    SKIPPED, TIMED = 3, 10
    """Calls that are not timed, because they build graphs, and calls that are."""
    WORTH = 60
    """Shorter trainings, in seconds, are not told."""

    def __init__(self, steps: int, per_call: int = 1):
        super().__init__()
        self.steps, self.per_call, self._done, self._start = steps, per_call, 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._done += 1
        if self._done == self.SKIPPED:
            self._start = time.monotonic()
        if self._done == self.SKIPPED + self.TIMED:
            left = self.steps - self._done * self.per_call
            seconds = (time.monotonic() - self._start) / (self.TIMED * self.per_call)
            if left * seconds >= self.WORTH:
                sys.stderr.write(f"\n{duration_line(left, seconds)}\n")


def duration_line(steps: int, seconds: float) -> str:
    """The expected time of a number of steps.

    Example:
        >>> duration_line(800, 1.5)
        'About 20 minutes for the next 800 steps, at 1.5 s per step, and validation besides.'
    """
    total = steps * seconds
    amounts = (("hours", total / 3600), ("minutes", total / 60), ("seconds", total))
    unit, amount = next((each for each in amounts if each[1] >= 2), amounts[-1])
    return (
        f"About {amount:.0f} {unit} for the next {steps:,} steps, at {seconds:.2g} s per step, and "
        "validation besides."
    )


class PlateauRate(keras.callbacks.Callback):
    """Multiplies the learning rate by `factor` at each plateau of the monitor."""

    def __init__(self, history: History, recipe: Recipe):
        super().__init__()
        self.history, self.recipe = history, recipe

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        options = self.recipe.schedule_options
        falls = self.history.plateaus(options.patience)
        factor = max(options.factor**falls, options.floor)
        self.model.optimizer.learning_rate = self.recipe.learning_rate * factor


class AverageWhileValidating(keras.callbacks.Callback):
    """Validates with the moving average of the weights."""

    def __init__(self):
        super().__init__()
        self._averaged = ExitStack()

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._averaged.enter_context(averaged_weights(self.model))

    def on_test_end(self, logs: dict | None = None) -> None:
        self._averaged.close()


class StopEarly(keras.callbacks.Callback):
    """Stops the training after `patience` epochs without progress of the monitor."""

    def __init__(self, history: History, patience: int):
        super().__init__()
        self.history, self.patience = history, patience

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.history.epochs_without_progress >= self.patience:
            self.model.stop_training = True


class StopAfter(keras.callbacks.Callback):
    """Stops the training at the end of the epoch in which `minutes` run out."""

    def __init__(self, minutes: float):
        super().__init__()
        self.seconds, self.start = minutes * 60, time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if time.monotonic() - self.start > self.seconds:
            self.model.stop_training = True
