"""Vectors of object regions, and the attention that pixels pay to them. Yuan, Chen, Wang:
Object-Contextual Representations for Semantic Segmentation, ECCV 2020, arXiv:1909.11065."""

from __future__ import annotations

import keras
from keras import ops

from keras_seg.layers.precision import in_float32


@keras.saving.register_keras_serializable("keras_seg")
class ObjectRegions(keras.layers.Layer):
    """One vector a class: the features, averaged by how much each pixel belongs to the class.

    region[k] = sum over pixels p of softmax over pixels(scores[:, k])[p] * features[p], computed in
    float32, since the weights of 30,000 pixels vanish in float16.

    Shapes: features (B, H, W, C), scores (B, H, W, K) → (B, K, 1, C).
    """

    def build(self, features_shape, scores_shape=None):
        """Holds no weights; takes the shapes of its inputs by name."""

    def call(self, features, scores):
        pixels, scores = _flat(in_float32(features)), _flat(in_float32(scores))
        # classes first: TFLite's softmax knows the last axis only
        shares = ops.softmax(ops.transpose(scores, (0, 2, 1)))
        regions = ops.expand_dims(ops.matmul(shares, pixels), 2)
        return ops.cast(regions, self.compute_dtype)

    def compute_output_shape(self, features_shape, scores_shape):
        return (features_shape[0], scores_shape[-1], 1, features_shape[-1])


@keras.saving.register_keras_serializable("keras_seg")
class ObjectAttention(keras.layers.Layer):
    """Every pixel takes the values of the regions, weighted by how well their keys fit its query.

    context[p] = sum over classes k of softmax over classes(query[p] · key[k] / sqrt(D))[k] *
    value[k], the softmax in float32.

    Shapes: queries (B, H, W, D), keys (B, K, 1, D), values (B, K, 1, C) → (B, H, W, C).
    """

    def build(self, queries_shape, keys_shape=None, values_shape=None):
        """Holds no weights; takes the shapes of its inputs by name."""

    def call(self, queries, keys, values):
        queries, keys, values = (ops.cast(x, self.compute_dtype) for x in (queries, keys, values))
        # scaling the K keys is cheaper than scaling H x W x K products
        keys = _flat(keys) * ops.cast(keys.shape[-1] ** -0.5, keys.dtype)
        fits = ops.matmul(_flat(queries), ops.transpose(keys, (0, 2, 1)))
        shares = ops.cast(ops.softmax(in_float32(fits)), values.dtype)
        context = ops.matmul(shares, _flat(values))
        return ops.reshape(context, (*ops.shape(queries)[:3], values.shape[-1]))

    def compute_output_shape(self, queries_shape, keys_shape, values_shape):
        return (*queries_shape[:3], values_shape[-1])


def _flat(x):
    """(B, H, W, C) → (B, H * W, C)."""
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))
