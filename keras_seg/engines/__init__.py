"""Engines: where the parts of a large job run, in this process or on the machines of a cluster.

An engine takes a `keras_seg.engines.job.Job` and its tasks, which are small, and yields their
results. An engine of your own is an entry of `ENGINES`.
"""

from __future__ import annotations

import importlib

from keras_seg.engines.job import Engine
from keras_seg.names import unknown_name

ENGINES = {
    "local": "keras_seg.engines.local:LocalEngine",
    "ray": "keras_seg.engines.ray_engine:RayEngine",
}
"""Name → the class of the engine, as module:name; it is imported when it is used."""


def check_engine(name: str, address: str | None = None) -> None:
    """Raises ValueError for an unknown engine, or an address for an engine without one."""
    if name not in ENGINES:
        raise ValueError(unknown_name("engine", name, ENGINES))
    if name == "local" and address is not None:
        raise ValueError(
            f"address is that of a cluster, and the engine is 'local'. Received: {address!r}. Pass "
            'engine="ray" (--engine ray), or leave address out.'
        )


def open_engine(name: str, address: str | None = None, *, threads: int | None = None) -> Engine:
    """The engine with this name; close it at the end, or use it in a `with` statement.

    Args:
        name: "local" or "ray".
        address: address of the cluster, such as "auto"; see `RayEngine`.
        threads: CPU threads of each worker; None for all of this process, and for 1 on a cluster.

    Raises: as `check_engine`; ImportError if the package of the engine is not installed;
        ConnectionError if no cluster answers.

    Example:
        >>> with open_engine("local") as engine:
        ...     engine.workers
        1
    """
    check_engine(name, address)
    module, _, attribute = ENGINES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)(address, threads)
