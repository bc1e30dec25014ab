"""The forms of resizing agree: TensorFlow's operator, matrix products and chosen pixels."""

import numpy as np
import pytest
import tensorflow as tf

from keras_seg.layers.resize import GRIDS, _by_operator, _interpolated, _nearest

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
@pytest.mark.parametrize("before", SIZES)
def test_matrix_products_interpolate_as_the_operator(grid, before):
    x = tf.constant(np.random.default_rng(0).normal(size=(1, before, 2, 1)).astype("float32"))
    for after in SIZES:
        expected = _by_operator(x, (after, 3), grid, "bilinear")
        found = _interpolated(x, (after, 3), grid)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4, err_msg=f"{after}")
