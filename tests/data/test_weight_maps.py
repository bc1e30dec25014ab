"""U-Net's weight map: equal to a brute-force example, with every option that the paper leaves."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from keras_seg.data import BuiltinDataset, CachedDataset, ResizedDataset, WeightedDataset
from keras_seg.data.balance.weight_maps import (
    border_weights,
    touching_pixels,
    two_nearest_distances,
    weight_map,
)
from keras_seg.data.wrappers.weighted import connected_instances

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "arrays" / "unet_weight_map.npz")
CELLS = BuiltinDataset("cells", size=(64, 80), length=3)


def test_distances_and_border_term_are_those_of_the_brute_force_example():
    labels = GOLDEN["labels"]
    nearest, second = two_nearest_distances(labels)
    np.testing.assert_allclose(nearest, GOLDEN["d1"], atol=1e-5)
    np.testing.assert_allclose(second, GOLDEN["d2"], atol=1e-5)
    term = border_weights(labels, w0=float(GOLDEN["w0"]), sigma=float(GOLDEN["sigma"]))
    np.testing.assert_allclose(term, GOLDEN["border_term"], atol=1e-5)


@pytest.mark.parametrize("sigma", [1.0, 2.5, 5.0])
def test_looking_near_each_cell_alone_changes_nothing(sigma):
    instances = CELLS[1].instances
    nearest, second = two_nearest_distances(instances)
    expected = 10 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2)) * (instances == 0)
    np.testing.assert_allclose(border_weights(instances, sigma=sigma), expected, atol=1e-6)
    assert two_nearest_distances(instances, reach=3.0)[0].max() == np.inf


def test_the_numbers_of_the_cells_do_not_matter():
    labels = GOLDEN["labels"]
    renumbered = np.array([0, 900, 7, 65000, 3, 12, 500, 2])[labels]
    np.testing.assert_array_equal(border_weights(renumbered), border_weights(labels))


def test_fewer_than_two_cells_have_no_border():
    instances = np.zeros((12, 12), np.int32)
    assert not border_weights(instances).any()
    instances[3:5, 3:5] = 4
    assert not border_weights(instances).any()
    assert not border_weights(np.ones((5, 5), np.int32)).any()


def test_cells_get_border_weight_only_when_asked_for():
    instances = CELLS[0].instances
    inside = border_weights(instances, background_only=False)
    assert inside[instances > 0].max() > 0
    np.testing.assert_array_equal(np.where(instances == 0, inside, 0), border_weights(instances))


def test_class_weights_are_added_and_unknown_pixels_weigh_nothing():
    sample = CELLS[0]
    mask = sample.mask.copy()
    mask[:5] = 255
    weights = weight_map(mask, sample.instances, class_weights=(0.5, 2.0))
    expected = border_weights(sample.instances) + np.where(mask == 1, 2.0, 0.5)
    np.testing.assert_allclose(weights[5:], expected[5:], atol=1e-6)
    assert not weights[:5].any() and weights.dtype == np.float32
    with pytest.raises(ValueError, match="one weight per class. Received: 1"):
        weight_map(mask, sample.instances, class_weights=(1.0,))
    with pytest.raises(ValueError, match="sigma must be positive"):
        border_weights(sample.instances, sigma=0)


@pytest.mark.parametrize("width", [1, 2])
def test_touching_cells_are_separated_and_others_left_alone(width):
    instances = np.zeros((12, 20), np.int32)
    instances[2:10, 2:8], instances[2:10, 8:14], instances[2:10, 15:19] = 1, 2, 3
    contact = touching_pixels(instances, width=width)
    assert contact[2:10, 8 - width : 8 + width].all()
    # one pixel of background already separates the third from the second
    assert contact.sum() == 8 * 2 * width + (width > 1) * 8 * 2 * (width - 1)
    assert ndimage.label((instances > 0) & ~contact)[1] == 3
    assert not touching_pixels(np.where(instances == 2, 0, instances)).any()


class TestWeightedDataset:
    def test_samples_carry_weights_and_balance_their_classes(self):
        data = WeightedDataset(CELLS, class_weights="balanced")
        for sample, plain in zip(data, CELLS, strict=True):
            assert sample.weights.shape == sample.mask.shape
            np.testing.assert_array_equal(sample.mask, plain.mask)
        weights = np.stack([sample.weights for sample in data])
        masks = np.stack([sample.mask for sample in data])
        assert weights[masks == 1].min() > weights[masks == 0].min()

    def test_separated_cells_are_background_in_mask_and_instances(self):
        data = WeightedDataset(CELLS, separate_touching=1)
        for sample, plain in zip(data, CELLS, strict=True):
            contact = touching_pixels(plain.instances)
            np.testing.assert_array_equal(sample.mask, np.where(contact, 0, plain.mask))
            np.testing.assert_array_equal(sample.mask > 0, sample.instances > 0)
            if contact.any():
                assert sample.weights[contact].max() > 5  # what divides two cells counts most

    def test_maps_are_kept_on_disk_until_something_changes(self, tmp_path, monkeypatch):
        from keras_seg.data.wrappers import weighted

        made = []
        monkeypatch.setattr(
            weighted, "weight_map", lambda *a, **o: (made.append(1), weight_map(*a, **o))[1]
        )
        for sigma in (5.0, 5.0, 4.0):
            maps = [
                sample.weights
                for sample in WeightedDataset(CELLS, sigma=sigma, cache_folder=tmp_path / "maps")
            ]
        assert len(made) == 6 and len(list((tmp_path / "maps").iterdir())) == 6
        np.testing.assert_array_equal(
            maps[0], weight_map(CELLS[0].mask, CELLS[0].instances, sigma=4)
        )
        for path in (tmp_path / "maps").iterdir():
            path.write_bytes(path.read_bytes()[:50])  # as a full disk leaves it
        again = WeightedDataset(CELLS, sigma=4.0, cache_folder=tmp_path / "maps")[0]
        np.testing.assert_array_equal(again.weights, maps[0])

    def test_weights_are_kept_in_memory_and_resized(self):
        cached = CachedDataset(ResizedDataset(WeightedDataset(CELLS), (32, 40)))
        assert cached[0].weights is cached[0].weights and cached[0].weights.shape == (32, 40)
        assert cached[0].weights.dtype == np.float32 and cached[0].weights.max() > 1

    def test_without_instances_connected_pixels_of_a_class_are_one(self):
        mask = np.array([[1, 0, 2, 2], [0, 1, 0, 1], [255, 0, 0, 1]])
        np.testing.assert_array_equal(
            connected_instances(mask), [[1, 0, 3, 3], [0, 1, 0, 2], [0, 0, 0, 2]]
        )

    @pytest.mark.parametrize("wrong", ["balance", (1.0,), (1.0, -1.0)])
    def test_class_weights_that_make_no_sense_are_refused(self, wrong):
        with pytest.raises(ValueError, match="class_weights"):
            WeightedDataset(CELLS, class_weights=wrong)
