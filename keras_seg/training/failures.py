"""What is said of a training that cannot go on, and of what was kept."""

from __future__ import annotations

import errno
from contextlib import contextmanager

import tensorflow as tf


class Diverged(RuntimeError):
    """The loss or a weight is no finite number."""


class WorkerLost(RuntimeError):
    """Another worker of the training has ended, or cannot be reached."""


@contextmanager
def lost_workers_explained(several: bool, kept=lambda: ""):
    """Says which error of TensorFlow means that another worker is gone.

    several: whether there are other workers.
    kept: what is told of checkpoints.
    """
    try:
        yield
    except (tf.errors.OpError, RuntimeError) as error:
        if not several or not _tells_of_a_worker(error):
            raise
        reason = str(error).strip().splitlines()[0].rpartition("}} ")[2]
        raise WorkerLost(
            f"Another worker has ended or cannot be reached ({reason}). {kept()} Stop the workers "
            "that still run, and start the same command on all of them: the training goes on."
        ) from error


def _tells_of_a_worker(error: Exception) -> bool:
    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
    return isinstance(error, lost) or "Collective ops is aborted" in str(error)


@contextmanager
def errors_explained(output: str, state):
    """Says of a full disk and of a loss that is no number what was kept, and what to do."""
    try:
        yield
    except Diverged as error:
        raise Diverged(
            f"{error} {kept(state)} Start again with a lower learning_rate or "
            "optimizer_options.clip_norm, and another --output."
        ) from error
    except (OSError, tf.errors.OpError) as error:
        if getattr(error, "errno", None) != errno.ENOSPC and "No space left" not in str(error):
            raise
        raise OSError(
            errno.ENOSPC,
            f"The disk of {output} is full. {kept(state)} Free some space and start the same "
            "command again.",
        ) from error


def kept(state) -> str:
    if not state.step:
        return "No checkpoint had been saved."
    return f"The checkpoint of step {state.step} is kept."
