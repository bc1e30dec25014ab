"""The order of an epoch is a function of (data, seed, epoch), balanced where that is wanted."""

import numpy as np
import pytest

from keras_seg.data import ClassTable, Sample, SegmentationDataset
from keras_seg.data.balance.histogram import class_histogram, median_frequency_weights
from keras_seg.data.sampling import balanced_probabilities, epoch_order


class OneRareClass(SegmentationDataset):
    """Twenty samples with class 0 and, in the last alone, class 1; the first is unknown."""

    name, split, channels = "rare", "train", 3
    classes = ClassTable(("common", "rare", "absent"))

    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 20

    def __getitem__(self, index):
        self.reads += 1
        mask = np.full((4, 5), 255 if index == 0 else 0, np.int32)
        mask[0, 0] = 255
        if index == 19:
            mask[2:] = 1
        return Sample(str(index), np.zeros((4, 5, 3), np.uint8), mask)


def test_every_sample_comes_once_before_any_comes_again():
    order = epoch_order(OneRareClass(), 3, 1, length=47)
    assert sorted(order[:20]) == sorted(order[20:40]) == list(range(20))
    assert set(order[40:]) <= set(order[:7])


@pytest.mark.parametrize("balance", [False, True])
def test_order_depends_on_seed_and_epoch_alone(balance):
    def order(seed, epoch):
        return epoch_order(OneRareClass(), seed, epoch, length=20, balance=balance)

    np.testing.assert_array_equal(order(5, 2), order(5, 2))
    assert (order(5, 2) != order(5, 3)).any() and (order(5, 2) != order(6, 2)).any()


def test_balanced_order_shows_each_class_as_often():
    data = OneRareClass()
    order = epoch_order(data, 0, 0, length=200, balance=True)
    # half of the draws are for class 1, and the other half falls on it as on any of 19
    assert abs((order == 19).sum() - 200 * (0.5 + 0.5 / 19)) <= 1
    assert not (order == 0).any()
    for index in range(1, 19):
        assert abs((order == index).sum() - 200 * 0.5 / 19) <= 1


def test_classes_are_counted_once():
    data = OneRareClass()
    for epoch in range(3):
        epoch_order(data, 0, epoch, length=5, balance=True)
    assert data.reads == 20
    np.testing.assert_array_equal(
        class_histogram(data)[[0, 1, 19]], [[0] * 3, [19, 0, 0], [9, 10, 0]]
    )


def test_a_data_set_of_unknown_pixels_is_drawn_evenly():
    np.testing.assert_array_equal(balanced_probabilities(np.zeros((4, 3), bool)), [0.25] * 4)


def test_median_frequency_weights_follow_the_definition():
    histogram = np.array([[6, 2, 0, 0], [10, 0, 10, 0]])
    frequency = np.array([16 / 28, 2 / 8, 10 / 20])
    expected = [*(np.median(frequency) / frequency), 0]
    np.testing.assert_allclose(median_frequency_weights(histogram), expected)
    assert not median_frequency_weights(np.zeros((2, 3))).any()


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"epoch": -1}, {"length": -1}])
def test_orders_that_make_no_sense_are_refused(wrong):
    arguments = {"seed": 0, "epoch": 0, "length": 4, **wrong}
    with pytest.raises(ValueError, match="at least 0. Received"):
        epoch_order(OneRareClass(), **arguments)
