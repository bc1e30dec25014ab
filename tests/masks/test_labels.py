"""Invalid labels give NaN in losses and metrics, in every form of labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import losses, metrics
from tests.helpers.loss_cases import EVERY_LOSS, IGNORED, batch, softmax

HARD_ONLY = ("boundary", "lovasz_hinge", "lovasz_softmax")
SOFT = sorted(losses.LOSSES.keys() - set(HARD_ONLY))
ONE_SCORE = (
    metrics.MeanIoU,
    metrics.MeanDice,
    metrics.PixelAccuracy,
    metrics.MeanClassAccuracy,
    metrics.FrequencyWeightedIoU,
)


def one_hot(labels, classes):
    """Zeros where ignored."""
    return np.eye(256, dtype="float32")[labels][..., :classes]


def value(loss, labels, scores, weight=None):
    return float(loss(labels, scores, weight))


class TestLosses:
    @EVERY_LOSS
    @pytest.mark.parametrize(
        ("dtype", "bad"),
        [
            *[("float32", bad) for bad in (77, -1, 0.5, 1.999, np.nan, np.inf, 1e20)],
            *[("int32", bad) for bad in (77, -1, 2**31 - 1)],
            *[("int64", bad) for bad in (2**32, 2**32 + 255)],
            *[("uint32", 2**31), ("uint64", 2**32), ("uint8", 254), ("float16", 0.5)],
        ],
    )
    def test_what_is_no_class_makes_the_loss_nan(self, name, dtype, bad):
        labels, scores = batch(name)
        labels = labels.astype(dtype)
        before = value(losses.get(name), labels, scores)
        labels[0, 0, 0] = bad
        assert np.isfinite(before) and np.isnan(value(losses.get(name), labels, scores))

    @EVERY_LOSS
    def test_also_in_a_compiled_step_and_on_one_channel(self, name):
        labels, scores = batch("lovasz_hinge")
        labels[0, 0, 0] = 2
        compiled = tf.function(losses.get(name).__call__)
        assert np.isnan(float(compiled(tf.constant(labels), tf.constant(scores[..., :1]))))
        labels[0, 0, 0] = 1
        assert np.isfinite(float(compiled(tf.constant(labels), tf.constant(scores[..., :1]))))

    @EVERY_LOSS
    @pytest.mark.parametrize("bad", [77, -1, 0.5, np.nan])
    def test_but_not_where_nothing_counts(self, name, bad):
        labels, scores = batch(name)
        weight = np.ones(labels.shape)
        weight[0, :2] = 0
        wanted = value(losses.get(name), labels, scores, weight)
        labels = labels.astype("float32")
        labels[0, :2] = bad
        assert value(losses.get(name), labels, scores, weight) == wanted

    @EVERY_LOSS
    @pytest.mark.parametrize(
        "shares",
        [
            [1, 1, 0, 0, 0],  # two classes of one pixel
            [0.5, 0, 0, 0, 0],
            [1.2, 0, 0, 0, 0],
            [1.5, -0.5, 0, 0, 0],
            [-1, 0, 0, 0, 0],
            [np.nan, 0, 0, 0, 0],
            [np.inf, 0, 0, 0, 0],
            [255, 255, 255, 255, 255],
        ],
    )
    def test_shares_that_are_none_make_the_loss_nan(self, name, shares):
        labels, scores = batch(name)
        truth = one_hot(labels, scores.shape[-1])
        truth[0, 0, 0] = shares[: scores.shape[-1]]
        assert np.isnan(value(losses.get(name), truth, scores))
        weight = np.ones(labels.shape)
        weight[0, 0, 0] = 0
        assert np.isfinite(value(losses.get(name), truth, scores, weight))

    @EVERY_LOSS
    def test_a_mask_of_several_labels_is_nan_without_multi_label(self, name):
        truth = np.random.default_rng(0).integers(0, 2, (2, 8, 8, 2 if "hinge" in name else 3))
        perfect = np.where(truth == 1, 20.0, -20.0)
        assert np.isnan(value(losses.get(name), truth, perfect))

    @pytest.mark.parametrize("name", SOFT)
    @pytest.mark.parametrize("form", ["float32", "float16", "bfloat16", "8 bits"])
    def test_shares_may_be_rounded(self, name, form):
        labels, scores = batch(name)
        shares = np.random.default_rng(0).dirichlet(np.ones(5), labels.shape)
        wanted = value(losses.get(name), shares, scores)
        rounded = np.round(shares * 255) / 255 if form == "8 bits" else tf.cast(shares, form)
        assert value(losses.get(name), rounded, scores) == pytest.approx(wanted, rel=0.02)

    @pytest.mark.parametrize("name", HARD_ONLY)
    def test_losses_of_hard_labels_have_no_value_for_soft_ones(self, name):
        labels, scores = batch(name)
        truth = one_hot(labels, scores.shape[-1])
        truth[labels == 0] = 0
        truth[labels == 0, :2] = 0.7, 0.3
        assert np.isnan(value(losses.get(name), truth, scores))
        binary = np.where(labels == IGNORED, 255, 0.3).astype("float32")
        assert np.isnan(value(losses.get(name), binary, scores[..., :1]))

    @pytest.mark.parametrize("name", SOFT)
    def test_fractions_are_soft_labels_for_one_channel_alone(self, name):
        labels, scores = batch("lovasz_hinge")
        share = np.where(labels == IGNORED, 255, 0.25).astype("float32")
        z = scores[..., :1]
        both = np.stack([0.75 * np.ones_like(share), share], -1)
        both[labels == IGNORED] = 0
        wanted = value(losses.get(name), both, np.concatenate([0 * z, z], -1))
        for form in (share, share[..., None], share.astype("float16")):
            assert value(losses.get(name), form, z) == pytest.approx(wanted, rel=1e-5)
        assert np.isnan(value(losses.get(name), share, scores))  # two channels: ids

    def test_soft_binary_cross_entropy_is_that_of_keras(self):
        rng = np.random.default_rng(0)
        truth, z = rng.random((2, 6, 5, 1)), rng.normal(0, 3, (2, 6, 5, 1)).astype("float32")
        theirs = keras.losses.BinaryCrossentropy(from_logits=True)(truth, z)
        assert value(losses.CrossEntropy(), truth, z) == pytest.approx(float(theirs), rel=1e-5)

    @pytest.mark.parametrize("dtype", ["bool", "uint8", "float32", "float16", "int64"])
    @EVERY_LOSS
    def test_binary_masks_of_any_type_are_alike(self, name, dtype):
        labels, scores = batch("lovasz_hinge")
        labels = np.where(labels == IGNORED, 0, labels)
        wanted = value(losses.get(name), labels, scores[..., :1])
        found = value(losses.get(name), labels[..., None].astype(dtype), scores[..., :1])
        assert found == pytest.approx(wanted, rel=1e-5)

    def test_values_without_reduction_are_nan_at_the_pixel_alone(self):
        labels, scores = batch()
        labels[0, 0, 0] = 77
        values = np.asarray(losses.CrossEntropy(reduction=None)(labels, scores))
        assert np.isnan(values[0, 0, 0]) and np.isnan(values).sum() == 1

    @EVERY_LOSS
    def test_scores_beyond_probabilities_make_the_loss_nan(self, name):
        labels, logits = batch(name)
        loss = losses.get({"name": name, "from_logits": False})
        assert np.isnan(value(loss, labels, logits))  # logits taken for probabilities
        rounded = np.where(softmax(logits) > 0.99, 1.0005, softmax(logits))
        wanted = value(loss, labels, softmax(logits))
        assert value(loss, labels, rounded) == pytest.approx(wanted, rel=1e-2)

    @EVERY_LOSS
    def test_ignored_probabilities_may_be_anything(self, name):
        labels, logits = batch(name)
        out = (labels == IGNORED)[..., None]
        loss = losses.get({"name": name, "from_logits": False})
        values = []
        for filling in (softmax(logits), np.nan, 7.0):
            scores = tf.Variable(np.where(out, filling, softmax(logits)).astype("float32"))
            with tf.GradientTape() as tape:
                found = loss(labels, scores)
            values.append((float(found), np.asarray(tape.gradient(found, scores))))
        for found, gradient in values[1:]:
            assert found == values[0][0]
            np.testing.assert_array_equal(gradient, values[0][1])
            assert np.isfinite(gradient).all()


class TestMetrics:
    @pytest.mark.parametrize("make", [*ONE_SCORE, metrics.BoundaryF1])
    @pytest.mark.parametrize("bad", [77, -1, 0.5, np.nan])
    def test_what_is_no_class_makes_the_score_nan(self, make, bad):
        labels, logits = batch()
        metric = make(5)
        metric.update_state(labels.astype("float32"), logits)
        before = float(metric.result())
        labels = labels.astype("float32")
        labels[0, 0, 0] = bad
        metric.update_state(labels, logits)
        assert before > 0 and np.isnan(float(metric.result()))
        metric.reset_state()
        metric.update_state(labels[1:], logits[1:])
        assert np.isfinite(float(metric.result()))

    @pytest.mark.parametrize("make", [*ONE_SCORE, metrics.BoundaryF1])
    def test_nan_scores_are_no_prediction_of_class_0(self, make):
        labels, logits = np.zeros((1, 8, 8), int), np.zeros((1, 8, 8, 3), "float32")
        labels[0, 2:5, 2:5] = 1
        for scores, classes in (
            (np.full_like(logits, np.nan), 3),
            (np.where(np.arange(3) == 1, np.nan, logits), 3),
            (np.full((1, 8, 8, 1), np.nan), 1),
        ):
            metric = make(classes)
            metric.update_state(labels, scores)
            assert np.isnan(float(metric.result()))
            ignored = make(classes)
            ignored.update_state(np.full_like(labels, 255), scores)
            assert float(ignored.result()) == 0

    def test_every_score_of_a_matrix_and_each_class_are_nan(self):
        labels, logits = batch()
        labels[0, 0, 0] = 9
        together = metrics.SegmentationMetrics(5, class_names="abcde")
        together.update_state(labels, logits)
        assert len(together.result()) == 10
        assert all(np.isnan(float(score)) for score in together.result().values())
        for metric in (metrics.MeanIoU(5), metrics.MeanDice(5), metrics.MeanClassAccuracy(5)):
            metric.update_state(labels, logits)
            assert np.isnan(metric.per_class()).all()
        one = metrics.ClassIoU(5, 2)
        one.update_state(labels, logits)
        assert np.isnan(float(one.result()))

    def test_ignored_pixels_and_those_of_weight_0_may_hold_anything(self):
        labels, logits = batch()
        wanted, found = metrics.MeanIoU(5), metrics.MeanIoU(5)
        weight = np.ones(labels.shape)
        weight[0] = 0
        wanted.update_state(labels[1:], logits[1:])
        labels[0, :3] = 77
        logits[0], logits[labels == IGNORED] = np.nan, np.nan
        found.update_state(labels, logits, weight)
        np.testing.assert_array_equal(found.confusion, wanted.confusion)
        assert float(found.result()) == float(wanted.result())

    def test_mixed_shares_and_several_labels_are_nan(self):
        truth = np.zeros((1, 4, 4, 3), "float32")
        truth[..., 0] = 1
        metric = metrics.MeanIoU(3)
        metric.update_state(truth, 5 * truth)
        assert float(metric.result()) == 1
        truth[0, 0, 0, 1] = 1
        metric.update_state(truth, 5 * truth)
        assert np.isnan(float(metric.result()))

    def test_soft_labels_count_as_their_largest_share(self):
        metric, binary = metrics.PixelAccuracy(3), metrics.PixelAccuracy(1)
        metric.update_state(np.array([[[0.2, 0.7, 0.1]]]), np.array([[[0.0, 3, 1]]]))
        binary.update_state(np.array([[0.7, 0.2]]), np.array([[[3.0], [3.0]]]))
        assert float(metric.result()) == 1 and float(binary.result()) == 0.5

    @pytest.mark.parametrize("predicted", [5, -1, 255])
    def test_predicted_ids_outside_the_classes_are_no_prediction(self, predicted):
        labels, logits = batch()
        ids = logits.argmax(-1)
        ids[0, 0, 0], labels[0, 0, 0] = predicted, 1
        metric = metrics.MeanIoU(5)
        metric.update_state(labels, ids)
        assert np.isnan(float(metric.result()))

    def test_logits_taken_for_probabilities_are_nan(self):
        labels, logits = batch("lovasz_hinge")
        metric = metrics.MeanIoU(1, from_logits=False)
        metric.update_state(labels, logits[..., :1])
        assert np.isnan(float(metric.result()))

    @pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
    def test_a_threshold_moves_the_decision_of_two_classes(self, threshold):
        labels, logits = batch("lovasz_hinge")
        z = (logits[..., 1] - logits[..., 0])[..., None]
        p = 1 / (1 + np.exp(-z))
        wanted = metrics.MeanIoU(2)
        wanted.update_state(labels, (p[..., 0] > threshold).astype(int))
        for scores, from_logits in (
            (z, True),
            (logits, True),
            (p, False),
            (np.concatenate([1 - p, p], -1), False),
        ):
            metric = metrics.MeanIoU(2, threshold=threshold, from_logits=from_logits)
            metric.update_state(labels, scores)
            np.testing.assert_array_equal(metric.confusion, wanted.confusion)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_classes": 0}, "num_classes must be 1 or more"),
            ({"num_classes": 2.5}, "num_classes must be a whole number"),
            ({"threshold": "half"}, "threshold must be a number"),
            ({"from_logits": "no"}, "from_logits must be True or False"),
            ({"multi_label": "yes"}, "multi_label must be True or False"),
            ({"ignore_class": "void"}, "ignore_class must be a number"),
        ],
    )
    def test_options_that_cannot_be_meant_are_named(self, options, message):
        for make in (metrics.MeanIoU, metrics.BoundaryF1, metrics.SegmentationMetrics):
            with pytest.raises(ValueError, match=message):
                make(**{"num_classes": 2} | options)

    def test_predicted_ids_may_have_a_channel(self):
        labels, logits = batch()
        wanted, found = metrics.MeanIoU(5), metrics.MeanIoU(5)
        wanted.update_state(labels, logits)
        for form in (labels, labels[..., None]):
            found.reset_state()
            found.update_state(form, logits.argmax(-1)[..., None])
            np.testing.assert_array_equal(found.confusion, wanted.confusion)

    @pytest.mark.parametrize(
        ("foreign", "here"), [("IOUScore", "MeanIoU"), ("FScore", "MeanDice"), ("nothing", None)]
    )
    def test_metrics_of_other_packages_are_answered_with_those_here(self, foreign, here):
        with pytest.raises(AttributeError, match=f"no attribute '{foreign}'") as error:
            getattr(metrics, foreign)
        assert here is None or str(error.value).endswith(f"here is {here}")

    def test_thresholds_that_cannot_be_meant_are_named(self):
        for make in (metrics.MeanIoU, metrics.BoundaryF1):
            with pytest.raises(ValueError, match="between 0 and 1. Received: 50"):
                make(2, threshold=50)
            with pytest.raises(ValueError, match="of 5 classes the largest score wins"):
                make(5, threshold=0.3)
