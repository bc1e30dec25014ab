"""Errors that end a training, with messages that say what was kept and what to do."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Diverged(RuntimeError):
    """The loss or a weight is not finite."""


class WorkerLost(RuntimeError):
    """Another worker of the training has ended or cannot be reached."""


@contextmanager
def errors_explained(output: str, kept: Callable[[], str]) -> Iterator[None]:
    """Completes errors about a full disk, a NaN loss or one without gradient: says what to do.

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
    except Exception as error:  # TensorFlow raises its own type when a disk is full
        if "No gradients provided" in str(error):
            raise ValueError(
                "The loss has no gradient for any weight. In a loss of your own, argmax, round, "
                "comparisons, casts to whole numbers and stop_gradient end the gradient: compute "
                "with the scores or their softmax."
            ) from error
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
