"""Draws the README's picture with the model "nuclei" of the package.

python -m tools.picture
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from keras_seg import inference
from keras_seg.data import BuiltinDataset
from keras_seg.data.mask_colors import colorize
from keras_seg.demo import SHOWN, brightened

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "nuclei.png"
MODEL = "nuclei_int8"
ROWS = ("image", "true mask", "int8 TFLite file")
CUT = 256
"""Height and width in pixels of the part of each validation image that is shown."""
COLORS = 200
"""Size of the palette; it makes the picture small enough to commit."""


def draw() -> Image.Image:
    """Columns of image, mask, and the mask predicted by the int8 file of the package."""
    nuclei, runner = BuiltinDataset("nuclei", "val"), inference.load(MODEL)
    figure, axes = plt.subplots(
        len(ROWS), len(SHOWN), figsize=(8, 6.1), squeeze=False, layout="constrained"
    )
    for column, index in zip(axes.T, SHOWN, strict=True):
        sample = nuclei[index]
        masks = (sample.mask, runner.predict(sample.image))
        pictures = (brightened(sample.image), *(colorize(mask, nuclei.classes) for mask in masks))
        for axis, picture in zip(column, pictures, strict=True):
            axis.imshow(picture[:CUT, :CUT], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
    for axis, label in zip(axes[:, 0], ROWS, strict=True):
        axis.set_ylabel(label, fontsize=13)
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    plt.close(figure)
    return Image.open(file).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)


def main() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    draw().save(PICTURE, optimize=True)
    print(f"{PICTURE.name}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
