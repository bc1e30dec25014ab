"""Reads TF_CONFIG, which names the workers of a training."""

from __future__ import annotations

import json
import os


def workers_of_environment() -> list[str]:
    """The addresses of the workers that TF_CONFIG names.

    Raises: ValueError if TF_CONFIG is not JSON, or JSON of another form.
    """
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"TF_CONFIG is not JSON: {error}. Received: {text[:200]}") from error
    cluster = config.get("cluster", {}) if isinstance(config, dict) else None
    workers = cluster.get("worker", []) if isinstance(cluster, dict) else None
    if not isinstance(workers, list):
        raise ValueError(
            'TF_CONFIG must look like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
            f'"worker", "index": 0}}}}. Received: {text[:200]}'
        )
    return workers
