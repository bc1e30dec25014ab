"""Multi-label losses and metrics equal their sigmoid formulas in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import losses, metrics
from tests.helpers import loss_formulas as formulas
from tests.helpers.loss_formulas import LABEL_FORMULAS
from tests.helpers.score_formulas import label_scores
from tests.helpers.slow_cases import all_but

UNKNOWN, LABELS = 255, 3
SOFT = ("cross_entropy", "dice", "focal", "focal_tversky", "jaccard", "squared_error", "tversky")
EVERY_LOSS = pytest.mark.parametrize("name", LABEL_FORMULAS)


def get(name, **options):
    return losses.get({"name": name, "multi_label": True} | options)


def batch(seed=0, images=3, size=(9, 8), labels=LABELS):
    """Labels that overlap, are absent, and unknown in some channels of a pixel; logits."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((images, *size, labels)) < 0.4).astype("float32")
    truth[..., -1] = 0  # occurs nowhere
    truth[rng.random(truth.shape) < 0.2] = UNKNOWN
    truth[0, :2] = UNKNOWN
    return truth, rng.normal(0, 3, truth.shape).astype("float32")


def expected(name, truth, z, weight=None, **options):
    weights = (truth != UNKNOWN).astype(float)
    if weight is not None:
        weights = weights * weight[..., None]
    truth = np.where(truth == UNKNOWN, 0, truth).astype(float)
    return LABEL_FORMULAS[name](truth, z.astype(float), weights, **options)


class TestLossValues:
    @EVERY_LOSS
    @pytest.mark.parametrize("seed", [0, 1])
    def test_every_loss_is_its_formula(self, name, seed):
        truth, z = batch(seed)
        assert float(get(name)(truth, z)) == pytest.approx(expected(name, truth, z), rel=2e-5)

    @EVERY_LOSS
    def test_with_weights_of_pixels_too(self, name):
        truth, z = batch(2)
        weight = np.random.default_rng(2).choice([0, 0.5, 1, 3], truth.shape[:-1])
        found = float(get(name)(truth, z, weight))
        assert found == pytest.approx(expected(name, truth, z, weight), rel=2e-5)

    @EVERY_LOSS
    def test_probabilities_give_the_same_as_logits(self, name):
        truth, z = batch(3)
        loss = get(name, from_logits=False)
        found = float(loss(truth, formulas.sigmoid(z)))
        assert found == pytest.approx(expected(name, truth, z), rel=1e-4)

    @pytest.mark.parametrize("name", SOFT)
    def test_soft_labels_are_in_the_formula(self, name):
        truth, z = batch(4)
        soft = np.random.default_rng(4).random(truth.shape).astype("float32")
        truth = np.where(truth == UNKNOWN, UNKNOWN, soft)
        assert float(get(name)(truth, z)) == pytest.approx(expected(name, truth, z), rel=2e-5)

    @pytest.mark.parametrize("name", ["boundary", "lovasz_hinge"])
    def test_losses_of_hard_labels_have_no_value_for_soft_ones(self, name):
        truth, z = batch(4)
        truth[0, 4, 4] = 0.3
        assert np.isnan(float(get(name)(truth, z)))

    @pytest.mark.parametrize(
        ("name", "options", "formula_options"),
        [
            ("cross_entropy", {"class_weights": [1, 2, 0]}, {"class_weights": [1, 2, 0]}),
            ("cross_entropy", {"class_weights": {1: 5}}, {"class_weights": [1, 5, 1]}),
            ("cross_entropy", {"label_smoothing": 0.2}, {"smoothing": 0.2}),
            ("focal", {"alpha": 0.25, "gamma": 1}, {"alpha": 0.25, "gamma": 1}),
            ("focal", {"class_weights": [1, 2, 4]}, {"class_weights": [1, 2, 4]}),
            ("ohem", {"threshold": 0.2, "min_kept": 0.5}, {"threshold": 0.2, "min_kept": 0.5}),
            ("boundary", {"max_distance": 2}, {"max_distance": 2}),
        ],
    )
    def test_with_options_too(self, name, options, formula_options):
        truth, z = batch(5)
        found = float(get(name, **options)(truth, z))
        assert found == pytest.approx(expected(name, truth, z, **formula_options), rel=2e-5)

    def test_without_unknown_labels_cross_entropy_is_that_of_keras(self):
        truth, z = batch(6)
        truth = np.where(truth == UNKNOWN, 0, truth)
        for smoothing in (0, 0.1):
            theirs = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
            ours = get("cross_entropy", label_smoothing=smoothing)
            assert float(ours(truth, z)) == pytest.approx(float(theirs(truth, z)), rel=1e-6)
        theirs = keras.losses.BinaryFocalCrossentropy(
            from_logits=True, apply_class_balancing=True, alpha=0.25, gamma=2
        )
        found = float(get("focal", alpha=0.25)(truth, z))
        assert found == pytest.approx(float(theirs(truth, z)), rel=1e-5)

    @pytest.mark.parametrize("name", sorted(LABEL_FORMULAS.keys() - {"boundary"}))
    def test_nothing_is_lost_where_all_is_right(self, name):
        truth, _ = batch(7)
        right = np.where(truth == 1, 40.0, -40.0)
        assert float(get(name)(truth, right)) == pytest.approx(0, abs=1e-5)
        assert float(get(name)(truth, -right)) > 0.5

    def test_one_channel_is_the_foreground_of_a_binary_network(self):
        truth, z = batch(8, labels=2)
        truth, z = truth[..., :1], z[..., :1]
        for name in ("cross_entropy", "focal", "squared_error", "ohem", "lovasz_hinge"):
            binary = float(losses.get(name)(truth[..., 0].astype("uint8"), z))
            for form in (truth, truth[..., 0], truth.astype("uint8")):
                assert float(get(name)(form, z)) == pytest.approx(binary, rel=1e-5), name
        alone = losses.get({"name": "dice", "classes": [1]})
        found = float(get("dice")(truth, z))
        assert found == pytest.approx(float(alone(truth.astype("uint8"), z)), rel=1e-5)


class TestLossesInAStep:
    @EVERY_LOSS
    def test_what_does_not_count_has_no_influence_and_no_gradient(self, name):
        truth, z = batch(1)
        weight = np.ones(truth.shape[:-1], "float32")
        weight[:, -1] = 0
        out = (truth == UNKNOWN) | (weight == 0)[..., None]
        for options in ({}, {"from_logits": False}):
            scores = z if not options else formulas.sigmoid(z)
            value, gradient = gradient_of(get(name, **options), truth, scores, weight)
            broken = np.where(out, np.nan, scores)
            labels = np.where((weight == 0)[..., None], 77, truth)
            other, other_gradient = gradient_of(get(name, **options), labels, broken, weight)
            assert value == other and np.isfinite(value)
            np.testing.assert_array_equal(gradient, other_gradient)
            assert not gradient[out].any() and gradient[~out].any()

    @pytest.mark.parametrize("name", all_but({"dice", "lovasz_hinge"}, LABEL_FORMULAS))
    @pytest.mark.parametrize("jit_compile", [pytest.param(False, marks=pytest.mark.slow), True])
    def test_graph_and_xla_give_the_value_of_eager(self, name, jit_compile):
        truth, z = batch(2, size=(5, 4))
        compiled = tf.function(get(name).__call__, jit_compile=jit_compile)
        value = float(get(name)(truth, z))
        assert float(compiled(tf.constant(truth), tf.constant(z))) == pytest.approx(value, rel=1e-5)

    @EVERY_LOSS
    def test_huge_scores_in_half_precision_stay_finite(self, name):
        truth, z = batch(3)
        for dtype in ("float16", "bfloat16"):
            scores = tf.cast(20_000 * np.clip(z, -3, 3), dtype)
            value, gradient = gradient_of(get(name), truth, scores)
            assert np.isfinite(value) and np.isfinite(gradient).all()

    @EVERY_LOSS
    def test_a_batch_without_known_labels_costs_nothing(self, name):
        truth, z = batch()
        value, gradient = gradient_of(get(name), np.full_like(truth, UNKNOWN), z)
        assert value == 0 and not gradient.any()

    @EVERY_LOSS
    @pytest.mark.parametrize("bad", [2, -1, np.nan, 77])
    def test_what_is_no_label_makes_the_loss_nan(self, name, bad):
        truth, z = batch()
        truth[1, 3, 3, 0] = bad
        assert np.isnan(float(get(name)(truth, z)))

    @EVERY_LOSS
    def test_scores_beyond_probabilities_make_the_loss_nan(self, name):
        truth, z = batch()
        truth[1, 3, 3, 0], p = 1, formulas.sigmoid(z)
        p[1, 3, 3, 0] = 1.5
        assert np.isnan(float(get(name, from_logits=False)(truth, p)))

    @EVERY_LOSS
    def test_reductions_sum_and_divide_by_weights(self, name):
        truth, z = batch(4)
        weight = np.random.default_rng(0).uniform(0.5, 2, truth.shape[:-1])
        once, twice = (float(get(name)(truth, z, k * weight)) for k in (1, 2))
        assert twice == pytest.approx(2 * once, rel=1e-5)
        loss = get(name, reduction="mean_with_sample_weight")
        once, twice = (float(loss(truth, z, k * weight)) for k in (1, 2))
        assert twice == pytest.approx(once, rel=1e-5)

    @EVERY_LOSS
    def test_serialization_keeps_the_mode(self, name):
        loss = get(name, reduction="sum")
        copy = keras.losses.deserialize(keras.losses.serialize(loss))
        assert copy.multi_label is True and copy.get_config() == loss.get_config()

    def test_values_of_each_label_without_reduction(self):
        truth, z = batch()
        values = np.asarray(get("cross_entropy", reduction=None)(truth, z))
        assert values.shape == truth.shape and not values[truth == UNKNOWN].any()
        mean = values.sum() / (truth != UNKNOWN).sum()
        assert float(get("cross_entropy")(truth, z)) == pytest.approx(mean, rel=1e-6)

    def test_a_network_learns_labels_that_overlap(self):
        image = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
        truth = (image > 0).astype("float32")  # each channel of the image is a label
        model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(3, 1)])
        loss = get("cross_entropy") + 0.5 * get("dice")
        scores = [metrics.MeanIoU(3, multi_label=True), metrics.PixelAccuracy(3, multi_label=True)]
        model.compile(keras.optimizers.Adam(0.3), loss, metrics=scores, jit_compile=False)
        logs = model.fit(image, truth, epochs=30, verbose=0).history
        assert logs["loss"][-1] < 0.25 < logs["loss"][0]
        right = (model.predict(image, verbose=0) > 0) == truth
        assert logs["pixel_accuracy"][-1] > 0.95 and right.mean() > 0.95


class TestRefusals:
    def test_softmax_has_no_such_mode(self):
        with pytest.raises(
            ValueError, match="lovasz_softmax does not take multi_label=True.*lovasz_hinge"
        ):
            get("lovasz_softmax")

    @EVERY_LOSS
    def test_masks_of_one_class_per_pixel_are_named(self, name):
        _, z = batch()
        for shape in (z.shape[:-1], (*z.shape[:-1], 1), (*z.shape[:-1], 5)):
            with pytest.raises(ValueError, match="labels have the shape of the scores, .*8, 3"):
                get(name)(np.zeros(shape, "uint8"), z)

    @pytest.mark.parametrize("value", [0, 1])
    def test_0_and_1_cannot_be_ignored(self, value):
        for make in (
            lambda: get("dice", ignore_class=value),
            lambda: metrics.MeanIoU(3, multi_label=True, ignore_class=value),
            lambda: metrics.BoundaryF1(3, multi_label=True, ignore_class=value),
        ):
            with pytest.raises(ValueError, match=f"ignore_class={value} is a label"):
                make()

    def test_a_sum_of_both_kinds_is_refused_for_several_channels(self):
        truth, z = batch()
        both = get("dice") + losses.CrossEntropy()
        with pytest.raises(
            ValueError,
            match="dice has multi_label=True and .*cross_entropy reads one class per pixel",
        ):
            both(truth, z)
        truth = np.where(truth == UNKNOWN, 0, truth)[..., :1]
        expected = get("dice")(truth, z[..., :1]) + losses.CrossEntropy()(truth, z[..., :1])
        assert float(both(truth, z[..., :1])) == pytest.approx(float(expected), rel=1e-6)

    def test_weights_of_channels_are_refused(self):
        truth, z = batch()
        with pytest.raises(ValueError, match="one number per image"):
            get("dice")(truth, z, np.ones(truth.shape))


class TestMetrics:
    @pytest.mark.parametrize("threshold", [0.5, 0.2, 0.9])
    def test_every_score_is_its_formula(self, threshold):
        truth, z = batch(1)
        p = formulas.sigmoid(z)
        wanted, each = label_scores(truth, p > threshold)
        names = ["sky", "tree", "car"]
        options = {"multi_label": True, "threshold": threshold}
        for predictions, logits in ((z, True), (p, False), ((p > threshold).astype("uint8"), True)):
            together = metrics.SegmentationMetrics(
                3, class_names=names, from_logits=logits, **options
            )
            for start in (0, 1):  # batches add up
                together.update_state(truth[start::2], predictions[start::2])
            found = {name: float(value) for name, value in together.result().items()}
            by_label = {f"iou_{name}": iou for name, iou in zip(names, each, strict=True)}
            assert found == pytest.approx(wanted | by_label, nan_ok=True)
            assert together.confusion.shape == (3, 2, 2)
            mean = metrics.MeanIoU(3, from_logits=logits, **options)
            mean.update_state(truth, predictions)
            np.testing.assert_allclose(mean.per_class(), each, rtol=1e-6)
            one = metrics.ClassIoU(3, 1, from_logits=logits, **options)
            one.update_state(truth, predictions)
            assert float(one.result()) == pytest.approx(each[1])

    def test_pixels_of_weight_0_do_not_count(self):
        truth, z = batch(2)
        weighted, cut = metrics.MeanIoU(3, multi_label=True), metrics.MeanIoU(3, multi_label=True)
        weighted.update_state(truth, z, np.array([1.0, 0, 2]))
        cut.update_state(truth[[0, 2]], z[[0, 2]])
        np.testing.assert_array_equal(weighted.confusion, cut.confusion)

    def test_one_label_takes_masks_without_a_channel(self):
        truth, z = batch(3)
        expected, found = (metrics.MeanIoU(1, multi_label=True) for _ in range(2))
        expected.update_state(truth[..., :1], z[..., :1])
        found.update_state(truth[..., 0].astype("uint8"), z[..., :1])
        np.testing.assert_array_equal(found.confusion, expected.confusion)
        assert found.confusion.shape == (1, 2, 2) and np.sum(found.confusion) > 0

    def test_outlines_are_those_of_each_label(self):
        truth = batch(4, images=2, size=(24, 24))[0]
        truth[..., -1] = 0
        truth[:, 4:15, 6:20, 0], truth[:, 8:22, 2:12, 1] = 1, 1
        predicted = np.where(np.roll(truth, 1, axis=2) == 1, 5.0, -5.0)
        metric = metrics.BoundaryF1(3, multi_label=True, tolerance=0.03)
        metric.update_state(truth, predicted)
        each = []
        for label in range(2):  # the third occurs nowhere
            one = metrics.BoundaryF1(1, multi_label=True, tolerance=0.03)
            one.update_state(truth[..., label : label + 1], predicted[..., label : label + 1])
            each.append(float(one.result()))
        assert float(metric.result()) == pytest.approx(np.mean(each), rel=1e-6)
        assert 0 < float(metric.result()) <= 1

    @pytest.mark.parametrize("make", [metrics.MeanIoU, metrics.BoundaryF1])
    def test_options_come_back_from_their_configuration(self, make):
        metric = make(3, multi_label=True, threshold=0.3)
        copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert copy.get_config() == metric.get_config()
        assert copy.multi_label is True and copy.threshold == 0.3

    @pytest.mark.parametrize("make", [metrics.MeanIoU, metrics.BoundaryF1])
    def test_graph_and_xla_count_like_eager(self, make):
        truth, z = batch(5)
        eager, compiled = make(3, multi_label=True), make(3, multi_label=True)
        eager.update_state(truth, z)
        update = tf.function(compiled.update_state, jit_compile=True)
        update(tf.constant(truth), tf.constant(z))
        for found, wanted in zip(compiled.variables, eager.variables, strict=True):
            np.testing.assert_array_equal(found, wanted)


def gradient_of(loss, truth, scores, weight=None):
    scores = tf.convert_to_tensor(scores)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = loss(truth, scores, weight)
    return float(value), np.asarray(tf.cast(tape.gradient(value, scores), "float32"))
