"""Statistics of batch norm computed anew: the formula, what they leave alone, and in a run."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_seg import layers, models, training
from keras_seg.training import OptimizerOptions
from keras_seg.training.network import batch_norms
from tests.helpers.recipes import short_recipe

RANDOM = np.random.default_rng(0)
BATCHES = [RANDOM.uniform(0, 4 * n, (n, 6, 8, 3)).astype("float32") for n in (2, 3, 1)]


def small(norm=layers.BatchNormalization):
    """(model, its convolutions, its norms): two of each, and dropout."""
    keras.utils.set_random_seed(0)
    convolutions = [keras.layers.Conv2D(2, 3), keras.layers.Conv2D(4, 1)]
    norms = [norm(epsilon=1e-3), norm(scale=False)]
    x = image = keras.Input((None, None, 3))
    for convolution, each in zip(convolutions, norms, strict=True):
        x = keras.layers.Dropout(0.5)(each(convolution(x)))
    return keras.Model(image, x), convolutions, norms


class TestFormula:
    @pytest.mark.parametrize("norm", [layers.BatchNormalization, keras.layers.BatchNormalization])
    def test_mean_of_means_and_variance_within_and_between_batches(self, norm, without_tracing):
        model, convolutions, norms = small(norm)
        assert training.recalibrate(model, BATCHES) == 6
        inputs = [[np.asarray(convolutions[0](x), "float64") for x in BATCHES]]
        normalized = [(x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-3) for x in inputs[0]]
        inputs.append([np.asarray(convolutions[1](x.astype("float32"))) for x in normalized])
        for each, maps in zip(norms, inputs, strict=True):
            values = np.concatenate([x.reshape(-1, x.shape[-1]) for x in maps])
            np.testing.assert_allclose(each.moving_mean, values.mean(0), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(each.moving_variance, values.var(0), rtol=1e-4)

    def test_single_values_count_by_their_spread(self, without_tracing):
        image = keras.Input((None, None, 3))
        x = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
        model = keras.Model(image, layers.BatchNormalization(name="norm")(x))
        images = RANDOM.uniform(0, 255, (5, 1, 4, 4, 3)).astype("float32")
        training.recalibrate(model, images)
        means = images.mean((1, 2, 3))
        norm = model.get_layer("norm")
        np.testing.assert_allclose(norm.moving_mean, means.mean(0), rtol=1e-5)
        np.testing.assert_allclose(norm.moving_variance, means.var(0), rtol=1e-4)

    def test_half_precision_is_summed_in_single(self, without_tracing):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model, (convolution, _), (norm, _) = small()
        finally:
            keras.config.set_dtype_policy(before)
        training.recalibrate(model, BATCHES)
        values = np.concatenate([np.asarray(convolution(x), "float64").reshape(-1, 2)
                                 for x in BATCHES])  # fmt: skip
        np.testing.assert_allclose(norm.moving_mean, values.mean(0), rtol=1e-5)
        np.testing.assert_allclose(norm.moving_variance, values.var(0), rtol=1e-4)


class TestWhatStays:
    def test_frozen_norms_and_calls_of_the_layers(self, without_tracing):
        model, _, (first, second) = small()
        first.trainable = False
        training.recalibrate(model, BATCHES, steps=2)
        assert (np.asarray(first.moving_variance) == 1).all()
        assert not (np.asarray(second.moving_variance) == 1).any()
        assert "call" not in vars(first) and "call" not in vars(second)

    @pytest.mark.parametrize(
        ("batches", "message"),
        [
            ([], "at least one batch of images. Received: none"),
            ([np.zeros((4, 4, 3))], r"\(B, H, W, C\).*shape \(4, 4, 3\)"),
            ([np.full((1, 4, 4, 3), np.nan)], "not finite for these images"),
        ],
    )
    def test_what_cannot_work_is_refused_and_changes_nothing(
        self, batches, message, without_tracing
    ):
        model, _, (norm, _) = small()
        with pytest.raises(ValueError, match=message):
            training.recalibrate(model, batches)
        assert (np.asarray(norm.moving_variance) == 1).all()

    def test_models_without_a_norm_to_train_are_refused(self):
        model, _, norms = small()
        for norm in norms:
            norm.trainable = False
        with pytest.raises(ValueError, match="with 2 batch norms, none of them trainable"):
            training.recalibrate(model, BATCHES)


@pytest.fixture
def recipe(shapes_folder, tmp_path):
    return short_recipe(
        shapes_folder,
        tmp_path / "run",
        epochs=1,
        steps_per_epoch=2,
        recalibrate=True,
        batch_norm_momentum=0.99,
        optimizer_options=OptimizerOptions(ema=0.5),
    )


class TestInARun:
    def test_the_best_model_gets_new_statistics_and_the_log_its_score(
        self, recipe, capsys, without_tracing
    ):
        result = training.train(recipe)
        assert "Batch norm with the statistics of all" in capsys.readouterr().err
        folder = result.model_path.parent
        record = json.loads((folder / "recalibration.json").read_text())
        score = record["val_mean_iou"]
        assert record["epoch"] == 1 and record["kept"] == (score["after"] >= score["before"])
        assert result.best_miou == max(score.values())
        row = json.loads((folder / "log.jsonl").read_text())
        assert row["val_mean_iou"] == result.best_miou
        model = models.load(result.model_path)
        assert all(norm.momentum == 0.99 for norm in batch_norms(model))
        # two steps with momentum 0.99 leave the start values nearly as they are
        spread = [np.asarray(norm.moving_variance) for norm in batch_norms(model)]
        assert record["kept"] and not any((values > 0.9).all() for values in spread[:1])

    def test_a_run_that_has_ended_is_recalibrated_once(self, recipe, without_tracing):
        path = training.train(replace(recipe, recalibrate=False)).model_path
        before = path.read_bytes()
        first = training.train(recipe)
        changed = path.read_bytes()
        assert changed != before and first.new_steps == 0
        assert training.train(recipe).best_miou == first.best_miou
        assert path.read_bytes() == changed

    def test_networks_without_batch_norm_are_refused(self, recipe):
        plain = replace(recipe, model_options={"widths": [4, 8], "variant": {"norm": False}})
        with pytest.raises(ValueError, match=r"batch_norm_momentum=0.99 contradicts model=unet"):
            training.train(plain)
        with pytest.raises(ValueError, match=r"recalibrate=True contradicts model=unet"):
            training.train(replace(plain, batch_norm_momentum=None))
