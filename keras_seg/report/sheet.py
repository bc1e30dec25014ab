"""Sample overlays with their legend as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLUMNS = 3
CELL = 480
"""Width of a sample, image and overlay side by side, in pixels."""
MARGIN, LINE = 16, 20
INK, PAPER = (30, 30, 30), (255, 255, 255)


@dataclass(frozen=True)
class DrawnSample:
    """A sample as pictures.

    Attributes:
        image, overlay: (H, W, 3) uint8, at the size of the page.
        caption: name, size and classes.
    """

    image: np.ndarray
    overlay: np.ndarray
    caption: str


Legend = Sequence[tuple[str, tuple[int, int, int], Sequence[str]]]
"""(name, colour, further columns) of each class."""


def draw_sheet(
    title: str, legend: Legend, drawn: Mapping[str, Sequence[DrawnSample]]
) -> Image.Image:
    """A picture with a title, the legend, and the samples of each split in three columns.

    Args:
        title: first line.
        legend: the classes.
        drawn: split → its samples.
    """
    rows = [
        (split, samples[start : start + COLUMNS])
        for split, samples in drawn.items()
        for start in range(0, len(samples), COLUMNS)
    ]
    heights = [max(_fitted(s.overlay).height for s in samples) + 2 * LINE for _, samples in rows]
    legend_rows = -(-len(legend) // COLUMNS)
    top = MARGIN + 2 * LINE + legend_rows * LINE + LINE
    width = COLUMNS * (CELL + MARGIN) + MARGIN
    height = top + sum(heights) + (len(drawn) + 1) * 2 * LINE
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (MARGIN, MARGIN), f"Samples of {title}", width - 2 * MARGIN, size=20)
    for number, (name, color, columns) in enumerate(legend):
        x = MARGIN + number % COLUMNS * (CELL + MARGIN)
        y = MARGIN + 2 * LINE + number // COLUMNS * LINE
        pen.rectangle((x, y + 2, x + 14, y + 15), fill=color, outline=(120, 120, 120))
        _write(pen, (x + 22, y), ": ".join(filter(None, (name, ", ".join(columns)))), CELL - 22)
    y, previous = top, None
    for (split, samples), row_height in zip(rows, heights, strict=True):
        if split != previous:
            _write(pen, (MARGIN, y), f"Samples of {split}", width, size=17)
            y, previous = y + 2 * LINE, split
        for number, sample in enumerate(samples):
            x = MARGIN + number * (CELL + MARGIN)
            sheet.paste(_fitted(sample.image), (x, y))
            overlay = _fitted(sample.overlay)
            sheet.paste(overlay, (x + CELL // 2 + 2, y))
            _write(pen, (x, y + overlay.height + 2), sample.caption, CELL)
        y += row_height
    return sheet


def _fitted(pixels: np.ndarray) -> Image.Image:
    picture = Image.fromarray(pixels)
    side = CELL // 2 - 2
    picture.thumbnail((side, side))
    return picture


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int, size: int = 13
) -> None:
    """Writes a line, cut off with "..." where it is wider than its column."""
    # DejaVu, which comes with Matplotlib, has Greek, Cyrillic and accents
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    font = ImageFont.truetype(str(path), size)
    line = text
    while len(line) > 4 and pen.textlength(line, font=font) > width:
        line = line[:-4].rstrip() + "..."
    pen.text(place, line, INK, font=font)
