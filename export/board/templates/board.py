"""Segments pictures with the model beside this file, in the way in which it was trained.

    pip install numpy pillow ai-edge-litert
    python board.py model.tflite photo.png mask.png
    python board.py model.tflite photos masks

The second line writes the mask of one picture, the third those of a folder. In Python,
`board.predict("photo.png")` returns a mask as an array.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MODEL = Path(__file__).with_name("model.tflite")
# name → colour (red, green, blue), in the order of the values in a mask
CLASSES = {"background": (0, 0, 0), "object": (230, 159, 0)}
# image that the model takes, in pixels
HEIGHT = 64
WIDTH = 64
CHANNELS = 3
INPUT_TYPE = "uint8"
# "logits", "probabilities" or "classes"
OUTPUT = "logits"
OUTPUT_TYPE = "uint8"
# shape and type of the image and of the output
ENDS = (((1, 64, 64, 3), "uint8"), ((1, 64, 64, 2), "uint8"))
# score above which a pixel has the second class, or each of the labels
LIMIT = 0.0
# number of scores per pixel
PLANES = 2
# (black, white) of images that do not have 8 bits, or one such pair per channel
VALUE_RANGE = None
# value of pixels without data, which are 255 in the mask
NODATA = None
# distance of neighbouring windows, at most, as a share of a window
STEP = 0.5
# standard deviation of the Gaussian that weights a window, as a share of the window
SIGMA = 1 / 8
# rows and columns that the output lacks on each side
MARGIN = (0, 0)
# windows begin at multiples of this
STRIDE = 1
# how the names of the masks of the labels end
ENDINGS = ("_mask.png",)
# suffixes of the pictures in a folder
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".npy")
FORMAT = "tflite"
CHANNELS_FIRST = False
RESIZED = False
BLENDED = True
COARSE = False
RULE = "largest"


def predict(image: str | Path | np.ndarray, model: str | Path = MODEL) -> np.ndarray:
    """The mask of a picture of any size: the file, or (height, width, channels) uint8, red first.

    Returns (height, width) uint8, the number of the class of each pixel; if a pixel may have
    several labels, (height, width, labels) of 0 and 1.
    """
    stored = image if isinstance(image, np.ndarray) else read(image)
    if stored.ndim != 3 or stored.shape[2] != CHANNELS:
        raise ValueError(f"The model takes {CHANNELS} channels. Received: shape {stored.shape}.")
    pixels = as_bytes(stored)
    if NODATA is not None:
        pixels = np.where((stored == NODATA).all(-1, keepdims=True), np.uint8(0), pixels)
    if BLENDED:
        mask = blended_windows(pixels, model)
    else:
        size = pixels.shape[:2]
        if RESIZED:  # as every image was in training
            if any(MARGIN):
                pixels = resized(pixels, (HEIGHT - 2 * MARGIN[0], WIDTH - 2 * MARGIN[1]))
            else:
                pixels = resized(pixels, (HEIGHT, WIDTH))
        output = joined_windows(pixels, model) if any(MARGIN) else run(pixels, model)
        if OUTPUT == "classes":
            mask = nearest(output, size).copy()
        else:
            mask = decided(resized_plane(plane, size) for plane in np.moveaxis(output, -1, 0))
    if NODATA is not None:
        mask[(stored == NODATA).all(-1)] = 255
    return mask


def blended_windows(image: np.ndarray, model: str | Path) -> np.ndarray:
    """The mask by windows at the picture's own scale, as the model saw parts of images in training.

    Windows overlap by half, and their probabilities are averaged: the middle of a window counts
    most, because at its edge the model sees too little around a pixel.
    """
    height, width = image.shape[:2]
    gaps = ((0, max(0, HEIGHT - height)), (0, max(0, WIDTH - width)), (0, 0))
    image = np.pad(image, gaps, mode="edge")
    weight = np.outer(gaussian(HEIGHT), gaussian(WIDTH))[..., None]
    tops, lefts = starts(image.shape[0], HEIGHT), starts(image.shape[1], WIDTH)
    # sums for the rows of the current windows alone, which needs little memory
    sums = np.zeros((HEIGHT, image.shape[1], PLANES), np.float32)
    weights = np.zeros((HEIGHT, image.shape[1], 1), np.float32)
    bands = []
    for i, top in enumerate(tops):
        for left in lefts:
            window = np.s_[:, left : left + WIDTH]
            sums[window] += weight * probabilities(run(image[top : top + HEIGHT][window], model))
            weights[window] += weight
        done = tops[i + 1] - top if i + 1 < len(tops) else HEIGHT
        bands.append(decided(iter(np.moveaxis(sums[:done] / weights[:done], -1, 0))))
        for array in (sums, weights):  # rows that the next windows add to move up
            array[: HEIGHT - done] = array[done:].copy()
            array[HEIGHT - done :] = 0
    return np.concatenate(bands)[:height, :width]


def starts(size: int, window: int) -> list[int]:
    """Where windows begin: evenly spaced, the last one at the very end."""
    steps = int(np.ceil((size - window) / (STEP * window)))
    return np.linspace(0, size - window, steps + 1).round().astype(int).tolist()


def gaussian(length: int) -> np.ndarray:
    """Weights of the rows or columns of a window."""
    offset = np.arange(length, dtype=np.float32) - (length - 1) / 2
    return np.maximum(np.exp(-0.5 * (offset / (SIGMA * length)) ** 2), 1e-3).astype(np.float32)


def probabilities(scores: np.ndarray) -> np.ndarray:
    """The output of the model as probabilities, (h, w, n) float32."""
    if OUTPUT == "classes":
        return np.eye(len(CLASSES), dtype=np.float32)[scores]
    if OUTPUT == "probabilities":
        return scores
    if RULE in ("labels", "single"):
        with np.errstate(over="ignore"):  # exp of a large number is infinite, its inverse is 0
            return 1 / (1 + np.exp(-scores))
    exponents = np.exp(scores - scores.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def joined_windows(image: np.ndarray, model: str | Path) -> np.ndarray:
    """The output for an image, in windows whose outputs meet; around it is its mirror image."""
    height, width = image.shape[:2]
    rows, columns = HEIGHT - 2 * MARGIN[0], WIDTH - 2 * MARGIN[1]
    tops, lefts = meeting_starts(height, rows), meeting_starts(width, columns)
    below = max(0, tops[-1] + HEIGHT - MARGIN[0] - height)
    right = max(0, lefts[-1] + WIDTH - MARGIN[1] - width)
    padded = np.pad(image, ((MARGIN[0], below), (MARGIN[1], right), (0, 0)), mode="reflect")
    if OUTPUT == "classes":
        result = np.empty((height, width), np.uint8)
    else:
        result = np.empty((height, width, PLANES), np.float32)
    for top in tops:
        for left in lefts:
            part = run(padded[top : top + HEIGHT, left : left + WIDTH], model)
            place = result[top : top + part.shape[0], left : left + part.shape[1]]
            place[...] = part[: place.shape[0], : place.shape[1]]
    return result


def meeting_starts(size: int, inner: int) -> list[int]:
    """Where windows begin that output `inner` pixels each and leave no gap."""
    step = inner // STRIDE * STRIDE
    return [0] if inner >= size else list(range(0, size - inner + step, step))


def decided(planes: Iterator[np.ndarray]) -> np.ndarray:
    """(h, w) scores, one plane after the other → (h, w) classes, or (h, w, labels)."""
    if RULE == "labels":
        limits = np.array(LIMIT, np.float32)
        above = [plane > limits[i] for i, plane in enumerate(planes)]
        return np.stack(above, -1).astype(np.uint8)
    if RULE == "single":
        return (next(planes) > np.float32(LIMIT)).astype(np.uint8)
    if RULE == "second":
        first, second = planes
        if OUTPUT == "logits" and not BLENDED:
            top = np.maximum(first, second)
            first, second = np.exp(first - top), np.exp(second - top)
            second = second / (first + second)
        return (second > np.float32(LIMIT)).astype(np.uint8)
    largest = next(planes).copy()
    classes = np.zeros(largest.shape, np.uint8)
    for i, plane in enumerate(planes, 1):
        classes[plane > largest] = i
        np.maximum(largest, plane, out=largest)
    return classes


def run(image: np.ndarray, model: str | Path) -> np.ndarray:
    """Runs the model on (HEIGHT, WIDTH, CHANNELS) uint8 pixels: (h, w, n) scores or (h, w) classes.

    Normalisation is a part of the model, which takes pixels as they come from the camera.
    """
    session = open_model(model)
    if FORMAT == "tflite":
        taken, given = session.get_input_details()[0], session.get_output_details()[0]
        if INPUT_TYPE == "float32":
            values = image.astype(np.float32)
        else:
            values = quantized(image, *taken["quantization"])
        session.set_tensor(taken["index"], values[None])
        session.invoke()
        output = session.get_tensor(given["index"])[0]
        if OUTPUT != "classes" and OUTPUT_TYPE != "float32":
            scale, zero_point = given["quantization"]
            output = (output.astype(np.float32) - zero_point) * np.float32(scale)
    else:
        values = image.astype(INPUT_TYPE)
        if CHANNELS_FIRST:
            values = np.ascontiguousarray(values.transpose(2, 0, 1))
        (output,) = session.run(None, {session.get_inputs()[0].name: values[None]})[0]
        if OUTPUT != "classes" and CHANNELS_FIRST:
            output = output.transpose(1, 2, 0)
    if OUTPUT == "classes":
        output = output.astype(np.uint8)
        return nearest(output, (HEIGHT, WIDTH)) if COARSE else output
    output = output.astype(np.float32, copy=False)
    return resized(output, (HEIGHT, WIDTH)) if COARSE else output


def quantized(image: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Pixels as integers of the model: pixel / scale + zero point; a scale of 0 is none."""
    values = np.round(image / np.float32(scale)) + zero_point if scale else image
    limits = np.iinfo(INPUT_TYPE)
    return np.clip(values, limits.min, limits.max).astype(INPUT_TYPE)


@functools.lru_cache(maxsize=1)
def open_model(path: str | Path) -> Any:
    """The model in its runtime, on all processor cores. Loaded once."""
    if FORMAT == "tflite":
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:  # the former name of the package
            from tflite_runtime.interpreter import Interpreter
        session = Interpreter(str(path), num_threads=os.cpu_count())
        session.allocate_tensors()
        details = (*session.get_input_details(), *session.get_output_details())
        ends = tuple((tuple(map(int, end["shape"])), end["dtype"].__name__) for end in details)
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        ends = tuple(
            (tuple(end.shape), end.type) for end in (*session.get_inputs(), *session.get_outputs())
        )
    if ends != ENDS:
        raise ValueError(f"{path} is another model: it has {ends} instead of {ENDS}.")
    return session


def read(path: str | Path) -> np.ndarray:
    """An image file as (height, width, channels), upright."""
    if Path(path).suffix == ".npy":
        pixels = np.load(path)
        return pixels if pixels.ndim == 3 else pixels[..., None]
    picture = Image.open(path)
    deep = any(";16" in str(tile.args) for tile in getattr(picture, "tile", ()))
    if deep and len(picture.getbands()) > 1:
        raise ValueError(f"{path} has 16 bits per channel, of which Pillow reads 8.")
    picture = ImageOps.exif_transpose(picture)
    if CHANNELS not in (1, 3):
        return np.array(picture)
    if picture.mode[0] in "IF":  # more than 8 bits
        return np.repeat(np.array(picture)[..., None], CHANNELS, axis=2)
    has_alpha = "A" in picture.mode or "transparency" in picture.info
    if has_alpha and np.array(picture.convert("RGBA"))[..., 3].min() < 255:
        raise ValueError(f"{path} is transparent. Save it without transparency.")
    pixels = np.array(picture.convert("L" if CHANNELS == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], CHANNELS)


def as_bytes(pixels: np.ndarray) -> np.ndarray:
    """Pixels in 0..255, as the model takes them."""
    if pixels.dtype == np.uint8:
        return pixels
    if VALUE_RANGE is None:
        raise ValueError(f"The model takes pixels of 8 bits. Received: {pixels.dtype}.")
    black, white = np.array(VALUE_RANGE, np.float64).reshape(-1, 2).T
    scale = (255 / (white - black)).astype(np.float32)
    values = (pixels.astype(np.float32) - black.astype(np.float32)) * scale
    return np.rint(values.clip(0, 255)).astype(np.uint8)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, n) at another (height, width)."""
    return np.stack([resized_plane(plane, size) for plane in np.moveaxis(image, -1, 0)], -1)


def resized_plane(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) at another (height, width): bilinear, with antialiasing where it gets smaller."""
    if plane.shape == tuple(size):
        return plane
    picture = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))


def nearest(classes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) classes at another (height, width): those of the nearest pixels."""
    return np.asarray(Image.fromarray(classes).resize(size[::-1], Image.Resampling.NEAREST))


def save(mask: np.ndarray, path: Path) -> None:
    """Writes a mask as PNG in the colours of the classes; each label has its own file."""
    if RULE == "labels":
        for i, color in enumerate(CLASSES.values()):
            place = path.with_name(path.stem.removesuffix("_mask") + ENDINGS[i])
            write_png(mask[..., i], [(0, 0, 0), *[color] * 255], place)
    else:
        unused = [(0, 0, 0)] * (255 - len(CLASSES))
        write_png(mask, [*CLASSES.values(), *unused, (255, 255, 255)], path)


def write_png(mask: np.ndarray, colors: Iterable[tuple[int, int, int]], path: Path) -> None:
    """A picture whose pixels are the values of the mask, with a palette of 256 colours."""
    picture = Image.fromarray(np.ascontiguousarray(mask))
    picture.putpalette([value for color in colors for value in color])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def main() -> None:
    """Writes the mask of one picture, or of each picture of a folder."""
    if len(sys.argv) != 4:
        sys.exit("python board.py model.tflite photo.png mask.png, or two folders")
    model, source, target = map(Path, sys.argv[1:])
    if not source.is_dir():
        save(predict(source, model), target)
        return
    pictures = sorted(path for path in source.iterdir() if path.suffix.lower() in PICTURES)
    stems = [path.stem for path in pictures]
    for path in pictures:
        name = path.stem if stems.count(path.stem) == 1 else path.name
        save(predict(path, model), target / f"{name}_mask.png")


if __name__ == "__main__":
    main()
