"""Which image sizes a network takes, and how much of the image its output lacks."""

from __future__ import annotations

import keras

from keras_seg.models.functional import as_functional


def size_rule(model: keras.Model) -> tuple[int, int, int]:
    """(multiple, offset, smallest) in pixels: the heights and widths that a model takes."""
    for layer in model.layers:
        if hasattr(layer, "multiple"):
            return layer.multiple, layer.offset, layer.smallest
    return 1, 0, 1


def output_margin(model: keras.Model) -> tuple[int, int]:
    """(rows, columns) that the outputs lack on each side of the image, for unpadded networks."""
    if not size_rule(model)[1]:
        return 0, 0
    model = as_functional(model)
    size = probe_size(model)
    shapes = model.compute_output_shape((1, *size, model.input.shape[-1]))
    main = shapes["logits"] if isinstance(shapes, dict) else shapes
    return tuple((s - o) // 2 for s, o in zip(size, main[1:3], strict=True))


def probe_size(model: keras.Model) -> tuple[int, int]:
    """A size that the model takes."""
    fixed = as_functional(model).input.shape[1:3]
    if None not in fixed:
        return tuple(fixed)
    multiple, offset, smallest = size_rule(model)
    side = offset + multiple * max(1, -(-(max(smallest, 128) - offset) // multiple))
    return side, side
