"""The blocks of a network, as a drawing shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import keras

from keras_seg.models.drawing_words import words_of


@dataclass(eq=False)  # a set holds them
class Block:
    """Layers that a drawing shows as one box.

    Attributes:
        name: text of the box.
        stride: size of the image / size of the block's maps; infinite for maps of one pixel.
        words: entry of `drawing_words.PARTS`; None for an unknown network, whose blocks are named
            after their layers.
        whole: whether the name is that of a module. Layers without module names are drawn together
            as long as they follow one another at one resolution.
        channels: channels of the last map.
        weights: number of weights.
        sources: blocks whose maps are inputs of this one.
        column: position in the row of its resolution.
        lane: number of the row, where blocks of one resolution work in parallel.
    """

    name: str
    stride: float
    words: str | None = None
    whole: bool = True
    channels: int = 0
    weights: int = 0
    sources: set[Block] = field(default_factory=set)
    column: int = 0
    lane: int = 0

    @property
    def row(self) -> tuple[float, int]:
        return self.stride, self.lane


def blocks_of(model: keras.Model) -> list[Block]:
    """The blocks of a functional model of fixed size, each after its sources.

    Networks of this package are divided as in the figures of their papers. In other models a block
    is all layers with the same name up to the first dot at one resolution. Layers without a dot in
    their name form one block as long as they follow one another at one resolution.

    Layers whose output is not a map (pooled vectors, products of attention) belong to the block
    before them.
    """
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
            shape = node.outputs[0].shape
            block = _block_of_layer(blocks, model.name, layer, shape, height, sources)
            block.weights += layer.count_params()
            block.sources |= {source for source in sources if source not in (None, block)}
            of_tensor.update({id(tensor): block for tensor in node.outputs})
    _skip_weightless(blocks.values())
    drawn = _joined([block for block in blocks.values() if block.weights])
    _fill_in_names(drawn)
    _place(drawn)
    return drawn


def _block_of_layer(
    blocks: dict[tuple, Block],
    network: str,
    layer: keras.Layer,
    shape: tuple,
    height: int,
    sources: list[Block | None],
) -> Block:
    """The block of a layer. It is made if the layer is its first."""
    known = [source for source in sources if source is not None]
    words = words_of(network, layer.name, has_weights=bool(layer.weights))
    is_map = len(shape) == 4 and shape[1] is not None and (shape[1] > 1 or "@" in (words or ""))
    if not is_map:
        return known[0] if known else blocks.setdefault(("", 1.0), Block("", 1.0))
    stride = math.inf if shape[1] == 1 else 2.0 ** round(math.log2(height / shape[1]))
    if words is None:
        single = set(sources) == {known[0]} if known else False
        if single and known[0].words and known[0].stride == stride:
            return known[0]  # such as an activation, or the sum of a residual unit
        name, dot, _ = layer.name.partition(".")
        block = blocks.setdefault((name, stride), Block(name, stride, whole=bool(dot)))
    else:
        name, _, part = words.partition("@")
        block = blocks.setdefault((name, part or stride), Block(name, stride, words))
    block.stride, block.channels = stride, shape[-1]
    return block


def _skip_weightless(blocks: Iterable[Block]) -> None:
    """Replaces sources without weights (pooling, resizing, joining) by the sources of these."""
    for block in blocks:
        while passed := {source for source in block.sources if not source.weights}:
            block.sources -= passed
            for source in passed:
                block.sources |= {other for other in source.sources if other is not block}


def _joined(blocks: list[Block]) -> list[Block]:
    """Joins blocks without module names to their source, if it is the only one."""
    into: dict[Block, Block] = {}
    for block in blocks:
        block.sources = {into.get(source, source) for source in block.sources}
        if len(block.sources) == 1 and not block.whole:
            (source,) = block.sources
            if source.stride == block.stride and not source.whole:
                into[block] = source
                source.weights += block.weights
                source.channels = block.channels
                source.name = f"{source.name.removesuffix(' …')} …"
        block.sources.discard(into.get(block, block))
    return [block for block in blocks if block not in into]


def _fill_in_names(blocks: list[Block]) -> None:
    """Numbers blocks of equal words, and names the deepest of them."""
    numbered: dict[str, list[Block]] = {}
    for block in blocks:
        if block.words and ("#" in block.name or "|" in block.name):
            numbered.setdefault(block.name, []).append(block)
    for words, group in numbered.items():
        text, _, deepest = words.partition("|")
        for number, block in enumerate(group, start=1):
            block.name = text.replace("#", str(number))
        if deepest and len(group) > 1:
            max(group, key=lambda block: block.stride).name = deepest


def _place(blocks: list[Block]) -> None:
    """Sets the columns from left to right along each resolution.

    A block is to the right of its sources at the same resolution, and not to the left of its other
    sources. Blocks of equal words, such as the branches of an HRNet stage, share a column.
    """
    shared: dict[str, int] = {}
    for _ in range(2):  # the second pass knows the shared column of all branches
        taken: set[tuple] = set()
        for number, block in enumerate(blocks):
            earlier = [source for source in blocks[:number] if source in block.sources]
            columns = [source.column + (source.stride == block.stride) for source in earlier]
            if block.name.startswith("decoder"):
                columns.append(1)  # right of the encoder, even without a skip connection
            branch = block.words if block.words and "#" not in block.words else None
            if branch is not None and sum(other.words == branch for other in blocks) > 1:
                columns.append(shared.get(branch, 0))
                shared[branch] = max(columns)
            block.column, block.lane = max(columns, default=0), 0
            if block.words is None:
                while (block.column, block.stride, 0) in taken:
                    block.column += 1
            while (block.column, block.stride, block.lane) in taken:
                block.lane += 1
            taken.add((block.column, block.stride, block.lane))
