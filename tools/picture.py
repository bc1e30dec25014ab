"""Draws the README's picture from the output folder of `keras-seg demo`.

keras-seg demo && python -m tools.picture keras-seg-demo
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from keras_seg import inference
from keras_seg.data import BuiltinDataset
from keras_seg.data.mask_colors import colorize

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "demo.png"
FILE = "model_int8.tflite"
SHOWN = (0, 20, 39, 59)
"""Validation images, one per column, evenly spaced and not chosen by their masks."""
COLORS = 224
"""Size of the palette; it makes the picture small enough to commit."""


def draw(folder: Path) -> Image.Image:
    """Columns of image, mask, and the mask predicted by the demo's int8 file."""
    cells, runner = BuiltinDataset("cells", "val"), inference.load(folder / FILE)
    figure, axes = plt.subplots(3, len(SHOWN), figsize=(8, 6.2), layout="constrained")
    for column, index in zip(axes.T, SHOWN, strict=True):
        sample = cells[index]
        masks = (sample.mask, runner.predict(sample.image))
        pictures = (sample.image, *(colorize(mask, cells.classes) for mask in masks))
        for axis, picture in zip(column, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
    for axis, label in zip(axes[:, 0], ("image", "mask", "int8 TFLite file"), strict=True):
        axis.set_ylabel(label)
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    plt.close(figure)
    picture = Image.open(file).convert("RGB")
    return picture.quantize(COLORS, dither=Image.Dither.NONE)


def main(folder: str) -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    draw(Path(folder)).save(PICTURE, optimize=True)
    print(f"{PICTURE.name}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
