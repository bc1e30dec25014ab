"""`keras-seg predict`: files, folders, patterns and videos become masks; a stopped run resumes."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import overlay
from keras_seg.data.reading.images import read_image
from keras_seg.data.reading.masks import read_mask
from keras_seg.data.reading.rows import TiffRows, open_rows
from keras_seg.inference import TestTimeAugmentation, bands
from keras_seg.inference.files.coco import CocoBuilder
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.png_rows import PngRows
from keras_seg.inference.files.polygons import geojson, regions
from keras_seg.inference.files.predict import predict_files
from tests.helpers.stub_runner import Stub, darkness

pytestmark = pytest.mark.xdist_group("predict_files")


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def blocks(height, width):
    """Noise in blocks of 8 pixels, of which polygons are few."""
    return np.kron(noise(-(-height // 8), -(-width // 8)), np.ones((8, 8, 1), np.uint8))[
        :height, :width
    ]


def expected(image):
    return darkness(image[None])[0].argmax(-1)


@pytest.fixture
def folder(tmp_path):
    """Images a.png, a.jpg, and another a.png in a subfolder."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "a.jpg", "sub/a.png")):
        Image.fromarray(blocks(20 + seed, 30)[::-1]).save(tmp_path / "in" / name)
    return tmp_path / "in"


class TestInputs:
    def test_folder_keeps_its_subfolders_and_no_stem_is_overwritten(self, folder, tmp_path):
        result = predict_files(Stub(darkness), [folder], tmp_path / "out")
        assert (result.done, result.failed) == (3, [])
        for source, name in (("a.jpg", "a"), ("a.png", "a_2"), ("sub/a.png", "sub/a")):
            mask = read_mask(tmp_path / "out" / f"{name}_mask.png")
            np.testing.assert_array_equal(mask, expected(read_image(folder / source)))

    def test_patterns_and_files_give_each_image_once(self, folder, tmp_path):
        inputs = [str(folder / "**" / "*.png"), folder / "a.png"]
        assert predict_files(Stub(darkness), inputs, tmp_path / "out").done == 2

    def test_the_folder_of_a_data_set_is_refused_because_masks_are_no_images(
        self, folder, tmp_path
    ):
        for name in ("Images", "masks"):
            (folder / name).mkdir()
        (folder / "Images" / "a.png").write_bytes((folder / "a.png").read_bytes())
        assert predict_files(Stub(darkness), [folder], tmp_path / "without_masks").done
        (folder / "masks" / "a.png").write_bytes((folder / "a.png").read_bytes())
        with pytest.raises(ValueError, match=r"holds masks. Pass the images: .*Images$"):
            predict_files(Stub(darkness), [folder], tmp_path / "out")

    def test_patterns_without_match_and_folders_without_images_are_refused(self, tmp_path):
        for given in (tmp_path / "*.png", tmp_path):
            with pytest.raises(ValueError, match=r"No file matches|holds no images"):
                predict_files(Stub(darkness), [given], tmp_path / "out")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
    def test_a_pipe_is_refused_and_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "image.png")
        with pytest.raises(ValueError, match="is a pipe or a device"):
            predict_files(Stub(darkness), [tmp_path / "image.png"], tmp_path / "out")

    def test_goes_on_past_unreadable_files_and_names_them(self, folder, tmp_path):
        (folder / "b.png").write_text("no image")
        content = (folder / "a.jpg").read_bytes()
        (folder / "c.jpg").write_bytes(content[: len(content) // 2])
        inputs = [folder / "missing.png", folder]
        result = predict_files(Stub(darkness), inputs, tmp_path / "out")
        assert result.done == 3
        for name, message in zip(("missing.png", "b.png", "c.jpg"), result.failed, strict=True):
            assert str(folder / name) in message
        assert not list((tmp_path / "out").rglob("*.part"))

    @pytest.mark.parametrize("kind", ["U1", "M8[s]", "c8", "u1,u1"])
    def test_goes_on_past_arrays_of_no_pixels(self, folder, tmp_path, kind):
        np.save(folder / "a.npy", np.zeros((4, 4, 3), kind))
        result = predict_files(Stub(darkness), [folder], tmp_path / "out")
        assert result.done == 3 and "a.npy holds values of type" in result.failed[0]

    def test_goes_on_past_names_that_have_no_room_for_an_ending(self, folder, tmp_path):
        name = "a" * 251 + ".png"
        (folder / "a.png").rename(folder / name)
        result = predict_files(Stub(darkness), [folder], tmp_path / "out")
        assert result.done == 2 and "too long" in result.failed[0]

    @pytest.mark.parametrize("inside", ["", "masks"])
    def test_own_results_are_no_inputs(self, folder, inside):
        outputs = OutputOptions(overlay=True)
        for skipped in (0, 3, 3):
            result = predict_files(Stub(darkness), [folder], folder / inside, outputs=outputs)
            assert (result.done, result.skipped) == (3 - skipped, skipped)
        assert not list(folder.rglob("*_mask_mask.png"))

    def test_masks_beside_their_images_are_no_inputs(self, folder, tmp_path):
        for name in ("a_mask.png", "b_mask.png", "sub/a_mask.png"):
            Image.fromarray(blocks(20, 30)).save(folder / name)
        with pytest.warns(UserWarning, match=r"2 masks beside .* example .*a_mask\.png"):
            result = predict_files(Stub(darkness), iter([folder]), tmp_path / "out")
        assert result.done == 4  # no image b is there
        named = [folder / "a.png", folder / "a_mask.png"]
        assert predict_files(Stub(darkness), named, tmp_path / "named").done == 2

    def test_no_input_is_written_over(self, folder):
        truth = folder / "a_mask.png"
        Image.fromarray(blocks(20, 30)[..., 0]).save(truth)
        before = truth.read_bytes()
        with pytest.raises(ValueError, match="written over"):
            predict_files(Stub(darkness), [folder], folder)
        assert truth.read_bytes() == before

    @pytest.mark.parametrize(
        "line",
        [
            *(
                b"\xff\xfe",
                b"7",
                b'{"source": "x"}',
                b'{"source": "x", "name": ["y"], "files": []}',
            ),
            b'{"source": "S", "name": "../a", "files": [], "settings": {}, "state": 1}',
            b'{"source": "S", "name": "/a", "files": [], "settings": {}, "state": 1}',
            b'{"source": "S", "name": "a", "files": ["../a"], "settings": {}, "state": 1}',
        ],
    )
    def test_lines_that_are_no_records_are_left_out(self, folder, tmp_path, line):
        source, out = folder / "a.png", tmp_path / "out"
        out.mkdir()
        line = line.replace(b'"S"', json.dumps(str(source.resolve())).encode())
        (out / "predictions.jsonl").write_bytes(line + b"\n")
        assert predict_files(Stub(darkness), [source], out).done == 1
        assert (out / "a_mask.png").exists()

    def test_mask_stands_as_the_exif_orientation_says(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(noise(12, 31)).save(tmp_path / "turned.png", exif=exif)
        predict_files(Stub(darkness), [tmp_path / "turned.png"], tmp_path / "out")
        mask = read_mask(tmp_path / "out" / "turned_mask.png")
        np.testing.assert_array_equal(mask, expected(np.rot90(noise(12, 31), -1)))


class TestResume:
    def test_finished_images_are_left_unless_they_or_the_settings_changed(self, folder, tmp_path):
        seen = []

        def watch(images):
            seen.append(images.shape[1:3])
            return darkness(images)

        def run(**words):
            seen.clear()
            result = predict_files(Stub(watch), [folder], tmp_path / "out", **words)
            return len(seen), result.skipped

        assert run() == (3, 0)
        assert run() == (0, 3)
        assert run(overwrite=True) == (3, 0)
        (tmp_path / "out" / "a_2_mask.png").unlink()
        assert run() == (1, 2)
        Image.fromarray(noise(9, 9)).save(folder / "a.jpg")
        assert run() == (1, 2)
        with (tmp_path / "out" / "predictions.jsonl").open("a") as log:
            log.write('{"source": "torn')  # as a killed process may leave it
        assert run() == (0, 3)
        assert run(outputs=OutputOptions(overlay=True)) == (3, 0)
        assert run(outputs=OutputOptions(overlay=True)) == (0, 3)

    def test_a_failed_image_leaves_the_older_mask_whole(self, folder, tmp_path):
        predict_files(Stub(darkness), [folder / "a.png"], tmp_path / "out")
        before = (tmp_path / "out" / "a_mask.png").read_bytes()

        def broken(images):
            raise ValueError("no memory")

        result = predict_files(Stub(broken), [folder / "a.png"], tmp_path / "out", overwrite=True)
        assert result.failed == [f"{folder / 'a.png'}: no memory"]
        assert (tmp_path / "out" / "a_mask.png").read_bytes() == before


class TestOutputs:
    def test_overlay_probabilities_and_palette(self, tmp_path):
        Image.fromarray(noise(20, 30)).save(tmp_path / "a.png")
        outputs = OutputOptions(overlay=True, probabilities=True)
        predict_files(Stub(darkness), [tmp_path / "a.png"], tmp_path, outputs=outputs)
        with np.load(tmp_path / "a_probabilities.npz") as archive:
            found = archive["probabilities"]
        assert found.shape == (20, 30, 3) and found.dtype == np.float16
        np.testing.assert_array_equal(found.argmax(-1), expected(noise(20, 30)))
        with Image.open(tmp_path / "a_mask.png") as mask:
            colors = ClassTable.numbered(3).colors
            assert mask.mode == "P"
            np.testing.assert_array_equal(
                np.asarray(mask.convert("RGB")), np.array(colors)[expected(noise(20, 30))]
            )
        with Image.open(tmp_path / "a_overlay.png") as picture:
            drawn = overlay(noise(20, 30), expected(noise(20, 30)), ClassTable.numbered(3))
            np.testing.assert_array_equal(np.asarray(picture), drawn)

    def test_classes_have_no_probabilities_and_exported_files_no_uncertainty(self, tmp_path):
        argmax = Stub(lambda images: darkness(images).argmax(-1), head="argmax")
        with pytest.raises(ValueError, match="no probabilities"):
            predict_files(argmax, ["a.png"], tmp_path, outputs=OutputOptions(probabilities=True))
        with pytest.raises(ValueError, match="needs dropout"):
            predict_files(argmax, ["a.png"], tmp_path, outputs=OutputOptions(uncertainty=True))

    @pytest.mark.parametrize(("shape", "words"), [((7, 5), {}), ((9, 4, 3), {"colour": True})])
    def test_png_rows_are_what_was_written(self, tmp_path, shape, words):
        pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        file = PngRows(tmp_path / "a.png", shape[:2], **words)
        for start in range(0, shape[0], 3):
            file.write(pixels[start : start + 3])
        file.close()
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)


class TestPolygons:
    classes = ClassTable(("background", "ring", "dot"))

    @pytest.fixture
    def mask(self):
        mask = np.zeros((30, 40), np.uint8)
        mask[5:20, 5:20] = 1
        mask[10:14, 9:16] = 0  # a hole
        mask[11, 11] = 1  # an island in it
        mask[0, 39] = mask[29, 38:] = 2
        mask[22:26, 0:4][np.eye(4, dtype=bool)] = 2  # pixels that touch by corners alone
        return mask

    def test_filled_again_they_give_the_mask(self, mask):
        from matplotlib.path import Path as Outline

        rows, columns = np.mgrid[:30, :40]
        centres = np.stack([columns.ravel(), rows.ravel()], 1) + 0.5
        again = np.zeros((30, 40), np.uint8)
        for feature in geojson(mask, self.classes)["features"]:
            inside = [
                Outline(ring).contains_points(centres)
                for ring in feature["geometry"]["coordinates"]
            ]
            filled = inside[0] & ~np.any(inside[1:], 0) if inside[1:] else inside[0]
            assert filled.sum() == feature["properties"]["area"]
            again[filled.reshape(30, 40)] = feature["properties"]["class"]
        np.testing.assert_array_equal(again, mask)

    def test_are_one_a_region_with_closed_rings(self, mask):
        found = list(regions(mask, self.classes))
        assert [(r.label, r.area, len(r.rings)) for r in found[:2]] == [(1, 197, 2), (1, 1, 1)]
        assert len(found) == 2 + 2 + 4
        for region in found:
            for ring in region.rings:
                np.testing.assert_array_equal(ring[0], ring[-1])

    def test_coco_has_boxes_and_run_lengths_where_there_are_holes(self, mask):
        coco = CocoBuilder(self.classes)
        coco.add("a.png", mask)
        found = json.loads(json.dumps(coco.to_dict()))
        ring = found["annotations"][0]
        assert ring["bbox"] == [5, 5, 15, 15] and ring["area"] == 197
        counts = ring["segmentation"]["counts"]
        flat = np.repeat(np.arange(len(counts)) % 2, counts)
        again = flat.reshape(ring["segmentation"]["size"], order="F")
        np.testing.assert_array_equal(again == 1, (mask == 1) & ~_at(mask.shape, 11, 11))
        assert found["categories"] == [{"id": 1, "name": "ring"}, {"id": 2, "name": "dot"}]

    def test_files_are_written_for_images_of_now_and_before(self, folder, tmp_path):
        for inputs in ([folder / "a.png"], [folder]):
            outputs = OutputOptions(polygons="coco")
            predict_files(Stub(darkness), inputs, tmp_path / "out", outputs=outputs)
        coco = json.loads((tmp_path / "out" / "coco.json").read_text())
        assert len(coco["images"]) == 3
        outputs = OutputOptions(polygons="geojson")
        predict_files(Stub(darkness), [folder], tmp_path / "out", outputs=outputs)
        found = json.loads((tmp_path / "out" / "sub" / "a.geojson").read_text())
        assert found["type"] == "FeatureCollection" and found["features"]


class TestLargeImages:
    """With the limits for large images lowered, so that small ones are predicted in bands."""

    @pytest.fixture(autouse=True)
    def _low_limits(self, monkeypatch):
        monkeypatch.setattr(bands, "WHOLE_PIXELS", 1000)
        monkeypatch.setattr(bands, "WINDOW", 32)

    @pytest.mark.parametrize(
        "words",
        [
            {"multiple": 8},  # free size: windows of 32
            {"shape": (16, 24, 3)},  # its own windows
            {"shape": (16, 24, 3), "head": "argmax"},
        ],
    )
    @pytest.mark.parametrize("size", [(75, 93), (10, 120), (200, 9)])
    def test_bands_of_a_pointwise_network_are_its_mask(self, tmp_path, words, size):
        image, argmax = blocks(*size), words.get("head") == "argmax"
        np.save(tmp_path / "a.npy", image)

        def forward(images):
            assert images.shape[1] <= 32 and images.shape[2] <= 32
            return darkness(images).argmax(-1) if argmax else darkness(images)

        outputs = OutputOptions(overlay=True, probabilities=not argmax, polygons="geojson")
        result = predict_files(
            Stub(forward, **words), [tmp_path / "a.npy"], tmp_path, outputs=outputs
        )
        assert result.failed == []
        np.testing.assert_array_equal(read_mask(tmp_path / "a_mask.png"), expected(image))

    def test_blending_is_that_of_tiles(self, tmp_path):
        def sees_its_window(images):  # answers that depend on where the window lies
            return darkness(images) + images.mean((1, 2, 3), keepdims=True)[..., :1] * [0, 1, 2]

        runner = Stub(sees_its_window, (16, 24, 3))
        np.save(tmp_path / "a.npy", noise(75, 93))
        predict_files(runner, [tmp_path / "a.npy"], tmp_path)
        np.testing.assert_array_equal(
            read_mask(tmp_path / "a_mask.png"), runner.predict(noise(75, 93))
        )

    def test_resized_images_get_the_scores_of_their_whole(self, tmp_path):
        smooth = np.asarray(Image.fromarray(noise(5, 6)).resize((93, 75)))
        runner = Stub(darkness, (24, 32, 3), trained_size=(24, 32))
        np.save(tmp_path / "a.npy", smooth)
        predict_files(runner, [tmp_path / "a.npy"], tmp_path)
        agreement = read_mask(tmp_path / "a_mask.png") == runner.predict(smooth)
        assert agreement.mean() > 0.999  # Pillow rounds elsewhere

    def test_flips_are_of_every_window_and_scales_are_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", noise(40, 50))
        tta = TestTimeAugmentation("both")
        predict_files(Stub(darkness), [tmp_path / "a.npy"], tmp_path, tta=tta)
        np.testing.assert_array_equal(read_mask(tmp_path / "a_mask.png"), expected(noise(40, 50)))
        tta = TestTimeAugmentation("none", (0.5, 1))
        result = predict_files(Stub(darkness), [tmp_path / "a.npy"], tmp_path, tta=tta)
        assert "flipped but not scaled" in result.failed[0]

    @pytest.mark.parametrize(
        "words",
        [
            {},
            {"rowsperstrip": 7},
            {"tile": (16, 32)},
            {"tile": (16, 16), "compression": "zlib", "predictor": 2},
        ],
    )
    @pytest.mark.parametrize("grey", [False, True])
    def test_tiff_files_are_read_by_strips_or_tiles(self, tmp_path, words, grey):
        tifffile = pytest.importorskip("tifffile")
        image = noise(75, 93)[..., 0] if grey else noise(75, 93)
        photometric = "minisblack" if grey else "rgb"
        tifffile.imwrite(tmp_path / "a.tif", image, photometric=photometric, **words)
        rows = open_rows(tmp_path / "a.tif", 3, whole_pixels=1000)
        assert isinstance(rows, TiffRows) and rows.shape == (75, 93, 3)
        colour = np.repeat(image[..., None], 3, -1) if grey else image
        for start, stop in ((0, 75), (0, 1), (20, 37), (20, 23), (74, 75)):
            np.testing.assert_array_equal(rows.read(start, stop), colour[start:stop])
        rows.close()


MEASURED = """
import sys, threading, time
from pathlib import Path
import numpy as np
from keras_seg import inference
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.inference.files.predict import predict_files

class Fast(inference.Runner):
    format = "stub"
    def _forward(self, images):
        return (images[..., :1] > 9).astype(np.float32)

def own_memory():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])

def watch():
    while running:
        peaks.append(own_memory())
        time.sleep(0.05)

card, folder = ModelCard(ClassTable.numbered(2), "fast"), Path(sys.argv[1])
fast = Fast(None, card, (512, 512, 3), 2, 1)
before, peaks, running = own_memory(), [], True
thread = threading.Thread(target=watch)
thread.start()
result = predict_files(fast, [folder / sys.argv[2]], folder)
running = False
thread.join()
assert result.failed == [], result.failed
print((max(peaks) - before) // 1024)
"""
"""Prints by how many MiB the process grew; pages of mapped files do not count."""


def write_large(path, side):
    """A black image on disk, or a tiled TIFF of noise, without ever holding it in memory."""
    shape = (side, side, 3)
    if path.suffix == ".npy":
        np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
        return
    tifffile = pytest.importorskip("tifffile")
    tiles = itertools.repeat(noise(256, 256), (-(-side // 256)) ** 2)
    tifffile.imwrite(path, tiles, shape=shape, dtype=np.uint8, tile=(256, 256), photometric="rgb")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("side", "limit_mib"), [(4000, 50), pytest.param(20_000, 250, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", ["a.npy", "a.tif"])
def test_memory_of_a_large_image_is_that_of_a_band(tmp_path, monkeypatch, name, side, limit_mib):
    """What the process holds beyond its start is far below the image, its scores, its mask."""
    write_large(tmp_path / name, side)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), name],
        check=True,
        capture_output=True,
        text=True,
    )
    (tmp_path / name).unlink()  # of up to 1.2 GB
    assert int(done.stdout) < limit_mib
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # else Pillow takes it for an attack
    with Image.open(tmp_path / "a_mask.png") as mask:
        assert mask.size == (side, side)


class TestVideos:
    def test_frames_get_masks_and_the_film_an_overlay(self, tmp_path):
        cv2 = pytest.importorskip("cv2")
        code = cv2.VideoWriter.fourcc(*"MJPG")
        film = cv2.VideoWriter(str(tmp_path / "film.avi"), code, 5, (48, 32))
        for value in (0, 120, 255, 60):
            film.write(np.full((32, 48, 3), value, np.uint8))
        film.release()
        result = predict_files(
            Stub(darkness),
            [tmp_path / "film.avi"],
            tmp_path / "out",
            outputs=OutputOptions(overlay=True),
            frames=3,
        )
        assert (result.done, result.failed) == (1, [])
        masks = sorted((tmp_path / "out" / "film").glob("*_mask.png"))
        assert [int(np.median(read_mask(mask))) for mask in masks] == [0, 2, 1]
        again = cv2.VideoCapture(str(tmp_path / "out" / "film_overlay.mp4"))
        assert again.get(cv2.CAP_PROP_FRAME_COUNT) == 3

    def test_what_is_no_film_is_named(self, tmp_path):
        pytest.importorskip("cv2")
        (tmp_path / "film.mp4").write_text("no film")
        result = predict_files(
            Stub(darkness), [tmp_path / "film.mp4", "camera:77"], tmp_path / "out"
        )
        assert "video cannot be read" in result.failed[0]
        assert "camera cannot be opened" in result.failed[1]


def _at(shape, row, column):
    place = np.zeros(shape, bool)
    place[row, column] = True
    return place
