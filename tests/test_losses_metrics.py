"""Losses and metrics equal their formulas in NumPy and count no ignored pixel."""

import keras
import numpy as np
import pytest

from keras_seg import losses
from keras_seg.metrics import MeanIoU

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, (2, 16, 16))
LABELS[RNG.random(LABELS.shape) < 0.2] = 255
LOGITS = RNG.normal(0, 3, (2, 16, 16, 5)).astype("float32")  # class 4 never occurs in the truth
COUNTED = LABELS != 255


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def cross_entropy(labels, probabilities):
    counted = labels != 255
    return -np.log(probabilities[counted, labels[counted]]).mean()


def dice(labels, probabilities):
    counted = labels != 255
    terms = []
    for value in np.unique(labels[counted]):
        p, t = probabilities[counted][:, value], labels[counted] == value
        terms.append(1 - 2 * (p * t).sum() / (p.sum() + t.sum()))
    return np.mean(terms)


class TestLosses:
    def test_cross_entropy_is_the_mean_over_counted_pixels(self):
        expected = cross_entropy(LABELS, softmax(LOGITS))
        assert float(losses.CrossEntropy()(LABELS, LOGITS)) == pytest.approx(expected, rel=1e-5)

    def test_dice_is_the_mean_over_classes_of_the_truth(self):
        expected = dice(LABELS, softmax(LOGITS))
        assert float(losses.Dice()(LABELS, LOGITS)) == pytest.approx(expected, rel=1e-5)

    def test_probabilities_give_the_same_as_logits(self):
        for make in (losses.CrossEntropy, losses.Dice):
            expected = float(make()(LABELS, LOGITS))
            found = float(make(from_logits=False)(LABELS, softmax(LOGITS)))
            assert found == pytest.approx(expected, rel=1e-4)

    def test_one_channel_is_two_classes(self):
        labels = np.where(COUNTED, LABELS % 2, 255)
        foreground = 1 / (1 + np.exp(-LOGITS[..., :1]))
        both = np.concatenate([1 - foreground, foreground], -1)
        for loss, formula in ((losses.CrossEntropy(), cross_entropy), (losses.Dice(), dice)):
            found = float(loss(labels, LOGITS[..., :1]))
            assert found == pytest.approx(formula(labels, both), rel=1e-4)

    def test_weighted_sum_adds_its_parts(self):
        loss = losses.WeightedSum([losses.CrossEntropy(), losses.Dice()], weights=[2, 0.5])
        expected = 2 * losses.CrossEntropy()(LABELS, LOGITS) + 0.5 * losses.Dice()(LABELS, LOGITS)
        assert float(loss(LABELS, LOGITS)) == pytest.approx(float(expected), rel=1e-6)

    def test_weighted_sum_needs_a_weight_a_loss(self):
        with pytest.raises(ValueError, match="1 losses and 2 weights"):
            losses.WeightedSum([losses.Dice()], weights=[1, 2])

    @pytest.mark.parametrize("name", ["cross_entropy", "dice", "cross_entropy+dice"])
    def test_ignored_pixels_have_no_gradient(self, name):
        import tensorflow as tf

        logits = tf.constant(LOGITS)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = losses.get(name)(LABELS, logits)
        gradient = np.abs(tape.gradient(loss, logits)).sum(-1)
        assert gradient[~COUNTED].max() == 0 and gradient[COUNTED].min() > 0

    @pytest.mark.parametrize("name", ["cross_entropy", "dice", "cross_entropy+dice"])
    def test_a_batch_without_counted_pixels_costs_nothing(self, name):
        assert float(losses.get(name)(np.full_like(LABELS, 255), LOGITS)) == 0

    @pytest.mark.parametrize("name", ["cross_entropy", "dice", "cross_entropy+dice"])
    def test_half_precision_scores_are_computed_in_float32(self, name):
        logits = (LOGITS * 1000).astype("float16")
        assert np.isfinite(float(losses.get(name)(LABELS, logits)))
        assert losses.get(name)(LABELS, logits).dtype == "float32"

    @pytest.mark.parametrize("name", ["cross_entropy", "dice", "cross_entropy+dice"])
    def test_serialization_keeps_the_value(self, name):
        loss = losses.get(name)
        copy = keras.losses.deserialize(keras.losses.serialize(loss))
        assert float(copy(LABELS, LOGITS)) == float(loss(LABELS, LOGITS))

    def test_unknown_name_is_answered_with_the_nearest(self):
        with pytest.raises(ValueError, match="Did you mean 'dice'"):
            losses.get("dise")


class TestMeanIoU:
    @staticmethod
    def expected(labels, predicted, num_classes):
        counted = labels != 255
        ious = []
        for value in range(num_classes):
            t, p = labels[counted] == value, predicted[counted] == value
            ious.append((t & p).sum() / (t | p).sum() if (t | p).any() else np.nan)
        return ious

    def test_logits_and_ids_give_the_formula(self):
        expected = self.expected(LABELS, LOGITS.argmax(-1), 5)
        for prediction in (LOGITS, softmax(LOGITS), LOGITS.argmax(-1)):
            metric = MeanIoU(5)
            metric.update_state(LABELS, prediction)
            np.testing.assert_allclose(metric.per_class(), expected, rtol=1e-6)
            assert float(metric.result()) == pytest.approx(np.nanmean(expected))

    def test_batches_sum_into_one_matrix(self):
        whole, parts = MeanIoU(5), MeanIoU(5)
        whole.update_state(LABELS, LOGITS)
        for label, logit in zip(LABELS, LOGITS, strict=True):
            parts.update_state(label[None], logit[None])
        np.testing.assert_array_equal(whole.confusion, parts.confusion)
        assert int(np.sum(whole.confusion)) == COUNTED.sum()

    def test_absent_classes_are_left_out(self):
        metric = MeanIoU(5)
        labels = np.array([[[0, 0, 1, 1]]])
        metric.update_state(labels, np.array([[[0, 0, 1, 0]]]))
        np.testing.assert_allclose(metric.per_class()[:2], [2 / 3, 1 / 2])
        assert np.isnan(metric.per_class()[2:]).all()
        assert float(metric.result()) == pytest.approx((2 / 3 + 1 / 2) / 2)

    def test_one_channel_is_thresholded(self):
        labels = np.where(COUNTED, LABELS % 2, 255)
        metric = MeanIoU(1)
        metric.update_state(labels, LOGITS[..., :1])
        expected = self.expected(labels, (LOGITS[..., 0] > 0).astype(int), 2)
        np.testing.assert_allclose(metric.per_class(), expected, rtol=1e-6)

    def test_pixels_of_weight_zero_do_not_count(self):
        weighted, cut = MeanIoU(5), MeanIoU(5)
        weighted.update_state(LABELS, LOGITS, sample_weight=np.array([1.0, 0.0]))
        cut.update_state(LABELS[:1], LOGITS[:1])
        np.testing.assert_array_equal(weighted.confusion, cut.confusion)

    def test_counts_go_on_past_what_float32_can_hold(self):
        metric = MeanIoU(2)
        metric.confusion.assign(np.array([[2**24, 0], [0, 1]]))
        metric.update_state(np.zeros((1, 1, 1), int), np.zeros((1, 1, 1), int))
        assert int(metric.confusion[0, 0]) == 2**24 + 1

    def test_wrong_channel_count_is_named(self):
        with pytest.raises(ValueError, match="4 classes got predictions with 5 channels"):
            MeanIoU(4).update_state(LABELS, LOGITS)

    def test_empty_metric_is_zero(self):
        assert float(MeanIoU(3).result()) == 0

    def test_config_round_trips(self):
        metric = MeanIoU(3, ignore_class=7, from_logits=False, name="m")
        assert MeanIoU.from_config(metric.get_config()).get_config() == metric.get_config()
