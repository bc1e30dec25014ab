"""The tested versions of TensorFlow and Keras, and a warning for others.

`python -m tests.versions` tests these pairs and writes docs/versions.md. pip refuses older
versions. Newer ones work with a warning, because nobody has compared their results.
"""

from __future__ import annotations

import re
import sys
from typing import NamedTuple


class Pair(NamedTuple):
    """Minor versions, such as "2.19" and "3.10"."""

    tensorflow: str
    keras: str


OLDEST = Pair("2.19", "3.10")
COLAB = Pair("2.20", "3.13")
NEWEST = Pair("2.21", "3.15")
KERAS_OF_WORKERS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
"""Versions with which two worker processes gave the results of one device."""
NAMES = {"tensorflow": "TensorFlow", "keras": "Keras"}

_told = set()


def minor_version(version: str) -> str:
    """ "3.15" of "3.15.1", "2.22" of "2.22.0rc0"."""
    return ".".join(_numbers(version))


def tell_if_untested() -> None:
    """Writes one line to stderr if TensorFlow or Keras is outside the tested versions.

    Only modules that this process has imported count. The line is written once per process.
    """
    imported = {name: getattr(sys.modules.get(name), "__version__", None) for name in NAMES}
    line = untested({name: version for name, version in imported.items() if version})
    if line and line not in _told:
        _told.add(line)
        sys.stderr.write(f"{line}\n")


def untested(versions: dict[str, str]) -> str | None:
    """The warning for these versions, None if all are within the tested range.

    Args:
        versions: "tensorflow" and "keras", or one of them → installed version.
    """
    outside = [name for name, version in versions.items() if not _is_between(name, version)]
    if not outside:
        return None
    versions_text = " and ".join(f"{NAMES[name]} {versions[name]}" for name in outside)
    ranges = " and ".join(
        f"{NAMES[name]} {getattr(OLDEST, name)} to {getattr(NEWEST, name)}" for name in outside
    )
    pins = " ".join(f"'{name}=={getattr(NEWEST, name)}.*'" for name in outside)
    return (
        f"keras_seg was not tested with {versions_text}, only with {ranges}. "
        f"If numbers look wrong: pip install {pins}"
    )


def _is_between(name: str, version: str) -> bool:
    low, high = (_key(getattr(pair, name)) for pair in (OLDEST, NEWEST))
    return low <= _key(version) <= high


def _key(version: str) -> tuple[int, ...]:
    return tuple(map(int, _numbers(version)))


def _numbers(version: str) -> list[str]:
    return re.findall(r"\d+", version)[:2]
