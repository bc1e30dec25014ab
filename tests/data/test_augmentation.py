"""Image, mask and weights move together, draw what is stated, and draw it again for equal seeds."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_seg.data import Augmentation
from keras_seg.data.augmentation.cut_mix import cut_mix
from keras_seg.data.augmentation.draw import augment
from keras_seg.data.augmentation.morphology import change_by, grow_or_shrink
from keras_seg.data.augmentation.recolor import recolor
from keras_seg.data.augmentation.warp import crop_positions, elastic_displacement, sample_image

ARRAYS = Path(__file__).parents[1] / "golden" / "arrays"
STILL = {"flip_horizontal": False, "scale": (1, 1), "brightness": 0, "contrast": 0, "saturation": 0}
GEOMETRIES = {
    "flip": {"flip_horizontal": True, "flip_vertical": True},
    "scale": {"scale": (0.5, 2.0)},
    "rotation": {"rotation": 180.0},
    "elastic": {"elastic": 10.0},
    "fine elastic": {"elastic": 3.0, "elastic_grid": 6},
    "all": {"flip_horizontal": True, "scale": (0.7, 1.5), "rotation": 30.0, "elastic": 6.0},
}
SIZE, CROP = (72, 96), (48, 64)


def places():
    """An image whose channels, and maps whose values, say where each pixel came from."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.int32)
    image = np.stack([rows, columns, np.full(SIZE, 200)], axis=-1).astype(np.uint8)
    return tf.constant(image), tf.constant(rows), tf.constant(columns.astype(np.float32))


def drawn(seed, crop=CROP, **options):
    image, rows, columns = places()
    augmentation = Augmentation(**{**STILL, **options})
    moved = augment(image, rows, (seed, 7), crop, augmentation, weights=columns)
    return tuple(map(np.asarray, moved))


def in_graph(crop=CROP, **options):
    """`augment` as a pipeline runs it: traced once, for images of any size."""
    augmentation = Augmentation(**{**STILL, **options})
    specs = ((None, None, 3), tf.uint8), ((None, None), tf.int32), ((None, None), tf.float32)
    return tf.function(
        lambda i, m, w, seed: augment(i, m, seed, crop, augmentation, weights=w),
        input_signature=[*(tf.TensorSpec(*s) for s in specs), tf.TensorSpec((2,), tf.int32)],
    )


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("seed", range(4))
class TestGeometry:
    def test_image_mask_and_weights_move_together(self, name, seed):
        image, rows, columns = drawn(seed, **GEOMETRIES[name])
        assert image.shape == (*CROP, 3) and rows.shape == columns.shape == CROP
        assert image.dtype == np.float32 and rows.dtype == np.int32 and columns.dtype == np.float32
        # The third channel says how much of a pixel lies inside the image.
        inside = (image[..., 2] > 199.99) & (rows != 255)
        assert inside.mean() > 0.15
        # Coordinates survive linear interpolation; the nearest pixel is half a pixel off at most.
        assert np.abs(image[..., 0] - rows)[inside].max() <= 0.5 + 1e-2
        assert np.abs(image[..., 1] - columns)[inside].max() <= 0.5 + 1e-2

    def test_new_area_is_ignored_black_and_of_weight_zero(self, name, seed):
        image, rows, columns = drawn(seed, crop=(170, 220), **GEOMETRIES[name])
        outside = rows == 255
        assert outside.mean() > 0.2
        assert (columns[outside] == 0).all()
        assert image[outside][:, 2].max() <= 100.01  # at most the half of a pixel at the edge
        assert set(np.unique(rows)) <= {*range(SIZE[0]), 255}

    def test_equal_seeds_draw_bit_equally(self, name, seed):
        for first, again in zip(
            drawn(seed, **GEOMETRIES[name]), drawn(seed, **GEOMETRIES[name]), strict=True
        ):
            np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", ["scale", "all"])
def test_a_graph_of_unknown_sizes_draws_the_same(name):
    image, mask, weights = in_graph(CROP, **GEOMETRIES[name])(*places(), (0, 7))
    assert mask.shape == weights.shape == CROP
    expected = drawn(0, **GEOMETRIES[name])
    np.testing.assert_allclose(image, expected[0], atol=1e-2)
    assert (mask.numpy() != expected[1]).mean() < 1e-3
    assert (weights.numpy() != expected[2]).mean() < 1e-3


class TestWarp:
    def test_bilinear_values_are_those_of_tensorflow_addons(self):
        golden = np.load(ARRAYS / "addons_dense_image_warp.npz")
        image, flow = golden["image"][0], golden["flow"][0]
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        positions = np.stack([rows, columns], axis=-1) - flow
        # Addons repeats the edge, which is what positions held inside the image give.
        positions = positions.clip(0, np.array(image.shape[:2]) - 1).astype(np.float32)
        np.testing.assert_allclose(
            sample_image(tf.constant(image), positions), golden["out"][0], atol=2e-6
        )

    def test_a_quarter_turn_is_numpys(self):
        image = np.arange(16 * 16 * 2, dtype=np.float32).reshape(16, 16, 2)
        positions = crop_positions((16, 16), (16, 16), centre=0.5, factor=1.0, degrees=90.0)
        turned = sample_image(tf.constant(image), positions)
        np.testing.assert_allclose(turned, np.rot90(image, -1), atol=1e-3)

    def test_the_warped_crop_is_the_resized_crop_where_nothing_turns(self):
        """The two ways of cropping agree on the place and the grid of pixels."""
        image, rows, columns = drawn(3, scale=(2, 2))
        turned = drawn(3, scale=(2, 2), rotation=1e-6)
        # one rounds the offset to a pixel of the image, which is two of the crop
        for one, other in ((image[..., 0], turned[0][..., 0]), (columns, turned[2])):
            assert np.ptp(one - other) <= 1.0 and np.abs(one - other).max() <= 1.5
        assert np.abs(rows - turned[1]).max() <= 2

    def test_displacements_have_the_stated_deviation_and_are_smooth(self):
        fields = np.stack(
            [
                elastic_displacement((seed, 0), (96, 96), deviation=10.0, grid=3)
                for seed in range(200)
            ]
        )
        middle = fields[:, 47:49, 47:49].mean(axis=(1, 2))
        assert abs(middle.mean()) < 1.5 and 9 < middle.std() < 11
        assert np.abs(np.diff(fields, axis=1)).max() < 3

    def test_scale_and_rotation_are_drawn_over_their_whole_range(self):
        turns, factors = [], []
        draw = in_graph((8, 8), rotation=40.0, scale=(0.5, 2.0))
        for seed in range(150):
            image = draw(*places(), (seed, 7))[0].numpy()
            # how source rows and columns change along the columns of the crop
            along = (image[4, 5, :2] - image[4, 3, :2]) / 2
            factors.append(1 / np.hypot(*along))
            turns.append(np.degrees(np.arctan2(-along[0], along[1])))
        turns, logs = np.array(turns), np.log2(factors)
        assert np.abs(turns).max() <= 40.5 and turns.min() < -35 and turns.max() > 35
        assert abs(turns.mean()) < 6
        assert np.abs(logs).max() <= 1.02 and logs.min() < -0.9 and logs.max() > 0.9
        assert abs(logs.mean()) < 0.15


class TestColour:
    IMAGE = np.random.default_rng(0).uniform(0, 255, (12, 10, 3)).astype(np.float32)

    def changed(self, seed, **options):
        augmentation = Augmentation(**{**STILL, **options})
        return recolor(tf.constant(self.IMAGE), (seed, 1), augmentation).numpy()

    @pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue", "gamma"])
    def test_each_switch_changes_pixels_within_range(self, name):
        for seed in range(3):
            changed = self.changed(seed, **{name: 0.4})
            assert np.abs(changed - self.IMAGE).max() > 1
            assert changed.min() >= 0 and changed.max() <= 255

    def test_gamma_is_a_power_between_its_limits(self):
        exponents = []
        for seed in range(60):
            ratio = np.log(self.changed(seed, gamma=1.0) / 255) / np.log(self.IMAGE / 255)
            assert np.ptp(ratio) < 1e-2
            exponents.append(np.log2(ratio.mean()))
        assert -1.001 <= min(exponents) < -0.8 and 0.8 < max(exponents) <= 1.001

    def test_hue_turns_colours_and_leaves_value_and_grey_alone(self):
        changed = self.changed(0, hue=0.5)
        np.testing.assert_allclose(changed.max(-1), self.IMAGE.max(-1), atol=1e-2)
        grey = tf.fill((4, 4, 3), 90.0)
        unturned = recolor(grey, (0, 1), Augmentation(**{**STILL, "hue": 0.5}))
        np.testing.assert_allclose(unturned, grey, atol=1e-3)

    @pytest.mark.parametrize("channels", [1, 5])
    def test_images_that_are_not_rgb_keep_their_channels(self, channels):
        image = tf.random.stateless_uniform((6, 6, channels), (0, 0), 0.0, 255.0)
        options = Augmentation(hue=0.5, gamma=0.5)
        assert recolor(image, (0, 1), options).shape == (6, 6, channels)


class TestMaskMorphology:
    def mask(self):
        mask = np.zeros((21, 21), np.int32)
        mask[8:13, 8:13] = 1
        mask[8:13, 13:15] = 2
        mask[:, :2] = 255
        return tf.constant(mask)

    def test_objects_grow_and_shrink_by_the_pixels(self):
        grown, shrunk = change_by(self.mask(), 3).numpy(), change_by(self.mask(), -1).numpy()
        assert (grown[5:16, 5:18] > 0).all() and (grown > 0).sum() == 11 * 13 + 42
        assert (shrunk[9:12, 9:13] == 1).all() and (shrunk[9:12, 13] == 2).all()
        assert (shrunk == 1).sum() == 12 and (shrunk == 2).sum() == 3

    @pytest.mark.parametrize("steps", [-4, -1, 0, 2, 9])
    def test_unknown_pixels_stay_and_no_class_appears(self, steps):
        changed = change_by(self.mask(), steps).numpy()
        np.testing.assert_array_equal(changed == 255, self.mask().numpy() == 255)
        assert set(np.unique(changed)) <= {0, 1, 2, 255}

    def test_every_number_of_pixels_is_drawn(self):
        sizes = {
            int((grow_or_shrink(self.mask(), (s, 0), 2) == 1).numpy().sum()) for s in range(40)
        }
        assert sizes == {int((change_by(self.mask(), k) == 1).numpy().sum()) for k in range(-2, 3)}


class TestCutMix:
    def batch(self):
        number = np.arange(6)
        images = np.broadcast_to(number[:, None, None, None], (6, 32, 48, 3)).astype(np.float32)
        masks = np.broadcast_to(number[:, None, None], (6, 32, 48)).astype(np.int32)
        return images, masks, masks.astype(np.float32) / 10

    def test_pixels_bring_their_class_and_weight(self):
        images, masks, weights = map(
            np.asarray, cut_mix(*self.batch()[:2], (1, 2), 1.0, self.batch()[2])
        )
        np.testing.assert_array_equal(images[..., 0], masks)
        np.testing.assert_allclose(weights, masks / 10, atol=1e-6)
        for number, mask in enumerate(masks):
            assert set(np.unique(mask)) <= {number, (number + 1) % 6}
            rows, columns = np.nonzero(mask != number)
            if rows.size:  # a filled rectangle
                assert rows.size == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)

    def test_probability_and_share_are_as_stated(self):
        pasted = np.concatenate(
            [
                (cut_mix(*self.batch()[:2], (seed, 0), 0.5)[1].numpy() != self.batch()[1]).mean(
                    (1, 2)
                )
                for seed in range(80)
            ]
        )
        assert 0.4 < (pasted > 0).mean() < 0.55
        assert pasted.max() > 0.7

    def test_never_leaves_a_batch_as_it_is(self):
        images, masks = cut_mix(*self.batch()[:2], (0, 0), 0.0)
        np.testing.assert_array_equal(images, self.batch()[0])
        np.testing.assert_array_equal(masks, self.batch()[1])


def test_classes_change_their_side_in_a_mirror():
    """A mirrored left eye is a right eye; nothing else about the draw changes."""
    mirrored = (0, 2, 1)
    mask = np.tile(np.array([0, 1, 2, 255] * 4, np.int32), (8, 1))
    image = np.repeat(mask[..., None].astype(np.uint8), 3, -1)
    options = Augmentation(**{**STILL, "flip_horizontal": True, "flip_vertical": True})
    flips = 0
    for seed in range(8):
        arguments = (tf.constant(image), tf.constant(mask), (seed, 0), mask.shape, options)
        plain, swapped = augment(*arguments)[1], augment(*arguments, mirrored=mirrored)[1]
        flipped = plain.numpy()[0, 0] == 255
        expected = np.array([0, 2, 1, *range(3, 256)])[plain] if flipped else plain
        np.testing.assert_array_equal(swapped, expected)
        flips += flipped
    assert 0 < flips < 8


def test_other_switches_leave_a_draw_alone():
    """What is drawn for one thing does not depend on what else is switched on."""
    one = drawn(5, scale=(0.5, 2.0), flip_horizontal=True)
    two = drawn(5, scale=(0.5, 2.0), flip_horizontal=True, gamma=0.5, hue=0.2, brightness=0.3)
    np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize(
    "options",
    [
        {"rotation": 200},
        {"elastic": -1},
        {"elastic_grid": 1},
        {"hue": 0.6},
        {"gamma": -1},
        {"mask_morphology": -1},
        {"cut_mix": 1.5},
    ],
)
def test_ranges_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=f"augmentation.{next(iter(options))} must be in"):
        Augmentation(**options)
