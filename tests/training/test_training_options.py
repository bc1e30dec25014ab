"""Optimizers, schedules, outputs: what a recipe says is what happens."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import models
from keras_seg.training import (
    OptimizerOptions,
    Recipe,
    ScheduleOptions,
    network,
    output_losses,
    output_masks,
)
from keras_seg.training.history import History
from keras_seg.training.optimizers import (
    CLASSES,
    averaged_weights,
    decays,
    depthwise_kernels,
    make_optimizer,
    make_schedule,
)
from keras_seg.training.outputs import at_image_size

RECIPE = Recipe("data", "output", epochs=10, learning_rate=0.1, optimizer="sgd", schedule="poly")


def small():
    """(model, image, target): a convolution, a batch norm, a convolution."""
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(2, 1, name="first")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="second")(x))
    rng = np.random.default_rng(0)
    return model, rng.normal(size=(2, 4, 4, 3)), rng.normal(size=(2, 4, 4, 2))


def one_step(options, **entries):
    """Weights before and after one step, by layer and name."""
    model, image, target = small()
    recipe = replace(RECIPE, optimizer_options=options, schedule="constant", **entries)
    backbone = {weight.path for weight in model.get_layer("first").weights}
    model.compile(make_optimizer(recipe, 1, backbone=backbone), "mse", run_eagerly=True)
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    model.train_on_batch(image, target)
    return before, {weight.path: weight.numpy() for weight in model.trainable_weights}


class TestOptimizers:
    @pytest.mark.parametrize("name", sorted(CLASSES))
    def test_head_learns_faster_by_its_factor(self, name):
        before, plain = one_step(OptimizerOptions(), optimizer=name)
        _, faster = one_step(OptimizerOptions(head_rate=10), optimizer=name)
        for path, start in before.items():
            factor = 1 if path.startswith("first") else 10
            expected = start + factor * (plain[path] - start)
            np.testing.assert_allclose(faster[path], expected, rtol=2e-4, atol=2e-6)

    @pytest.mark.parametrize("decay_all", [False, True])
    def test_decay_is_added_to_the_gradient_of_kernels_alone_unless_asked(self, decay_all):
        before, plain = one_step(OptimizerOptions())
        _, decayed = one_step(OptimizerOptions(decay_all=decay_all), weight_decay=0.5)
        for path, start in before.items():
            share = 0.5 if decay_all or path.endswith("kernel") else 0
            expected = plain[path] - 0.1 * share * start
            np.testing.assert_allclose(decayed[path], expected, rtol=1e-5, atol=1e-7)

    def test_adamw_decays_apart_from_the_gradient(self):
        before, plain = one_step(OptimizerOptions(), optimizer="adamw")
        _, decayed = one_step(OptimizerOptions(), optimizer="adamw", weight_decay=0.5)
        for path, start in before.items():
            share = 0.5 if path.endswith("kernel") else 0
            expected = plain[path] - 0.1 * share * start
            np.testing.assert_allclose(decayed[path], expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("name", ["sgd", "adamw"])
    def test_depthwise_kernels_keep_their_size_and_biases_learn_faster(self, name):
        """Also where a convolution with one filter has a kernel of the same shape."""
        kernels = {}
        for decay in (0.0, 0.5):
            keras.utils.set_random_seed(0)
            x = image = keras.Input((4, 4, 3))
            x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
            x = keras.layers.Conv2D(1, 1, name="one_filter")(x)
            model = keras.Model(image, x)
            options = OptimizerOptions(decay_depthwise=False, bias_rate=2.0)
            recipe = replace(RECIPE, optimizer=name, optimizer_options=options, weight_decay=decay)
            depthwise = depthwise_kernels(model)
            assert [variable.path for variable in depthwise] == ["depthwise/kernel"]
            optimizer = make_optimizer(replace(recipe, schedule="constant"), 1, depthwise=depthwise)
            optimizer.build(model.trainable_variables)
            before = {v.path: v.numpy() for v in model.trainable_variables}
            ones = [np.ones(v.shape, "float32") for v in model.trainable_variables]
            optimizer.apply(ones)
            steps = {v.path: before[v.path] - v.numpy() for v in model.trainable_variables}
            kernels[decay] = steps
            np.testing.assert_allclose(steps["one_filter/bias"], 0.2, rtol=1e-5)
            np.testing.assert_allclose(steps["depthwise/kernel"], 0.1, rtol=1e-4)
        decayed = kernels[0.5]["one_filter/kernel"] - kernels[0.0]["one_filter/kernel"]
        np.testing.assert_allclose(decayed, 0.1 * 0.5 * before["one_filter/kernel"], rtol=1e-3)

    def test_gradients_are_clipped_to_the_norm(self):
        before, after = one_step(OptimizerOptions(clip_norm=1e-3))
        step = np.sqrt(sum(np.sum((after[path] - before[path]) ** 2) for path in before))
        assert step == pytest.approx(0.1 * 1e-3, rel=1e-3)

    def test_average_of_weights_takes_their_place_and_gives_it_back(self):
        model, image, target = small()
        recipe = replace(RECIPE, schedule="constant", optimizer_options=OptimizerOptions(ema=0.5))
        model.compile(make_optimizer(recipe, 1), "mse", run_eagerly=True)
        seen = []
        for _ in range(3):
            model.train_on_batch(image, target)
            seen.append(model.get_weights()[0])
        expected = 0.5 * (0.5 * seen[0] + 0.5 * seen[1]) + 0.5 * seen[2]
        with averaged_weights(model):
            np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)
        np.testing.assert_array_equal(model.get_weights()[0], seen[2])

    def test_norms_and_slopes_and_biases_do_not_decay(self):
        layer = keras.layers.PReLU(shared_axes=[1, 2])
        layer.build((None, 4, 4, 3))
        assert not decays(layer.alpha)
        convolution = keras.layers.DepthwiseConv2D(3)
        convolution.build((None, 4, 4, 3))
        assert [decays(weight) for weight in convolution.weights] == [True, False]


class TestSchedules:
    @pytest.mark.parametrize(
        ("schedule", "options", "expected"),
        [
            ("poly", {}, {0: 0.1, 50: 0.1 * 0.5**0.9, 100: 0}),
            ("poly", {"power": 2, "floor": 0.5}, {0: 0.1, 20: 0.064, 100: 0.05}),
            ("cosine", {}, {0: 0.1, 50: 0.05, 100: 0}),
            ("step", {"step_epochs": (4,)}, {0: 0.1, 39: 0.1, 40: 0.01, 80: 0.001}),
            ("step", {"step_epochs": (2, 7), "factor": 0.5}, {19: 0.1, 20: 0.05, 70: 0.025}),
            ("constant", {"warmup_epochs": 2}, {0: 0.005, 9: 0.05, 19: 0.1, 60: 0.1}),
            ("poly", {"warmup_epochs": 2, "power": 1}, {9: 0.05, 20: 0.1, 60: 0.05, 100: 0}),
        ],
    )
    def test_rate_at_steps(self, schedule, options, expected):
        recipe = replace(RECIPE, schedule=schedule, schedule_options=ScheduleOptions(**options))
        rate = make_schedule(recipe, 10)
        for step, value in expected.items():
            assert float(rate(step)) == pytest.approx(value, rel=1e-4, abs=1e-8), step

    def test_plateaus_are_counted_from_the_rows(self, tmp_path):
        history = History(tmp_path)
        scores = (0.1, 0.3, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, 0.1, 0.5)
        for epoch, score in enumerate(scores, start=1):
            history.append({"epoch": epoch, "val_mean_iou": score})
        assert (history.plateaus(2), history.plateaus(3), history.plateaus(5)) == (3, 1, 0)
        assert history.best == (0.5, 10) and history.epochs_without_progress == 0
        again = History(tmp_path, epochs=5)
        assert again.best == (0.4, 5) and again.rows == history.rows[:5]

    def test_progress_of_the_loss_is_a_smaller_one(self, tmp_path):
        history = History(tmp_path, monitor="loss")
        losses = (0.5, 0.4, 0.6, float("nan"), 0.3, 0.3, 0.5)
        for epoch, loss in enumerate(losses, start=1):
            row = {"epoch": epoch, "val_mean_iou": epoch / 10, "val_loss": loss}
            history.append(row)
        assert history.epochs_without_progress == 2 and history.plateaus(2) == 2
        assert history.best == (0.7, 7)
        history.correct(7, 0.8, [])
        assert History(tmp_path, epochs=7).best == (0.8, 7)

    def test_a_log_that_lost_epochs_is_refused_and_stays(self, tmp_path):
        log, row = tmp_path / "log.jsonl", '{"epoch": 1, "val_mean_iou": 0.5}\n'
        log.write_text(row)
        with pytest.raises(ValueError, match="rows for 1 epochs, .* after epoch 2"):
            History(tmp_path, epochs=2)
        assert log.read_text() == row
        for text, line in ((row + row[:20], 2), ("[1]\n", 1), (row + "\n" + row, 2), ("\0", 1)):
            log.write_text(text)
            with pytest.raises(ValueError, match=f"log.jsonl, line {line} must hold the numbers"):
                History(tmp_path, epochs=2)
            assert log.read_text() == text

    @pytest.mark.parametrize(
        ("cls", "entry", "message"),
        [
            (ScheduleOptions, {"factor": 1.5}, "factor must be between"),
            (ScheduleOptions, {"warmup_epochs": -1}, "warmup_epochs must be 0 or more"),
            (OptimizerOptions, {"ema": 1.0}, "optimizer_options.ema must be at least 0"),
            (OptimizerOptions, {"head_rate": 0}, "optimizer_options.head_rate must be positive"),
            (OptimizerOptions, {"bias_rate": 0}, "optimizer_options.bias_rate must be positive"),
        ],
    )
    def test_options_that_make_no_sense(self, cls, entry, message):
        with pytest.raises(ValueError, match=message):
            cls(**entry)

    @pytest.mark.parametrize("momentum", [-0.1, 1.0])
    def test_momentum_of_batch_norm_is_a_share(self, momentum):
        with pytest.raises(ValueError, match="batch_norm_momentum must be at least 0 and below 1"):
            replace(RECIPE, batch_norm_momentum=momentum)

    def test_momentum_of_batch_norm_is_that_of_all_norms(self):
        options = {"backbone": "resnet18", "backbone_options": {"width": 8}, "channels": 8}
        options |= {"backbone_weights": None}
        recipe = replace(RECIPE, model="deeplabv3plus", model_options=options, crop=(64, 64))
        for momentum, expected in ((None, {0.9}), (0.9997, {0.9997})):
            recipe = replace(recipe, batch_norm_momentum=momentum)
            model = network.build_model(recipe, 3, synchronized=True)
            norms = network.batch_norms(model)
            assert {norm.momentum for norm in norms} == expected
            assert len(norms) > 20 and all(norm.synchronized for norm in norms)

    def test_steps_need_their_epochs(self):
        with pytest.raises(ValueError, match='"step" needs schedule_options.step_epochs'):
            replace(RECIPE, schedule="step")


class TestOutputs:
    @pytest.mark.parametrize(
        ("name", "options", "size"),
        [
            ("unet", {}, 64),
            ("unet", {"padding": "valid", "widths": (4, 4, 8, 8, 8)}, 188),
            ("unetplusplus", {"deep_supervision": True}, 64),
            ("ocrnet", {"auxiliary_head": True}, 64),
            ("deeplabv3plus", {"upsample_logits": False}, 64),
        ],
    )
    def test_plain_keras_trains_any_outputs(self, name, options, size):
        options = models.find(name).tiny | options
        model = at_image_size(models.build(name, (None, None, 3), 3, **options))
        rng = np.random.default_rng(0)
        image = rng.uniform(0, 255, (2, size, size, 3)).astype("float32")
        mask = rng.integers(0, 3, (2, size, size)).astype("int32")
        batches = tf.data.Dataset.from_tensors((image, mask)).map(output_masks(model))
        arguments = output_losses(model, "cross_entropy", num_classes=3)
        model.compile("sgd", run_eagerly=True, **arguments)
        history = model.fit(batches, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        metric = next(key for key in history if "mean_iou" in key)
        assert 0 <= history[metric][0] <= 1

    def test_deep_supervision_is_the_mean_over_its_heads(self):
        model = models.unetplusplus((64, 64, 3), 3, widths=(4, 4, 8, 8, 8), deep_supervision=True)
        arguments = output_losses(model, "dice")
        assert arguments["loss"]["logits"] is None
        heads = {key: value for key, value in arguments["loss_weights"].items() if value}
        assert heads == dict.fromkeys(["logits_1", "logits_2", "logits_3", "logits_4"], 0.25)

    def test_masks_of_unpadded_networks_lose_their_border(self):
        model = models.unet((None, None, 1), 2, padding="valid", widths=(4, 4, 4, 4, 4))
        mask = np.arange(2 * 188 * 204).reshape(2, 188, 204)
        _, inner, weights = output_masks(model)(np.zeros((2, 188, 204, 1)), mask, mask)
        np.testing.assert_array_equal(inner, mask[:, 92:-92, 92:-92])
        np.testing.assert_array_equal(weights, inner)


class TestBackbone:
    def recipe(self, **entries):
        options = models.find("danet").tiny
        return replace(RECIPE, model="danet", model_options=options, crop=(64, 64), **entries)

    @pytest.mark.parametrize("freeze", ["norms", "backbone"])
    def test_frozen_parts_are_those_of_the_encoder(self, freeze):
        free = network.build_model(self.recipe(), 3)
        frozen = network.build_model(self.recipe(freeze=freeze), 3)
        lost = {w.path for w in free.trainable_weights} - {w.path for w in frozen.trainable_weights}
        head = {w.path for w in frozen.trainable_weights if w.path.startswith("head")}
        assert lost and not any(path.startswith("head") for path in lost)
        assert head == {w.path for w in free.trainable_weights if w.path.startswith("head")}
        assert all("gamma" in path or "beta" in path for path in lost) == (freeze == "norms")

    def test_networks_without_a_backbone_say_so(self):
        with pytest.raises(ValueError, match="freeze and .* networks with a backbone.*segnet"):
            recipe = replace(RECIPE, model="segnet", freeze="backbone", crop=(64, 64))
            network.build_model(
                replace(recipe, model_options=models.find("segnet").tiny), num_classes=3
            )

    def test_initial_weights_are_taken_and_told_or_refused(self, tmp_path, shapes):
        options = {"widths": [4, 8]}
        recipe = replace(RECIPE, model_options=options, crop=(32, 32))
        source = network.build_model(recipe, 3)
        path = str(tmp_path / "model.keras")
        models.save(source, path, models.ModelCard(shapes[0].classes))
        taken = network.build_model(replace(recipe, initial_weights=path), 3)
        for ours, theirs in zip(taken.get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        told = []
        network.build_model(replace(recipe, initial_weights=path), 4, tell=told.append)
        assert told == [
            f"Weights of {path}: 13 of 14 layers; the head has 3 classes there and 4 here, so it "
            "starts from random values."
        ]
        wider = replace(recipe, model_options={"widths": [8, 16]}, initial_weights=path)
        with pytest.raises(ValueError, match="another network than unet: inc.double_conv.0"):
            network.build_model(wider, 3)
