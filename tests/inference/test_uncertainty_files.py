"""Bayesian SegNet's uncertainty as a map of the image's size."""

import numpy as np
import pytest
from PIL import Image

from keras_seg import models
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.predict import predict_files
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.inference.uncertainty import predict_uncertainty

pytestmark = pytest.mark.xdist_group("uncertainty")  # one worker, so that fixtures are made once


@pytest.fixture(scope="module")
def runner():
    model = models.segnet_basic(
        (None, None, 3), 3, bayesian=True, **models.find("segnet_basic").tiny
    )
    for weight in model.trainable_weights:  # scores far enough apart for dropout to show
        weight.assign(3 * weight)
    return KerasRunner(model)


def noise(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)


def test_maps_have_the_size_of_the_image_and_a_spread(runner):
    found = predict_uncertainty(runner, noise(37, 50), samples=3)
    assert found.mask.shape == found.deviation.shape == (37, 50)
    np.testing.assert_allclose(found.probabilities.sum(-1), 1, atol=1e-5)
    assert 0 < found.deviation.max() <= 0.5


def test_file_is_a_grey_picture(runner, tmp_path):
    Image.fromarray(noise(32, 32)).save(tmp_path / "a.png")
    result = predict_files(
        runner, [tmp_path / "a.png"], tmp_path, outputs=OutputOptions(uncertainty=True)
    )
    assert result.failed == []
    with Image.open(tmp_path / "a_uncertainty.png") as picture:
        assert picture.mode == "L" and picture.size == (32, 32)
        assert np.asarray(picture).max() > 0
