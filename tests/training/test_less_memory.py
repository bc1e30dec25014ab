"""Parts of a batch, recomputed activations and several steps per call change no result."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_seg import losses, metrics
from keras_seg.layers import BatchNormalization
from keras_seg.training import OptimizerOptions, Recipe
from keras_seg.training.callbacks import StepCounter
from keras_seg.training.engines.accumulation import accumulating
from keras_seg.training.engines.on_tensorflow import TensorFlowEngine
from keras_seg.training.engines.recomputation import Call, chosen_segments, recomputing
from keras_seg.training.optimizers import make_optimizer
from keras_seg.training.run import _check_executions

RECIPE = Recipe("data", "output", optimizer="sgd", learning_rate=0.1, weight_decay=0.01, epochs=1)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 1, (4, 8, 8, 3)).astype("float32")
MASKS = RNG.integers(0, 3, (4, 8, 8)).astype("int32")


def network(norm=True, dropout=0.0):
    """Residual blocks, one of them in a model of its own, and two outputs."""
    keras.utils.set_random_seed(0)

    def block(x):
        y = keras.layers.Conv2D(4, 3, padding="same")(x)
        y = keras.layers.ReLU()(BatchNormalization()(y) if norm else y)
        return keras.layers.Add()([x, y])

    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 1)(image)
    inner = keras.Input((None, None, 4))
    x = keras.Model(inner, block(inner))(block(x))
    if dropout:
        x = keras.layers.Dropout(dropout, seed=1)(x)
    x = block(x)
    outputs = {name: keras.layers.Conv2D(3, 1, name=name)(x) for name in ("logits", "aux")}
    return keras.Model(image, outputs)


def trained(model, wrapped, *, policy="float32", ema=None, steps=2):
    """(logs of each step, weights, optimizer) after some steps."""
    recipe = replace(RECIPE, optimizer_options=OptimizerOptions(ema=ema))
    optimizer = make_optimizer(recipe, 10)
    optimizer.build(wrapped.trainable_variables)
    wrapped.compile(
        optimizer,
        dict.fromkeys(model.output, losses.get("cross_entropy")),
        loss_weights=[1.0, 0.4],
        metrics={"logits": [metrics.MeanIoU(3)]},
        jit_compile=False,
    )
    masks = dict.fromkeys(model.output, MASKS)
    logs = [wrapped.train_on_batch(IMAGES, masks, return_dict=True) for _ in range(steps)]
    return logs, [weight.numpy() for weight in model.weights], optimizer


class TestRecomputation:
    @pytest.mark.usefixtures("without_tracing")
    def test_losses_weights_and_moving_statistics_are_the_same(self):
        plain = network(dropout=0.3)
        expected = trained(plain, plain)
        again = network(dropout=0.3)
        wrapped = recomputing(again, (8, 8))
        assert len(wrapped.segments) > 2
        logs, weights, _ = trained(again, wrapped)
        assert logs == expected[0]
        for one, other in zip(weights, expected[1], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)

    @pytest.mark.usefixtures("without_tracing")
    def test_a_prediction_is_the_one_of_the_network(self):
        model = network()
        wrapped = recomputing(model, (8, 8))
        for name, scores in wrapped(IMAGES).items():
            np.testing.assert_array_equal(scores, model(IMAGES)[name])

    def test_segments_are_cut_where_little_passes(self):
        """Between blocks passes one value, inside them ten."""
        sizes, calls = {0: 1}, []
        for block in range(8):
            for place in range(4):
                before = 4 * block + place
                sizes[before + 1] = 1 if place == 3 else 10
                calls.append(call(before, before + 1))
        segments = chosen_segments(calls, [len(calls)], sizes)
        assert len(segments) > 2
        assert all(sizes[segment.outputs[-1]] == 1 for segment in segments)
        assert sum(len(segment.calls) for segment in segments) == len(calls)

    def test_random_layers_are_not_recomputed_with_others(self):
        calls = [call(n, n + 1, random=n == 5) for n in range(12)]
        segments = chosen_segments(calls, [12], dict.fromkeys(range(13), 1))
        (alone,) = [s for s in segments if not all(c.is_repeatable for c in s.calls)]
        assert alone.calls == (calls[5],)


def call(before, after, random=False):
    state = [SimpleNamespace(dtype="uint32")] if random else []
    return Call(SimpleNamespace(variables=state), None, {before: before}, (after,), ())


class TestAccumulation:
    @pytest.mark.usefixtures("without_tracing")
    def test_a_step_in_parts_is_the_step_of_the_batch(self):
        """Without batch norm, and with as many known pixels in each part."""
        plain = network(norm=False)
        logs, weights, optimizer = trained(plain, plain, ema=0.5)
        again = network(norm=False)
        in_parts = trained(again, accumulating(again, 2), ema=0.5)
        for row, expected in zip(in_parts[0], logs, strict=True):
            assert row == pytest.approx(expected, rel=1e-5)
        for one, other in zip(in_parts[1], weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        averages = zip(
            in_parts[2]._model_variables_moving_average,
            optimizer._model_variables_moving_average,
            strict=True,
        )
        for one, other in averages:
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-6)
        assert int(in_parts[2].iterations) == int(optimizer.iterations) == 2

    @pytest.mark.usefixtures("without_tracing")
    def test_parts_of_one_image_and_recomputation_together(self):
        model = network()
        logs, weights, _ = trained(model, accumulating(recomputing(model, (8, 8)), 4), steps=1)
        assert np.isfinite(logs[0]["loss"]) and all(np.isfinite(w).all() for w in weights)

    def test_a_batch_that_has_no_such_parts_is_refused(self):
        with pytest.raises(ValueError, match=r"batch_size=6 .*gradient_accumulation=4 .*of 4"):
            TensorFlowEngine().check_batch(6, 4)
        TensorFlowEngine().check_batch(8, 4)


class TestStepsPerExecution:
    def test_checkpoints_follow_the_steps_that_were_trained(self):
        saved = []
        state = SimpleNamespace(save=saved.append)
        steps = StepCounter(state, epoch_steps=20, first_step=0, every=6, per_call=4)
        for batch in range(3, 20, 4):
            steps.on_train_batch_end(batch, {"loss": 1.0})
        assert steps.step == 20
        assert saved == [8, 12]

    def test_an_epoch_that_is_no_multiple_is_refused(self):
        with pytest.raises(ValueError, match="does not divide the 10 steps.* to 8, or"):
            _check_executions(4, 10)
        _check_executions(5, 10)
