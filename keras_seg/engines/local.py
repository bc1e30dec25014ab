"""The engine of one process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keras_seg.engines.job import Engine, Job, Result, Task


class LocalEngine(Engine):
    """Does one task after the other in this process.

    Args:
        address: None; only a cluster has one.
        threads: CPU threads of the process, which the network gets.
    """

    def __init__(self, address: str | None = None, threads: int | None = None) -> None:
        self.threads = threads

    def run(self, job: Job[Task, Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yields the results in the order of the tasks."""
        if tasks:
            do = job.start()
            yield from map(do, tasks)
