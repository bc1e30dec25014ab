"""Windows of an image: resampled to a patch of fixed size, and pasted back."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
from keras import ops

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Shape, Tensor, precise_dtype, size_of, with_shape

WHOLE_IMAGE = (((1, 0, 0), (0, 1, 0)),)


class _Window(keras.layers.Layer):
    """Base of cutting and pasting: both resample the rows and then the columns.

    A window is a matrix (2, 3) that maps the patch's coordinates, -1 to 1 along (x, y) between the
    outer edges, to those of the image. Only scale and shift are used, so that each axis is one
    matrix product with interpolation weights, which every device can run. General affine sampling
    would need a gather per pixel.

    Positions and products are float32 under every policy, because float16 cannot distinguish the
    columns of a wide image. Only the result has the policy's type.
    """

    def __init__(self, *, mirrored: bool = False, **base_config: Any):
        super().__init__(autocast=False, **base_config)  # autocast would round windows to float16
        self.mirrored = mirrored

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"mirrored": self.mirrored}

    def _precise(self, x: Tensor) -> Tensor:
        return ops.cast(x, precise_dtype(self.compute_dtype))

    def _scale_and_shift(self, window: Tensor, row: int) -> tuple[Tensor, Tensor]:
        """Along x (row 0) or y (row 1): (B, 1, 1) each."""
        scale, shift = window[:, row, row], window[:, row, 2]
        if self.mirrored and row == 0:
            scale = -scale
        return scale[:, None, None], shift[:, None, None]


@keras.saving.register_keras_serializable("keras_seg")
class CutWindow(_Window):
    """Resamples a window of an image to a patch; pixels outside of the image are zero.

    Shapes: image (B, H, W, C), window (B, 2, 3), or none for the whole image →
    (B, size, size, C). A window maps the patch's coordinates (x, y), from -1 to 1, to those of the
    image.

    Args:
        size: height and width of the patch in pixels.
        mirrored: mirrors the patch left to right, so that one network can serve both eyes.

    Example:
        image, window = keras.Input((64, 64, 3)), keras.Input((2, 3))
        patch = keras_seg.layers.CutWindow(32)(image, window)  # (None, 32, 32, 3)
    """

    def __init__(self, size: int, *, mirrored: bool = False, **base_config: Any):
        super().__init__(mirrored=mirrored, **base_config)
        self.size = size

    def build(self, image_shape: Shape, window_shape: Shape | None = None) -> None:
        """The layer has no weights; Keras passes the shapes of the inputs by name."""

    def call(self, image: Tensor, window: Tensor | None = None) -> Tensor:
        image = self._precise(image)
        height, width = size_of(image)
        # constant weights are computed here: the TFLite converter folds these divisions wrongly
        is_constant = on_tensorflow() and window is None and None not in image.shape[1:3]
        with _outside_of_graph() if is_constant else contextlib.nullcontext():
            if window is None:
                window = ops.convert_to_tensor(WHOLE_IMAGE, "float32")
            window = self._precise(window)
            rows = _interpolation(height, self.size, *self._scale_and_shift(window, 1))
            columns = _interpolation(width, self.size, *self._scale_and_shift(window, 0))
            if is_constant:
                rows, columns = rows.numpy(), columns.numpy()
        patch = ops.cast(_resampled(image, rows, columns), self.compute_dtype)
        return with_shape(patch, self.compute_output_shape(image.shape))

    def compute_output_shape(self, image_shape: Shape, window_shape: Shape | None = None) -> Shape:
        return (image_shape[0], self.size, self.size, image_shape[3])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"size": self.size}


@keras.saving.register_keras_serializable("keras_seg")
class PasteWindow(_Window):
    """Pastes a patch at the position of its window; pixels outside of the window have one value.

    Shapes: patch (B, h, w, C), window (B, 2, 3), called with `like` of (B, H, W, ...) →
    (B, H, W, C).

    Args:
        outside: value of the pixels that the patch does not cover.
        mirrored: as for `CutWindow`.

    Example:
        patch, window = keras.Input((32, 32, 5)), keras.Input((2, 3))
        image = keras.Input((64, 64, 3))
        scores = keras_seg.layers.PasteWindow(outside=-9.0)(patch, window, image)
    """

    def __init__(self, outside: float = 0.0, *, mirrored: bool = False, **base_config: Any):
        super().__init__(mirrored=mirrored, **base_config)
        self.outside = outside

    def build(
        self, patch_shape: Shape, window_shape: Shape | None = None, like_shape: Shape | None = None
    ) -> None:
        """The layer has no weights; Keras passes the shapes of the inputs by name."""

    def call(self, patch: Tensor, window: Tensor, like: Tensor) -> Tensor:
        patch, window = self._precise(patch), self._precise(window)
        scale_x, shift_x = self._scale_and_shift(window, 0)
        scale_y, shift_y = self._scale_and_shift(window, 1)
        height, width = size_of(like)
        inner_height, inner_width = size_of(patch)
        rows = _interpolation(inner_height, height, 1 / scale_y, -shift_y / scale_y)
        columns = _interpolation(inner_width, width, 1 / scale_x, -shift_x / scale_x)
        pasted = _resampled(patch - self.outside, rows, columns) + self.outside
        shape = self.compute_output_shape(patch.shape, window.shape, like.shape)
        return with_shape(ops.cast(pasted, self.compute_dtype), shape)

    def compute_output_shape(
        self, patch_shape: Shape, window_shape: Shape, like_shape: Shape
    ) -> Shape:
        return (patch_shape[0], like_shape[1], like_shape[2], patch_shape[3])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"outside": self.outside}


def _outside_of_graph() -> contextlib.AbstractContextManager:
    """A context in which TensorFlow computes eagerly, even while a graph is traced."""
    import tensorflow as tf

    return tf.init_scope()


def _interpolation(
    source: int | Tensor, target: int | Tensor, scale: Tensor, shift: Tensor
) -> Tensor:
    """Weights of the source's pixels in each pixel of the target: (B, target, source).

    Linear where the target is finer, and a triangle as wide as a pixel of the target where it is
    coarser. Rows sum to 1, or to 0 outside of the source.
    """
    dtype = scale.dtype
    source_size, target_size = ops.cast(source, dtype), ops.cast(target, dtype)
    position = (2 * ops.cast(ops.arange(target), dtype)[None, :, None] + 1) / target_size - 1
    position = ((scale * position + shift + 1) * source_size - 1) / 2
    width = _at_least(ops.abs(scale) * source_size / target_size, 1.0)
    distance = ops.abs(position - ops.cast(ops.arange(source), dtype)[None, None, :])
    weights = ops.relu(1 - distance / width)
    # between the centre of a border pixel and the border, only that pixel has a weight
    inside = ops.cast((position > -0.5) & (position < source_size - 0.5), dtype)
    return inside * weights / _at_least(ops.sum(weights, -1, keepdims=True), 1e-6)


def _resampled(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Applies row weights (B, h, H) and column weights (B, w, W): (B, H, W, C) → (B, h, w, C)."""
    height, width = size_of(x)
    channels = x.shape[3]
    x = _product(rows, ops.reshape(x, (-1, height, width * channels)))
    x = ops.reshape(x, (-1, ops.shape(rows)[1], width, channels))
    return _product(columns[:, None], x)


def _at_least(x: Tensor, smallest: float) -> Tensor:
    if on_tensorflow():
        import tensorflow as tf

        return tf.maximum(x, smallest)  # Keras names the constant, and exported files would change
    return ops.maximum(x, smallest)


def _product(weights: Tensor, x: Tensor) -> Tensor:
    if on_tensorflow():
        import tensorflow as tf

        return tf.matmul(weights, x)  # as in `_at_least`
    return ops.matmul(weights, x)
