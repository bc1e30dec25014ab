"""Images for calibration: extremes and rare classes are among them, and the choice repeats."""

import numpy as np
import pytest

from keras_seg.export.int8 import calibration
from tests.helpers.colour_blocks import ColourBlocks

SHAPE = (32, 48, 3)


@pytest.fixture(scope="module")
def blocks():
    return ColourBlocks()


def test_extremes_are_in_and_the_choice_repeats(blocks):
    chosen = calibration.choose_images(blocks, SHAPE, count=4)
    assert min(image.min() for image in chosen.images) == 0
    assert max(image.max() for image in chosen.images) == 255
    assert len(chosen.images) == 5
    assert {image.shape for image in chosen.images} == {SHAPE}
    again = calibration.choose_images(blocks, SHAPE, count=4)
    assert again.names == chosen.names
    assert chosen.names != calibration.choose_images(blocks, SHAPE, count=4, seed=1).names


def test_rare_classes_are_searched_for():
    class OneOfTwelve(ColourBlocks):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            mask = np.where(sample.mask == 2, 0 if index != 5 else 2, sample.mask)
            return sample._replace(mask=mask)

    chosen = calibration.choose_images(OneOfTwelve(length=12), SHAPE, count=3)
    assert "5" in chosen.names
    assert chosen.missing == []


def test_missing_classes_are_named(blocks):
    class WithoutLast(ColourBlocks):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return sample._replace(mask=np.where(sample.mask == 2, 1, sample.mask))

    assert calibration.choose_images(WithoutLast(), SHAPE, count=3).missing == ["c"]


def test_tiles_are_windows_of_the_image():
    data = ColourBlocks(size=(80, 96))
    chosen = calibration.choose_images(data, SHAPE, sizing="tile", count=2)
    for name, view in zip(chosen.names, chosen.images, strict=False):
        windows = np.lib.stride_tricks.sliding_window_view(data[int(name)].image, SHAPE)
        assert (windows[:, :, 0] == view).all((-3, -2, -1)).any()
