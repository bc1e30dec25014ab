"""Max pooling that returns the position of each maximum, and unpooling to that position.

Badrinarayanan, Kendall, Cipolla: SegNet, TPAMI 2017, arXiv:1511.00561. The decoder of SegNet gets
nothing but these positions: 2 bits per 2x2 window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, ops

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.pooling_windows import LARGEST, Windows, max_pool, scatter, unpool
from keras_seg.layers.tensors import Shape, Tensor, compiled_by_xla

PADDINGS = ("same", "valid")


@keras.saving.register_keras_serializable("keras_seg")
class MaxPoolingWithIndices2D(keras.layers.Layer):
    """Max pooling that also returns the position of each maximum inside its window.

    A position is `row * pool_width + column` inside the window, 0 to 3 for 2x2. Among equal values
    the first in row-major order wins, as in PyTorch and Caffe. The gradient goes to the winner
    only. The layer is written with comparisons, because neither TFLite nor XLA has TensorFlow's
    operator for it.

    Shapes: (B, H, W, C) → (B, h, w, C) maxima and (B, h, w, C) uint8 positions.

    Args:
        pool_size, strides: int or (height, width); the strides are the pool size by default.
        padding: "same" keeps every pixel: an odd last row is pooled by itself (Caffe's rule, and
            `ceil_mode=True` of PyTorch at 2x2). "valid" drops it.

    Raises:
        ValueError: no valid window, a window of more than 256 elements, or a map that is smaller
            than a "valid" window.

    Example:
        x = keras.Input((16, 16, 8))
        maxima, places = keras_seg.layers.MaxPoolingWithIndices2D(2)(x)
        y = keras_seg.layers.MaxUnpooling2D(2)(maxima, places, x)  # (None, 16, 16, 8)
    """

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "same",
        **base_config: Any,
    ):
        super().__init__(**base_config)
        self.windows = _windows(pool_size, strides, padding)

    def call(self, x: Tensor) -> Tensor:
        self._pooled(x.shape)
        return max_pool(x, self.windows)

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        shape = self._pooled(x.shape)
        return KerasTensor(shape, x.dtype), KerasTensor(shape, "uint8")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | _config(self.windows)

    def _pooled(self, shape: Shape) -> Shape:
        counts = [
            None if size is None else self.windows.pooled(axis, size)
            for axis, size in enumerate(shape[1:3])
        ]
        if any(count is not None and count < 1 for count in counts):
            raise ValueError(
                f"A window of {self.windows.size} does not fit in the map. Received: height and "
                f"width {tuple(shape[1:3])}. Pass a larger map, or padding='same'."
            )
        return (shape[0], *counts, shape[3])


@keras.saving.register_keras_serializable("keras_seg")
class MaxUnpooling2D(keras.layers.Layer):
    """Writes each value to its position in the window, and zero everywhere else.

    Positions are the uint8 ones of `MaxPoolingWithIndices2D`, or int32 or int64 positions `(row * W
    + column) * C + channel` of `tf.nn.max_pool_with_argmax`, which TensorFlow Addons takes. The
    latter count in the width of the map that was pooled, so an odd width needs `like`. Where
    windows overlap, values at one position add up.

    Shapes: values and positions (B, h, w, C), as two arguments or as a list → (B, H, W, C). H and W
    are those of `like`, the map that was pooled. Without it they are h and w times the stride
    ("same"), or the smallest that pools to h and w ("valid"), as in TensorFlow Addons.

    Args:
        pool_size, strides, padding: as in the pooling.

    Raises:
        ValueError: as in the pooling, and for missing positions or positions of another type.

    Example:
        values, places = keras.Input((8, 8, 4)), keras.Input((8, 8, 4), dtype="uint8")
        y = keras_seg.layers.MaxUnpooling2D(2)(values, places)  # (None, 16, 16, 4)
    """

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "same",
        **base_config: Any,
    ):
        super().__init__(**base_config)
        self.windows = _windows(pool_size, strides, padding)

    def build(
        self,
        values_shape: Shape,
        places_shape: Shape | None = None,
        like_shape: Shape | None = None,
    ) -> None:
        """Has no weights; Keras passes the shapes of the inputs by name."""

    def call(
        self,
        values: Tensor,
        places: Tensor | None = None,
        like: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        values, places = _pair(values, places)
        size = self._target(values.shape, None if like is None else like.shape)
        if None in size:
            size = self._target(ops.shape(values), None if like is None else ops.shape(like))
        if keras.backend.standardize_dtype(places.dtype) == "uint8":
            for_export = on_tensorflow() and not training and not compiled_by_xla()
            return unpool(values, places, size, self.windows, for_export=for_export)
        return scatter(values, places, size)

    def compute_output_spec(
        self,
        values: Tensor,
        places: Tensor | None = None,
        like: Tensor | None = None,
        training: bool = False,
    ) -> keras.KerasTensor:
        values, _ = _pair(values, places)
        size = self._target(values.shape, None if like is None else like.shape)
        return KerasTensor((values.shape[0], *size, values.shape[3]), values.dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | _config(self.windows)

    def _target(self, shape: Shape, like_shape: Shape | None) -> tuple:
        if like_shape is not None:
            return like_shape[1], like_shape[2]
        counts = enumerate((shape[1], shape[2]))
        return tuple(None if n is None else self.windows.unpooled(axis, n) for axis, n in counts)


def _windows(
    pool_size: int | Sequence[int], strides: int | Sequence[int] | None, padding: str
) -> Windows:
    size = _two("pool_size", pool_size)
    strides = size if strides is None else _two("strides", strides)
    if not isinstance(padding, str) or padding.lower() not in PADDINGS:
        raise ValueError(f"padding must be one of {PADDINGS}. Received: {padding!r}")
    if size[0] * size[1] > LARGEST:
        raise ValueError(
            f"pool_size must have at most {LARGEST} elements, so that a place fits in a byte. "
            f"Received: {size}"
        )
    return Windows(size, strides, padding.lower())


def _config(windows: Windows) -> dict:
    return {
        "pool_size": windows.size,
        "strides": windows.strides,
        "padding": windows.padding,
    }


def _two(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else value
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        pair = (0, 0)
    if any(not isinstance(n, int) or n < 1 for n in pair):
        raise ValueError(f"{name} must be a positive whole number or a pair. Received: {value!r}")
    return pair[0], pair[1]


def _pair(values: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    if places is None and isinstance(values, (tuple, list)) and len(values) == 2:
        values, places = values
    if places is None:
        raise ValueError("MaxUnpooling2D is called with values and places. Received: no places.")
    if keras.backend.standardize_dtype(places.dtype) not in ("uint8", "int32", "int64"):
        raise ValueError(
            "The places of MaxUnpooling2D must be the second output of MaxPoolingWithIndices2D "
            f"(uint8) or positions (int32, int64). Received: {places.dtype}"
        )
    return values, places
