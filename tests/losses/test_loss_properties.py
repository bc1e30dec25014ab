"""Losses and metrics of arbitrary labels and scores: NumPy's value, and finite gradients."""

import warnings
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seg import losses
from tests.helpers.loss_cases import IGNORED
from tests.helpers.loss_formulas import FORMULAS, LABEL_FORMULAS
from tests.helpers.score_formulas import METRICS, class_scores, label_scores

FEW = settings(max_examples=50, deadline=None, derandomize=True)
MANY = settings(max_examples=2000, deadline=None)
HUGE = 5e3
"""The largest scores whose probabilities NumPy's long double still tells from 0 on x86."""


class Case(NamedTuple):
    """Masks (B, H, W) of any integer type, scores (B, H, W, C) of any precision, weights or None.

    scale: the largest score.
    """

    labels: np.ndarray
    logits: tf.Tensor
    weight: np.ndarray | None
    scale: float

    @property
    def counted(self):
        counted = self.labels != IGNORED
        return counted if self.weight is None else counted & (self.weight != 0)

    def exact_logits(self):
        """Of at least two classes; NaN where nothing counts is 0."""
        logits = np.where(self.counted[..., None], self.logits.numpy().astype(np.longdouble), 0)
        if logits.shape[-1] == 1:
            logits = np.concatenate([np.zeros_like(logits), logits], -1)
        return logits


@st.composite
def cases(draw, most_images=3):
    """Absent classes, ignored pixels or none but those, which have scores that are no numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = tuple(draw(st.integers(low, most)) for low, most in ((0, most_images), (1, 7), (1, 7)))
    channels = draw(st.integers(1, 5))
    present = draw(st.sets(st.integers(0, max(2, channels) - 1), min_size=1))
    labels = rng.choice(sorted(present), shape)
    labels[rng.random(shape) < draw(st.sampled_from([0, 0.3, 1]))] = IGNORED
    scale = draw(st.sampled_from([0, 1, 10, HUGE, 1e4]))
    logits = rng.uniform(-scale, scale, (*shape, channels))
    logits[labels == IGNORED] = draw(st.sampled_from([0, 1e4, np.inf, np.nan]))
    weight = rng.choice([0, 0.5, 1, 3], shape) if draw(st.booleans()) else None
    return Case(
        labels.astype(draw(st.sampled_from(["uint8", "int32", "int64"]))),
        tf.cast(logits, draw(st.sampled_from(["float32", "float16", "bfloat16"]))),
        weight,
        scale,
    )


def expected_loss(name: str, case: Case) -> float:
    logits = case.exact_logits()
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities = shifted / shifted.sum(-1, keepdims=True)
    weight = case.counted.astype(float) * (1 if case.weight is None else case.weight)
    kept = slice(None)
    if name == "lovasz_hinge":  # a mean over the images that count
        kept = case.counted.any((1, 2))
    return FORMULAS[name](case.labels[kept].astype(int), probabilities[kept], weight[kept])


def check_loss(name: str, case: Case):
    logits = tf.Variable(case.logits)
    with tf.GradientTape() as tape:
        loss = losses.get(name)(case.labels, logits, case.weight)
    gradient = tape.gradient(loss, logits)
    gradient = tf.cast(gradient, "float32").numpy()
    assert loss.dtype == "float32" and np.isfinite(loss) and np.isfinite(gradient).all()
    assert not gradient[~case.counted].any()
    if not case.counted.any():
        assert float(loss) == 0
    # OHEM keeps ties, and float32 has more of them than NumPy's long double
    elif case.scale <= (1 if name == "ohem" else HUGE):
        assert float(loss) == pytest.approx(float(expected_loss(name, case)), rel=5e-5, abs=2e-6)


def check_score(name: str, batches: list[Case]):
    channels = batches[0].logits.shape[-1]
    batches = [case for case in batches if case.logits.shape[-1] == channels]
    metric = METRICS[name](channels)
    truth, predicted = [], []
    for case in batches:
        metric.update_state(case.labels, case.logits, case.weight)
        truth.append(case.labels[case.counted])
        predicted.append(case.exact_logits().argmax(-1)[case.counted])
    truth, predicted = np.concatenate(truth), np.concatenate(predicted)
    expected = class_scores(truth, predicted, max(2, channels))[name] if truth.size else 0
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


@st.composite
def label_cases(draw, most_images=3):
    """As `cases`, with labels of 0 and 1 in each channel that are unknown here and there."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = tuple(draw(st.integers(low, most)) for low, most in ((0, most_images), (1, 7), (1, 7)))
    shape = (*shape, draw(st.integers(1, 4)))
    labels = (rng.random(shape) < draw(st.sampled_from([0, 0.3, 1]))).astype(int)
    labels[rng.random(shape) < draw(st.sampled_from([0, 0.3, 1]))] = IGNORED
    scale = draw(st.sampled_from([0, 1, 10, HUGE, 1e4]))
    logits = rng.uniform(-scale, scale, shape)
    logits[labels == IGNORED] = draw(st.sampled_from([0, 1e4, np.inf, np.nan]))
    weight = rng.choice([0, 0.5, 1, 3], shape[:-1]) if draw(st.booleans()) else None
    return Case(
        labels.astype(draw(st.sampled_from(["uint8", "int32", "float32"]))),
        tf.cast(logits, draw(st.sampled_from(["float32", "float16", "bfloat16"]))),
        weight,
        scale,
    )


def counted_labels(case: Case):
    counted = case.labels != IGNORED
    return counted if case.weight is None else counted & (case.weight != 0)[..., None]


def expected_loss_of_labels(name: str, case: Case) -> float:
    weight = counted_labels(case).astype(float)
    if case.weight is not None:
        weight = weight * case.weight[..., None]
    truth = np.where(weight > 0, case.labels, 0).astype(float)
    logits = np.where(weight > 0, case.logits.numpy().astype(np.longdouble), 0)
    return float(LABEL_FORMULAS[name](truth, logits, weight))


def check_loss_of_labels(name: str, case: Case):
    counted, logits = counted_labels(case), tf.Variable(case.logits)
    with tf.GradientTape() as tape:
        loss = losses.get({"name": name, "multi_label": True})(case.labels, logits, case.weight)
    gradient = tf.cast(tape.gradient(loss, logits), "float32").numpy()
    assert loss.dtype == "float32" and np.isfinite(loss) and np.isfinite(gradient).all()
    assert not gradient[~counted].any()
    if not counted.any():
        assert float(loss) == 0
    elif case.scale <= (1 if name == "ohem" else HUGE):
        expected = expected_loss_of_labels(name, case)
        assert float(loss) == pytest.approx(expected, rel=5e-5, abs=2e-6)


def check_score_of_labels(name: str, case: Case):
    metric = METRICS[name](case.labels.shape[-1], multi_label=True)
    metric.update_state(case.labels, case.logits, case.weight)
    counted = counted_labels(case)
    truth = np.where(counted, case.labels, IGNORED)
    predicted = np.where(counted, case.logits.numpy().astype(float), 0) > 0
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means of nothing
        expected = np.nan_to_num(label_scores(truth, predicted)[0][name]) if counted.any() else 0
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def usable(name: str, case: Case) -> bool:
    return name != "lovasz_hinge" or case.logits.shape[-1] <= 2


class TestLosses:
    @FEW
    @given(name=st.sampled_from(sorted(losses.LOSSES)), case=cases())
    def test_value_and_gradient(self, name, case):
        if usable(name, case):
            check_loss(name, case)

    @FEW
    @given(name=st.sampled_from(sorted(LABEL_FORMULAS)), case=label_cases())
    def test_value_and_gradient_of_labels(self, name, case):
        check_loss_of_labels(name, case)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", sorted(LABEL_FORMULAS))
    @MANY
    @given(case=label_cases())
    def test_value_and_gradient_of_many_labels(self, name, case):
        check_loss_of_labels(name, case)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", sorted(losses.LOSSES))
    @MANY
    @given(case=cases())
    def test_value_and_gradient_of_many(self, name, case):
        if usable(name, case):
            check_loss(name, case)


class TestMetrics:
    @FEW
    @given(name=st.sampled_from(sorted(METRICS)), batches=st.lists(cases(), min_size=1, max_size=3))
    def test_sums_over_batches(self, name, batches):
        check_score(name, batches)

    @FEW
    @given(name=st.sampled_from(sorted(METRICS)), case=label_cases())
    def test_scores_of_labels(self, name, case):
        check_score_of_labels(name, case)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", sorted(METRICS))
    @MANY
    @given(batches=st.lists(cases(), min_size=1, max_size=3))
    def test_sums_over_many_batches(self, name, batches):
        check_score(name, batches)
