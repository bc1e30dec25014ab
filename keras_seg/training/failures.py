"""Errors that end a training, with messages that say what was kept and what to do."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf


class Diverged(RuntimeError):
    """The loss or a weight is not finite."""


class WorkerLost(RuntimeError):
    """Another worker of the training has ended or cannot be reached."""


@contextmanager
def lost_workers_explained(several: bool, kept: Callable[[], str] = str) -> Iterator[None]:
    """Raises WorkerLost for those errors of TensorFlow that mean that another worker is gone.

    Args:
        several: whether there are other workers.
        kept: returns the sentence about checkpoints.
    """
    try:
        yield
    except (tf.errors.OpError, RuntimeError) as error:
        if not several or not _is_about_a_worker(error):
            raise
        reason = str(error).strip().splitlines()[0].rpartition("}} ")[2]
        raise WorkerLost(
            f"Another worker has ended or cannot be reached ({reason}). {kept()} Stop the workers "
            "that still run, and start the same command on all of them: the training resumes."
        ) from error


def _is_about_a_worker(error: Exception) -> bool:
    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
    return isinstance(error, lost) or "Collective ops is aborted" in str(error)


@contextmanager
def errors_explained(output: str, kept: Callable[[], str]) -> Iterator[None]:
    """Completes errors about a full disk or a NaN loss: says what was kept and what to do.

    Args:
        output: output folder of the training.
        kept: returns the sentence about checkpoints.
    """
    try:
        yield
    except Diverged as error:
        raise Diverged(
            f"{error} {kept()} Start again with a lower learning_rate or "
            "optimizer_options.clip_norm, and another --output."
        ) from error
    except (OSError, tf.errors.OpError) as error:
        if getattr(error, "errno", None) != errno.ENOSPC and "No space left" not in str(error):
            raise
        raise OSError(
            errno.ENOSPC,
            f"The disk of {output} is full. {kept()} Free some space and start the same "
            "command again.",
        ) from error


def kept_checkpoint(step: int) -> str:
    """The sentence about the checkpoint that was kept; 0 for none."""
    if not step:
        return "No checkpoint had been saved."
    return f"The checkpoint of step {step} is kept."
