"""Work on many items with all CPU cores, in order and with a limited number in memory."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 8
"""Default maximum number of items in work: beyond it, Python's lock takes back what cores add."""
AHEAD = 4
"""Number of items per thread that may wait, finished or not, for the first of them."""


def available_threads() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def checked_workers(workers: int | None) -> int | None:
    """The number of workers, unchanged.

    Raises: ValueError for anything but None and whole numbers of at least 1.
    """
    whole = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1
    if workers is not None and not whole:
        raise ValueError(
            "workers is the number of images in work at the same time, at least 1. Received: "
            f"{workers!r}. Leave it out to use all CPU cores."
        )
    return workers


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    *,
    unused: Callable[[Result], object] | None = None,
) -> Generator[Future[Result]]:
    """Calls a function for each item in several threads.

    Items are taken, and results yielded, in the order of the items. At most `AHEAD` times `threads`
    items are taken before the first of their results is yielded, so that any number of items needs
    the same memory. Closing the iterator cancels what has not begun.

    Args:
        unused: called with each result that is there when the iterator is closed early.

    Yields: a finished future per item, which holds the result or the error.

    Example:
        >>> [future.result() for future in in_order(abs, [-1, 2, -3], threads=2)]
        [1, 2, 3]
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= AHEAD * threads:
                waiting[0].exception()  # waits
                yield waiting.popleft()
        while waiting:
            waiting[0].exception()
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
        for future in waiting:
            if unused is not None and not future.cancelled() and future.exception() is None:
                unused(future.result())


class Places:
    """Lets a number of threads work at the same time, or one thread alone.

    Args:
        count: number of threads that may share.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = threading.Semaphore(count)
        self._entrance = threading.Lock()

    @contextmanager
    def taken(self, *, alone: bool = False) -> Generator[None]:
        """Waits for a place, or for all of them if the work is to run `alone`."""
        count = self._count if alone else 1
        with self._entrance:  # those who come later wait behind one who waits for all places
            for _ in range(count):
                self._free.acquire()
        try:
            yield
        finally:
            self._free.release(count)
