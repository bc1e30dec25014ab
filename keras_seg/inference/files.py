"""Prediction from image files to mask files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from keras_seg.data.images import overlay, palette_picture, read_image
from keras_seg.inference.prediction import predict
from keras_seg.inference.runner import Runner


def predict_files(
    runner: Runner, images: Sequence[Path], output: Path, *, sizing: str = "auto"
) -> list[str]:
    """Writes `X_mask.png` (palette, class indices) and `X_overlay.png` for each image X.

    Both have the size of their image. Goes on past images that cannot be read.

    Returns: a message for each image that failed.
    Raises: ValueError if two images have the same stem; OSError if the folder cannot be written.
    """
    stems = [path.stem for path in images]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ValueError(
            f"Two images share the name {twice[0]!r}, and their masks would overwrite each other. "
            "Predict them into different folders."
        )
    output.mkdir(parents=True, exist_ok=True)
    console, failed = Console(file=sys.stderr), []
    for path in track(images, "Predicting", console=console, disable=not console.is_terminal):
        try:
            image = read_image(path, runner.input_shape[2])
            mask = predict(runner, image, sizing=sizing)
        except (ValueError, FileNotFoundError) as error:
            failed.append(str(error))
            continue
        classes = runner.card.classes
        _write(output / f"{path.stem}_mask.png", palette_picture(mask, classes))
        blended = overlay(image, mask, classes)
        _write(output / f"{path.stem}_overlay.png", Image.fromarray(blended))
    return failed


def _write(path: Path, picture: Image.Image) -> None:
    """Writes beside the target and renames, so that no half picture carries its name."""
    part = path.with_name(f".{path.name}.part")
    try:
        picture.save(part, format="PNG")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
