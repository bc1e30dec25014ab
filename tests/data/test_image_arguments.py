"""What `predict` takes for an image: arrays of any type, tensors, paths, pictures and lists."""

import importlib
import io
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import inference
from keras_seg.data import Sample
from keras_seg.data.reading import in_memory
from keras_seg.data.reading.images import read_image
from keras_seg.models import ModelCard

RNG = np.random.default_rng(5)
IMAGE = RNG.integers(0, 256, (20, 30, 3), "uint8")


def threshold_model(channels=3):
    """Class 1 where the channels' sum exceeds 127.5 for each of them: exact on whole numbers."""
    entry = keras.Input((None, None, channels))
    layer = keras.layers.Conv2D(2, 1)
    model = keras.Model(entry, layer(entry))
    kernel = np.zeros((1, 1, channels, 2), np.float32)
    kernel[..., 1] = 1
    layer.set_weights([kernel, np.float32([127.5 * channels, 0])])
    return model


def truth(image):
    return image.sum(-1, dtype=int) > 127.5 * image.shape[-1]


@pytest.fixture(scope="module")
def runner():
    return inference.load(threshold_model())


def ranged(low, high):
    loaded = inference.load(threshold_model(), value_range=(low, high))
    assert loaded.card.value_range == (low, high)
    return loaded


class TestForms:
    @pytest.mark.parametrize(
        "given",
        [
            IMAGE.astype(np.int32),
            IMAGE.astype(np.int64),
            IMAGE.astype(np.float32),
            IMAGE.astype(np.float64),
            IMAGE + 0.3 * (IMAGE < 255),
            np.asfortranarray(IMAGE),
            np.ma.masked_array(IMAGE),
            tf.constant(IMAGE),
            tf.constant(IMAGE, tf.float32),
            Image.fromarray(IMAGE),
            Image.fromarray(IMAGE).convert("RGBA"),
        ],
    )
    def test_one_image(self, runner, given):
        found = runner.predict(given)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, truth(IMAGE))

    def test_read_only_and_views(self, runner):
        view = np.flip(np.repeat(IMAGE, 2, 0), 1)[::2]
        view.flags.writeable = False
        np.testing.assert_array_equal(runner.predict(view), truth(IMAGE)[:, ::-1])

    def test_other_frameworks(self, runner):
        torch = pytest.importorskip("torch", reason="needs PyTorch")
        tensor = torch.tensor(IMAGE.astype(np.float32), requires_grad=True)
        np.testing.assert_array_equal(runner.predict(tensor), truth(IMAGE))
        np.testing.assert_array_equal(runner.predict(tensor.bfloat16() * 0 + 255), 1)

    def test_jax(self, runner):
        jax = pytest.importorskip("jax", reason="needs JAX")
        np.testing.assert_array_equal(runner.predict(jax.numpy.asarray(IMAGE)), truth(IMAGE))

    def test_whoever_predicts(self, tmp_path):
        model = threshold_model()
        model.save(tmp_path / "m.keras")
        path = tmp_path / "a.png"
        Image.fromarray(IMAGE).save(path)
        for first in (
            model,
            tmp_path / "m.keras",
            str(tmp_path / "m.keras"),
            inference.load(model),
        ):
            for image in (IMAGE, path, str(path)):
                np.testing.assert_array_equal(inference.predict(first, image), truth(IMAGE))
        with pytest.raises(TypeError, match=r"Keras model, or the path.*Received: list"):
            inference.predict([model], IMAGE)

    def test_lists_of_any_kind_and_size(self, runner, tmp_path):
        small = IMAGE[:7, :9]
        Image.fromarray(small).save(tmp_path / "b.png")
        objects = np.empty(2, object)
        objects[:] = [IMAGE, small]
        for images in (
            [IMAGE, tmp_path / "b.png"],
            (tf.constant(IMAGE), Image.fromarray(small)),
            (each for each in (IMAGE, small.astype(float))),
            objects,
            [Sample("a", IMAGE, IMAGE[..., 0]), Sample("b", small, small[..., 0])],
        ):
            found = runner.predict(images)
            assert isinstance(found, list)
            np.testing.assert_array_equal(found[0], truth(IMAGE))
            np.testing.assert_array_equal(found[1], truth(small))

    def test_batches(self, runner):
        batch = np.stack([IMAGE, IMAGE[::-1]])
        for given in (batch, batch.astype(np.float32), tf.constant(batch)):
            found = runner.predict(given)
            assert found.shape == (2, 20, 30)
            np.testing.assert_array_equal(found, truth(batch))
        np.testing.assert_array_equal(inference.predict(runner, batch), truth(batch))

    def test_nothing_is_nothing(self, runner):
        assert runner.predict([]) == []
        found = runner.predict(np.zeros((0, 20, 30, 3), np.uint8))
        assert (found.shape, found.dtype) == ((0, 20, 30), np.uint8)
        found = runner.predict(np.zeros((0, 20, 30, 3), np.uint8), probabilities=True)
        assert (found.shape, found.dtype) == ((0, 20, 30, 2), np.float32)

    def test_grey(self, runner):
        grey = IMAGE[..., 0]
        for given in (grey, grey[..., None], Image.fromarray(grey), grey.astype(float)):
            np.testing.assert_array_equal(runner.predict(given), grey > 127)


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (IMAGE / 255, r"float64 from .* to 1, and the network takes 0 to 255.*image \* 255"),
            (IMAGE / 127.5 - 1, r"from -1 to 1.*normalised, which the network does itself"),
            (IMAGE * 16.0, r"to 4080, .*value_range=\(0, 4095\)"),
            (IMAGE.astype(np.uint16), r"uint16 .*value_range=\(0, 255\).*astype\('uint8'\)"),
            (IMAGE.astype(np.int16), r"int16"),
            (np.where(IMAGE > 3, IMAGE, np.nan), "not finite"),
            (IMAGE > 100, r"type bool.*astype\('uint8'\) \* 255"),
            (np.moveaxis(IMAGE, -1, 0), r"30 channels in an array of shape \(3, 20, 30\).*first"),
            (np.zeros((2, 3, 20, 30), np.uint8), r"shape \(3, 20, 30\).*transpose\(1, 2, 0\)"),
            (np.zeros((5, 5, 4), np.uint8), r"4 channels.*image\[\.\.\., :3\]"),
            (np.zeros((0, 5, 3), np.uint8), r"Received: uint8 of shape \(0, 5, 3\)"),
            (np.zeros((1, 1, 5, 5, 3), np.uint8), r"shape \(1, 1, 5, 5, 3\)"),
            (np.zeros(5, np.uint8), r"shape \(5,\)"),
            (IMAGE.astype(complex), "complex128"),
            (np.ma.masked_equal(IMAGE, IMAGE[0, 0, 0]), r"masked values.*filled\(0\)"),
            ({"image": IMAGE}, "Received: dict"),
            (None, "Received: NoneType"),
            (3, "Received: int"),
            (b"png", "Received: bytes"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_with_words(self, runner, given, message):
        with pytest.raises(ValueError, match=message):
            runner.predict(given)

    def test_missing_and_broken_files(self, runner, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no image file .*gone\.png"):
            runner.predict(tmp_path / "gone.png")
        empty = tmp_path / "empty.png"
        empty.write_bytes(b"")
        with pytest.raises(ValueError, match=r"empty\.png cannot be read"):
            runner.predict(empty)

    def test_a_black_image_is_black_on_any_scale(self, runner):
        np.testing.assert_array_equal(runner.predict(np.zeros((4, 4, 3))), np.zeros((4, 4)))


class TestValueRange:
    def test_of_the_card_maps_all_but_8_bits_as_files_are(self, tmp_path):
        loaded = ranged(0, 4080)
        for given in (
            IMAGE.astype(np.uint16) * 16,
            IMAGE.astype(np.int16) * 16,
            IMAGE * 16.0,
            IMAGE.astype(np.int64) * 16,
            IMAGE,
        ):
            np.testing.assert_array_equal(loaded.predict(given), truth(IMAGE))
        np.save(tmp_path / "a.npy", IMAGE.astype(np.uint16) * 16)
        np.testing.assert_array_equal(loaded.predict(tmp_path / "a.npy"), truth(IMAGE))

    def test_of_one_call(self, runner):
        found = runner.predict(IMAGE.astype(np.uint16) * 8, value_range=(0, 2040))
        np.testing.assert_array_equal(found, truth(IMAGE))
        found = inference.predict(threshold_model(), IMAGE / 255, value_range=(0, 1))
        np.testing.assert_array_equal(found, truth(IMAGE))

    def test_travels_in_the_card_and_older_cards_have_none(self):
        card = ModelCard(inference.load(threshold_model()).card.classes)
        assert "value_range" not in card.to_json()
        assert ModelCard.from_json(card.to_json()).value_range is None
        with_range = ModelCard(card.classes, value_range=(0, 4095))
        assert ModelCard.from_json(with_range.to_json()).value_range == (0, 4095)
        with pytest.raises(ValueError, match="smaller value first"):
            inference.load(threshold_model(), value_range=(9, 3))


class TestPictures:
    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"])
    def test_as_their_files(self, mode, tmp_path):
        source = Image.fromarray(IMAGE)
        picture = source.convert("L").convert("LA") if mode == "LA" else source.convert(mode)
        path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
        picture.save(path)
        with Image.open(path) as again:
            found = in_memory.as_pixels(again, 3)
        np.testing.assert_array_equal(found, read_image(path))

    def test_stand_upright(self, tmp_path):
        picture = Image.fromarray(IMAGE)
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.save(tmp_path / "a.png", exif=exif)
        with Image.open(tmp_path / "a.png") as turned:
            found = in_memory.as_pixels(turned, 3)
        np.testing.assert_array_equal(found, np.rot90(IMAGE, -1))

    def test_transparency_has_its_share_named(self, tmp_path):
        picture = Image.fromarray(IMAGE).convert("RGBA")
        for x in range(6):
            picture.putpixel((x, 0), (1, 2, 3, 100))
        with pytest.raises(ValueError, match=r"transparency \(RGBA, 4 channels, 1\.0 % of the"):
            in_memory.as_pixels(picture, 3)
        picture.save(tmp_path / "a.png")
        with pytest.raises(ValueError, match=r"a\.png has transparency"):
            read_image(tmp_path / "a.png")

    @pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
    def test_animations_are_told(self, suffix, tmp_path):
        frames = [Image.fromarray(IMAGE), Image.fromarray(255 - IMAGE)]
        frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
        with pytest.warns(UserWarning, match=r"has 2 frames\. The first is read"):
            read_image(tmp_path / f"a{suffix}")

    def test_16_bit_and_float_pictures_need_a_range(self):
        for mode, white in (("I;16", 65280), ("I", 65280), ("F", 255)):
            grey = Image.fromarray(IMAGE[..., 0]).convert("F").point(lambda v, w=white: v * w / 255)
            picture = grey.convert("I").convert(mode) if mode != "F" else grey
            with pytest.raises(ValueError, match="8 bits"):
                in_memory.as_pixels(picture, 1)
            found = in_memory.as_pixels(picture, 1, (0, white))[..., 0]
            assert np.abs(found.astype(int) - IMAGE[..., 0]).max() <= 1


class TestBands:
    """Bands beyond those that a network takes are never dropped without a word."""

    def write(self, path, array, **words):
        tifffile = pytest.importorskip("tifffile", reason="needs the extra `tiff`")
        tifffile.imwrite(path, array, **words)
        return path

    @pytest.mark.parametrize("bands", [4, 5])
    def test_bands_that_are_no_alpha(self, bands, tmp_path):
        array = RNG.integers(0, 256, (20, 30, bands), "uint8")
        path = self.write(
            tmp_path / "a.tif", array, photometric="rgb", extrasamples=[0] * (bands - 3)
        )
        with pytest.raises(ValueError, match=rf"\(20, 30, {bands}\), and \(height, width"):
            read_image(path)
        np.testing.assert_array_equal(read_image(path, bands), array)

    def test_a_second_band_of_grey(self, tmp_path):
        array = RNG.integers(0, 256, (20, 30, 2), "uint8")
        words = {"photometric": "minisblack", "planarconfig": "contig"}
        path = self.write(tmp_path / "a.tif", array, **words)
        with pytest.raises(ValueError, match=r"\(20, 30, 2\), and \(height, width"):
            read_image(path, 1)
        np.testing.assert_array_equal(read_image(path, 2), array)

    @pytest.mark.parametrize("whole_pixels", [10, 10**6])
    def test_alpha_of_tiffs_read_whole_and_in_rows(self, whole_pixels, tmp_path):
        from keras_seg.data.reading.rows import open_rows

        opaque = np.concatenate([IMAGE, np.full((20, 30, 1), 255, np.uint8)], -1)
        words = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
        path = self.write(tmp_path / "a.tif", opaque, **words)
        rows = open_rows(path, 3, whole_pixels=whole_pixels)
        np.testing.assert_array_equal(rows.read(0, 20), IMAGE)
        rows.close()
        opaque[15, 3, 3] = 254
        path = self.write(tmp_path / "b.tif", opaque, **words)
        with pytest.raises(ValueError, match=r"b\.tif has transparency"):
            open_rows(path, 3, whole_pixels=whole_pixels).read(0, 20)

    @pytest.mark.parametrize("mode", ["P", "CMYK", "L;I"])
    def test_other_colours_are_alike_whole_and_in_rows(self, mode, tmp_path):
        """Palettes, ink and grey from white are no RGB: their numbers are no pixels."""
        from keras_seg.data.reading.rows import open_rows

        if mode == "L;I":
            words = {"photometric": "miniswhite"}
            path = self.write(tmp_path / "a.tif", IMAGE[..., 0], **words)
        else:
            path = tmp_path / "a.tif"
            Image.fromarray(IMAGE).convert(mode).save(path)
        found = open_rows(path, 3, whole_pixels=10).read(0, 20)
        np.testing.assert_array_equal(found, read_image(path))


class TestCompressedTiffs:
    """LZW is the usual compression of GeoTIFF, and is no damage."""

    @pytest.fixture
    def without_imagecodecs(self, monkeypatch):
        tifffile = pytest.importorskip("tifffile", reason="needs the extra `tiff`")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        plain = importlib.import_module("tifffile._imagecodecs")
        monkeypatch.setattr(tifffile.tifffile, "imagecodecs", plain)
        return tifffile

    @pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "raw"])
    @pytest.mark.parametrize("whole_pixels", [10, 10**6])
    def test_large_and_small(self, compression, whole_pixels, tmp_path, without_imagecodecs):
        from keras_seg.data.reading.rows import open_rows

        path = tmp_path / "a.tif"
        Image.fromarray(IMAGE).save(path, compression=compression)
        rows = open_rows(path, 3, whole_pixels=whole_pixels)
        np.testing.assert_array_equal(rows.read(3, 17), IMAGE[3:17])
        rows.close()

    @pytest.mark.parametrize("compression", ["jpeg", "zstd"])
    def test_photographs(self, compression, tmp_path, without_imagecodecs):
        from keras_seg.data.reading.rows import open_rows

        path = tmp_path / "a.tif"
        smooth = np.broadcast_to(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], (20, 30, 3))
        Image.fromarray(smooth.copy()).save(path, compression=compression)
        found = open_rows(path, 3, whole_pixels=10).read(0, 20)
        assert np.abs(found.astype(int) - smooth).max() <= 8

    def test_the_package_is_named_where_pillow_cannot_help(self, tmp_path, without_imagecodecs):
        path = tmp_path / "a.tif"
        array = RNG.integers(0, 256, (20, 30, 5), "uint8")
        without_imagecodecs.imwrite(path, array, photometric="rgb", compression=None)
        content = bytearray(path.read_bytes())
        place = content.index((259).to_bytes(2, "little") + (3).to_bytes(2, "little"))
        content[place + 8] = 5  # LZW, as a file that this machine cannot write
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"LZW compression.*pip install imagecodecs") as raised:
            read_image(path, 5)
        assert "damaged" not in str(raised.value)

    def test_beyond_the_limit_of_pillow(self, tmp_path, without_imagecodecs, monkeypatch):
        from keras_seg.data.reading.rows import open_rows

        path = tmp_path / "a.tif"
        Image.fromarray(IMAGE).save(path, compression="tiff_lzw")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(ValueError, match=r"LZW compression.*pip install imagecodecs"):
            open_rows(path, 3, whole_pixels=10)


def test_warnings_are_for_what_is_unusual(runner, tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runner.predict([IMAGE, tmp_path / "a.png"])


class TestWhatIsWrittenIntoMessages:
    """A remedy that a message names must be right when it is copied."""

    @pytest.mark.parametrize(
        ("image", "said", "remedy"),
        [
            (IMAGE / 127.5 - 1, "value_range=(-1, 1)", {"value_range": (-1, 1)}),
            (
                (IMAGE.astype(int) - 128).astype(np.int8),
                "(-128, 127)",
                {"value_range": (-128, 127)},
            ),
        ],
    )
    def test_ranges(self, runner, image, said, remedy):
        with pytest.raises(ValueError, match=re.escape(said)):
            runner.predict(image)
        np.testing.assert_array_equal(runner.predict(image, **remedy), truth(IMAGE))

    def test_overshoot_of_a_resize(self, runner):
        image = IMAGE.astype(np.float32)
        image[0, 0], image[1, 1] = -14, 270
        with pytest.raises(ValueError, match=re.escape("image.clip(0, 255)")):
            runner.predict(image)
        expected = truth(image.clip(0, 255).astype(np.uint8))
        np.testing.assert_array_equal(runner.predict(image.clip(0, 255)), expected)

    def test_rounding_errors_are_no_overshoot(self, runner):
        nearly = IMAGE.astype(np.float32) * 1.000001 - 1e-4
        np.testing.assert_array_equal(runner.predict(nearly), truth(IMAGE))

    def test_normalised(self, runner):
        image = (IMAGE / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        with pytest.raises(ValueError, match="seem to be normalised") as caught:
            runner.predict(image)
        assert "value_range" not in str(caught.value)

    def test_deep_files_can_be_predicted_as_told(self, runner, tmp_path):
        path = tmp_path / "deep.png"
        Image.fromarray(IMAGE[..., 0].astype(np.uint16) * 16).save(path)
        with pytest.raises(ValueError, match=re.escape("--value_range 0 4095")):
            runner.predict(path)
        assert runner.predict(path, value_range=(0, 4095)).shape == IMAGE.shape[:2]


class TestNestedListsAndOpenFiles:
    def test_lists_of_numbers_are_an_image(self, runner):
        np.testing.assert_array_equal(runner.predict(IMAGE.tolist()), truth(IMAGE))

    def test_lists_of_images_in_numbers_are_a_batch(self, runner):
        found = runner.predict([IMAGE.tolist(), IMAGE.tolist()])
        np.testing.assert_array_equal(found, np.stack([truth(IMAGE)] * 2))

    def test_a_list_of_numbers_is_no_image(self, runner):
        with pytest.raises(ValueError, match="must have the shape"):
            runner.predict([1, 2, 3])

    def test_files_and_bytes(self, runner):
        file = io.BytesIO()
        Image.fromarray(IMAGE).save(file, "PNG")
        for given in (file, file.getvalue()):
            with pytest.raises(ValueError, match=r"Image\.open"):
                runner.predict(given)
        np.testing.assert_array_equal(runner.predict(Image.open(file)), truth(IMAGE))
