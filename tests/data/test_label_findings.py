"""What the values of masks give away, whoever counted them."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from keras_seg.data.mask_values.counts import count_labels
from keras_seg.data.mask_values.findings import label_findings
from keras_seg.data.mask_values.remedies import ARRAYS, CLASS_FILE, NO_CLASS_FILE

DISC = np.zeros((96, 96), np.uint8)
ROWS, COLUMNS = np.mgrid[:96, :96]
DISC[(ROWS - 40) ** 2 + (COLUMNS - 50) ** 2 < 900] = 255
ZIPF = {number: 1_000_000 // (number + 1) for number in range(151)}


def jpeg(mask):
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG")
    return np.asarray(Image.open(file))


SMOOTH = {
    "resized": np.asarray(Image.fromarray(DISC).resize((40, 40), Image.Resampling.BILINEAR)),
    "jpeg": jpeg(DISC),
}


class TestCounting:
    @pytest.mark.parametrize(
        "dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64, np.float32]
    )
    def test_every_type_is_counted_alike(self, dtype):
        assert count_labels(np.array([[0, 0, 3], [7, 3, 0]], dtype)) == {0: 3, 3: 2, 7: 1}

    def test_extremes_booleans_and_several_masks(self):
        assert count_labels(np.array([-9999, 2**40, 2**40])) == {-9999: 1, 2**40: 2}
        assert count_labels(np.array([-128, 127], np.int8)) == {-128: 1, 127: 1}
        assert count_labels([np.array([True, False]), np.array([[1.0]])]) == {0: 1, 1: 2}
        assert count_labels(np.zeros((0, 3), np.uint8)) == {}

    def test_nan_is_one_entry_over_several_masks(self):
        counts = count_labels([np.array([math.nan, 1, math.nan]), np.array([math.nan])])
        assert sorted(counts.values()) == [1, 3]
        assert any(math.isnan(value) for value in counts)


def only(counts, **options):
    (finding,) = label_findings(counts, **options)
    return finding


class TestZeroAnd255:
    @pytest.mark.parametrize("num_classes", [None, 1, 2])
    def test_is_an_error_with_the_line_to_write(self, num_classes):
        finding = only({0: 900, 255: 100}, num_classes=num_classes, remedies=CLASS_FILE)
        assert finding.kind == "0 and 255" and finding.error
        assert "hold only 0 and 255; 255 means unknown: 10.0% of the pixels" in finding.message
        assert '"values": [0, 255]' in finding.message

    def test_each_caller_gets_its_own_line(self):
        lines = [
            only({0: 9, 255: 1}, num_classes=2, remedies=remedies, names=("sky", "ship")).message
            for remedies in (CLASS_FILE, NO_CLASS_FILE, ARRAYS)
        ]
        assert 'write "values": [0, 255] to classes.json' in lines[0]
        assert 'write {"names": ["sky", "ship"], "values": [0, 255]} to' in lines[1]
        assert "np.searchsorted([0, 255], masks)" in lines[2]

    def test_of_many_classes_it_is_an_error_for_all_masks_and_a_doubt_for_a_batch(self):
        assert only({0: 9, 255: 1}, num_classes=21).error
        assert not only({0: 9, 255: 1}, num_classes=21, sampled=True).error

    def test_without_an_ignore_class_it_is_no_class(self):
        finding = only({0: 9, 255: 1}, num_classes=2, ignore_class=None)
        assert "255 is no class" in finding.message and "unknown" not in finding.message

    def test_with_a_class_255_is_unknown(self):
        assert label_findings({0: 9, 1: 1, 255: 2}, num_classes=2) == []


class TestValuesThatAreNoClasses:
    @pytest.mark.parametrize("num_classes", [None, 2, 3, 19])
    @pytest.mark.parametrize("levels", [(0, 85, 170, 255), (0, 127, 255), (0, 128, 255)])
    def test_grey_levels(self, levels, num_classes):
        finding = only(dict.fromkeys(levels, 5), num_classes=num_classes, remedies=CLASS_FILE)
        assert finding.kind == "grey levels" and f'"values": {list(levels)}' in finding.message

    def test_a_level_in_the_middle_may_be_unknown(self):
        message = only({0: 90, 128: 2, 255: 8}, remedies=CLASS_FILE).message
        assert '"values": [0, 255], "ignore": 128' in message
        line = only({0: 90, 128: 2, 255: 8}, remedies=ARRAYS).message
        masks = np.array([0, 128, 255])
        assert "np.where(masks == 128, 255, np.searchsorted([0, 255], masks))" in line
        result = np.where(masks == 128, 255, np.searchsorted([0, 255], masks))
        assert result.tolist() == [0, 255, 1]

    @pytest.mark.parametrize("num_classes", [None, 2, 3])
    @pytest.mark.parametrize("how", SMOOTH)
    def test_smooth_masks(self, how, num_classes):
        finding = only(count_labels(SMOOTH[how]), num_classes=num_classes, remedies=CLASS_FILE)
        assert finding.kind == "smooth" and "hold 0, 255 and" in finding.message
        assert '"values": [0, 255]' in finding.message

    def test_smooth_masks_of_three_levels(self):
        mask = DISC.copy()
        mask[:20] = 128
        finding = only(count_labels(jpeg(mask)))
        assert finding.kind == "smooth" and "hold 0, 128, 255 and" in finding.message

    @pytest.mark.parametrize("num_classes", [None, 2])
    def test_pictures(self, num_classes):
        noise = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
        assert only(count_labels(noise), num_classes=num_classes).kind == "picture"

    def test_gaps_in_the_numbers(self):
        finding = only({0: 90, 24: 5, 26: 5}, remedies=CLASS_FILE)
        assert finding.error and '"values": [0, 24, 26]' in finding.message
        named = only({0: 90, 24: 5, 26: 5}, num_classes=3, remedies=CLASS_FILE)
        assert '"values": [0, 24, 26]' in named.message and "10.0% of the pixels" in named.message
        assert '"values": [0, 254]' in only({0: 9, 254: 1, 255: 1}, remedies=CLASS_FILE).message

    def test_a_few_missing_numbers_are_a_doubt(self):
        finding = only({0: 9, 1: 1, 3: 1})
        assert finding.kind == "gaps" and not finding.error and "none is 2" in finding.message
        assert not only({1: 9, 2: 1}).error

    def test_a_single_value_beyond_the_classes_may_be_unknown(self):
        camvid = dict.fromkeys(range(12), 100)
        finding = only(camvid, num_classes=11)
        assert finding.kind == "outside" and "[11], in 8.3% of the pixels" in finding.message
        assert "ignore_class=11" in finding.message and "num_classes=12" in finding.message

    def test_classes_numbered_from_one(self):
        finding = only({1: 5, 2: 4, 3: 3}, num_classes=3, remedies=CLASS_FILE)
        assert finding.kind == "off by one" and '"values": [1, 2, 3]' in finding.message

    @pytest.mark.parametrize(
        ("counts", "kind", "words"),
        [
            ({0.0: 8, 0.5: 2}, "fractional", "20.0% of the pixels: 0.5"),
            ({0.0: 8, 1 / 255: 1, 2 / 255: 1}, "fractional", "divided by 255"),
            ({0: 8, -1: 2}, "negative", "ignore_class=-1"),
            ({0.0: 8, math.nan: 2}, "not finite", "NaN in 20.0% of the pixels"),
            ({0.0: 8, math.inf: 2}, "not finite", "not finite"),
        ],
    )
    def test_labels_that_are_no_index(self, counts, kind, words):
        finding = only(counts, num_classes=2)
        assert finding.kind == kind and finding.error and words in finding.message

    def test_minus_one_may_be_the_ignore_class(self):
        assert label_findings({0: 5, 1: 5, -1: 2}, num_classes=2, ignore_class=-1) == []


class TestSoundLabels:
    @pytest.mark.parametrize(
        ("counts", "num_classes"),
        [
            ({0: 5, 1: 5}, 1),
            ({0.0: 5, 1.0: 5}, 2),
            (dict.fromkeys(range(19), 9) | {255: 40}, 19),
            (ZIPF, 151),
            (ZIPF, None),
            (dict.fromkeys(range(254), 9) | {255: 40}, None),
            ({0: 5, 20: 1, 255: 1}, 21),
        ],
    )
    def test_nothing_is_found(self, counts, num_classes):
        assert label_findings(counts, num_classes=num_classes) == []

    def test_many_classes_of_uneven_size_are_not_called_smooth(self):
        for present in (ZIPF, {k: v for k, v in ZIPF.items() if k % 3}):
            (finding,) = label_findings(present, num_classes=100)
            assert finding.kind == "outside"

    def test_one_class_and_unknown_pixels_are_doubts(self):
        assert only({0: 5}, num_classes=2, names=("sky", "ship")).kind == "one class"
        finding = only({255: 97, 0: 2, 1: 1}, num_classes=2)
        assert finding.kind == "mostly ignored" and "97.0%" in finding.message
        assert not finding.error

    def test_nothing_known_is_an_error(self):
        finding = only({255: 9}, num_classes=2)
        assert finding.kind == "all ignored" and finding.error
