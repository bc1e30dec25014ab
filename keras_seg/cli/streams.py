"""`-` as a file name: an image from standard input, a mask or JSON to standard output."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from keras_seg.cli.output import STANDARD_STREAM, result_stream

SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2", "PPM": ".ppm", "MPO": ".jpg"}
"""Pillow's name of a format → suffix of its files, where it is not the name itself."""
MASKS = "*_mask.png"


def check_standard_output(inputs: Sequence[str], **more_files: object) -> None:
    """Checks that a prediction to standard output is one mask.

    Args:
        inputs: the inputs as typed.
        more_files: option → its value, for options that write other files than the mask.

    Raises: ValueError for several inputs, a folder, or an option that writes further files.
    """
    if len(inputs) != 1 or Path(inputs[0]).is_dir():
        raise ValueError(
            "--output - writes the mask of one image. Give one image, or a folder as --output."
        )
    if wanted := [name for name, value in more_files.items() if value]:
        raise ValueError(
            f"--output - writes the mask alone, and --{wanted[0]} writes another file. Give a "
            "folder as --output."
        )
    if result_stream().isatty():
        raise ValueError("--output - writes a PNG file. Redirect it: --output - > mask.png")


@contextmanager
def as_files(inputs: Sequence[str]) -> Iterator[list[str]]:
    """The inputs, with a temporary file in place of `-`, which holds the bytes of standard input.

    Raises: ValueError if standard input holds no image, or if `-` is given twice.
    """
    if STANDARD_STREAM not in inputs:
        yield [*inputs]
        return
    if inputs.count(STANDARD_STREAM) > 1:
        raise ValueError("- is standard input, which holds one image. Give it once.")
    content = _standard_input()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / f"stdin{_suffix_of(content)}"
        image.write_bytes(content)
        yield [str(image) if each == STANDARD_STREAM else each for each in inputs]


def in_typed_names(message: str, typed: Mapping[str, str]) -> str:
    """A message about standard input, without the path of its temporary file.

    Example:
        >>> in_typed_names("/tmp/x/stdin.png is damaged.", {"/tmp/x/stdin.png": "-"})
        'standard input is damaged.'
    """
    for path, name in typed.items():
        if name == STANDARD_STREAM:
            message = message.replace(path, "standard input")
    return message


@contextmanager
def as_folder(output: str | Path) -> Iterator[str | Path]:
    """The output folder; for `-` a temporary one, whose mask then goes to standard output.

    Raises: ValueError if the folder holds several masks.
    """
    if str(output) != STANDARD_STREAM:
        yield output
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        masks = sorted(Path(folder).glob(MASKS))
        if len(masks) > 1:
            raise ValueError(
                "A multi-label model has one mask per label, and --output - takes one. Give a "
                "folder as --output."
            )
        for mask in masks:
            stream = result_stream()
            stream.flush()
            stream.buffer.write(mask.read_bytes())
            stream.buffer.flush()


def _standard_input() -> bytes:
    example = "Pipe an image: keras-seg predict model.keras - < photo.jpg"
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError(f"- is standard input, which is a terminal. {example}")
    content = sys.stdin.buffer.read()
    if not content:
        raise ValueError(f"Standard input is empty. {example}")
    return content


def _suffix_of(content: bytes) -> str:
    """The suffix of an image file, from its first bytes."""
    from PIL import Image, UnidentifiedImageError

    if content.startswith(b"\x93NUMPY"):
        return ".npy"
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return ".tif"
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = image.format or ""
    except UnidentifiedImageError:
        raise ValueError(
            "Standard input holds no image that can be read. Known are PNG, JPEG, TIFF, BMP, WebP "
            "and .npy."
        ) from None
    return SUFFIXES.get(kind, f".{kind.lower()}")
