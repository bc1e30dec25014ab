"""What engines run, and what an engine is."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Job(abc.ABC, Generic[Task, Result]):
    """Work in independent tasks. Jobs, tasks and results are pickled on their way to workers."""

    @abc.abstractmethod
    def start(self) -> Callable[[Task], Result]:
        """Prepares a worker once, such as by loading the network; returns what does a task."""

    def split(self, task: Task) -> Sequence[Task]:
        """Smaller tasks, for a task at which several workers died; one task cannot be split."""
        return [task]

    @abc.abstractmethod
    def lost(self, task: Task, reason: str) -> Result:
        """The result of a task at which workers die although it cannot be split."""


class Engine(abc.ABC):
    """Runs jobs."""

    @property
    def workers(self) -> int:
        """Number of workers that the engine has now, for the choice of the size of tasks."""
        return 1

    @abc.abstractmethod
    def run(self, job: Job[Task, Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yields the results of the tasks as they are ready, in any order.

        An error that a task raises ends the run.
        """

    def close(self) -> None:  # noqa: B027 (an engine without a cluster has nothing to close)
        """Ends the connection to the cluster."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
