"""A validation score of NaN is never the best, and earlier checkpoints resume."""

import math

import keras
import numpy as np
import pytest

from keras_seg import metrics
from keras_seg.training.history import MONITOR, History
from keras_seg.training.saved_state import SavedState


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    history = History(tmp_path)
    for epoch, score in enumerate((math.nan, 0.4, math.nan, 0.3, math.nan), start=1):
        history.append({"epoch": epoch, MONITOR: score})
    assert history.best == (0.4, 2) and history.epochs_without_progress == 3
    assert history.plateaus(3) == 1
    again = History(tmp_path, epochs=5)
    assert again.best == (0.4, 2) and math.isnan(again.rows[0][MONITOR])


def compiled():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1)])
    model.compile("sgd", "mse", metrics=[metrics.MeanIoU(2)], run_eagerly=True)
    model.fit(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 2)), verbose=0)
    return model


@pytest.mark.parametrize("older", [False, True])
def test_sums_of_a_checkpoint_from_before_invalid_pixels_were_counted_are_added(tmp_path, older):
    model = compiled()
    state = SavedState(tmp_path, model)
    state.metrics = [np.asarray(v) + 1 for v in model.metrics_variables]
    before = [np.asarray(v) for v in model.metrics_variables]
    (invalid,) = [v for v in model.metrics_variables if v.path.endswith("/invalid")]
    if older:
        del state.metrics[[v is invalid for v in model.metrics_variables].index(True)]
    state.add_metrics_of_interrupted_epoch()
    for variable, value in zip(model.metrics_variables, before, strict=True):
        added = 0 if older and variable is invalid else value + 1
        np.testing.assert_array_equal(variable, value + added)
