"""Metrics from the confusion matrix equal their formulas in NumPy."""

import numpy as np
import pytest

from keras_seg.metrics import MeanIoU

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, (2, 16, 16))
LABELS[RNG.random(LABELS.shape) < 0.2] = 255
LOGITS = RNG.normal(0, 3, (2, 16, 16, 5)).astype("float32")  # class 4 never occurs in the truth
COUNTED = LABELS != 255


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


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
