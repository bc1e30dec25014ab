"""Draws a network as papers do: blocks from left to right, resolutions from top to bottom."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import keras
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from keras_seg.models.drawing_blocks import Block, blocks_of
from keras_seg.models.drawing_words import PARTS, SKIPS
from keras_seg.models.functional import as_functional

WIDTH, HEIGHT = 0.78, 0.62
"""Of a box, in units of a column and a row."""
COLOURS = ("#dbe7f6", "#c7dbf3", "#b0cdee", "#97bde8", "#7cabe0", "#6098d6", "#4985c9")
"""Of boxes, from the resolution of the image down."""


@dataclass(eq=False)  # a set holds them
class Block:
    """Layers of one name before the first dot, at one resolution.

    stride: size of the image / size of the block's maps.
    whole: whether the name is that of a module; layers of networks without such names are drawn
        together as far as they follow one another at one resolution.
    """

    name: str
    stride: float
    whole: bool = True
    channels: int = 0
    weights: int = 0
    before: set = field(default_factory=set)
    column: int = 0


def draw(model: keras.Model, path: str | Path) -> None:
    """Draws the blocks of a functional model of fixed size into a PNG, SVG or PDF file.

    A block is all layers whose names are equal up to the first dot and that work at one resolution,
    or without dots all that follow one another there; its channels are those of its last layer.
    Arrows are tensors from block to block. Layers on anything else than maps (pooled vectors,
    products of attention) belong to the block before them.

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
    figure = Figure(figsize=((right + 1.2) * inches, (top - bottom) * 0.72))
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


def blocks_of(model: keras.Model) -> list[Block]:
    """The blocks of a model, each after those that it takes maps from."""
    height = model.inputs[0].shape[1]
    blocks: dict[tuple, Block] = {}
    of_tensor: dict[int, Block | None] = {id(tensor): None for tensor in model.inputs}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        for node in layer._inbound_nodes:
            sources = [of_tensor[id(x)] for x in node.input_tensors if id(x) in of_tensor]
            if not node.outputs or not sources:
                continue
            block = _block(blocks, layer, node.outputs[0].shape, height, sources)
            block.weights += layer.count_params()
            for source in sources:
                if source not in (None, block):
                    block.before.add(source)
            of_tensor.update({id(tensor): block for tensor in node.outputs})
    _skip_weightless(blocks.values())
    found = _joined([block for block in blocks.values() if block.weights])
    for number, block in enumerate(found):
        earlier = [source for source in found[:number] if source in block.before]
        block.column = max((source.column + 1 for source in earlier), default=0)
        used = {other.column for other in found[:number] if other.stride == block.stride}
        while block.column in used:
            block.column += 1
    return found


def _block(blocks: dict, layer, shape, height: int, sources: list) -> Block:
    """The block that a layer belongs to, made if it is the first of it."""
    known = [source for source in sources if source is not None]
    if len(shape) != 4 or shape[1] in (None, 1):
        return known[0] if known else blocks.setdefault(("", 1.0), Block("", 1.0))
    stride = 2.0 ** round(math.log2(height / shape[1]))
    name, dot, _ = layer.name.partition(".")
    block = blocks.setdefault((name, stride), Block(name, stride, whole=bool(dot)))
    block.channels = shape[-1]
    return block


def _skip_weightless(blocks) -> None:
    """Arrows from pooling, resizing and joining pass on to the blocks that compute."""
    for block in blocks:
        while passed := {source for source in block.before if not source.weights}:
            block.before -= passed
            for source in passed:
                block.before |= {other for other in source.before if other is not block}


def _joined(blocks: list[Block]) -> list[Block]:
    """Blocks without modules' names become one where each has the one before as its only source."""
    into: dict[Block, Block] = {}
    for block in blocks:
        block.before = {into.get(source, source) for source in block.before}
        if len(block.before) == 1 and not block.whole:
            (source,) = block.before
            if source.stride == block.stride and not source.whole:
                into[block] = source
                source.weights += block.weights
                source.channels = block.channels
                source.name = f"{source.name.removesuffix(' …')} …"
        block.before.discard(into.get(block, block))
    return [block for block in blocks if block not in into]


def _draw_box(axes, block: Block, place, colour: str) -> None:
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
    name = _name(block)
    axes.text(
        x,
        y,
        f"{name}\n{block.channels}",
        ha="center",
        va="center",
        fontsize=font - 2.5 if "\n" in name else font,
        linespacing=1.15,
        color=TEXT,
        zorder=3,
    )


def _draw_arrow(axes, start, end) -> None:
    """From box to box; over others in the same row in an arc."""
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
