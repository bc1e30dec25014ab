"""Objects in masks, and their match with the true ones."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from keras_seg.masks.instance_matching import THRESHOLDS, match_counts, object_ious
from keras_seg.masks.instances import number_objects, split_at_necks

ROWS, COLUMNS = np.mgrid[:80, :120]


def disc(row, column, radius):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2


def box(top, left, bottom, right):
    return (top <= ROWS) & (bottom > ROWS) & (left <= COLUMNS) & (right > COLUMNS)


class TestNumbers:
    def test_equal_those_of_scipy_for_one_class(self):
        from scipy import ndimage

        mask = np.random.default_rng(0).integers(0, 2, (60, 70))
        np.testing.assert_array_equal(number_objects(mask, [1]), ndimage.label(mask)[0])

    def test_of_several_classes_and_small_ones(self):
        mask = np.zeros((80, 120), int)
        mask[disc(20, 20, 10)], mask[disc(20, 45, 10)], mask[disc(60, 60, 2)] = 1, 2, 1
        mask[5, 5:100] = 255
        numbers = number_objects(mask, [1, 2], min_area=20)
        assert np.unique(numbers).tolist() == [0, 1, 2]
        assert set(mask[numbers == 1]) == {1} and set(mask[numbers == 2]) == {2}
        assert not numbers[disc(60, 60, 2)].any()

    def test_a_border_class_separates_and_is_shared(self):
        mask = np.where(disc(40, 40, 15) | disc(40, 66, 15), 1, 0)
        ridge = (mask == 1) & (np.abs(COLUMNS - 53) <= 1)
        mask[ridge] = 2
        mask[box(0, 0, 3, 9)] = 2  # a border of nothing
        numbers = number_objects(mask, [1], border=2)
        assert numbers.max() == 2
        np.testing.assert_array_equal(numbers > 0, (mask == 1) | ridge)
        assert set(numbers[40, 30:53]) == {1} and set(numbers[40, 54:80]) == {2}

    @pytest.mark.parametrize("mask", [np.zeros((3, 4), int), np.full((3, 4), 255)])
    def test_of_nothing(self, mask):
        for options in ({}, {"split": True}, {"border": 1}):
            assert not number_objects(mask, [1], **options).any()


class TestNecks:
    @pytest.mark.parametrize(
        ("region", "parts"),
        [
            (disc(40, 40, 15), 1),
            (disc(40, 40, 15) | disc(40, 65, 15), 2),
            (disc(40, 40, 15) | disc(40, 52, 15), 1),
            (disc(40, 30, 12) | disc(40, 50, 12) | disc(40, 72, 14), 3),
            (disc(40, 40, 4) | disc(40, 47, 4), 2),
            (((ROWS - 40) / 8) ** 2 + ((COLUMNS - 60) / 30) ** 2 <= 1, 1),
            (box(30, 10, 45, 100), 1),
            (box(10, 10, 70, 25) | box(55, 10, 70, 90), 1),
            (disc(40, 40, 20) | box(38, 58, 42, 66), 1),  # a bump
            (np.ones((80, 120), bool), 1),
        ],
        ids=["one", "two", "deep", "three", "small", "ellipse", "bar", "L", "bump", "full"],
    )
    def test_separate_objects(self, region, parts):
        split = split_at_necks(region)
        assert np.unique(split[region]).tolist() == list(range(1, parts + 1))
        np.testing.assert_array_equal(split > 0, region)

    def test_parts_are_those_of_a_watershed(self):
        segmentation = pytest.importorskip("skimage.segmentation")
        from scipy import ndimage

        region = disc(40, 40, 15) | disc(36, 65, 13)
        markers = np.zeros(region.shape, int)
        markers[40, 40], markers[36, 65] = 1, 2
        distance = ndimage.distance_transform_edt(region)
        expected = segmentation.watershed(-distance, markers, mask=region)
        agreement = (split_at_necks(region) == expected)[region].mean()
        assert agreement > 0.97


def slow_precision(truth, predicted, threshold):
    """TP / (TP + FP + FN) by sets of pixels and an optimal assignment."""
    true_sets, sets = (
        [set(np.flatnonzero(numbers == each)) for each in np.unique(numbers) if each]
        for numbers in (truth, predicted)
    )
    if not true_sets and not sets:
        return None
    fits = np.zeros((len(true_sets), len(sets)))
    for i, one in enumerate(true_sets):
        for j, other in enumerate(sets):
            fits[i, j] = len(one & other) / len(one | other) > threshold
    hits = fits[linear_sum_assignment(-fits)].sum() if fits.size else 0
    return hits / (len(true_sets) + len(sets) - hits)


class TestMatches:
    @pytest.mark.parametrize("seed", range(10))
    def test_equal_sets_of_pixels_assigned_one_to_one(self, seed):
        generator = np.random.default_rng(seed)
        truth, predicted = np.zeros((2, 40, 40), int)
        for number in range(1, 9):
            top, left, tall, wide = generator.integers(1, 30, 4) % [30, 30, 12, 12] + [0, 0, 3, 3]
            truth[top : top + tall, left : left + wide] = 3 * number
            down, right = generator.integers(-1, 2, 2)
            if generator.random() < 0.8:
                rows = slice(max(0, top + down), top + tall)
                predicted[rows, max(0, left + right) : left + wide + right] = 40 - number
        counts = match_counts(truth, predicted)
        for threshold, (hits, extra, missed) in zip(THRESHOLDS, counts, strict=True):
            expected = slow_precision(truth, predicted, threshold)
            assert hits / (hits + extra + missed) == pytest.approx(expected)

    def test_an_iou_of_half_is_no_match(self):
        truth, predicted = np.array([[1, 1, 0]]), np.array([[1, 0, 0]])
        assert object_ious(truth, predicted).tolist() == [[0.5]]
        assert match_counts(truth, predicted, [0.5]).tolist() == [[0, 1, 1]]

    def test_what_is_refused(self):
        with pytest.raises(ValueError, match="of one size"):
            match_counts(np.zeros((3, 4)), np.zeros((4, 3)))
        with pytest.raises(ValueError, match=r"from 0\.5"):
            match_counts(np.zeros((3, 4)), np.zeros((3, 4)), [0.3])
