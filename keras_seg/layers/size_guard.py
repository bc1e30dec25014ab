"""Refuses image sizes that a network cannot take, with a clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_seg.layers.tensors import Shape, Tensor


class WrongSize(ValueError):
    """An image of a size that a network cannot take."""

    _keras_call_info_injected = True  # Keras leaves the text of an error with this mark as it is


@keras.saving.register_keras_serializable("keras_seg")
class SizeGuard(keras.layers.Layer):
    """Identity that refuses heights and widths other than multiples of `multiple` pixels.

    Free (None) heights and widths pass while the model is built; real images are checked.

    Shapes: (B, H, W, C) → the same.

    Args:
        multiple: sizes must be a multiple of it, in pixels, plus `offset`.
        offset: pixels above a multiple, for networks without padding.
        smallest: the smallest allowed size; None for `multiple + offset`.

    Raises:
        ValueError: another size; the message names the two nearest sizes that work.

    Example:
        y = keras_seg.layers.SizeGuard(32)(keras.Input((None, None, 3)))
    """

    def __init__(
        self, multiple: int, offset: int = 0, smallest: int | None = None, **base_config: Any
    ):
        super().__init__(**base_config)
        self.multiple, self.offset = multiple, offset
        self.smallest = multiple + offset if smallest is None else smallest

    def call(self, x: Tensor) -> Tensor:
        self._check(x.shape)
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self._check(input_shape)
        return input_shape

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "multiple": self.multiple,
            "offset": self.offset,
            "smallest": self.smallest,
        }

    def _check(self, shape: Shape) -> None:
        message = size_error(shape[1:3], self.multiple, self.offset, self.smallest)
        if message is not None:
            raise WrongSize(message)


def size_error(
    sizes: Sequence[int | None], multiple: int, offset: int = 0, smallest: int | None = None
) -> str | None:
    """What is wrong with the (height, width) of an image; None if a network can take it.

    The arguments after it are those of `SizeGuard`. A free (None) height or width is right.
    """
    smallest = multiple + offset if smallest is None else smallest
    for axis, size in zip(("height", "width"), sizes, strict=True):
        if size is None or (size >= smallest and (size - offset) % multiple == 0):
            continue
        if multiple == 1:
            return f"The {axis} of the image must be at least {smallest} pixels. Received: {size}."
        near = nearest_sizes(size, multiple, offset, smallest)
        plus = f" plus {offset}" if offset else ""
        return (
            f"The {axis} of the image must be a multiple of {multiple} pixels{plus}. "
            f"Received: {size}. The nearest that work are {' and '.join(map(str, near))}."
        )
    return None


def nearest_sizes(
    size: int, multiple: int, offset: int = 0, smallest: int | None = None
) -> tuple[int, ...]:
    """The nearest sizes below and above `size` that are a multiple plus an offset.

    Sizes start at `smallest`, or at `multiple + offset` if it is None. Only one size is returned if
    none is below.
    """
    smallest = multiple + offset if smallest is None else smallest
    below = (size - offset) // multiple * multiple + offset
    return (below, below + multiple) if below >= smallest else (smallest,)


def size_rule(model: keras.Model) -> tuple[int, int, int]:
    """(multiple, offset, smallest) in pixels of the heights and widths that a model takes."""
    for layer in model.layers:
        if hasattr(layer, "multiple"):
            return layer.multiple, layer.offset, layer.smallest
    return 1, 0, 1


def size_taken(model: keras.Model) -> tuple[int, int]:
    """(height, width) in pixels that a functional model takes: its own, or about 128 if free."""
    fixed = model.input.shape[1:3]
    if None not in fixed:
        return tuple(fixed)
    multiple, offset, smallest = size_rule(model)
    side = offset + multiple * max(1, -(-(max(smallest, 128) - offset) // multiple))
    return side, side
