"""Writes the page, the model and the runtime as a folder of static files."""

from __future__ import annotations

import hashlib
import html
import json
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from keras_seg import inference
from keras_seg.card import ModelCard
from keras_seg.data.reading.ranges import range_text
from keras_seg.deprecation import warn_deprecated
from keras_seg.shipped_models import shipped_file
from keras_seg.training.run_folder import recipe_beside
from keras_seg.web.describe import describe
from keras_seg.web.runtimes import RUNTIMES, copy_runtime
from keras_seg.web.samples import Source, write_samples

VERSION_MARK = "@VERSION@"
FILES_MARK = "@FILES@"
TITLE_MARK = "@TITLE@"
FORMER_FILES = ("sample.png",)
"""Files of pages that earlier versions wrote."""


def write_site(
    file: str | Path,
    output: str | Path,
    *,
    sample: str | Path | None = None,
    runtime: str | Path | None = None,
    sizing: str = "auto",
    samples: Source | Sequence[Source] | None = None,
    title: str | None = None,
) -> list[str]:
    """Writes a page that runs a .tflite or .onnx file in the browser of its visitor.

    The folder holds everything that the page loads, for any server of static files. The page
    computes the same masks as `keras_seg.inference.predict`, one image at a time. It uses several
    CPU threads if the server sends the headers that browsers require.

    Args:
        file: the model file.
        output: folder to write: new, empty, or written by this function before.
        sample: the former name of `samples`, for one image.
        runtime: `node_modules` folder with the JavaScript packages; by default npm downloads them.
        sizing: how images of other sizes are fitted to the network.
        samples: images to try: files, folders, or data sets, of which validation images are taken.
            By default those of the built-in data set that the model's run names, otherwise none.
            Images of more than 8 bits are mapped as the images of the training were.
        title: title of the page; by default the names of the run or the file, and of the network.

    Returns: paths of the written files, relative to `output`.

    Raises: ValueError for a file that the page cannot run, unreadable samples, a different
        runtime, or an `output` that holds other files; RuntimeError if npm cannot download the
        runtime; OSError if the folder cannot be written. No incomplete folder is left behind.

    Example:

        keras_seg.web.write_site("model.tflite", "site")
    """
    file, output = shipped_file(file) or Path(file), Path(output)
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
    card = inference.load(file).card
    sources = _sources(file, samples, sample)
    record["title"] = title or _title(file, card)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        record["samples"] = write_samples(sources, part, card)  # refused before a download
        copy_runtime(record["format"], part / "runtime", None if runtime is None else Path(runtime))
        shutil.copyfile(file, part / record["file"])
        (part / "model.json").write_text(json.dumps(record))
        written = _write_page(part, record["format"], record["title"])
        part.chmod(0o755)  # mkdtemp makes folders private, and servers run as another user
        if output.exists():
            shutil.rmtree(output)
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return written


def _sources(
    file: Path, samples: Source | Sequence[Source] | None, sample: Source | None
) -> list[Source]:
    """Where the samples come from. Images of people and patients are published only when asked."""
    if sample is not None:
        warn_deprecated("write_site(sample=...) is now write_site(samples=...).")
        samples = sample if samples is None else samples
    if samples is None:
        recipe = recipe_beside(file)
        builtin = recipe is not None and recipe.data.startswith("builtin:")
        return [recipe.data] if recipe is not None and builtin else []
    return [samples] if isinstance(samples, str | Path) else [*samples]


def _title(file: Path, card: ModelCard) -> str:
    """The name of the run, or of the file, with the network."""
    in_run = recipe_beside(file) is not None
    name = file.resolve().parent.name if in_run else file.stem
    return ": ".join(filter(None, (name, card.network)))


def _check_output(output: Path) -> None:
    """Raises ValueError if the folder holds anything but a page."""
    if not output.exists():
        return
    if not output.is_dir() or (any(output.iterdir()) and not (output / "model.json").is_file()):
        raise ValueError(
            f"{output} exists and is not a page of keras-seg web. Give a new or empty folder."
        )
    own = {path.name for path in (resources.files("keras_seg.web") / "page").iterdir()}
    own |= {"model.json", "samples", "runtime", *(f"model.{format}" for format in RUNTIMES)}
    own |= {*FORMER_FILES}
    others = sorted({path.name for path in output.iterdir()} - own)
    if others:  # other programs also write a model.json
        raise ValueError(
            f"{output} would be replaced, but contains files that are not part of the page: "
            f"{others[:4]}. Move it away, or give a new or empty folder."
        )


def _write_page(part: Path, format: str, title: str) -> list[str]:
    """Copies page and licences. Writes the list and the hash of all files to the worker."""
    page = resources.files("keras_seg.web") / "page"
    for source in page.iterdir():
        if source.is_file():
            (part / source.name).write_bytes(source.read_bytes())
    index = part / "index.html"
    index.write_text(index.read_text().replace(TITLE_MARK, html.escape(title)))
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
