"""The place of a GeoTIFF is that of its mask, its probabilities and its polygons."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from keras_seg.data.classes import ClassTable
from keras_seg.data.reading.georeference import GeoReference, read_georeference
from keras_seg.data.reading.tiff_tags import Tag
from keras_seg.inference import InstanceOptions, bands
from keras_seg.inference.files.geotiff_rows import GeoTiffRows
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.predict import predict_files
from tests.helpers.stub_runner import Stub, darkness

KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
PLACE = {33550: (0.5, 0.5, 0.0), 33922: (0, 0, 0, 5e5, 52e5, 0), 34735: KEYS}
RPC = tuple(float(number) for number in range(92))
BLOCKS = np.kron(
    np.random.default_rng(0).integers(1, 256, (6, 8, 3)).astype(np.uint8),
    np.ones((8, 8, 1), np.uint8),
)


def stub():
    runner = Stub(darkness)
    runner.card = replace(runner.card, classes=ClassTable(("background", "roof", "tree")))
    return runner


def write_by_tifffile(path, tags, image=BLOCKS):
    tifffile = pytest.importorskip("tifffile")
    kinds = {34735: "H", 34737: "s", 42113: "s"}
    tifffile.imwrite(
        path,
        image,
        photometric="rgb",
        extratags=[
            (code, kinds.get(code, "d"), 0 if kinds.get(code) == "s" else len(values), values)
            for code, values in tags.items()
        ],
    )


@pytest.fixture(params=[2**23, 500], ids=["whole", "in bands"])
def limits(request, monkeypatch):
    monkeypatch.setattr(bands, "WHOLE_PIXELS", request.param)
    monkeypatch.setattr(bands, "WINDOW", 32)


@pytest.mark.usefixtures("limits")
class TestByTags:
    """The tags themselves, which need no GDAL."""

    @pytest.mark.parametrize(
        "tags",
        [PLACE, PLACE | {50844: RPC}, {33922: (*(0,) * 3, 1, 2, 0, 48, 0, 0, 3, 4, 0)}],
        ids=["scale", "coefficients", "control points"],
    )
    def test_are_copied(self, tags, tmp_path):
        tifffile = pytest.importorskip("tifffile")
        write_by_tifffile(tmp_path / "a.tif", tags)
        outputs = OutputOptions(probabilities=True)
        assert not predict_files(stub(), [tmp_path / "a.tif"], tmp_path, outputs=outputs).failed
        for ending, dtype in (("mask", np.uint8), ("probabilities", np.float32)):
            with tifffile.TiffFile(tmp_path / f"a_{ending}.tif") as file:
                page = file.pages[0]
                assert page.dtype == dtype and page.shape[:2] == BLOCKS.shape[:2]
                for code, values in tags.items():
                    assert page.tags[code].value == values
                pixels = page.asarray()
            if ending == "mask":
                np.testing.assert_array_equal(pixels, darkness(BLOCKS[None])[0].argmax(-1))
        scores = np.load(tmp_path / "a_probabilities.npz")["probabilities"]
        np.testing.assert_allclose(pixels, scores, atol=1e-3)

    def test_an_image_without_a_place_has_only_the_png(self, tmp_path):
        write_by_tifffile(tmp_path / "a.tif", {})
        predict_files(stub(), [tmp_path / "a.tif"], tmp_path)
        assert (tmp_path / "a_mask.png").exists() and not (tmp_path / "a_mask.tif").exists()

    def test_polygons_are_in_map_coordinates(self, tmp_path):
        write_by_tifffile(tmp_path / "a.tif", PLACE)
        Image.fromarray(BLOCKS).save(tmp_path / "b.png")
        outputs = OutputOptions(polygons="geojson")
        predict_files(stub(), [tmp_path / "a.tif", tmp_path / "b.png"], tmp_path, outputs=outputs)
        placed, plain = (json.loads((tmp_path / f"{x}.geojson").read_text()) for x in "ab")
        assert placed["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
        assert "crs" not in plain and len(placed["features"]) == len(plain["features"]) > 3
        for here, there in zip(placed["features"], plain["features"], strict=True):
            assert here["properties"] == there["properties"]
            rings = zip(*(each["geometry"]["coordinates"] for each in (here, there)), strict=True)
            for number, (ring, pixels) in enumerate(rings):
                expected = np.array(pixels) * [0.5, -0.5] + [5e5, 52e5]
                assert sorted(map(tuple, expected)) == sorted(map(tuple, ring))
                x, y = np.array(ring).T - np.array(ring)[:1].T
                area = np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])
                assert (area > 0) == (number == 0)  # outlines are counterclockwise

    def test_pixels_without_data_are_255_and_count_nowhere(self, tmp_path):
        image = BLOCKS.copy()
        image[:8, :16] = 0
        write_by_tifffile(tmp_path / "a.tif", PLACE | {42113: "0"}, image)
        outputs = OutputOptions(True, True, polygons="geojson", instances=InstanceOptions())
        predict_files(stub(), [tmp_path / "a.tif"], tmp_path, outputs=outputs)
        gap = (image == 0).all(-1)
        mask = np.asarray(Image.open(tmp_path / "a_mask.png"))
        np.testing.assert_array_equal(mask == 255, gap)
        scores = np.load(tmp_path / "a_probabilities.npz")["probabilities"]
        np.testing.assert_array_equal(np.isnan(scores).all(-1), gap)
        objects = np.asarray(Image.open(tmp_path / "a_instances.png"))
        assert not objects[gap].any() and objects.any()


def test_the_place_by_pixel_centres(tmp_path):
    keys = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 2, 2048, 0, 1, 4326)
    tags = {33550: (2.0, 3.0, 0.0), 33922: (1, 1, 0, 10, 50, 0), 34735: keys}
    write_by_tifffile(tmp_path / "a.tif", tags)
    place = read_georeference(tmp_path / "a.tif")
    assert place.transform == (2, 0, 10 - 2 - 1, 0, -3, 50 + 3 + 1.5)
    assert place.crs == "urn:ogc:def:crs:OGC:1.3:CRS84"


@pytest.mark.parametrize("large", [False, True], ids=["classic", "BigTIFF"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32])
def test_rows_are_what_was_written(dtype, large, tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    if large:
        monkeypatch.setattr("keras_seg.inference.files.geotiff_rows.LARGEST_CLASSIC", 0)
    monkeypatch.setattr("keras_seg.inference.files.geotiff_rows.STRIP_BYTES", 3000)
    array = np.random.default_rng(1).integers(0, 200, (101, 57, 3)).astype(dtype)
    place = GeoReference({33922: Tag(12, (1.5,) * 6)}, None, None)
    file = GeoTiffRows(tmp_path / "a.tif", array.shape, dtype, place, nodata=7, names=("é<", "b"))
    for start, stop in ((0, 1), (1, 40), (40, 41), (41, 101)):
        file.write(array[start:stop])
    file.close()
    with tifffile.TiffFile(tmp_path / "a.tif") as read:
        assert read.is_bigtiff == large and read.pages[0].tags[33922].value == (1.5,) * 6
        np.testing.assert_array_equal(read.asarray(), array)


def test_a_file_that_misses_rows_is_no_tiff_file(tmp_path):
    file = GeoTiffRows(tmp_path / "a.tif", (500, 900, 1), np.uint8, GeoReference({}, None, None))
    file.write(np.zeros((3, 900)))
    file.close()
    with pytest.raises(OSError, match="cannot identify|not a TIFF"):
        Image.open(tmp_path / "a.tif").load()


@pytest.mark.usefixtures("limits")
class TestByGdal:
    names = ("mask", "probabilities", "instances")

    @pytest.fixture
    def rasterio(self):
        pytest.importorskip("rasterio.features", reason="needs the extra `geo`")
        return pytest.importorskip("rasterio")

    def cases(self, rasterio):
        affine, crs = rasterio.Affine, rasterio.CRS.from_epsg
        utm = affine(0.5, 0, 5e5, 0, -0.5, 52e5)
        laea = rasterio.CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84")
        return {
            "projected": {"crs": crs(32633), "transform": utm},
            "turned": {"crs": crs(4326), "transform": affine(1e-4, 2e-5, 13, 1e-5, -1e-4, 47)},
            "without a code": {"crs": laea, "transform": utm},
            "pixel centres": {"crs": crs(32633), "transform": utm, "point": True},
        }

    @pytest.mark.parametrize(
        "name", ["projected", "turned", "without a code", "pixel centres", "control points"]
    )
    def test_masks_and_polygons_are_at_the_place(self, name, rasterio, tmp_path):
        words = self.cases(rasterio).get(name, {})
        point = words.pop("point", False)
        options = {"driver": "GTiff", "height": 48, "width": 64, "count": 3, "dtype": "uint8"}
        options |= words | {"compress": "deflate", "tiled": True, "blockxsize": 16}
        with warnings.catch_warnings(action="ignore"):
            with rasterio.open(tmp_path / "a.tif", "w", blockysize=16, **options) as file:
                file.write(np.moveaxis(BLOCKS, -1, 0))
                if point:
                    file.update_tags(AREA_OR_POINT="Point")
                if name == "control points":
                    corners = ((0, 0, 1, 2), (0, 64, 3, 2), (48, 0, 1, -2), (48, 64, 3, -3))
                    points = [rasterio.control.GroundControlPoint(*each) for each in corners]
                    file.gcps = (points, rasterio.CRS.from_epsg(4326))
            outputs = OutputOptions(
                probabilities=True, polygons="geojson", instances=InstanceOptions(min_area=3)
            )
            predict_files(stub(), [tmp_path / "a.tif"], tmp_path, outputs=outputs)
            image = rasterio.open(tmp_path / "a.tif")
            files = {x: rasterio.open(tmp_path / f"a_{x}.tif") for x in self.names}
        for each in files.values():
            assert (each.crs, each.transform) == (image.crs, image.transform)
            assert each.tags().get("AREA_OR_POINT") == image.tags().get("AREA_OR_POINT")
            assert len(each.gcps[0]) == len(image.gcps[0]) and each.gcps[1] == image.gcps[1]
        mask, objects = files["mask"].read(1), files["instances"].read(1)
        np.testing.assert_array_equal(mask, np.asarray(Image.open(tmp_path / "a_mask.png")))
        assert files["mask"].nodata == 255 and np.isnan(files["probabilities"].nodata)
        assert files["mask"].colormap(1)[1][:3] == stub().card.classes.colors[1]
        assert files["probabilities"].descriptions == ("background", "roof", "tree")
        found = json.loads((tmp_path / "a.geojson").read_text())
        assert ("crs" in found) == (name in ("projected", "turned", "pixel centres"))
        shapes = [(f["geometry"], f["properties"]["id"]) for f in found["features"]]
        transform = rasterio.Affine.identity() if name == "control points" else image.transform
        again = rasterio.features.rasterize(shapes, (48, 64), transform=transform, dtype="int32")
        np.testing.assert_array_equal(again, objects)
