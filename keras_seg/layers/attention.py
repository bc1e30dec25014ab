"""Self-attention over positions and over channels, from the Dual Attention Network.

Fu, Liu, Tian, Li, Bao, Fang, Lu: Dual Attention Network for Scene Segmentation, CVPR 2019,
arXiv:1809.02983.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Shape, Tensor, in_float32


class ScaledResidual(keras.layers.Layer):
    """x + gamma * y with one learned scale `gamma`: the last step of both attentions.

    Args:
        initial_scale: initial value of gamma; with 0 the layer is the identity before training.
    """

    def __init__(self, initial_scale: float = 0.0, **base_config: Any):
        super().__init__(**base_config)
        self.initial_scale = initial_scale

    def build(self, x_shape: Shape) -> None:
        self.gamma = self.add_weight(
            shape=(1,),
            initializer=keras.initializers.Constant(self.initial_scale),
            name="gamma",
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"initial_scale": self.initial_scale}

    def _added(self, x: Tensor, attended: Tensor) -> Tensor:
        """x + gamma * attended, where `attended` is (B, H * W, C)."""
        attended = ops.cast(ops.reshape(attended, ops.shape(x)), self.compute_dtype)
        x = ops.cast(x, self.compute_dtype)
        return x + ops.cast(self.gamma, self.compute_dtype) * attended


@keras.saving.register_keras_serializable("keras_seg")
class PositionAttention(ScaledResidual):
    """Self-attention over positions: each output is a weighted sum of the values of all positions.

    Y = softmax(Q K^T) V over the N = H * W positions, without the usual 1 / sqrt(D); the result is
    X + gamma * Y. Query, key and value are computed by 1x1 convolutions outside of this layer.
    Scores are sums of products that half precision cannot hold, so they are float32.

    Shapes: x (B, H, W, C), query (B, H, W, D), key (B, H, W, D), value (B, H, W, C) → (B, H, W, C).

    Args:
        query_chunk: number of queries whose scores are in memory at a time while training. The
            scores are computed again for the gradient, which saves memory: query_chunk * N scores
            instead of N * N and their gradient. Results and gradients are the same. None computes
            all scores at once. Inference always does, because exported files need one plain
            product.
        initial_scale: initial value of gamma.

    Raises:
        ValueError: query_chunk is not a whole number from 1.

    Example:
        x = keras.Input((16, 16, 8))
        query, key = (keras.layers.Conv2D(4, 1)(x) for _ in range(2))
        value = keras.layers.Conv2D(8, 1)(x)
        y = keras_seg.layers.PositionAttention(query_chunk=64)(x, query, key, value)
    """

    def __init__(
        self, query_chunk: int | None = None, *, initial_scale: float = 0.0, **base_config: Any
    ):
        super().__init__(initial_scale, **base_config)
        if query_chunk is not None and (not isinstance(query_chunk, int) or query_chunk < 1):
            raise ValueError(
                f"query_chunk must be None or a whole number from 1. Received: {query_chunk!r}"
            )
        self.query_chunk = query_chunk

    def build(
        self,
        x_shape: Shape,
        query_shape: Shape | None = None,
        key_shape: Shape | None = None,
        value_shape: Shape | None = None,
    ) -> None:
        super().build(x_shape)

    def call(
        self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, training: bool = False
    ) -> Tensor:
        query, key, value = (_positions(tensor) for tensor in (query, key, value))
        if training and self.query_chunk is not None:
            attended = attention_in_chunks(query, key, value, self.query_chunk)
        else:
            attended = attention(query, key, value)
        return self._added(x, attended)

    def compute_output_shape(
        self, x_shape: Shape, query_shape: Shape, key_shape: Shape, value_shape: Shape
    ) -> Shape:
        return x_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"query_chunk": self.query_chunk}


@keras.saving.register_keras_serializable("keras_seg")
class ChannelAttention(ScaledResidual):
    """Self-attention over channels: each output channel is a weighted sum of all channels.

    With X as (N, C) and G = X^T X: Y = X softmax(max(G) - G)^T, with maximum and softmax over the
    last axis; the result is X + gamma * Y. The paper writes softmax(G). Its code, and the weights
    that were trained with it, reverse the order, so that the least similar channels weigh most.
    Scores are sums over all positions, which half precision cannot hold, so they are float32.

    Shapes: (B, H, W, C) → (B, H, W, C).

    Args:
        initial_scale: initial value of gamma.

    Example:
        y = keras_seg.layers.ChannelAttention()(keras.Input((16, 16, 8)))
    """

    def call(self, x: Tensor) -> Tensor:
        features = _positions(x)
        scores = product(features, features, transpose_a=True)
        reversed_scores = ops.max(scores, axis=-1, keepdims=True) - scores
        weights = ops.softmax(reversed_scores, axis=-1)
        return self._added(x, product(features, weights, transpose_b=True))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(Q K^T) V: (B, M, D), (B, N, D), (B, N, C) → (B, M, C)."""
    return product(ops.softmax(product(query, key, transpose_b=True), axis=-1), value)


def attention_in_chunks(query: Tensor, key: Tensor, value: Tensor, chunk: int) -> Tensor:
    """`attention` and its gradient, with the scores of `chunk` queries in memory at a time.

    Shapes: (B, M, D), (B, N, D), (B, N, C) → (B, M, C).
    """
    count = ops.shape(query)[1]
    chunk = min(chunk, count) if isinstance(count, int) else ops.minimum(chunk, count)
    if on_tensorflow():
        return _chunks_in_tensorflow(query, key, value, chunk)
    # the scores of a chunk are computed again for its gradient
    attended = keras.remat(lambda part: attention(part, key, value))
    return _merged(ops.map(attended, _chunked(query, chunk)), like=query)


def product(
    a: Tensor, b: Tensor, *, transpose_a: bool = False, transpose_b: bool = False
) -> Tensor:
    """The matrix product of the last two axes, which may be transposed first."""
    if on_tensorflow():
        import tensorflow as tf

        # it transposes inside of the product, which keeps a TRANSPOSE out of exported files
        return tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    a = ops.swapaxes(a, -1, -2) if transpose_a else a
    b = ops.swapaxes(b, -1, -2) if transpose_b else b
    return ops.matmul(a, b)


def _chunks_in_tensorflow(query: Tensor, key: Tensor, value: Tensor, chunk: int | Tensor) -> Tensor:
    """`attention_in_chunks` with a gradient of its own: a loop without scores kept from before."""
    import tensorflow as tf

    @tf.custom_gradient
    def attended(query: Tensor, key: Tensor, value: Tensor) -> tuple:
        parts = tf.map_fn(
            lambda part: attention(part, key, value),
            _chunked(query, chunk),
            fn_output_signature=value.dtype,
            parallel_iterations=1,
        )
        result = _merged(parts, like=query)
        return result, lambda upstream: _gradients(query, key, value, result, upstream, chunk)

    return attended(query, key, value)


def _gradients(
    query: Tensor, key: Tensor, value: Tensor, result: Tensor, upstream: Tensor, chunk: int | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `attention` in TensorFlow, with respect to query, key and value.

    With P = softmax(S): dP = dY V^T and dS = P * (dP - rowsum(dY * Y)), where rowsum(dY * Y) equals
    rowsum(dP * P) but needs no sum over the N columns.
    """
    import tensorflow as tf

    inner = ops.sum(upstream * result, -1, keepdims=True)
    parts = [_chunked(tensor, chunk) for tensor in (query, upstream, inner)]
    steps = tf.shape(parts[0])[0]

    def step(i, key_gradient, value_gradient, query_gradients):
        queries, upstreams, inners = (part[i] for part in parts)
        weights = ops.softmax(product(queries, key, transpose_b=True))
        weight_gradient = product(upstreams, value, transpose_b=True)
        score_gradient = weights * (weight_gradient - inners)
        return (
            i + 1,
            key_gradient + product(score_gradient, queries, transpose_a=True),
            value_gradient + product(weights, upstreams, transpose_a=True),
            query_gradients.write(i, product(score_gradient, key)),
        )

    _, key_gradient, value_gradient, query_gradients = tf.while_loop(
        lambda i, *_: i < steps,
        step,
        (
            0,
            tf.zeros_like(key),
            tf.zeros_like(value),
            tf.TensorArray(query.dtype, steps, element_shape=parts[0].shape[1:]),
        ),
        parallel_iterations=1,
    )
    return _merged(query_gradients.stack(), like=query), key_gradient, value_gradient


def _positions(x: Tensor) -> Tensor:
    """(B, H, W, C) → (B, H * W, C) in float32 at least."""
    batch, height, width, channels = ops.shape(x)
    return ops.reshape(in_float32(x), (batch, height * width, channels))


def _chunked(x: Tensor, chunk: int) -> Tensor:
    """(B, M, D) → (ceil(M / chunk), B, chunk, D); the last chunk is padded with zeros."""
    batch, count, width = ops.shape(x)
    steps = -(-count // chunk)
    x = ops.pad(x, [(0, 0), (0, steps * chunk - count), (0, 0)])
    return ops.transpose(ops.reshape(x, (batch, steps, chunk, width)), (1, 0, 2, 3))


def _merged(parts: Tensor, like: Tensor) -> Tensor:
    """Inverse of `_chunked`: (steps, B, chunk, D) → (B, M, D) with the M of `like` (B, M, ...)."""
    steps, batch, chunk, width = ops.shape(parts)
    x = ops.reshape(ops.transpose(parts, (1, 0, 2, 3)), (batch, steps * chunk, width))
    return x[:, : ops.shape(like)[1]]
