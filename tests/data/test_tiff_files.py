"""TIFF files of the kinds that satellites and microscopes give: whole, in rows, with gaps."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

from keras_seg.data.reading.georeference import read_georeference
from keras_seg.data.reading.images import read_image, read_image_and_known
from keras_seg.data.reading.ranges import stretched
from keras_seg.data.reading.rows import TiffRows, open_rows
from keras_seg.data.reading.tiff_tags import TagError, read_tags, stated_nodata

rasterio = pytest.importorskip("rasterio", reason="writes the files; needs the extra `geo`")
pytest.importorskip("imagecodecs", reason="needs the extra `tiff`")

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 70, 90
ROWS = ((0, HEIGHT), (3, 4), (31, 65), (HEIGHT - 1, HEIGHT))
TILED = {"tiled": True, "blockxsize": 32, "blockysize": 48}
KINDS = [
    {},
    {"compress": "lzw", "predictor": 2},
    {"compress": "deflate", "predictor": 2, "BIGTIFF": "YES"},
    {"compress": "packbits"},
    {"compress": "zstd"},
    {"compress": "lzma"},
    {"compress": "lerc"},
]


def write(path, array, mask=None, **words):
    """Writes (H, W, bands) by GDAL, not by a library that this package reads with."""
    options = {"driver": "GTiff", "height": array.shape[0], "width": array.shape[1]}
    options |= {"count": array.shape[2], "dtype": array.dtype.name, "crs": "EPSG:32633"}
    options["transform"] = rasterio.transform.from_origin(5e5, 52e5, 0.5, 0.5)
    with warnings.catch_warnings(action="ignore"), rasterio.open(path, "w", **options | words) as f:
        f.write(np.moveaxis(array, -1, 0))
        if mask is not None:
            f.write_mask(mask)
    return path


def random(dtype, bands):
    if np.dtype(dtype).kind == "f":
        return RNG.normal(90, 40, (HEIGHT, WIDTH, bands)).astype(dtype)
    return RNG.integers(0, 200, (HEIGHT, WIDTH, bands)).astype(dtype)


class TestKinds:
    @pytest.mark.parametrize("layout", [{}, TILED], ids=["strips", "tiles"])
    @pytest.mark.parametrize("interleave", ["pixel", "band"])
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float32", "float64"])
    def test_whole_and_in_rows(self, dtype, interleave, layout, tmp_path):
        for number, words in enumerate(KINDS):
            bands = (1, 3, 5)[number % 3]
            if np.dtype(dtype).kind == "f" and "predictor" in words:
                words = words | {"predictor": 3}
            array = random(dtype, bands)
            path = write(tmp_path / f"{number}.tif", array, interleave=interleave, **words | layout)
            limits = tuple((float(i) - 2, 200.0 + i) for i in range(bands))
            limits = limits if bands > 1 else limits[0]
            expected = array if dtype == "uint8" else stretched(array, limits)
            image, known = read_image_and_known(path, bands, value_range=limits)
            np.testing.assert_array_equal(image, expected, err_msg=str(words))
            assert known is None
            rows = open_rows(path, bands, whole_pixels=10, value_range=limits)
            assert isinstance(rows, TiffRows)
            for start, stop in ROWS:
                np.testing.assert_array_equal(rows.read(start, stop), expected[start:stop])
            rows.close()

    def test_photographs(self, tmp_path):
        smooth = np.broadcast_to(np.arange(WIDTH, dtype="uint8")[None, :, None] * 2, (70, 90, 3))
        for name, words in (("rgb", {}), ("ycbcr", {"photometric": "ycbcr"})):
            path = write(tmp_path / f"{name}.tif", smooth, compress="jpeg", **TILED | words)
            for whole_pixels in (10, 10**6):
                rows = open_rows(path, 3, whole_pixels=whole_pixels).read(0, 70)
                assert np.abs(rows.astype(int) - smooth).max() <= 8

    def test_overviews_are_no_further_pages(self, tmp_path):
        array = random("uint8", 3)
        path = write(tmp_path / "a.tif", array, **TILED)
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
        np.testing.assert_array_equal(read_image(path), array)
        rows = open_rows(path, 3, whole_pixels=10)
        assert isinstance(rows, TiffRows)
        np.testing.assert_array_equal(rows.read(5, 60), array[5:60])

    def test_a_range_per_band_needs_as_many_bands(self, tmp_path):
        path = write(tmp_path / "a.tif", random("uint16", 5))
        with pytest.raises(ValueError, match=r"a\.tif has 5 bands, and the range has 4 pairs"):
            read_image(path, 5, value_range=((0, 1),) * 4)


class TestGaps:
    """Pixels without data are 0 in the image, and known."""

    def check(self, path, channels, gap, **words):
        for whole_pixels in (10, 10**6):
            rows = open_rows(path, channels, whole_pixels=whole_pixels, **words)
            pixels = rows.read(0, HEIGHT)
            np.testing.assert_array_equal(rows.take_known(0, HEIGHT), ~gap)
            assert not pixels[gap].any() and pixels[~gap].any()
            rows.close()

    @pytest.mark.parametrize(
        ("dtype", "nodata"),
        [("uint8", 0), ("int16", -9999), ("float32", -3.4028234663852886e38), ("float32", np.nan)],
    )
    def test_by_the_tag(self, dtype, nodata, tmp_path):
        array = random(dtype, 3).clip(1)
        array[5, :, 0] = 0 if dtype == "uint8" else nodata  # one band alone says nothing ...
        gap = np.zeros((HEIGHT, WIDTH), bool)
        gap[20:40, 7:50] = True
        array[gap] = nodata
        if np.isnan(nodata):
            gap[5] = True  # ... but NaN cannot be computed with
        path = write(tmp_path / "a.tif", array, nodata=nodata, compress="lzw", **TILED)
        self.check(path, 3, gap, value_range=(0, 200))

    def test_by_a_mask(self, tmp_path):
        gap = np.zeros((HEIGHT, WIDTH), bool)
        gap[:, 60:] = True
        array = random("uint8", 3).clip(1)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            path = write(tmp_path / "a.tif", array, np.uint8(255 * ~gap), compress="deflate")
        assert not (tmp_path / "a.tif.msk").exists()
        self.check(path, 3, gap)

    def test_by_alpha(self, tmp_path):
        array = random("uint8", 4).clip(1)
        gap = np.zeros((HEIGHT, WIDTH), bool)
        gap[:9] = True
        array[..., 3] = np.where(gap, 0, 255)
        self.check(write(tmp_path / "a.tif", array, photometric="rgb", alpha="yes"), 3, gap)
        array[50, 50, 3] = 100
        path = write(tmp_path / "b.tif", array, photometric="rgb", alpha="yes")
        with pytest.raises(ValueError, match=r"b\.tif has transparency"):
            read_image(path)

    def test_that_is_stated(self, tmp_path):
        array = random("uint16", 3) + 1
        array[:5, :5] = 777
        path = write(tmp_path / "a.tif", array)
        gap = (array == 777).all(-1)
        self.check(path, 3, gap, value_range=(0, 200), nodata=777)
        assert read_image_and_known(path, 3, value_range=(0, 200))[1] is None


class TestTags:
    def test_of_no_tiff_file_and_of_a_damaged_one(self, tmp_path):
        path = write(tmp_path / "a.tif", random("uint8", 1), nodata=7)
        assert stated_nodata(path) == 7
        content = path.read_bytes()
        for number in (b"PNG", content[:6], content[:12], content[:4] + b"\xff" * 4 + content[8:]):
            path.write_bytes(number)
            with pytest.raises(TagError):
                read_tags(path, [256])
            assert stated_nodata(path) is None

    @pytest.mark.parametrize("seed", range(20))
    def test_random_damage_ends(self, seed, tmp_path):
        path = write(tmp_path / "a.tif", random("uint8", 3), nodata=7)
        content = bytearray(path.read_bytes())
        generator = np.random.default_rng(seed)
        for place in generator.integers(0, 400, 30):
            content[place] = generator.integers(0, 256)
        path.write_bytes(content)
        assert isinstance(stated_nodata(path), float | None)
        place = read_georeference(path)
        assert place is None or place.transform is None or len(place.transform) == 6

    def test_a_world_file_gives_the_place(self, tmp_path):
        path = write(tmp_path / "a.tif", random("uint8", 1), crs=None, transform=None)
        assert read_georeference(path) is None
        (tmp_path / "a.tfw").write_text("0.5\n0\n0\n-0.5\n500000.25\n5199999.75\n")
        assert read_georeference(path).transform == (0.5, 0, 500000, 0, -0.5, 5200000)


MISSING = """
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None
from keras_seg.data.reading.images import read_image
from keras_seg.data.reading.rows import open_rows
for whole_pixels in (10, 10**9):
    try:
        pixels = open_rows(sys.argv[1], 5, whole_pixels=whole_pixels, value_range=(0, 255))
        print("read", pixels.read(0, 70).sum())
    except ValueError as error:
        print(error)
"""


class TestMissingPackages:
    """What is named is installed, and then the file is read."""

    def run(self, path, *missing):
        done = subprocess.run(
            [sys.executable, "-c", MISSING, path, *missing],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    def test_imagecodecs(self, tmp_path):
        path = write(tmp_path / "a.tif", random("uint16", 5), compress="lzw")
        read = self.run(path)
        assert read[0].startswith("read") and read[0] == read[1]
        assert self.run(path, "imagecodecs") == read  # by rasterio
        for line in self.run(path, "imagecodecs", "rasterio"):
            assert "LZW compression" in line and line.endswith("pip install imagecodecs.")

    def test_tifffile(self, tmp_path):
        path = write(tmp_path / "a.tif", random("uint16", 5), compress="deflate")
        read = self.run(path)
        assert self.run(path, "imagecodecs") == read  # tifffile decodes it alone
        assert self.run(path, "tifffile") == read
        for line in self.run(path, "tifffile", "rasterio"):
            assert line.endswith("pip install tifffile imagecodecs.")
