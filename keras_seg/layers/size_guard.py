"""Refuses images whose size a network cannot take, before an inner layer fails obscurely."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable("keras_seg")
class SizeGuard(keras.layers.Layer):
    """Identity that lets only heights and widths pass that are multiples of `multiple` pixels.

    Free (None) heights and widths pass at build time and are checked when a real image comes.

    Args:
        multiple: sizes that pass are a multiple of it, in pixels, plus `offset`.
        offset: what the size is more than a multiple, for networks without padding.
        smallest: the smallest size that passes; None for `multiple + offset`.

    Raises: ValueError that names the two nearest sizes that work.
    """

    def __init__(self, multiple: int, offset: int = 0, smallest: int | None = None, **base_config):
        super().__init__(**base_config)
        self.multiple, self.offset = multiple, offset
        self.smallest = multiple + offset if smallest is None else smallest

    def call(self, x):
        self._check(x.shape)
        return x

    def compute_output_shape(self, input_shape):
        self._check(input_shape)
        return input_shape

    def compute_output_spec(self, x):
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)

    def get_config(self):
        return super().get_config() | {
            "multiple": self.multiple,
            "offset": self.offset,
            "smallest": self.smallest,
        }

    def _check(self, shape):
        for axis, size in zip(("height", "width"), shape[1:3], strict=True):
            if size is None or (
                size >= self.smallest and (size - self.offset) % self.multiple == 0
            ):
                continue
            if self.multiple == 1:
                raise ValueError(
                    f"The {axis} of the image must be at least {self.smallest} pixels. "
                    f"Received: {size}."
                )
            near = nearest_sizes(size, self.multiple, self.offset, self.smallest)
            plus = f" plus {self.offset}" if self.offset else ""
            raise ValueError(
                f"The {axis} of the image must be a multiple of {self.multiple} pixels{plus}. "
                f"Received: {size}. The nearest that work are {' and '.join(map(str, near))}."
            )


def nearest_sizes(
    size: int, multiple: int, offset: int = 0, smallest: int | None = None
) -> tuple[int, ...]:
    """The nearest sizes below and above `size` that are a multiple plus an offset.

    From `smallest` on, which is `multiple + offset` if None; one size, if none lies below.
    """
    smallest = multiple + offset if smallest is None else smallest
    below = (size - offset) // multiple * multiple + offset
    return (below, below + multiple) if below >= smallest else (smallest,)


def size_rule(model: keras.Model) -> tuple[int, int, int]:
    """(multiple, offset, smallest) in pixels: the heights and widths that a model takes."""
    for layer in model.layers:
        if hasattr(layer, "multiple"):
            return layer.multiple, layer.offset, layer.smallest
    return 1, 0, 1


def size_taken(model: keras.Model) -> tuple[int, int]:
    """(height, width) in pixels that a functional model takes: its own, or about 128."""
    fixed = model.input.shape[1:3]
    if None not in fixed:
        return tuple(fixed)
    multiple, offset, smallest = size_rule(model)
    side = offset + multiple * max(1, -(-(max(smallest, 128) - offset) // multiple))
    return side, side
