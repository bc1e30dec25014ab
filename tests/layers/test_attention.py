"""Attention over positions and channels computes its formula, in little memory where asked."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg.layers import ChannelAttention, PositionAttention
from keras_seg.layers.attention import attention, attention_in_chunks


def softmax(scores):
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def maps(*widths, size=(5, 7), scale=1.0, seed=0):
    """Random (2, H, W, width) maps, one a width."""
    rng = np.random.default_rng(seed)
    return [(scale * rng.normal(size=(2, *size, w))).astype("float32") for w in widths]


class TestPositionAttention:
    def test_it_is_the_formula_over_the_keys(self):
        x, query, key, value = maps(6, 3, 3, 6)
        q, k, v = (t.reshape(2, 35, -1).astype("float64") for t in (query, key, value))
        attended = softmax(q @ k.transpose(0, 2, 1)) @ v
        found = PositionAttention(initial_scale=0.5)(x, query, key, value)
        np.testing.assert_allclose(found, x + 0.5 * attended.reshape(x.shape), atol=1e-5)

    @pytest.mark.parametrize(
        ("chunk", "jit_compile"), [(1, False), (8, False), (35, False), (64, False), (8, True)]
    )
    def test_chunks_change_neither_the_result_nor_the_gradients(self, chunk, jit_compile):
        tensors = [t.reshape(2, 35, -1) for t in maps(3, 3, 6, scale=2)]
        (upstream,) = maps(6, seed=1)

        def run(function):
            @tf.function(jit_compile=jit_compile)
            def both(*inputs):
                with tf.GradientTape() as tape:
                    tape.watch(inputs)
                    result = function(*inputs)
                return result, *tape.gradient(result, inputs, upstream.reshape(2, 35, 6))

            return both(*map(tf.constant, tensors))

        expected = run(attention)
        found = run(lambda *inputs: attention_in_chunks(*inputs, chunk))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())

    def test_chunks_work_while_training_at_a_size_known_only_then(self):
        inputs = [keras.Input((None, None, width)) for width in (6, 3, 3, 6)]
        models = [
            keras.Model(inputs, PositionAttention(chunk, initial_scale=0.5)(*inputs))
            for chunk in (None, 4)
        ]
        batch = maps(6, 3, 3, 6)
        for model in models:
            model.compile("sgd", "mse", jit_compile=False)
            model.fit(batch, np.zeros((2, 5, 7, 6)), verbose=0)
        plain, chunked = (model.get_weights()[0] for model in models)
        assert plain != 0.5
        np.testing.assert_allclose(chunked, plain, rtol=1e-5)

    def test_chunks_keep_no_scores_for_the_gradient(self):
        """The largest tensor of the training graph has chunk x N values, not N x N."""
        count, chunk = 1024, 32
        spec = tf.TensorSpec((1, count, 4), tf.float32)

        @tf.function
        def gradients(query, key, value):
            with tf.GradientTape() as tape:
                tape.watch((query, key, value))
                result = attention_in_chunks(query, key, value, chunk)
            return tape.gradient(result, (query, key, value))

        graph = gradients.get_concrete_function(spec, spec, spec).graph
        graphs = [graph, *(g for g in graph._functions.values() if hasattr(g, "graph"))]
        sizes = [
            tensor.shape.num_elements() or 0
            for g in (getattr(g, "graph", g) for g in graphs)
            for operation in g.get_operations()
            for tensor in operation.outputs
            if tensor.shape.is_fully_defined()
        ]
        assert max(sizes) <= chunk * count

    @pytest.mark.parametrize(
        ("policy", "tolerance"),
        [("float64", 1e-13), ("mixed_float16", 1e-3), ("mixed_bfloat16", 1e-2)],
    )
    def test_the_layer_with_chunks_trains_as_without_in_every_precision(self, policy, tolerance):
        dtype = keras.DTypePolicy(policy).compute_dtype
        tensors = [tf.constant(t, dtype) for t in maps(6, 3, 3, 6)]
        (upstream,) = (tf.constant(t, dtype) for t in maps(6, seed=1))

        def run(chunk):
            layer = PositionAttention(chunk, initial_scale=0.5, dtype=policy)
            layer.build(*(t.shape for t in tensors))
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                result = layer(*tensors, training=True)
            return result, *tape.gradient(result, [*tensors, layer.gamma.value], upstream)

        for chunked, plain in zip(run(8), run(None), strict=True):
            assert chunked.dtype == plain.dtype
            chunked, plain = (np.asarray(t, "float64") for t in (chunked, plain))
            np.testing.assert_allclose(chunked, plain, atol=tolerance * np.abs(plain).max())

    def test_outside_of_training_it_is_one_plain_product(self):
        layer = PositionAttention(8)

        def operators(training):
            function = tf.function(lambda *inputs: layer(*inputs, training=training))
            graph = function.get_concrete_function(*maps(6, 3, 3, 6)).graph
            return [operation.type for operation in graph.get_operations()]

        assert not any("While" in kind for kind in operators(training=False))
        assert operators(training=False).count("BatchMatMulV2") == 2
        assert any("While" in kind for kind in operators(training=True))

    def test_it_starts_as_the_identity(self):
        x, query, key, value = maps(6, 3, 3, 6)
        np.testing.assert_array_equal(PositionAttention()(x, query, key, value), x)

    @pytest.mark.parametrize("chunk", [0, -1, 2.5])
    def test_a_chunk_that_is_none_is_refused(self, chunk):
        with pytest.raises(ValueError, match="query_chunk must be"):
            PositionAttention(chunk)


class TestChannelAttention:
    def test_it_is_the_formula_in_reversed_order(self):
        (x,) = maps(6, scale=0.3)
        flat = x.reshape(2, 35, 6).astype("float64")
        gram = flat.transpose(0, 2, 1) @ flat
        weights = softmax(gram.max(-1, keepdims=True) - gram)
        attended = (flat @ weights.transpose(0, 2, 1)).reshape(x.shape)
        found = ChannelAttention(initial_scale=0.5)(x)
        np.testing.assert_allclose(found, x + 0.5 * attended, atol=1e-5)

    def test_half_precision_keeps_sums_that_it_cannot_hold(self):
        """64 x 64 positions of 8 make scores of 262,144, four times the largest float16."""
        x = np.random.default_rng(0).normal((6, 7, 8, 9), 1, (1, 64, 64, 4)).astype("float32")
        half = ChannelAttention(initial_scale=1.0, dtype="mixed_float16")(x)
        full = ChannelAttention(initial_scale=1.0)(x)
        np.testing.assert_allclose(half, full, rtol=1e-2)


@pytest.mark.parametrize("layer", [PositionAttention(16, initial_scale=0.1), ChannelAttention()])
def test_layers_come_back_from_their_configuration(layer):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
