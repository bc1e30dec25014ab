"""Copies of a runner for several threads, and the whole machine for an image that is large."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from queue import SimpleQueue

from keras_seg.inference.prediction import Runner
from keras_seg.parallel import MOST_WORKERS, Places, checked_workers

SHARED_PIXELS = 2**21
"""Images of up to so many pixels always run beside others."""
SHARED_SCORES = 2**24
"""Larger ones run beside others if the network sees windows, and outputs up to so many numbers."""


class RunnerPool:
    """Runs a network on several images at the same time, in memory that does not depend on them.

    Args:
        runner: the network.
        workers: number of images at the same time; None for one per CPU thread of the runner, but
            at most 8. A Keras model runs one image after the other, on all threads.
        images: number of images that will come.

    Attributes:
        count: number of images that run at the same time.

    Raises: ValueError for a number of workers below 1.
    """

    def __init__(self, runner: Runner, workers: int | None, images: int) -> None:
        wished = checked_workers(workers) or min(runner.threads, MOST_WORKERS)
        copies = runner.copies(max(1, min(wished, images)))
        self.count = len(copies)
        self._runner, self._places = runner, Places(self.count)
        self._free: SimpleQueue[Runner] = SimpleQueue()
        for each in copies:
            self._free.put(each)

    @contextmanager
    def taken(self, *, alone: bool = False) -> Generator[Runner]:
        """Waits for a runner; with `alone` for the one with all threads, while no other runs."""
        with self._places.taken(alone=alone):
            if alone:
                yield self._runner
                return
            runner = self._free.get()
            try:
                yield runner
            finally:
                self._free.put(runner)

    def needs_all(self, shape: tuple[int, ...]) -> bool:
        """Whether an image of shape (height, width, channels) runs alone, to limit the memory."""
        pixels = shape[0] * shape[1]
        free = None in self._runner.input_shape[:2]
        scores = pixels * self._runner.num_classes
        return pixels > SHARED_PIXELS and (free or scores > SHARED_SCORES)
