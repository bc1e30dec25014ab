"""What happens after each step and each epoch."""

from __future__ import annotations

import signal
import sys
import threading
import time

import keras
import numpy as np

from keras_seg.metrics import MeanIoU
from keras_seg.training.failures import Diverged
from keras_seg.training.history import MONITOR, History
from keras_seg.training.optimizers import averaged_weights
from keras_seg.training.recipe import Recipe
from keras_seg.training.saved_state import SavedState


class Steps(keras.callbacks.Callback):
    """Counts steps over all epochs and runs: checkpoints, NaN losses and Ctrl-C are its matter.

    Ctrl-C (and SIGTERM) ends the training after the step, or the validation, that is running, with
    a checkpoint; a second one ends it at once.

    Args:
        epoch_steps: steps an epoch.
        first_step: the step that the training goes on at.
        every: steps between checkpoints.
    """

    def __init__(self, state: SavedState, *, epoch_steps: int, first_step: int, every: int):
        super().__init__()
        self.state, self.epoch_steps, self.every = state, epoch_steps, every
        self.step = first_step
        self.asked_to_stop = False
        self._add_metrics = bool(first_step % epoch_steps)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self._add_metrics:  # those of the broken epoch's first part
            self._add_metrics = False
            self.state.add_metrics_of_broken_epoch()
        if not np.isfinite(logs["loss"]):
            raise Diverged(f"The loss is {float(logs['loss'])} at step {self.step}.")
        if self.step % self.epoch_steps == 0:
            return  # the epoch ends with its validation, and a checkpoint after it
        if self.asked_to_stop:
            self._stop()
        if self.step % self.every == 0:
            self.state.save(self.step)

    def on_epoch_end(self, epoch, logs=None):
        self.state.save(self.step)
        if self.asked_to_stop:
            raise KeyboardInterrupt

    def _stop(self):
        self.state.save(self.step)
        raise KeyboardInterrupt

    def on_signal(self, number, frame):
        if self.asked_to_stop:
            raise KeyboardInterrupt
        self.asked_to_stop = True
        sys.stderr.write("\nStopping after this step; once more to stop at once.\n")


class catching_signals:
    """While in the block, SIGINT and SIGTERM are answered by `steps`."""

    def __init__(self, steps: Steps):
        self.steps, self.before = steps, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self.steps.on_signal)

    def __exit__(self, *exception):
        for number, handler in self.before.items():
            signal.signal(number, handler)


class Rows(keras.callbacks.Callback):
    """Enters each epoch into the history, with the IoU of each class.

    Args:
        names: of the classes.
    """

    def __init__(self, history: History, names: tuple[str, ...], metric: MeanIoU):
        super().__init__()
        self.history, self.names, self.metric = history, names, metric

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        iou = [None if np.isnan(v) else round(float(v), 6) for v in self.metric.per_class()]
        self.history.append(
            {"epoch": epoch + 1}
            # Keras puts the output's name before the metric's if there are several outputs
            | {k.replace("logits_mean_iou", "mean_iou"): float(v) for k, v in logs.items()}
            | {"learning_rate": rate, "seconds": round(time.monotonic() - self.start, 3)}
            | {"val_iou": dict(zip(self.names, iou, strict=False))}
        )


class PlateauRate(keras.callbacks.Callback):
    """Multiplies the learning rate by `factor` at each plateau of the validation mIoU."""

    def __init__(self, history: History, recipe: Recipe):
        super().__init__()
        self.history, self.recipe = history, recipe

    def on_epoch_begin(self, epoch, logs=None):
        options = self.recipe.schedule_options
        falls = self.history.plateaus(options.patience)
        factor = max(options.factor**falls, options.floor)
        self.model.optimizer.learning_rate = self.recipe.learning_rate * factor


class AverageWhileValidating(keras.callbacks.Callback):
    """Validates with the average of the weights."""

    def on_test_begin(self, logs=None):
        self.swapped = averaged_weights(self.model)
        self.swapped.__enter__()

    def on_test_end(self, logs=None):
        self.swapped.__exit__(None, None, None)


class StopEarly(keras.callbacks.Callback):
    """Ends the training after `patience` epochs without a better validation mIoU."""

    def __init__(self, history: History, patience: int):
        super().__init__()
        self.history, self.patience = history, patience

    def on_epoch_end(self, epoch, logs=None):
        if self.history.epochs_without_progress >= self.patience:
            self.model.stop_training = True


class StopAfter(keras.callbacks.Callback):
    """Ends the training at the first end of an epoch after `minutes`."""

    def __init__(self, minutes: float):
        super().__init__()
        self.seconds, self.start = minutes * 60, time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        if time.monotonic() - self.start > self.seconds:
            self.model.stop_training = True


__all__ = [
    "MONITOR",
    "AverageWhileValidating",
    "PlateauRate",
    "Rows",
    "Steps",
    "StopAfter",
    "StopEarly",
    "catching_signals",
]
