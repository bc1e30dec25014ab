"""The process of a worker on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from keras_seg.engines.job import Job
from keras_seg.version import __version__


class Worker:
    """Does one task after the other; Ray makes an actor of it.

    Args:
        job: what is done.
        environment: environment variables that are set before a task starts.
    """

    def __init__(self, job: Job, environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        self._job = job
        self._do: Callable[[Any], Any] | None = None

    def start(self, version: str) -> None:
        """Prepares the job.

        Raises: RuntimeError if this machine has another version of the package than the driver,
            and whatever the job raises.
        """
        if version != __version__:
            raise RuntimeError(
                f"A machine of the cluster has keras_seg {__version__}. Received: a job of "
                f"keras_seg {version}. Install the same version everywhere."
            )
        self._do = self._job.start()

    def do(self, task: Any) -> Any:
        """The result of a task."""
        assert self._do is not None, "start comes first"
        return self._do(task)
