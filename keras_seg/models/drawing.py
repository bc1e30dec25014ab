"""Draws a network as papers do: blocks from left to right, resolutions from top to bottom."""

from __future__ import annotations

import math
from pathlib import Path

import keras
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from keras_seg.models.drawing_blocks import Block, blocks_of
from keras_seg.models.drawing_words import PARTS, SKIPS
from keras_seg.models.functional import as_functional

BOX = (0.82, 0.64)
"""Width and height of a box, where rows are 1 apart."""
TEXT, PALE = "#17222e", "#e9eef4"
ARROW, SKIP = "#7388a3", "#bf6f24"
"""SVG files are transparent: these two stand out from white pages and from dark ones."""
COLOURS = {"encoder": "#c9dff7", "decoder": "#cdebd1", "head": "#fbdcb8", "": "#ddd3f3"}
"""Colours of boxes by the first word of their text; "" for all other words."""
TURNING = ("bridge", "fc6, fc7")
"""Blocks that are drawn between the columns of the way down and the way up."""

ROW = 0.72
"""Inches from one row to the next."""
LINE = 1.15 / (72 * ROW)
"""Rows from one line of text to the next, per point of the font size."""

Place = tuple[float, float]


def draw(model: keras.Model, path: str | Path) -> None:
    """Draws the blocks of a functional model of fixed size into a PNG, SVG or PDF file.

    A box is a block of `drawing_blocks.blocks_of`, with the number of channels of its last map. An
    arrow is a map that passes from block to block. A dashed arrow is a skip connection: a map (or
    pooling indices) that is joined with a map from a coarser resolution.

    Raises: ValueError for a model of free size, or another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ValueError(f"A drawing is a .png, .svg or .pdf file. Received: {str(path)!r}")
    model = as_functional(model)
    if None in model.inputs[0].shape[1:]:
        raise ValueError(
            "Only a model of fixed size can be drawn. Build it with a height and a width. "
            f"Received: image {model.inputs[0].shape[1:]}"
        )
    # text stays text, and equal models give equal files
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "keras_seg"}):
        figure = _figure(model, blocks_of(model))
        is_svg = path.suffix.lower() == ".svg"
        figure.savefig(
            path,
            dpi=110,
            transparent=is_svg,
            metadata={"Date": None, "Creator": None} if is_svg else None,
        )


def _figure(model: keras.Model, blocks: list[Block]) -> Figure:
    rows = sorted({block.row for block in blocks})
    columns = 1 + max(block.column for block in blocks)
    spacing = 1.2 if columns < 5 else 1.0
    inches = 1.1 if columns < 5 else 0.9  # of the page, for 1 to the right
    font = _font(blocks, BOX[0] * inches)
    skips = SKIPS.get(model.name, None if model.name in PARTS else "skip connection")
    arrows = _arrows(blocks, rows)
    skipping = {(source, block) for source, block, _ in arrows if skips and _is_skip(source, block)}
    arcs = any(block.column - source.column > 1 for source, block in skipping)
    top, bottom = 0.75 if arcs else 0.45, -len(rows) - 0.3
    right = (columns - 1) * spacing + 0.55
    figure = Figure(figsize=((right + 1.2) * inches, (top - bottom) * ROW))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.2, right), ylim=(bottom, top))
    axes.axis("off")
    places = _places(blocks, rows, spacing)
    for source, block, both in arrows:
        _draw_arrow(
            axes, places[source], places[block], both=both, skip=(source, block) in skipping
        )
    for block in blocks:
        _draw_box(axes, block, places[block], font)
    for number, (stride, _) in enumerate(rows):
        _draw_text(axes, (-0.82, -number), _size_in_words(stride), font)
    count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    text = f"{count:,} parameters; numbers: channels"
    _draw_legend(axes, text, skips if skipping else None, (-1.1, bottom + 0.08), font)
    return figure


def _font(blocks: list[Block], width: float) -> float:
    """Font size in points at which the longest line fits into a box of `width` inches."""
    longest = max(len(line) for block in blocks for line in _name(block).split("\n"))
    return max(7, min(12, 72 * width / (0.63 * longest)))


def _places(
    blocks: list[Block], rows: list[tuple[float, int]], spacing: float
) -> dict[Block, Place]:
    """Where the centre of each box is."""
    places = {block: (block.column * spacing, -float(rows.index(block.row))) for block in blocks}
    for block in blocks:
        targets = [other.column for other in blocks if block in other.sources]
        if (
            block.name in TURNING
            and targets
            and not any(other is not block and other.row == block.row for other in blocks)
        ):
            places[block] = ((block.column + max(targets)) / 2 * spacing, places[block][1])
    return places


def _arrows(blocks: list[Block], rows: list[tuple[float, int]]) -> list[tuple[Block, Block, bool]]:
    """(source, target, whether the arrow has two heads) of each arrow.

    The branches of an HRNet stage exchange their maps with all other branches. Only the exchange
    with neighbouring branches is drawn.
    """
    arrows = []
    for number, block in enumerate(blocks):
        for source in blocks:
            if source not in block.sources:
                continue
            exchange = block in source.sources
            if exchange and source in blocks[number:]:
                continue  # one arrow with two heads stands for both directions
            same_stage = source.words == block.words and source.column == block.column
            if same_stage and abs(rows.index(source.row) - rows.index(block.row)) > 1:
                continue
            arrows.append((source, block, exchange))
    return arrows


def _is_skip(source: Block, block: Block) -> bool:
    """Whether the block joins this map with one from a coarser resolution."""
    coarser = any(other.stride > source.stride for other in block.sources)
    return source.stride == block.stride and coarser


def _draw_box(axes: Axes, block: Block, place: Place, font: float) -> None:
    x, y = place
    kind = block.name.split(" ")[0]
    kind = "encoder" if kind in ("stem", "stage", "input") else kind
    box = FancyBboxPatch(
        (x - BOX[0] / 2, y - BOX[1] / 2),
        *BOX,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=COLOURS.get(kind, COLOURS[""]),
        edgecolor=ARROW,
        zorder=2,
    )
    axes.add_patch(box)
    lines = [*_name(block).split("\n"), f"{block.channels}"]
    size = font if len(lines) == 2 else font - 2.5
    for number, line in enumerate(lines):  # one by one, so that a viewer's font is centred, too
        height = y + ((len(lines) - 1) / 2 - number) * size * LINE
        axes.text(x, height, line, ha="center", va="center", fontsize=size, color=TEXT, zorder=3)


def _name(block: Block) -> str:
    return block.name if len(block.name) <= 20 else f"{block.name[:19]}…"


def _draw_arrow(axes: Axes, start: Place, end: Place, *, both: bool, skip: bool) -> None:
    """An arrow from box to box. It is an arc if other boxes of the row are between."""
    (x0, y0), (x1, y1) = start, end
    width, height = BOX
    style = "arc3"
    if y0 == y1 and abs(x1 - x0) < 1.5:
        begin, finish = (x0 + width / 2, y0), (x1 - width / 2, y1)
    elif y0 == y1:
        begin, finish = (x0, y0 + height / 2), (x1, y1 + height / 2)
        style = f"arc3,rad={-min(0.3, 0.6 / (x1 - x0)) if x1 > x0 else 0.3}"
    else:
        side = -1 if y1 < y0 else 1
        begin, finish = (x0, y0 + side * height / 2), (x1, y1 - side * height / 2)
    axes.add_patch(_arrow(begin, finish, both=both, skip=skip, style=style))


def _arrow(
    begin: Place, end: Place, *, both: bool = False, skip: bool = False, style: str = "arc3"
) -> FancyArrowPatch:
    return FancyArrowPatch(
        begin,
        end,
        arrowstyle="<|-|>" if both else "-|>",
        mutation_scale=10,
        shrinkA=0,
        shrinkB=0,
        connectionstyle=style,
        color=SKIP if skip else ARROW,
        linestyle=(0, (4, 2.5)) if skip else "solid",
        linewidth=1.3,
        zorder=1,
    )


def _draw_text(axes: Axes, place: Place, text: str, font: float) -> None:
    """Text outside the boxes. Its own background keeps it readable on a dark page."""
    axes.text(
        *place,
        text,
        ha="center",
        va="center",
        fontsize=font - 1,
        color=TEXT,
        bbox={"boxstyle": "round,pad=0.3", "facecolor": PALE, "edgecolor": "none"},
    )


def _draw_legend(axes: Axes, text: str, skips: str | None, corner: Place, font: float) -> None:
    """A line of text, and a second one that explains dashed arrows if there are any."""
    x, y = corner
    height = 0.64 if skips else 0.4
    ground = FancyBboxPatch(
        corner,
        axes.get_xlim()[1] - x - 0.1,
        height,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=PALE,
        edgecolor="none",
        zorder=0,
    )
    axes.add_patch(ground)
    words = {"ha": "left", "va": "center", "fontsize": font - 1, "color": TEXT}
    axes.text(x + 0.1, y + height - 0.2, text, **words)
    if skips:
        axes.add_patch(_arrow((x + 0.1, y + 0.18), (x + 0.6, y + 0.18), skip=True))
        axes.text(x + 0.7, y + 0.18, skips, **words)


def _size_in_words(stride: float) -> str:
    if math.isinf(stride):
        return "1x1"
    return "image" if stride == 1 else f"1/{stride:g}"
