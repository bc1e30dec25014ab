"""Object regions, and the attention of pixels to them, from object-contextual representations.

Yuan, Chen, Wang: Object-Contextual Representations for Semantic Segmentation, ECCV 2020,
arXiv:1909.11065.
"""

from __future__ import annotations

import keras
from keras import ops

from keras_seg.layers.tensors import Shape, Tensor, in_float32


@keras.saving.register_keras_serializable("keras_seg")
class ObjectRegions(keras.layers.Layer):
    """One feature vector per class: the mean of the features, weighted by the scores of the class.

    region[k] = sum over pixels p of softmax over pixels(scores[:, k])[p] * features[p], computed in
    float32, because the weights of 30,000 pixels underflow in float16.

    Shapes: features (B, H, W, C), scores (B, H, W, K) → (B, K, 1, C).

    Example:
        features, scores = keras.Input((16, 16, 8)), keras.Input((16, 16, 3))
        regions = keras_seg.layers.ObjectRegions()(features, scores)  # (None, 3, 1, 8)
    """

    def build(self, features_shape: Shape, scores_shape: Shape | None = None) -> None:
        """Has no weights; Keras passes the shapes of the inputs by name."""

    def call(self, features: Tensor, scores: Tensor) -> Tensor:
        pixels, scores = _flat(in_float32(features)), _flat(in_float32(scores))
        # classes first: TFLite's softmax works on the last axis only
        shares = ops.softmax(ops.transpose(scores, (0, 2, 1)))
        regions = ops.expand_dims(ops.matmul(shares, pixels), 2)
        return ops.cast(regions, self.compute_dtype)

    def compute_output_shape(self, features_shape: Shape, scores_shape: Shape) -> Shape:
        return (features_shape[0], scores_shape[-1], 1, features_shape[-1])


@keras.saving.register_keras_serializable("keras_seg")
class ObjectAttention(keras.layers.Layer):
    """Attention of each pixel to the object regions.

    context[p] = sum over classes k of softmax over classes(query[p] · key[k] / sqrt(D))[k] *
    value[k], with the softmax in float32.

    Shapes: queries (B, H, W, D), keys (B, K, 1, D), values (B, K, 1, C) → (B, H, W, C).

    Example:
        queries, regions = keras.Input((16, 16, 8)), keras.Input((3, 1, 8))
        context = keras_seg.layers.ObjectAttention()(queries, regions, regions)
    """

    def build(
        self,
        queries_shape: Shape,
        keys_shape: Shape | None = None,
        values_shape: Shape | None = None,
    ) -> None:
        """Has no weights; Keras passes the shapes of the inputs by name."""

    def call(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        queries, keys, values = (ops.cast(x, self.compute_dtype) for x in (queries, keys, values))
        # scaling the K keys is cheaper than scaling H x W x K products
        keys = _flat(keys) * keys.shape[-1] ** -0.5
        fits = ops.matmul(_flat(queries), ops.transpose(keys, (0, 2, 1)))
        shares = ops.cast(ops.softmax(in_float32(fits)), values.dtype)
        context = ops.matmul(shares, _flat(values))
        return ops.reshape(context, (*ops.shape(queries)[:3], values.shape[-1]))

    def compute_output_shape(
        self, queries_shape: Shape, keys_shape: Shape, values_shape: Shape
    ) -> Shape:
        return (*queries_shape[:3], values_shape[-1])


def _flat(x: Tensor) -> Tensor:
    """(B, H, W, C) → (B, H * W, C)."""
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))
