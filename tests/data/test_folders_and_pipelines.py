"""Folders are read as documented, errors say what to do, masks move with their images."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data
from keras_seg.data import Augmentation, ClassTable, FolderDataset, ResizedDataset
from keras_seg.data.augmentation.draw import augment
from keras_seg.data.mask_colors import colorize, overlay
from keras_seg.data.reading.images import read_image
from keras_seg.data.reading.masks import read_mask
from tests.helpers.folders import write_folder
from tests.helpers.palette import palette_picture
from tests.helpers.shapes import TINY_CLASSES, TINY_SIZE, Shapes

STILL = Augmentation(flip_horizontal=False, scale=(1, 1), brightness=0, contrast=0, saturation=0)


class TestFolder:
    def test_images_and_masks_are_paired_by_stem(self, shapes_folder, shapes):
        dataset = FolderDataset(shapes_folder, "val")
        assert len(dataset) == 4 and dataset.classes == TINY_CLASSES
        by_name = {sample.name: sample for sample in shapes[1]}
        for sample in dataset:
            np.testing.assert_array_equal(sample.image, by_name[sample.name].image)
            np.testing.assert_array_equal(sample.mask, by_name[sample.name].mask)
            assert sample.image.dtype == np.uint8 and sample.mask.dtype == np.int32

    def test_train_and_val_folders_are_a_split(self, tmp_path, shapes):
        for split, part in zip(("train", "val"), shapes, strict=True):
            write_folder(tmp_path / split, part, classes=None)
        (tmp_path / "classes.json").write_text(json.dumps(TINY_CLASSES.to_dict()))
        assert [len(FolderDataset(tmp_path, split)) for split in ("train", "val")] == [8, 4]

    def test_list_files_are_a_split(self, shapes_folder):
        (shapes_folder / "splits.json").unlink()
        (shapes_folder / "train.txt").write_text("train0\ntrain1.png\n\n")
        names = [sample.name for sample in FolderDataset(shapes_folder, "train")]
        assert names == ["train0", "train1"]

    def test_without_a_split_a_fixed_fifth_validates(self, shapes_folder):
        (shapes_folder / "splits.json").unlink()
        train, val = (
            {image.stem for image, _ in FolderDataset(shapes_folder, split).pairs}
            for split in ("train", "val")
        )
        assert len(val) == 2 and len(train) == 10 and not train & val

    def test_ignored_values_become_255(self, shapes_folder):
        names = {"names": ["background", "square"], "ignore": [2]}
        (shapes_folder / "classes.json").write_text(json.dumps(names))
        assert set(np.unique(FolderDataset(shapes_folder)[0].mask)) == {0, 1, 255}

    def test_without_a_class_table_masks_number_the_classes(self, shapes_folder):
        (shapes_folder / "classes.json").unlink()
        assert FolderDataset(shapes_folder).classes == ClassTable.numbered(3)

    def test_grey_and_colour_become_what_the_network_takes(self, shapes_folder):
        path = shapes_folder / "images" / "train0.png"
        Image.open(path).convert("L").save(path)
        sample = FolderDataset(shapes_folder)[0]
        assert sample.image.shape == (*TINY_SIZE, 3) and np.ptp(sample.image, -1).max() == 0
        assert FolderDataset(shapes_folder, channels=1)[0].image.shape == (*TINY_SIZE, 1)

    def test_missing_folder_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no data folder .*nowhere"):
            FolderDataset(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match=r"no folder .*images"):
            FolderDataset(tmp_path)

    def test_image_without_mask_and_mask_without_image_are_named(self, shapes_folder):
        (shapes_folder / "masks" / "train3.png").rename(shapes_folder / "masks" / "other.png")
        with pytest.raises(FileNotFoundError, match="have no mask, for example .'train3'"):
            FolderDataset(shapes_folder)
        (shapes_folder / "masks" / "other.png").rename(shapes_folder / "masks" / "train3.png")
        (shapes_folder / "images" / "val0.png").unlink()
        with pytest.raises(FileNotFoundError, match="masks .*have no image, for example .'val0'"):
            FolderDataset(shapes_folder)

    def test_sizes_that_differ_are_named(self, shapes_folder):
        path = shapes_folder / "masks" / "train0.png"
        Image.open(path).resize((50, 40), Image.Resampling.NEAREST).save(path)
        with pytest.raises(ValueError, match=r"train0\.png is 96x64,[\s\S]*is 50x40"):
            FolderDataset(shapes_folder)[0]

    def test_values_outside_the_class_table_are_named(self, shapes_folder):
        path = shapes_folder / "masks" / "train0.png"
        mask = np.array(Image.open(path))
        mask[5, 5] = 9
        Image.fromarray(mask).save(path)
        with pytest.raises(ValueError, match=r"outside the class table: \[9\]. .*3 classes 0..2"):
            FolderDataset(shapes_folder)[0]

    def test_transparency_and_deep_colour_are_refused(self, shapes_folder):
        path = shapes_folder / "images" / "train0.png"
        picture = Image.open(path).convert("RGBA")
        picture.putpixel((3, 4), (0, 0, 0, 254))
        picture.save(path)
        with pytest.raises(ValueError, match="transparency .*4 channels.*takes 3"):
            FolderDataset(shapes_folder)[0]
        Image.fromarray(np.zeros(TINY_SIZE, np.uint16)).save(path)
        with pytest.raises(ValueError, match="8 bits per channel"):
            FolderDataset(shapes_folder)[0]

    def test_colour_masks_are_refused(self, shapes_folder):
        path = shapes_folder / "masks" / "train0.png"
        Image.open(path).convert("RGB").save(path)
        with pytest.raises(ValueError, match="colour picture .*one class index per pixel"):
            FolderDataset(shapes_folder)[0]

    def test_damaged_images_are_named(self, shapes_folder):
        path = shapes_folder / "images" / "train0.png"
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(ValueError, match="cut short or damaged"):
            FolderDataset(shapes_folder)[0]
        path.write_text("no image")
        with pytest.raises(ValueError, match="cannot be read as an image"):
            FolderDataset(shapes_folder)[0]

    @pytest.mark.parametrize("content", ["[]", "{", '{"names": "ab", "colors": 3}', "{}"])
    def test_a_class_table_that_is_none_is_refused(self, shapes_folder, content):
        (shapes_folder / "classes.json").write_text(content)
        with pytest.raises(ValueError, match=r"classes\.json is not a class table"):
            FolderDataset(shapes_folder)

    def test_a_split_file_that_is_none_is_refused(self, shapes_folder):
        (shapes_folder / "splits.json").write_text('{"fit": []}')
        with pytest.raises(ValueError, match=r"splits\.json names no split 'train'"):
            FolderDataset(shapes_folder)

    def test_unknown_split_or_channel_count_is_refused(self, shapes_folder):
        with pytest.raises(ValueError, match="split must be"):
            FolderDataset(shapes_folder, "trian")
        with pytest.raises(ValueError, match="names no split 'test'"):
            FolderDataset(shapes_folder, "test")
        with pytest.raises(ValueError, match="channels must be"):
            FolderDataset(shapes_folder, channels=0)


class TestClassTable:
    def test_colours_differ_for_as_many_classes_as_masks_can_hold(self):
        colors = ClassTable.numbered(60).colors
        assert len(set(colors)) == 60

    @pytest.mark.parametrize(
        ("names", "colors", "message"),
        [
            ((), (), "1 to 255 classes"),
            (("a", "a"), (), "Received twice: .'a'"),
            (("a", "b"), ((0, 0, 0),), "2 names and 1 colours"),
            (("a",), ((0, 0, 256),), "in 0..255"),
        ],
    )
    def test_tables_that_make_no_sense_are_refused(self, names, colors, message):
        with pytest.raises(ValueError, match=message):
            ClassTable(names, colors)

    def test_sides_are_swapped_in_a_mirror_by_their_names(self):
        names = ("skin", "left eye", "right eye", "l_ear", "r_ear", "Left-arm", "Right-arm")
        table = ClassTable((*names, "l_lip", "ear_r", "leftover", "left hat"))
        assert table.mirrored() == (0, 2, 1, 4, 3, 6, 5, 7, 8, 9, 10)

    def test_dict_round_trips(self):
        assert ClassTable.from_dict(TINY_CLASSES.to_dict()) == TINY_CLASSES


class TestImages:
    def test_masks_are_written_as_palette_files_that_read_back(self, tmp_path):
        mask = np.array([[0, 1, 2], [255, 1, 0]])
        palette_picture(mask, TINY_CLASSES).save(tmp_path / "m.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), mask)
        np.testing.assert_array_equal(
            np.asarray(Image.open(tmp_path / "m.png").convert("RGB")), colorize(mask, TINY_CLASSES)
        )

    def test_overlay_blends_grey_and_colour_images(self):
        mask = np.array([[1, 2]])
        grey = overlay(np.full((1, 2, 1), 100, np.uint8), mask, TINY_CLASSES, outline=0)
        expected = (100 + np.array(TINY_CLASSES.colors[1:])) / 2
        np.testing.assert_allclose(grey[0], expected, atol=0.51)

    def test_palette_images_give_their_colours(self, tmp_path):
        picture = Image.new("P", (2, 1))
        picture.putpalette([10, 20, 30, 40, 50, 60])
        picture.putpixel((1, 0), 1)
        picture.save(tmp_path / "p.png")
        np.testing.assert_array_equal(
            read_image(tmp_path / "p.png"), [[[10, 20, 30], [40, 50, 60]]]
        )


class TestResized:
    def test_every_sample_has_the_size(self, shapes):
        sample = ResizedDataset(shapes[0], (32, 40))[1]
        assert sample.image.shape == (32, 40, 3) and sample.mask.shape == (32, 40)
        assert set(np.unique(sample.mask)) <= set(np.unique(shapes[0][1].mask))

    def test_own_size_changes_nothing(self, shapes):
        sample = ResizedDataset(shapes[0], TINY_SIZE)[1]
        np.testing.assert_array_equal(sample.image, shapes[0][1].image)
        np.testing.assert_array_equal(sample.mask, shapes[0][1].mask)


class TestAugmentation:
    def test_nothing_drawn_changes_nothing(self, shapes):
        sample = shapes[0][0]
        image, mask = augment(
            tf.constant(sample.image), tf.constant(sample.mask), (0, 1), TINY_SIZE, STILL
        )
        np.testing.assert_array_equal(image, sample.image)
        np.testing.assert_array_equal(mask, sample.mask)

    @pytest.mark.parametrize("seed", range(8))
    def test_image_and_mask_move_together(self, seed):
        """Image and mask both hold the column, so that each pixel tells where it came from."""
        mask = np.tile(np.arange(96, dtype="int32"), (64, 1))
        image = np.repeat(mask[..., None], 3, -1).astype("uint8")
        options = Augmentation(True, True, (0.5, 2.0), 0, 0, 0)
        moved, moved_mask = map(
            np.asarray,
            augment(tf.constant(image), tf.constant(mask), (seed, 0), (48, 80), options),
        )
        # At the edge of the image, bilinear pixels mix with the black around it.
        known = moved_mask != 255
        inside = known & np.roll(known, 1, 1) & np.roll(known, -1, 1)
        inside &= np.roll(known, 1, 0) & np.roll(known, -1, 0)
        assert inside.mean() > 0.2
        # A ramp survives linear interpolation; the nearest pixel is at most half a pixel off.
        assert np.abs(moved[..., 0] - moved_mask)[inside].max() <= 0.5 + 1e-3

    def test_new_area_is_ignored_and_black(self, shapes):
        sample = shapes[0][0]
        options = Augmentation(False, False, (0.5, 0.5), 0, 0, 0)
        image, mask = augment(
            tf.constant(sample.image), tf.constant(sample.mask), (0, 0), TINY_SIZE, options
        )
        border = np.ones(TINY_SIZE, bool)
        border[16:48, 24:72] = False
        assert (np.asarray(mask)[border] == 255).all()
        assert np.asarray(image)[border].max() == 0
        assert (np.asarray(mask)[20:44, 30:66] != 255).all()

    def test_equal_seeds_draw_equally_and_others_do_not(self, shapes):
        def batches(seed):
            pipeline = data.training_pipeline(
                shapes[0], crop=(32, 32), batch_size=4, epochs=2, seed=seed
            )
            return np.concatenate([image for image, _ in pipeline.as_numpy_iterator()])

        first, again, other = batches(0), batches(0), batches(1)
        np.testing.assert_array_equal(first, again)
        assert first.shape == (16, 32, 32, 3)
        assert np.abs(first - other).max() > 10
        assert np.abs(first[:8] - first[8:]).max() > 10  # the second epoch draws anew

    @pytest.mark.parametrize(
        "options", [{"scale": (2, 1)}, {"scale": (0, 1)}, {"contrast": 1}, {"brightness": -0.1}]
    )
    def test_ranges_that_make_no_sense_are_refused(self, options):
        with pytest.raises(ValueError, match=f"augmentation.{next(iter(options))}"):
            Augmentation(**options)


class TestPipelines:
    def test_an_epoch_shows_every_image_once(self, shapes):
        pipeline = data.training_pipeline(
            shapes[0], crop=TINY_SIZE, batch_size=4, epochs=1, augmentation=STILL
        )
        seen = {image.tobytes() for batch, _ in pipeline for image in batch.numpy()}
        assert seen == {sample.image.astype("float32").tobytes() for sample in shapes[0]}

    def test_a_small_data_set_still_fills_a_batch(self, shapes):
        pipeline = data.training_pipeline(shapes[1], crop=(32, 32), batch_size=6, epochs=1)
        assert [image.shape[0] for image, _ in pipeline.as_numpy_iterator()] == [6]

    def test_a_left_class_never_stands_on_the_right_after_a_flip(self):
        class Face(Shapes):
            classes = data.ClassTable(("skin", "left eye", "right eye"))

            def __getitem__(self, index):
                image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int32)
                mask[:, 0], mask[:, 7] = 1, 2
                return data.Sample(str(index), image, mask)

        pipeline = data.training_pipeline(
            Face(length=16),
            crop=(8, 8),
            batch_size=16,
            epochs=1,
            augmentation=data.Augmentation(flip_horizontal=True, scale=(1, 1)),
        )
        ((_, masks),) = pipeline
        assert np.all(masks[:, :, 0] == 1) and np.all(masks[:, :, 7] == 2)

    def test_validation_pads_to_the_multiple_with_ignored_pixels(self, shapes):
        ((image, mask),) = data.validation_pipeline(shapes[1], batch_size=4, size_multiple=40)
        assert image.shape == (4, 80, 120, 3) and mask.shape == (4, 80, 120)
        np.testing.assert_array_equal(mask[0, :64, :96], shapes[1][0].mask)
        assert (mask[:, 64:] == 255).numpy().all() and (mask[:, :, 96:] == 255).numpy().all()

    def test_the_channel_count_is_known_while_the_graph_is_built(self, shapes):
        training = data.training_pipeline(shapes[0], crop=(32, 32), batch_size=4, epochs=1)
        validation = data.validation_pipeline(shapes[1], batch_size=4, size_multiple=48)
        assert training.element_spec[0].shape == (4, 32, 32, 3)
        assert validation.element_spec[0].shape == (None, None, None, 3)

    def test_reading_errors_reach_the_user(self, shapes_folder):
        (shapes_folder / "images" / "train2.png").write_text("no image")
        pipeline = data.training_pipeline(
            FolderDataset(shapes_folder), crop=(32, 32), batch_size=8, epochs=1
        )
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"train2\.png cannot be read"):
            list(pipeline)

    def test_cached_samples_are_read_once(self, shapes, monkeypatch):
        reads = []
        original = type(shapes[0]).__getitem__
        monkeypatch.setattr(
            type(shapes[0]), "__getitem__", lambda s, i: (reads.append(i), original(s, i))[1]
        )
        cached = data.CachedDataset(shapes[0])
        first, again = cached[3], cached[3]
        assert reads == [3] and cached.kept == 1
        for one, other in zip(first[1:], again[1:], strict=True):
            np.testing.assert_array_equal(one, other)
            assert other is None or one.dtype == other.dtype
        full = data.CachedDataset(shapes[0], max_bytes=10)
        assert full[3] is not full[3] and full.kept == 0

    def test_masks_are_kept_in_few_bits(self, shapes):
        cached = data.CachedDataset(shapes[0])
        pixels = shapes[0][0].mask.size
        kept = cached[0] and cached.bytes_per_sample
        assert kept <= (3 + 1 + 1) * pixels  # image, mask, instances if there are any
        assert cached[0].mask.dtype == shapes[0][0].mask.dtype

    def test_one_name_opens_folders_and_builtin_sets(self, shapes_folder):
        assert data.open_dataset("builtin:cells", "val").split == "val"
        with pytest.raises(ValueError, match="builtin:cells has images of 3 channels.*channels=2"):
            data.open_dataset("builtin:cells", channels=2)
        assert len(data.open_dataset(str(shapes_folder), "val")) == 4
