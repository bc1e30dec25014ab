"""Resizing with an explicit sampling grid, because published weights disagree about it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Shape, Tensor, compiled_by_xla, in_float32, with_shape

GRIDS = ("half_pixel", "align_corners", "top_left")
INTERPOLATIONS = ("bilinear", "nearest")


@keras.saving.register_keras_serializable("keras_seg")
class Resize(keras.layers.Layer):
    """Resizes a map by an integer factor, or to the height and width of another tensor.

    On TensorFlow the layer uses raw operators: each becomes one TFLite operator, and
    `keras.ops.image.resize` cannot take a size that is known only at run time. On other backends,
    and under XLA, bilinear resizing is two products with interpolation matrices. XLA's own operator
    (TensorFlow 2.21) uses wrong rows at some sizes, such as 8 → 64 with aligned corners and 17 → 65
    without.

    Shapes: (B, H, W, C) → (B, scale * H, scale * W, C), or with `like` of (B, H', W', ...) →
    (B, H', W', C). The result has the type of the map. Exception: bilinear resizing of integers
    gives the compute type of the policy.

    Args:
        scale: integer factor; None if the layer is called with `like`.
        grid: position of the samples. "half_pixel": pixel centres at i + 0.5, as
            `align_corners=False` in PyTorch. "align_corners": the corner pixels of both maps
            coincide, as `align_corners=True`. "top_left": samples at i * H / H' from the corner, as
            the mode "nearest" of PyTorch.
        interpolation: "bilinear" or "nearest".

    Raises:
        ValueError: unknown grid or interpolation; both or neither of `scale` and `like`.

    Example:
        x, image = keras.Input((8, 8, 4)), keras.Input((30, 30, 3))
        doubled = keras_seg.layers.Resize(2)(x)  # (None, 16, 16, 4)
        fitted = keras_seg.layers.Resize(grid="align_corners")(x, image)
    """

    def __init__(
        self,
        scale: int | None = None,
        *,
        grid: str = "half_pixel",
        interpolation: str = "bilinear",
        **base_config: Any,
    ):
        super().__init__(**base_config)
        if grid not in GRIDS:
            raise ValueError(f"grid must be one of {GRIDS}. Received: {grid!r}")
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation must be one of {INTERPOLATIONS}. Received: {interpolation!r}"
            )
        self.scale, self.grid, self.interpolation = scale, grid, interpolation

    def build(self, x_shape: Shape, like_shape: Shape | None = None) -> None:
        """The layer has no weights; Keras passes the shapes of the inputs by name."""

    def call(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        self._check(like)
        target = self._target(x.shape, None if like is None else like.shape)
        size = target[1:3]
        if None in size:  # on TensorFlow only: a size that is known at run time
            size = _run_time_size(x if like is None else like, self.scale or 1)
        is_double = keras.backend.standardize_dtype(x.dtype) == "float64"  # operators give float32
        if self.interpolation == "bilinear" and (compiled_by_xla() or is_double):
            resized = _interpolated(x, (size[0], size[1]), self.grid)
        elif on_tensorflow():
            resized = _by_operator(x, size, self.grid, self.interpolation)
        else:
            resized = _nearest(x, size, self.grid)
        # the bilinear forms return float32 for half precision
        return ops.cast(with_shape(resized, target), self._dtype_of(x))

    def compute_output_shape(self, x_shape: Shape, like_shape: Shape | None = None) -> Shape:
        self._check(like_shape)
        return self._target(x_shape, like_shape)

    def compute_output_spec(self, x: Tensor, like: Tensor | None = None) -> keras.KerasTensor:
        shape = self.compute_output_shape(x.shape, None if like is None else like.shape)
        return keras.KerasTensor(shape, self._dtype_of(x))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "scale": self.scale,
            "grid": self.grid,
            "interpolation": self.interpolation,
        }

    def _dtype_of(self, x: Tensor) -> str:
        """Type of the result: that of the map, unless it is of integers and bilinear."""
        dtype = keras.backend.standardize_dtype(x.dtype)
        whole = not keras.backend.is_float_dtype(dtype)
        return self.compute_dtype if whole and self.interpolation == "bilinear" else dtype

    def _check(self, like: Tensor | None) -> None:
        if (self.scale is None) == (like is None):
            raise ValueError(
                "Resize needs either `scale` or to be called with `like`. "
                f"Received: scale={self.scale}, like={'given' if like is not None else None}"
            )

    def _target(self, x_shape: Shape, like_shape: Shape | None) -> Shape:
        if like_shape is not None:
            return (x_shape[0], like_shape[1], like_shape[2], x_shape[3])
        height, width = (None if s is None else s * self.scale for s in x_shape[1:3])
        return (x_shape[0], height, width, x_shape[3])


def _run_time_size(x: Tensor, scale: int) -> Tensor:
    """(height, width) times the scale, as one tensor of TensorFlow."""
    import tensorflow as tf

    size = tf.shape(x)[1:3]
    return size if scale == 1 else size * scale


def _by_operator(x: Tensor, size: tuple | Tensor, grid: str, interpolation: str) -> Tensor:
    """TensorFlow's operator, which becomes one operator of TFLite and of ONNX."""
    import tensorflow as tf

    operators = {
        "bilinear": tf.raw_ops.ResizeBilinear,
        "nearest": tf.raw_ops.ResizeNearestNeighbor,
    }
    return operators[interpolation](
        images=x,
        size=size,
        align_corners=grid == "align_corners",
        half_pixel_centers=grid == "half_pixel",
    )


def _nearest(x: Tensor, size: tuple[int, int], grid: str) -> Tensor:
    """Nearest resizing by rows and columns of known sizes: (B, H, W, C) → (B, *size, C)."""
    for axis, after in zip((1, 2), size, strict=True):
        x = ops.take(x, _nearest_pixels(x.shape[axis], after, grid), axis=axis)
    return x


def _nearest_pixels(before: int, after: int, grid: str) -> np.ndarray:
    """The source pixel of each target pixel, rounded as TensorFlow's operator rounds: (after,)."""
    target = np.arange(after, dtype="float32")
    if grid == "align_corners" and after > 1:
        position = target * (np.float32(before - 1) / np.float32(after - 1))
        pixels = np.floor(position.astype("float64") + 0.5)  # a half is rounded up
    else:
        centre = np.float32(0.5 if grid == "half_pixel" else 0)
        pixels = np.floor((target + centre) * (np.float32(before) / np.float32(after)))
    return np.clip(pixels, 0, before - 1).astype("int32")


def _interpolated(x: Tensor, size: tuple, grid: str) -> Tensor:
    """Bilinear resizing by matrix products: (B, H, W, C) → (B, *size, C) in float32 at least."""
    x = in_float32(x)
    rows, columns = (
        _interpolation_matrix(before, after, grid, x.dtype)
        for before, after in zip(ops.shape(x)[1:3], size, strict=True)
    )
    x = ops.einsum("nh,bhwc->bnwc", rows, x)
    return ops.einsum("mw,bnwc->bnmc", columns, x)


def _interpolation_matrix(
    before: int | Tensor, after: int | Tensor, grid: str, dtype: Any
) -> Tensor:
    """Weights (after, before): 1 - distance to each source pixel, and 0 beyond a distance of 1."""
    pixels, count = (ops.cast(size, dtype) for size in (before, after))
    target = ops.cast(ops.arange(after), dtype)
    position = {
        "half_pixel": (target + 0.5) * pixels / count - 0.5,
        "align_corners": target * (pixels - 1) / ops.maximum(count - 1, 1),
        "top_left": target * pixels / count,
    }[grid]
    position = ops.clip(position, 0, pixels - 1)[:, None]
    distance = ops.abs(position - ops.cast(ops.arange(before), dtype))
    return ops.maximum(1 - distance, 0)
