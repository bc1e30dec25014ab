"""The JavaScript runtimes of a page: their files, versions and checksums, and their download."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

NPM_SECONDS = 600


@dataclass(frozen=True)
class Package:
    """An npm package, with the files that a page needs.

    Attributes:
        name: name in package.json.
        version: version in package.json.
        licence: SPDX name of the licence in package.json.
        files: path in the package → SHA-256 of the file.
    """

    name: str
    version: str
    licence: str
    files: dict[str, str]


RUNTIMES = {
    "tflite": (
        Package(
            "@litertjs/core",
            "2.5.3",
            "Apache-2.0",
            {
                "dist/index.js": "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3",
                "wasm/litert_wasm_internal.js": (
                    "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb"
                ),
                "wasm/litert_wasm_internal.wasm": (
                    "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614"
                ),
                # for pages that may use several threads
                "wasm/litert_wasm_threaded_internal.js": (
                    "92fe7a720c6deedaa1194c011c79a005ea4f6fc98f533b661cf7900760ab4849"
                ),
                "wasm/litert_wasm_threaded_internal.wasm": (
                    "b5e54eca10f043497edf9a02186332707cae260c550d7ea22b2cae55669596cf"
                ),
                # for browsers without relaxed SIMD
                "wasm/litert_wasm_compat_internal.js": (
                    "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5"
                ),
                "wasm/litert_wasm_compat_internal.wasm": (
                    "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c"
                ),
            },
        ),
        Package(
            "@litertjs/wasm-utils",
            "2.5.3",
            "Apache-2.0",
            {"dist/index.js": "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2"},
        ),
    ),
    "onnx": (
        Package(
            "onnxruntime-web",
            "1.30.0",
            "MIT",
            {
                "dist/ort.wasm.min.mjs": (
                    "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b"
                ),
                "dist/ort-wasm-simd-threaded.mjs": (
                    "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
                ),
                "dist/ort-wasm-simd-threaded.wasm": (
                    "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
                ),
            },
        ),
    ),
}
"""Format of a model file → packages that run it in a browser."""


def copy_runtime(format: str, target: Path, folder: Path | None = None) -> None:
    """Copies the runtime of a format to `target`/PACKAGE/PATH. Checks the SHA-256 of each file.

    Args:
        format: "tflite" or "onnx".
        target: folder to copy to.
        folder: `node_modules` folder with the packages; None for the cache, which `npm pack` fills.

    Raises: ValueError for a missing or different file; RuntimeError if the packages are not in the
        cache and npm cannot download them.
    """
    for package in RUNTIMES[format]:
        origin = _packed(package) if folder is None else Path(folder) / package.name
        _check(package, origin)
        for path in package.files:
            copy = target / package.name / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin / path, copy)


def cache_folder() -> Path:
    """The folder for downloaded packages, in XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "keras_seg" / "web"


def _packed(package: Package) -> Path:
    """The folder of a package in the cache. Downloads it with `npm pack` if it is missing."""
    folder = cache_folder() / f"{package.name.replace('/', '-')}-{package.version}"
    if all((folder / path).is_file() for path in package.files):
        return folder
    shutil.rmtree(folder, ignore_errors=True)  # an earlier version needed fewer files
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        archive = _npm_pack(package, Path(scratch))
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, filter="data")  # writes nothing outside its folder
        except tarfile.TarError as error:
            raise ValueError(
                f"npm's archive of {package.name}@{package.version} cannot be unpacked: {error}. "
                f"{_node_modules(package)}"
            ) from error
        unpacked = Path(scratch) / "package"
        _check(package, unpacked)
        for path in sorted(unpacked.rglob("*"), reverse=True):
            name = path.relative_to(unpacked).as_posix()
            if path.is_file() and name not in package.files and name != "package.json":
                path.unlink()
        try:
            unpacked.rename(folder)
        except OSError:  # another process may have downloaded it meanwhile
            if not folder.is_dir():
                raise
    return folder


def _npm_pack(package: Package, scratch: Path) -> Path:
    spec = f"{package.name}@{package.version}"
    remedy = (
        "Install npm and allow access to its registry. Or run `npm install "
        f"{' '.join(_specs(package))}` on any machine and pass its folder: --runtime node_modules."
    )
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"The page needs {spec}, but npm was not found. {remedy}")
    command = [npm, "pack", spec, "--silent", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command, cwd=scratch, capture_output=True, text=True, timeout=NPM_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(
            f"npm did not download {spec} within {NPM_SECONDS} s. {remedy}"
        ) from None
    archives = list(scratch.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        answer = (done.stderr or done.stdout).strip()[-300:]
        raise RuntimeError(f"npm could not download {spec}: {answer or 'no answer'}. {remedy}")
    return archives[0]


def _specs(package: Package) -> list[str]:
    """All packages of the same runtime, for `npm install`."""
    runtime = next(packages for packages in RUNTIMES.values() if package in packages)
    return [f"{each.name}@{each.version}" for each in runtime]


def _node_modules(package: Package) -> str:
    """What to do without `npm pack`, for messages."""
    return f"Give the node_modules folder of `npm install {' '.join(_specs(package))}`."


def _check(package: Package, folder: Path) -> None:
    """Raises ValueError unless a folder holds the package with the known licence and files."""
    remedy = _node_modules(package)
    try:
        record = json.loads((folder / "package.json").read_text())
    except (OSError, ValueError):
        raise ValueError(
            f"{folder} does not contain the npm package {package.name}. {remedy}"
        ) from None
    expected = {"name": package.name, "version": package.version, "license": package.licence}
    received = {key: record.get(key) for key in expected}
    if received != expected:
        raise ValueError(f"{folder} must be {expected}. Received: {received}. {remedy}")
    for path, digest in package.files.items():
        file = folder / path
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            state = "differs from the published file" if file.is_file() else "is missing"
            raise ValueError(f"{file} {state} in {package.name} {package.version}. {remedy}")
