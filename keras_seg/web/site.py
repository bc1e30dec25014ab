"""Writes the page, its model and its runtime as a folder of static files."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import warnings
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.data.reading.images import read_image
from keras_seg.web.describe import describe
from keras_seg.web.runtimes import RUNTIMES, copy_runtime

VERSION_MARK = "@VERSION@"
FILES_MARK = "@FILES@"


def write_site(
    file: str | Path,
    output: str | Path,
    *,
    sample: str | Path | None = None,
    runtime: str | Path | None = None,
    sizing: str = "auto",
) -> list[str]:
    """Writes a page that runs a .tflite or .onnx file on its visitor's device.

    The folder holds everything that the page loads; any server of static files will do. The page
    makes the masks of `keras_seg.inference.predict`, image by image, on one thread of the CPU.

    Args:
        output: folder to write; new, empty, or one that this function wrote before.
        sample: picture that the page offers to try; drawn shapes by default.
        runtime: `node_modules` folder with the JavaScript packages; by default npm brings them.
        sizing: how images of other sizes meet the network, as for `inference.predict`.

    Returns: paths of the files written, relative to `output`.

    Raises: ValueError for a file that no page can run, an unreadable sample, another runtime than
    the one known or an `output` that holds something else; RuntimeError if npm is needed and does
    not answer; OSError if the folder cannot be written. Nothing half-written is left behind.
    """
    file, output = Path(file), Path(output)
    record = describe(file, sizing)
    value_range = record.pop("value_range")
    if value_range is not None:
        warnings.warn(
            f"{file} was trained on images of more than 8 bits, of which {value_range} became 0 to "
            "255. A browser gives 8 bits for each channel: the page is for pictures that were "
            "mapped so already.",
            stacklevel=2,
        )
    _check_output(output)
    pixels = drawn_sample() if sample is None else read_image(sample, 3)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        copy_runtime(record["format"], part / "runtime", None if runtime is None else Path(runtime))
        shutil.copyfile(file, part / record["file"])
        (part / "model.json").write_text(json.dumps(record))
        Image.fromarray(pixels).save(part / "sample.png")
        written = _write_page(part, record["format"])
        part.chmod(0o755)  # mkdtemp's folders are for one user alone; servers run as another
        if output.exists():
            shutil.rmtree(output)
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return written


def drawn_sample(size: tuple[int, int] = (384, 512)) -> np.ndarray:
    """A picture of round and square shapes on a shaded ground; (height, width, 3) uint8."""
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    picture = np.stack([60 + rows / 6, 80 + columns / 8, 110 + rows / 10], -1)
    random = np.random.default_rng(7)
    for i in range(14):
        row, column = random.uniform(0, height), random.uniform(0, width)
        radius = random.uniform(14, 46)
        far_rows, far_columns = np.abs(rows - row), np.abs(columns - column)
        inside = np.hypot(far_rows, far_columns) if i % 2 else np.maximum(far_rows, far_columns)
        picture[inside < radius] = random.uniform(40, 235, 3)
    return (picture + random.normal(0, 5, picture.shape)).clip(0, 255).astype(np.uint8)


def _check_output(output: Path) -> None:
    """Raises ValueError rather than let a folder of something else be replaced."""
    if not output.exists():
        return
    if not output.is_dir() or (any(output.iterdir()) and not (output / "model.json").is_file()):
        raise ValueError(
            f"{output} exists and is no page of keras-seg web. Give a new or empty folder."
        )
    own = {path.name for path in (resources.files("keras_seg.web") / "page").iterdir()}
    own |= {"model.json", "sample.png", "runtime", *(f"model.{format}" for format in RUNTIMES)}
    others = sorted({path.name for path in output.iterdir()} - own)
    if others:  # other programs call their files model.json too
        raise ValueError(
            f"{output} would be replaced, and holds what is no part of the page: {others[:4]}. "
            "Move it away, or give a new or empty folder."
        )


def _write_page(part: Path, format: str) -> list[str]:
    """Copies the page's own files and licences; the worker gets the list and hash of all files."""
    page = resources.files("keras_seg.web") / "page"
    for source in page.iterdir():
        if source.is_file():
            (part / source.name).write_bytes(source.read_bytes())
    (part / "licences").mkdir()
    packages = RUNTIMES[format]
    for name in {package.licence for package in packages}:
        text = (page / "licences" / f"{name}.txt").read_bytes()
        (part / "licences" / f"{name}.txt").write_bytes(text)
    notice = [f"{p.name} {p.version}: {p.licence}, see {p.licence}.txt" for p in packages]
    (part / "licences" / "README.txt").write_text("\n".join(notice) + "\n")
    worker = part / "worker.js"
    names = sorted(p.relative_to(part).as_posix() for p in part.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode() + (part / name).read_bytes())
    text = worker.read_text().replace(VERSION_MARK, digest.hexdigest()[:16])
    worker.write_text(text.replace(FILES_MARK, json.dumps([n for n in names if n != "worker.js"])))
    return names
