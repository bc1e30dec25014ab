"""Writes the page, the model and the runtime as a folder of static files."""

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
from keras_seg.data.reading.ranges import range_text
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
    """Writes a page that runs a .tflite or .onnx file in the browser of its visitor.

    The folder holds everything that the page loads, for any server of static files. The page
    computes the same masks as `keras_seg.inference.predict`, one image at a time, on one CPU
    thread.

    Args:
        file: the model file.
        output: folder to write: new, empty, or written by this function before.
        sample: example picture of the page; drawn shapes by default. A picture of more than 8 bits
            is mapped as the images of the training were.
        runtime: `node_modules` folder with the JavaScript packages; by default npm downloads them.
        sizing: how images of other sizes are fitted to the network.

    Returns: paths of the written files, relative to `output`.

    Raises: ValueError for a file that the page cannot run, an unreadable sample, a different
        runtime, or an `output` that holds other files; RuntimeError if npm cannot download the
        runtime; OSError if the folder cannot be written. No incomplete folder is left behind.

    Example:

        keras_seg.web.write_site("model.tflite", "site")
    """
    file, output = Path(file), Path(output)
    record = describe(file, sizing)
    value_range = record.pop("value_range")
    if value_range is not None:
        warnings.warn(
            f"{file} was trained on images of more than 8 bits: {range_text(value_range)} became 0 "
            "to 255. A browser gives 8 bits per channel, so the page needs pictures that are "
            "already mapped.",
            stacklevel=2,
        )
    _check_output(output)
    pixels = drawn_sample() if sample is None else read_image(sample, 3, value_range=value_range)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        copy_runtime(record["format"], part / "runtime", None if runtime is None else Path(runtime))
        shutil.copyfile(file, part / record["file"])
        (part / "model.json").write_text(json.dumps(record))
        Image.fromarray(pixels).save(part / "sample.png")
        written = _write_page(part, record["format"])
        part.chmod(0o755)  # mkdtemp makes folders private, and servers run as another user
        if output.exists():
            shutil.rmtree(output)
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return written


def drawn_sample(size: tuple[int, int] = (384, 512)) -> np.ndarray:
    """A picture of round and square shapes on a shaded background, (height, width, 3) uint8."""
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
    """Raises ValueError if the folder holds anything but a page."""
    if not output.exists():
        return
    if not output.is_dir() or (any(output.iterdir()) and not (output / "model.json").is_file()):
        raise ValueError(
            f"{output} exists and is not a page of keras-seg web. Give a new or empty folder."
        )
    own = {path.name for path in (resources.files("keras_seg.web") / "page").iterdir()}
    own |= {"model.json", "sample.png", "runtime", *(f"model.{format}" for format in RUNTIMES)}
    others = sorted({path.name for path in output.iterdir()} - own)
    if others:  # other programs also write a model.json
        raise ValueError(
            f"{output} would be replaced, but contains files that are not part of the page: "
            f"{others[:4]}. Move it away, or give a new or empty folder."
        )


def _write_page(part: Path, format: str) -> list[str]:
    """Copies page and licences. Writes the list and the hash of all files to the worker."""
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
