"""What is said of a training that cannot go on, and of what was kept."""

from __future__ import annotations

import errno
from contextlib import contextmanager

import tensorflow as tf


class Diverged(RuntimeError):
    """The loss or a weight is no finite number."""


@contextmanager
def errors_explained(output: str, state):
    """Says of a full disk and of a loss that is no number what was kept, and what to do."""
    try:
        yield
    except Diverged as error:
        raise Diverged(
            f"{error} {_kept(state)} Start again with a lower learning_rate or "
            "optimizer_options.clip_norm, and another --output."
        ) from error
    except (OSError, tf.errors.OpError) as error:
        if getattr(error, "errno", None) != errno.ENOSPC and "No space left" not in str(error):
            raise
        raise OSError(
            errno.ENOSPC,
            f"The disk of {output} is full. {_kept(state)} Free some space and start the same "
            "command again.",
        ) from error


def _kept(state) -> str:
    if not state.step:
        return "No checkpoint had been saved."
    return f"The checkpoint of step {state.step} is kept."
