"""The engine of a Ray cluster.

It uses Ray's actors and not Ray Data. What is distributed are names of files, so blocks of data and
their conversion would carry nothing. And Ray Data repeats a task without end if its worker dies,
while an image that ends every process must be set aside.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from keras_seg.engines.job import Engine, Job, Result, Task
from keras_seg.engines.ray_worker import Worker
from keras_seg.version import __version__

MOST_TRIES = 3
"""Deaths of workers at one task, or before their first one, after which it is not tried again."""
LOOK_AGAIN_SECONDS = 5.0
"""Time between two looks at the size of the cluster."""
PATIENCE_SECONDS = 60.0
"""Time without any worker after which a warning says so."""
PASSED_ON = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")
"""Environment variables that workers get from the driver."""


class RayEngine(Engine):
    """Runs tasks on the machines of a Ray cluster.

    Each worker is a process that reserves `threads` CPUs and has one task at a time. Workers are
    added while machines join. The task of a worker that dies is done again elsewhere. At the third
    death it is split, and a task that cannot be split becomes a failure in the results.

    Args:
        address: "auto" for the cluster of this machine, or HOST:PORT of its head. None for the
            cluster that RAY_ADDRESS names, or else for a new one on this machine alone.
        threads: CPUs of each worker; 1 by default.

    Raises: ImportError without Ray; ConnectionError if no cluster answers.
    """

    def __init__(self, address: str | None = None, threads: int | None = None) -> None:
        self.threads = threads or 1
        self._ray = _import_ray()
        self._connected_here = not self._ray.is_initialized()
        if self._connected_here:
            _connect(self._ray, address)

    @property
    def workers(self) -> int:
        """Number of workers for which the cluster has CPUs."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 0)) // self.threads)

    def run(self, job: Job[Task, Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yields the results of the tasks as workers finish them."""
        yield from _Run(self._ray, self, job).results(tasks)

    def close(self) -> None:
        """Disconnects, unless the program was connected before."""
        if self._connected_here:
            self._ray.shutdown()


@dataclass(eq=False)
class _Assignment(Generic[Task]):
    """A task, and how often a worker died at it or could not write."""

    task: Task
    failures: int = 0


class _Run:
    """One job on the cluster: which worker does what, and what is left to do."""

    def __init__(self, ray: Any, engine: RayEngine, job: Job) -> None:
        self._ray, self._engine, self._job = ray, engine, job
        self._actor = ray.remote(num_cpus=engine.threads, max_restarts=0)(Worker)
        self._content = ray.put(job)
        self._environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._busy: dict[Any, tuple[Any, _Assignment | None]] = {}  # reference → worker and task
        self._idle: list[Any] = []
        self._waiting: deque[_Assignment] = deque()
        self._started = self._failed_starts = 0
        self._looked = self._wanted = 0.0

    def results(self, tasks: Sequence[Task]) -> Iterator[Result]:
        """Yields the results of the tasks; workers end with the run."""
        self._waiting.extend(map(_Assignment, tasks))
        began, told = time.monotonic(), False
        try:
            while self._waiting or any(each for _, each in self._busy.values()):
                self._start_workers()
                while self._waiting and self._idle:
                    self._assign(self._idle.pop(), self._waiting.popleft())
                references = list(self._busy)
                ready, _ = self._ray.wait(references, timeout=LOOK_AGAIN_SECONDS)
                for reference in ready:
                    yield from self._received(reference)
                if not told and not self._started and time.monotonic() - began > PATIENCE_SECONDS:
                    told = True
                    self._warn_of_waiting()
        finally:
            for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
                self._ray.kill(worker)

    def _start_workers(self) -> None:
        """Starts workers for all CPUs, and one more, for which an autoscaler adds a machine."""
        if time.monotonic() - self._looked > LOOK_AGAIN_SECONDS:
            self._looked, self._wanted = time.monotonic(), self._engine.workers + 1
        alive = len(self._busy) + len(self._idle)
        working = sum(each is not None for _, each in self._busy.values())
        for _ in range(int(min(self._wanted, working + len(self._waiting))) - alive):
            worker = self._actor.remote(self._content, self._environment)
            self._busy[worker.start.remote(__version__)] = worker, None

    def _assign(self, worker: Any, assignment: _Assignment) -> None:
        self._busy[worker.do.remote(assignment.task)] = worker, assignment

    def _received(self, reference: Any) -> Iterator[Any]:
        """What a worker has sent: its start, a result, an error, or the news of its death."""
        worker, assignment = self._busy.pop(reference)
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            self._idle.append(worker)
            cause = error.cause
            # a full disk or a store that does not answer may be the matter of one machine
            if assignment is None or not isinstance(cause, OSError):
                raise cause from error
            assignment.failures += 1
            if assignment.failures == MOST_TRIES:
                raise cause from error
            self._waiting.appendleft(assignment)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(worker)  # it may still be alive beyond a broken connection
            yield from self._died(assignment, _first_sentence(error))
        else:
            self._idle.append(worker)
            self._started += 1
            if assignment is not None:
                yield result

    def _died(self, assignment: _Assignment | None, reason: str) -> Iterator[Any]:
        """Puts the task of a dead worker back, splits it, or gives it up."""
        if assignment is None:
            self._failed_starts += 1
            if self._failed_starts >= MOST_TRIES and not self._started:
                raise RuntimeError(
                    f"{MOST_TRIES} workers ended while they started: {reason} Are keras_seg and "
                    "its packages installed on all machines, and is there enough memory?"
                )
            return
        assignment.failures += 1
        if assignment.failures < MOST_TRIES:
            self._waiting.appendleft(assignment)
            return
        pieces = self._job.split(assignment.task)
        if len(pieces) > 1:
            self._waiting.extendleft(map(_Assignment, reversed(pieces)))
        else:
            reason = f"The process that worked on it ended {MOST_TRIES} times: {reason}"
            yield self._job.lost(assignment.task, reason)

    def _warn_of_waiting(self) -> None:
        total = self._ray.cluster_resources().get("CPU", 0)
        free = self._ray.available_resources().get("CPU", 0)
        warnings.warn(
            f"No worker has started for {PATIENCE_SECONDS:.0f} seconds. The cluster has {total:g} "
            f"CPUs, and {free:g} of them are free; a worker needs {self._engine.threads}. The run "
            "waits.",
            stacklevel=2,
        )


def _import_ray() -> Any:
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.exceptions")
    except ImportError as error:
        raise ImportError(
            "The engine 'ray' needs Ray, which is not installed. Install it here and on all "
            "machines of the cluster: pip install ray."
        ) from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    try:
        ray.init(
            address=address,
            log_to_driver=False,  # the messages of 100 machines would hide those of the driver
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f"The Ray cluster cannot be used. Received: address={address!r}: "
            f"{_first_sentence(error)} Start it with `ray start --head` on one machine and `ray "
            "start --address HEAD:6379` on the others, with Python "
            f"{sys.version_info.major}.{sys.version_info.minor} and Ray {ray.__version__}."
        ) from error


def _first_sentence(error: BaseException) -> str:
    """The first line of Ray's message, which goes over many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."
