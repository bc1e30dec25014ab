"""The forms of resizing agree: TensorFlow's operator, matrix products and chosen pixels."""

import numpy as np
import pytest
import tensorflow as tf

from keras_seg.layers.resize import GRIDS, Resize, _by_operator, _interpolated, _nearest
from tests.helpers.slow_cases import all_but

SIZES = (*range(1, 14), 17, 31, 33, 49, 64, 65, 98, 127)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("before", SIZES)
def test_nearest_chooses_the_pixels_of_the_operator(grid, before):
    x = tf.reshape(tf.range(before, dtype=tf.int32), (1, before, 1, 1))
    x = tf.concat([x, x], axis=2)
    for after in SIZES:
        expected = _by_operator(x, (after, 3), grid, "nearest")
        np.testing.assert_array_equal(_nearest(x, (after, 3), grid), expected, err_msg=f"{after}")


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("before", all_but({1, 2, 3, 4, 7, 10, 13, 31, 64, 65, 127}, SIZES))
def test_matrix_products_interpolate_as_the_operator(grid, before):
    x = tf.constant(np.random.default_rng(0).normal(size=(1, before, 2, 1)).astype("float32"))
    for after in SIZES:
        expected = _by_operator(x, (after, 3), grid, "bilinear")
        found = _interpolated(x, (after, 3), grid)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4, err_msg=f"{after}")


@pytest.mark.parametrize("grid", GRIDS)
def test_float64_is_interpolated_in_float64(grid):
    values = np.random.default_rng(0).normal(size=(1, 4, 5, 2))
    resized = Resize(3, grid=grid, dtype="float64")(tf.constant(values))
    assert resized.dtype == tf.float64
    expected = _by_operator(tf.constant(values), (12, 15), grid, "bilinear")
    np.testing.assert_allclose(resized, expected, rtol=0, atol=1e-5)
    if grid == "half_pixel":  # the middle of three pixels is on the pixel that it comes from
        np.testing.assert_allclose(resized[:, 1::3, 1::3], values, rtol=0, atol=1e-14)
