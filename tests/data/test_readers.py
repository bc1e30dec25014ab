"""What files may hold: deep and many-channel pixels, orientation, colours, damage; all or named."""

import json
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data
from keras_seg.data import CachedDataset, FolderDataset
from keras_seg.data.layouts.split import stems_in
from keras_seg.data.mask_colors import overlay
from keras_seg.data.reading.images import orientation, read_image
from keras_seg.data.reading.masks import read_mask
from keras_seg.data.wrappers.readable import ReadableDataset
from tests.helpers.shapes import TINY_CLASSES, TINY_SIZE

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 4096, (6, 9)).astype(np.uint16)
ORIENTATION = 0x0112


def stretched(array, high=4095):
    return np.rint(array.astype(np.float32) * (255 / high)).astype(np.uint8)


def save_turned(picture, path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture.save(path, exif=exif)


class TestDeepImages:
    @pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_sixteen_bits_are_mapped_from_the_stated_range(self, tmp_path, suffix, channels):
        path = tmp_path / f"deep.{suffix}"
        np.save(path, DEEP) if suffix == "npy" else Image.fromarray(DEEP).save(path)
        pixels = read_image(path, channels, value_range=(0, 4095))
        assert pixels.shape == (6, 9, channels) and pixels.dtype == np.uint8
        np.testing.assert_allclose(pixels[..., 0], stretched(DEEP), atol=1)
        assert pixels.max() > 250

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_sixteen_bit_colour_keeps_its_lower_bits(self, tmp_path, suffix):
        """Pillow keeps the upper eight, and 12-bit pictures come out black."""
        array, path = RNG.integers(0, 4096, (6, 9, 3)).astype(np.uint16), tmp_path / f"x.{suffix}"
        if suffix == "png":
            path.write_bytes(tf.io.encode_png(array).numpy())
        else:
            pytest.importorskip("tifffile").imwrite(path, array, photometric="rgb")
        np.testing.assert_array_equal(read_image(path, value_range=(0, 4095)), stretched(array))
        assert read_image(path, 1, value_range=(0, 4095)).shape == (6, 9, 1)
        with pytest.raises(ValueError, match=r'"range": \[0, 4095\]'):
            read_image(path)

    def test_without_a_range_the_error_suggests_one(self, tmp_path):
        Image.fromarray(DEEP).save(tmp_path / "deep.png")
        with pytest.raises(ValueError, match=r'8 bits per channel.*"range": \[0, 4095\]'):
            read_image(tmp_path / "deep.png")

    def test_the_folder_states_the_range(self, shapes_folder):
        path = shapes_folder / "images" / "train0.png"
        deep = RNG.integers(0, 4096, TINY_SIZE).astype(np.uint16)
        Image.fromarray(deep).save(path)
        table = {**TINY_CLASSES.to_dict(), "range": [0, 4095]}
        (shapes_folder / "classes.json").write_text(json.dumps(table))
        image = FolderDataset(shapes_folder)[0].image
        np.testing.assert_allclose(image[..., 2], stretched(deep), atol=1)

    def test_floats_are_mapped_and_must_be_finite(self, tmp_path):
        values = np.linspace(-2, 3, 12, dtype=np.float32).reshape(3, 4)
        np.save(tmp_path / "x.npy", values)
        pixels = read_image(tmp_path / "x.npy", 1, value_range=(-1, 1))
        np.testing.assert_allclose(pixels[..., 0], ((values + 1) * 127.5).clip(0, 255), atol=0.51)
        np.save(tmp_path / "x.npy", np.full((3, 4), np.inf, np.float32))
        with pytest.raises(ValueError, match="not finite"):
            read_image(tmp_path / "x.npy", 1, value_range=(-1, 1))

    @pytest.mark.parametrize("value_range", ["[5, 5]", "[9, 1]", '"ab"', "[1]"])
    def test_ranges_that_make_no_sense_are_refused(self, shapes_folder, value_range):
        text = '{"names": ["a", "b", "c"], "range": ' + value_range + "}"
        (shapes_folder / "classes.json").write_text(text)
        with pytest.raises(ValueError, match=r"classes\.json is not a class table"):
            FolderDataset(shapes_folder)


class TestClassFiles:
    @pytest.mark.parametrize(
        "entry",
        [
            *(
                {"names": "abc"},
                {"names": {"0": "a", "1": "b", "2": "c"}},
                {"names": ["a", None]},
                {"names": ["\ud800"]},
            ),
            *({"ignore": True}, {"ignore": "2"}, {"ignore": [1.5]}, {"ignore": 10**12}),
            *({"values": [0, 1, 10**12]}, {"values": [0, 1.9, 2]}, {"range": [0, float("inf")]}),
        ],
    )
    def test_entries_that_mean_something_else_are_refused(self, shapes_folder, entry):
        table = {"names": ["a", "b", "c"]} | entry
        (shapes_folder / "classes.json").write_text(json.dumps(table))
        with pytest.raises(ValueError, match=r"classes\.json is not a class table"):
            FolderDataset(shapes_folder)

    @pytest.mark.parametrize(
        ("key", "meant"), [("colours", "colors"), ("ignored", "ignore"), ("value", "values")]
    )
    def test_misspelt_entries_are_refused_and_others_passed_over(self, shapes_folder, key, meant):
        table = {"names": ["a", "b", "c"], "comment": "of the shapes"}
        (shapes_folder / "classes.json").write_text(json.dumps(table))
        assert FolderDataset(shapes_folder).classes.names == ("a", "b", "c")
        (shapes_folder / "classes.json").write_text(json.dumps(table | {key: []}))
        with pytest.raises(ValueError, match=f"Unknown entry '{key}'. Did you mean '{meant}'"):
            FolderDataset(shapes_folder)

    def test_another_key_for_the_names_is_answered(self, shapes_folder):
        (shapes_folder / "classes.json").write_text('{"classes": ["a", "b", "c"]}')
        with pytest.raises(ValueError, match='Write "names" in place of "classes"'):
            FolderDataset(shapes_folder)

    def test_nested_without_end_is_refused(self, shapes_folder):
        (shapes_folder / "classes.json").write_text("[" * 100_000)
        with pytest.raises(ValueError, match=r"classes\.json is not a class table"):
            FolderDataset(shapes_folder)

    def test_a_mark_of_byte_order_is_no_part_of_it(self, shapes_folder):
        (shapes_folder / "splits.json").unlink()
        for name, stems in (("train", "train0\n"), ("val", "val0\n")):
            (shapes_folder / f"{name}.txt").write_text(stems, "utf-8-sig")
        table = (shapes_folder / "classes.json").read_text()
        (shapes_folder / "classes.json").write_text(table, "utf-8-sig")
        assert FolderDataset(shapes_folder, "val")[0].name == "val0"


class TestSplitFiles:
    def test_stems_may_hold_dots(self, shapes_folder):
        (shapes_folder / "splits.json").unlink()
        for part in ("images", "masks"):
            folder = shapes_folder / part
            (folder / "train0.png").rename(folder / "train.0.png")
        (shapes_folder / "train.txt").write_text("train.0\ntrain1.png\n")
        assert [sample.name for sample in FolderDataset(shapes_folder)] == ["train.0", "train1"]

    @pytest.mark.parametrize("content", [b'{"train": "train0"}', b"[" * 100_000])
    def test_what_is_no_list_is_named(self, shapes_folder, content):
        (shapes_folder / "splits.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"splits\.json names no split 'train'"):
            FolderDataset(shapes_folder)

    def test_other_encodings_are_named(self, shapes_folder):
        (shapes_folder / "splits.json").unlink()
        (shapes_folder / "train.txt").write_bytes(b"\xff\xfet")
        with pytest.raises(ValueError, match=r"train\.txt is not a list"):
            FolderDataset(shapes_folder)


@pytest.mark.parametrize("value", [2**32 + 1, 2**40, -(2**35)])
def test_mask_values_of_64_bits_do_not_become_classes(tmp_path, value):
    np.save(tmp_path / "x.npy", np.full((4, 4), value))
    with pytest.raises(ValueError, match="values beyond 32 bits"):
        read_mask(tmp_path / "x.npy")


class TestManyChannels:
    @pytest.mark.parametrize("order", ["last", "first"])
    def test_arrays_keep_their_channels(self, tmp_path, order):
        array = RNG.integers(0, 256, (8, 10, 5), dtype=np.uint8)
        np.save(tmp_path / "x.npy", array if order == "last" else np.moveaxis(array, -1, 0))
        np.testing.assert_array_equal(read_image(tmp_path / "x.npy", 5), array)

    def test_grey_of_as_many_rows_as_channels_is_not_turned(self, tmp_path):
        array = RNG.integers(0, 256, (3, 10), dtype=np.uint8)
        np.save(tmp_path / "x.npy", array)
        found = read_image(tmp_path / "x.npy", 3)
        np.testing.assert_array_equal(found, np.repeat(array[..., None], 3, -1))

    def test_another_number_of_channels_is_refused(self, tmp_path):
        np.save(tmp_path / "x.npy", np.zeros((8, 10, 5), np.uint8))
        with pytest.raises(ValueError, match=r"shape \(8, 10, 5\), and .*, 4\) is expected"):
            read_image(tmp_path / "x.npy", 4)

    def test_a_folder_of_arrays_trains(self, tmp_path):
        for part in ("images", "masks"):
            (tmp_path / part).mkdir()
        for i in range(5):
            image = RNG.integers(0, 256, (16, 16, 5), dtype=np.uint8)
            np.save(tmp_path / "images" / f"{i}.npy", image)
            np.save(tmp_path / "masks" / f"{i}.npy", image[..., 0] // 128)
        dataset = data.open_dataset(tmp_path, channels=5)
        ((images, masks),) = data.training_pipeline(dataset, crop=(8, 8), batch_size=4, epochs=1)
        assert images.shape == (4, 8, 8, 5) and masks.numpy().max() <= 1
        shown = overlay(dataset[0].image, dataset[0].mask, dataset.classes, opacity=0)
        np.testing.assert_array_equal(shown, dataset[0].image[..., :3])

    def test_tiffs_that_pillow_does_not_know_need_tifffile(self, tmp_path, monkeypatch):
        pages = [Image.fromarray(RNG.integers(0, 256, (4, 6), dtype=np.uint8)) for _ in range(5)]
        path = tmp_path / "pages.tif"
        pages[0].save(path, save_all=True, append_images=pages[1:])
        monkeypatch.setitem(sys.modules, "tifffile", None)
        with pytest.raises(ValueError, match=r"pages.tif .*pip install tifffile imagecodecs"):
            read_image(path, 5)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_tiffs_of_many_channels_and_bits_are_read(self, tmp_path, dtype):
        tifffile = pytest.importorskip("tifffile")
        array = RNG.integers(0, 256, (7, 9, 5)).astype(dtype)
        array[0, 0, :2] = 0, 255
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
        pages = np.moveaxis(array, -1, 0)
        tifffile.imwrite(tmp_path / "b.tif", pages, photometric="minisblack")
        for name in ("a.tif", "b.tif"):
            pixels = read_image(tmp_path / name, 5, value_range=(0, 255))
            np.testing.assert_array_equal(pixels, array)


class TestOrientation:
    @pytest.mark.parametrize("turned", range(1, 9))
    def test_image_and_mask_with_orientation_are_both_upright(self, tmp_path, turned):
        image = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
        for name in ("image.png", "mask.png"):
            save_turned(Image.fromarray(image), tmp_path / name, turned)
        upright = np.asarray(Image.open(tmp_path / "mask.png").convert("L"))
        assert orientation(tmp_path / "image.png") == turned
        pixels = read_image(tmp_path / "image.png", 1)[..., 0]
        np.testing.assert_array_equal(pixels, read_mask(tmp_path / "mask.png"))
        assert pixels.shape == ((7, 5) if turned > 4 else (5, 7))
        assert (turned == 1) == (pixels.shape == upright.shape and (pixels == upright).all())

    def test_a_quarter_turn_is_the_one_of_the_standard(self, tmp_path):
        image = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
        save_turned(Image.fromarray(image), tmp_path / "x.png", 6)
        # orientation 6: the first row of the file is the right side of the picture
        np.testing.assert_array_equal(
            read_image(tmp_path / "x.png", 1)[..., 0], np.rot90(image, -1)
        )

    def test_a_mask_drawn_on_unturned_pixels_is_refused_with_the_reason(self, shapes_folder):
        path = shapes_folder / "images" / "train0.png"
        save_turned(Image.open(path), path, 6)
        with pytest.raises(ValueError, match="turned by its EXIF orientation 6"):
            FolderDataset(shapes_folder)[0]

    def test_a_mask_drawn_on_the_upright_picture_fits(self, shapes_folder):
        for part in ("images", "masks"):
            path = shapes_folder / part / "train0.png"
            picture = Image.open(path)
            if part == "images":
                save_turned(picture, path, 6)
            else:
                picture.transpose(Image.Transpose.ROTATE_270).save(path)
        sample = FolderDataset(shapes_folder)[0]
        assert sample.image.shape[:2] == sample.mask.shape == TINY_SIZE[::-1]


class TestColourMasks:
    def recolour(self, folder, colours, mode="RGB"):
        """Saves the masks as pictures of the colours; returns what they must be read as."""
        truths = {sample.name: sample.mask for sample in FolderDataset(folder)}
        for name, mask in truths.items():
            painted = np.array(colours, np.uint8)[np.where(mask == 255, 3, mask)]
            Image.fromarray(painted).convert(mode).save(folder / "masks" / f"{name}.png")
        return truths

    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_colours_of_the_table_mean_its_classes(self, shapes_folder, mode):
        colours = [*TINY_CLASSES.colors, (9, 9, 9)]
        truths = self.recolour(shapes_folder, colours, mode)
        table = {**TINY_CLASSES.to_dict(), "ignore": [[9, 9, 9]]}
        (shapes_folder / "classes.json").write_text(json.dumps(table))
        for sample in FolderDataset(shapes_folder):
            np.testing.assert_array_equal(sample.mask, truths[sample.name])

    def test_colours_of_two_classes_are_refused_where_they_count(self, shapes_folder):
        """One of the two would have no pixel."""
        table = {"names": ["a", "b", "c"], "colors": [[0, 0, 0], [9, 9, 9], [9, 9, 9]]}
        (shapes_folder / "classes.json").write_text(json.dumps(table))
        assert len(list(FolderDataset(shapes_folder)))  # masks of indices have no colours
        self.recolour(shapes_folder, [*table["colors"], (9, 8, 7)])
        (shapes_folder / "classes.json").write_text(json.dumps(table | {"ignore": [[9, 8, 7]]}))
        with pytest.raises(ValueError, match=r"\(9, 9, 9\) is that of several classes: b, c"):
            list(FolderDataset(shapes_folder))

    def test_other_colours_are_named(self, shapes_folder):
        self.recolour(shapes_folder, [*TINY_CLASSES.colors, (9, 8, 7)])
        with pytest.raises(ValueError, match=r"1 colours .* for example \[\(9, 8, 7\)\]"):
            FolderDataset(shapes_folder)[0]


class TestValues:
    def binary(self, folder):
        for path in (folder / "masks").iterdir():
            mask = np.array(Image.open(path))
            Image.fromarray(np.where(mask == 1, 255, 0).astype(np.uint8)).save(path)

    def test_masks_of_0_and_255_are_not_taken_for_unknown(self, shapes_folder):
        self.binary(shapes_folder)
        (shapes_folder / "classes.json").unlink()
        with pytest.raises(ValueError, match='only 0 and 255.*"values": .0, 255.'):
            FolderDataset(shapes_folder)

    def test_values_say_which_class_a_mask_value_means(self, shapes_folder):
        truths = [sample.mask == 1 for sample in FolderDataset(shapes_folder)]
        self.binary(shapes_folder)
        text = '{"names": ["background", "square"], "values": [0, 255]}'
        (shapes_folder / "classes.json").write_text(text)
        for sample, truth in zip(FolderDataset(shapes_folder), truths, strict=True):
            np.testing.assert_array_equal(sample.mask, truth)

    def test_values_that_are_not_listed_are_unknown_or_refused(self, shapes_folder):
        table = {"names": ["square", "background"], "values": [1, 0], "ignore": 2}
        (shapes_folder / "classes.json").write_text(json.dumps(table))
        assert set(np.unique(FolderDataset(shapes_folder)[0].mask)) == {0, 1, 255}
        del table["ignore"]
        (shapes_folder / "classes.json").write_text(json.dumps(table))
        with pytest.raises(ValueError, match=r"train0.png holds values .* have: \[2\]"):
            FolderDataset(shapes_folder)[0]

    @pytest.mark.parametrize("values", ["[0]", "[0, 0]", "[-1, 0]", '"ab"'])
    def test_values_that_make_no_sense_are_refused(self, shapes_folder, values):
        text = '{"names": ["a", "b"], "values": ' + values + "}"
        (shapes_folder / "classes.json").write_text(text)
        with pytest.raises(ValueError, match=r"classes\.json is not a class table"):
            FolderDataset(shapes_folder)

    def test_jpeg_masks_are_refused_with_the_reason(self, shapes_folder):
        path = shapes_folder / "masks" / "train0.png"
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
        with pytest.raises(FileNotFoundError, match="no mask.*'train0'.*not read from JPEG"):
            FolderDataset(shapes_folder)


class TestInstances:
    def test_they_are_read_beside_the_masks(self, shapes_folder):
        numbers = RNG.integers(0, 3000, TINY_SIZE).astype(np.uint16)
        samples = [*FolderDataset(shapes_folder), *FolderDataset(shapes_folder, "val")]
        (shapes_folder / "instances").mkdir()
        for sample in samples:
            Image.fromarray(numbers).save(shapes_folder / "instances" / f"{sample.name}.png")
        np.testing.assert_array_equal(FolderDataset(shapes_folder)[2].instances, numbers)
        Image.fromarray(numbers[1:]).save(shapes_folder / "instances" / "train0.png")
        with pytest.raises(ValueError, match="mask and the instances of .*train0.* differ in size"):
            FolderDataset(shapes_folder)[0]
        (shapes_folder / "instances" / "train1.png").unlink()
        with pytest.raises(FileNotFoundError, match="no file in .*instances.*'train1'"):
            FolderDataset(shapes_folder)


class TestDamage:
    @pytest.fixture(scope="class")
    def thousand(self, tmp_path_factory):
        """A thousand JPEG files with masks, of which one is cut short."""
        root = tmp_path_factory.mktemp("thousand")
        (root / "images").mkdir()
        (root / "masks").mkdir()
        image = root / "image.jpg"
        Image.fromarray(RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(image)
        mask = root / "mask.png"
        Image.fromarray(np.eye(24, dtype=np.uint8)).save(mask)
        for i in range(1000):
            (root / "images" / f"{i:04d}.jpg").hardlink_to(image)
            (root / "masks" / f"{i:04d}.png").hardlink_to(mask)
        broken = root / "images" / "0731.jpg"
        content = broken.read_bytes()
        broken.unlink()
        broken.write_bytes(content[: len(content) * 9 // 10])
        (root / "train.txt").write_text("\n".join(f"{i:04d}" for i in range(1000)))
        return root

    def test_one_corrupt_jpeg_among_a_thousand_stops_before_training_and_is_named(self, thousand):
        dataset = CachedDataset(data.open_dataset(thousand))
        with pytest.raises(ValueError, match=r"0731\.jpg is cut short or damaged"):
            dataset.fill()
        assert "0731.jpg" in str(dataset.error)

    def test_with_skip_it_is_left_out_counted_and_named(self, thousand):
        with pytest.warns(UserWarning, match=r"1 of 1000 samples .*0731\.jpg is cut short"):
            dataset = data.open_dataset(thousand, on_error="skip")
        assert len(dataset) == 999 and len(dataset.skipped) == 1
        assert [dataset[i].name for i in (730, 731, -1)] == ["0730", "0732", "0999"]

    def test_with_skip_files_without_partner_and_broken_masks_are_left_out(self, shapes_folder):
        (shapes_folder / "classes.json").unlink()
        (shapes_folder / "masks" / "train1.png").write_text("no mask")
        (shapes_folder / "masks" / "train2.png").unlink()
        with pytest.warns(UserWarning) as caught:
            dataset = data.open_dataset(shapes_folder, on_error="skip")
        texts = [str(each.message) for each in caught if each.category is UserWarning]
        assert "no mask, for example ['train2']" in texts[0] and "train1.png" in texts[1]
        assert len(dataset) == 6 and len(dataset.classes) == 3

    def test_skipping_warns_of_nothing_where_all_is_well(self, shapes):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            dataset = ReadableDataset(shapes[0])
        assert len(dataset) == len(shapes[0]) and dataset.skipped == []

    def test_a_data_set_without_a_readable_sample_is_refused(self, shapes_folder):
        for path in (shapes_folder / "images").iterdir():
            path.write_bytes(b"")
        with pytest.raises(ValueError, match=r"None of the 8 samples .* can be read"):
            data.open_dataset(shapes_folder, on_error="skip")

    def test_unknown_switch_is_refused(self, shapes_folder):
        with pytest.raises(ValueError, match="Did you mean 'skip'"):
            data.open_dataset(shapes_folder, on_error="skp")

    @pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "npy", "webp"])
    def test_every_damage_is_a_value_error_that_names_the_file(self, tmp_path, suffix):
        """Cut anywhere, or with bytes turned over, a file is read or refused by name."""
        path, refused = tmp_path / f"x.{suffix}", 0
        image = RNG.integers(0, 256, (12, 13, 3), dtype=np.uint8)
        np.save(path, image) if suffix == "npy" else Image.fromarray(image).save(path)
        whole = path.read_bytes()
        lengths = [whole[: int(share * len(whole))] for share in np.linspace(0, 0.99, 25)]
        flipped = []
        for _ in range(40):
            content = bytearray(whole)
            for position in RNG.integers(0, min(len(whole), 400), 4):
                content[position] ^= int(RNG.integers(1, 256))
            flipped.append(bytes(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for content in lengths + flipped:
                path.write_bytes(content)
                for read in (read_image, read_mask):
                    try:
                        read(path)
                    except ValueError as error:
                        assert path.name in str(error)
                        refused += read is read_image
        assert refused > 15


def test_lists_of_stems_may_be_paths(tmp_path):
    (tmp_path / "val.txt").write_text("a/b/0001.png labels/0001.png\n\n0002\n")
    assert stems_in(tmp_path / "val.txt", "X") == ["0001", "0002"]


def test_unknown_kinds_of_data_are_named():
    with pytest.raises(ValueError, match="kind of data 'cityscape'. Did you mean 'cityscapes'"):
        data.open_dataset("cityscape:/nowhere")
