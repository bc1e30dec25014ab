"""The folder of downloaded weights, and their checksums."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def cache_folder() -> Path:
    """`~/.keras/keras_seg`, or `keras_seg` in the folder that the variable KERAS_HOME names."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras_seg"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
