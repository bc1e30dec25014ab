"""Distances to masks in a compiled step equal those of SciPy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import distance_transform_edt

from keras_seg.masks.distances import distance_to


@pytest.mark.parametrize("jit_compile", [None, False, True])
@pytest.mark.parametrize(
    ("size", "share", "max_distance"),
    [
        ((37, 53), 0.01, 100),
        ((37, 53), 0.01, 5),
        ((9, 8), 0.3, 1),
        ((1, 40), 0.1, 64),
        ((40, 1), 0.1, 64),
    ],
)
def test_distances_are_those_of_scipy(size, share, max_distance, jit_compile):
    masks = np.random.default_rng(0).random((2, *size, 3)) < share
    masks[0, ..., 2] = False
    expected = np.full(masks.shape, max_distance, float)
    for image, channel in np.ndindex(2, 3):
        if masks[image, ..., channel].any():
            distance = distance_transform_edt(~masks[image, ..., channel])
            expected[image, ..., channel] = np.minimum(distance, max_distance)
    measure = distance_to
    if jit_compile is not None:
        shape = masks.shape if jit_compile else (None, None, None, 3)
        measure = tf.function(
            lambda mask: distance_to(mask, max_distance),
            input_signature=[tf.TensorSpec(shape, tf.bool)],
            jit_compile=jit_compile,
        )
        np.testing.assert_allclose(measure(masks), expected, atol=1e-5)
    else:
        np.testing.assert_allclose(measure(tf.constant(masks), max_distance), expected, atol=1e-5)
