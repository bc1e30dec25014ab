"""Draws a network as papers do: blocks from left to right, resolutions from top to bottom."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import keras
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

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
    blocks = blocks_of(model)
    columns = 1 + max(block.column for block in blocks)
    rows = sorted({block.stride for block in blocks})
    figure = Figure(figsize=(max(6, 1.35 * columns), 1 + 1.15 * len(rows)))
    axes = figure.add_axes((0, 0, 1, 1))
    places = {id(block): (block.column, -rows.index(block.stride)) for block in blocks}
    for block in blocks:
        _draw_box(axes, block, places[id(block)], COLOURS[min(rows.index(block.stride), 6)])
        for source in block.before:
            _draw_arrow(axes, places[id(source)], places[id(block)])
    for row, stride in enumerate(rows):
        size = "image" if stride == 1 else f"1/{stride:g}"
        axes.text(-0.72, -row, size, ha="center", va="center", color="0.4")
    axes.set(xlim=(-1.1, columns - 0.4), ylim=(0.6 - len(rows), 0.9))
    axes.set_title(f"{model.name}: {model.count_params():,} parameters", y=0.95)
    axes.axis("off")
    figure.savefig(path, dpi=110)


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
    box = FancyBboxPatch(
        (x - WIDTH / 2, y - HEIGHT / 2),
        WIDTH,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=colour,
        edgecolor="#2f5f98",
        zorder=2,
    )
    axes.add_patch(box)
    name = block.name if len(block.name) <= 14 else f"{block.name[:13]}…"
    axes.text(x, y + 0.12, name, ha="center", va="center", fontsize=8, zorder=3)
    axes.text(
        x,
        y - 0.14,
        f"{block.channels}",
        ha="center",
        va="center",
        fontsize=8,
        color="0.3",
        zorder=3,
    )


def _draw_arrow(axes, start, end) -> None:
    """From box to box; over others in the same row in an arc."""
    (x0, y0), (x1, y1) = start, end
    if y0 == y1:
        far = abs(x1 - x0) > 1
        begin = (x0, y0 + HEIGHT / 2) if far else (x0 + WIDTH / 2, y0)
        finish = (x1, y1 + HEIGHT / 2) if far else (x1 - WIDTH / 2, y1)
        style = f"arc3,rad={-min(0.3, 0.6 / (x1 - x0)) if x1 > x0 else 0.3}" if far else "arc3"
    else:
        side = -1 if y1 < y0 else 1
        begin, finish, style = (x0, y0 + side * HEIGHT / 2), (x1, y1 - side * HEIGHT / 2), "arc3"
    axes.add_patch(
        FancyArrowPatch(
            begin,
            finish,
            arrowstyle="-|>",
            mutation_scale=9,
            connectionstyle=style,
            color="#47617f",
            linewidth=0.9,
            zorder=1,
        )
    )
