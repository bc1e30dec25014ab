"""Metrics equal their formulas in NumPy and ignore pixels of `ignore_class`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import metrics
from keras_seg.metrics import MeanIoU, SegmentationMetrics
from tests.helpers.loss_cases import softmax
from tests.helpers.score_formulas import METRICS, class_scores

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, (2, 16, 16))
LABELS[RNG.random(LABELS.shape) < 0.2] = 255
LOGITS = RNG.normal(0, 3, (2, 16, 16, 5)).astype("float32")  # class 4 never occurs in the truth
COUNTED = LABELS != 255


def random_case(seed):
    """Blobs of classes, some absent from the truth, the prediction or both, and ignored pixels."""
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(2, 8))
    truth, predicted = (
        rng.choice(rng.permutation(num_classes)[: rng.integers(1, num_classes + 1)], (2, 9, 7))
        for _ in range(2)
    )
    truth = np.where(rng.random(truth.shape) < 0.3, 255, truth)
    return num_classes, truth, np.where(rng.random(truth.shape) < 0.5, predicted, truth % 255)


class TestScores:
    @pytest.mark.parametrize("seed", range(12))
    def test_every_score_is_its_formula(self, seed):
        num_classes, truth, predicted = random_case(seed)
        expected = class_scores(truth, predicted, num_classes)
        together = SegmentationMetrics(num_classes)
        together.update_state(truth, predicted)
        assert {k: float(v) for k, v in together.result().items()} == pytest.approx(expected)
        for name, make in METRICS.items():
            metric = make(num_classes)
            metric.update_state(truth, predicted)
            assert metric.name == name and float(metric.result()) == pytest.approx(expected[name])

    def test_iou_of_each_class_is_nan_or_0_where_it_is_absent(self):
        truth, predicted = np.array([[[0, 0, 1, 1]]]), np.array([[[0, 0, 1, 0]]])
        each = SegmentationMetrics(3, scores=["mean_iou"], class_names=["a", "b", "c"], prefix="x_")
        each.update_state(truth, predicted)
        found = {name: float(value) for name, value in each.result().items()}
        assert np.isnan(found.pop("x_iou_c"))
        assert found == pytest.approx({"x_mean_iou": 7 / 12, "x_iou_a": 2 / 3, "x_iou_b": 1 / 2})
        for number, iou in enumerate([2 / 3, 1 / 2, 0]):
            one = metrics.ClassIoU(3, number)
            one.update_state(truth, predicted)
            assert float(one.result()) == pytest.approx(iou) and one.name == f"iou_{number}"

    def test_per_class_values_are_nan_where_absent(self):
        for make, expected in (
            (metrics.MeanIoU, [2 / 3, 1 / 2, np.nan]),
            (metrics.MeanDice, [4 / 5, 2 / 3, np.nan]),
            (metrics.MeanClassAccuracy, [1, 1 / 2, np.nan]),
        ):
            metric = make(3)
            metric.update_state(np.array([[[0, 0, 1, 1]]]), np.array([[[0, 0, 1, 0]]]))
            np.testing.assert_allclose(metric.per_class(), expected, rtol=1e-6)

    def test_in_fit_every_score_is_in_the_logs(self):
        model = keras.Sequential([keras.Input((16, 16, 5)), keras.layers.Conv2D(5, 1)])
        scores = SegmentationMetrics(5, class_names="abcde")
        alone = MeanIoU(5, name="alone")
        model.compile("sgd", "mse", metrics=[scores, alone], run_eagerly=True)
        data = (LOGITS, np.eye(256)[LABELS][..., :5])
        unseen = tuple(array[:1] for array in data)
        logs = model.fit(*data, validation_data=unseen, verbose=0).history
        for prefix in ("", "val_"):
            names = {prefix + name for name in (*METRICS, *(f"iou_{c}" for c in "abcde"))}
            assert names <= logs.keys()
            assert logs[prefix + "mean_iou"] == logs[prefix + "alone"]
        again = model.evaluate(*unseen, verbose=0, return_dict=True)
        assert {name: logs[f"val_{name}"] for name in again} == {n: [v] for n, v in again.items()}

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: SegmentationMetrics(3, scores=["miou"]), "Did you mean 'mean_iou'"),
            (lambda: SegmentationMetrics(3, class_names=["a"]), "1 class_names for 3 classes"),
            (lambda: metrics.ClassIoU(3, 3), "class_id must be 0 to 2. Received: class_id=3"),
        ],
    )
    def test_wrong_options_are_named(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

    @pytest.mark.parametrize(
        "metric",
        [
            *(make(3, ignore_class=7, from_logits=False) for make in METRICS.values()),
            metrics.ClassIoU(3, 1, ignore_class=None),
            SegmentationMetrics(3, scores=["mean_dice"], class_names=["a", "b", "c"], prefix="p_"),
            metrics.BoundaryF1(3, tolerance=0.01, name="outline"),
        ],
        ids=lambda metric: metric.name,
    )
    def test_serialization_keeps_the_options(self, metric):
        copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert type(copy) is type(metric) and copy.get_config() == metric.get_config()


class TestForms:
    """Of labels and predictions."""

    @pytest.mark.parametrize("make", [MeanIoU, metrics.BoundaryF1])
    def test_labels_may_have_a_channel_or_be_one_hot_and_ids_may_be_scores(self, make):
        expected = None
        for labels in (LABELS, LABELS[..., None], np.eye(256)[LABELS][..., :5]):
            for scores in (LOGITS, softmax(LOGITS), LOGITS.argmax(-1), LOGITS.astype("float16")):
                metric = make(5)
                metric.update_state(labels, scores)
                expected = expected or float(metric.result())
                assert float(metric.result()) == expected > 0

    @pytest.mark.parametrize("make", [SegmentationMetrics, metrics.BoundaryF1])
    def test_graph_and_xla_count_like_eager(self, make):
        eager = make(5)
        eager.update_state(LABELS, LOGITS)
        spec = [tf.TensorSpec((None,) * 3, tf.int64), tf.TensorSpec((None, None, None, 5))]
        compiled = (
            lambda metric: tf.function(metric.update_state, jit_compile=True),
            lambda metric: tf.function(metric.update_state, input_signature=spec),
        )
        for compile_ in compiled:
            metric = make(5)
            compile_(metric)(tf.constant(LABELS), tf.constant(LOGITS))
            for found, expected in zip(metric.variables, eager.variables, strict=True):
                np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("make", [MeanIoU, metrics.BoundaryF1])
    def test_sizes_and_channels_that_do_not_belong_together_are_named(self, make):
        with pytest.raises(ValueError, match="has 4 classes, and the predictions have 5 channels"):
            make(4).update_state(LABELS, LOGITS)
        with pytest.raises(ValueError, match=r"\(2, 16, 16\) do not belong to scores .*\(2, 8, 8"):
            make(5).update_state(LABELS, LOGITS[:, :8, :8])

    def test_ids_outside_the_classes_are_counted_apart(self):
        metric = MeanIoU(2)
        metric.update_state(np.array([[0, 1, 1, 77, -1]]), np.array([[0, 1, 2, 0, 0]]))
        np.testing.assert_array_equal(metric.confusion, np.eye(2))
        assert int(metric.invalid) == 3 and np.isnan(float(metric.result()))


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

    def test_empty_metric_is_zero(self):
        assert float(MeanIoU(3).result()) == 0
