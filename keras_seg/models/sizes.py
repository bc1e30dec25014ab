"""Which image sizes a network takes, and how much of the image its output lacks."""

from __future__ import annotations

import keras

from keras_seg.layers.size_guard import size_rule, size_taken
from keras_seg.masks.margin import lost_border
from keras_seg.models.functional import as_functional

FOREIGN_PROBES = (320, 384)
"""Heights and widths at which a network of free size is probed, in pixels."""


def output_margin(model: keras.Model) -> tuple[int, int]:
    """(rows, columns) that the outputs lack on each side of the image."""
    guarded = any(hasattr(layer, "multiple") for layer in model.layers)
    if guarded and not size_rule(model)[1]:
        return 0, 0
    model = as_functional(model)
    if not guarded:
        return _foreign_margin(model)
    size = probe_size(model)
    shapes = model.compute_output_shape((1, *size, model.input.shape[-1]))
    main = shapes["logits"] if isinstance(shapes, dict) else shapes
    return tuple((s - o) // 2 for s, o in zip(size, main[1:3], strict=True))


def _foreign_margin(model: keras.Model) -> tuple[int, int]:
    """The margin of a network of another package without padding; (0, 0) for any other."""
    height, width, channels = model.inputs[0].shape[1:4]
    lost = set()
    for length in FOREIGN_PROBES:
        size = height or length, width or length
        try:
            shapes = model.compute_output_shape((1, *size, channels))
        except Exception:  # foreign layers may raise anything for a size that they do not take
            return 0, 0
        if isinstance(shapes, dict):
            shapes = shapes.get("logits", next(iter(shapes.values())))
        inner = (shapes if isinstance(shapes[0], int | None) else shapes[0])[1:3]
        lost.add(lost_border(size, inner))
    return lost.pop() if len(lost) == 1 else (0, 0)


def probe_size(model: keras.Model) -> tuple[int, int]:
    """A size that the model takes."""
    return size_taken(as_functional(model))
