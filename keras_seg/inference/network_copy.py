"""A network that is sent to workers: the bytes of its files, and how they are opened."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from keras_seg.atomic_files import draft_of
from keras_seg.inference.runner import NetworkRunner

FOLDER = "keras_seg-network"


class NetworkCopy:
    """Opens a network in another process. In this process it is the runner itself.

    The files travel with the copy, so that workers need no access to them. They are read when the
    copy is pickled.

    Args:
        runner: the network.
    """

    def __init__(self, runner: NetworkRunner) -> None:
        self._runner: NetworkRunner | None = runner
        self._files: list[tuple[str, bytes]] = []
        self._reopen, self._card = runner.reopen, runner.card
        self._stack = ExitStack()

    def __getstate__(self) -> dict[str, Any]:
        if self._runner is None:
            raise TypeError("A copy that was opened is not sent on.")
        files = [(path.name, path.read_bytes()) for path in self._runner.files]
        return {"_runner": None, "_files": files, "_reopen": self._reopen, "_card": self._card}

    def open(self, threads: int | None) -> NetworkRunner:
        """The network as a runner; its files are kept in the temporary folder of this machine."""
        if self._runner is not None:
            return self._runner
        self._stack = ExitStack()
        place = Path(tempfile.gettempdir()) / FOLDER
        folder = self._stack.enter_context(draft_of(place)).parent
        paths = []
        for number, (name, content) in enumerate(self._files):
            path = folder / str(number) / name
            path.parent.mkdir()
            path.write_bytes(content)
            paths.append(path)
        assert self._reopen is not None, "checked before the copy is made"
        runner = self._reopen(paths, threads)
        runner.card = self._card
        return runner


def check_can_be_copied(runner: NetworkRunner) -> None:
    """Raises ValueError for a model in memory."""
    if runner.reopen is None:
        raise ValueError(
            "Workers on other machines open the network from a file. Received: a model in memory. "
            'Save it, and pass the file: keras_seg.models.save(model, "model.keras", card).'
        )
