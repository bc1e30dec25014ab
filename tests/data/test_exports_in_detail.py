"""Exports: `classes.json` beside them, default names of the tools, and the words of refusals."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_seg.cli import main
from keras_seg.data import open_dataset
from tests.data.test_annotations import (
    CAT,
    DOG,
    HEIGHT,
    SIZE,
    SPLITS,
    WIDTH,
    by_pillow,
    coco_file,
    labelme_file,
    make_coco,
    make_roboflow,
    make_yolo,
    picture,
    region,
    shape,
    task,
    write,
)

NAMES = ["background", "cat", "dog"]


def deep_images(root, brightest):
    """16-bit images in place of those of `make_coco`, from 0 to a value for each split."""
    values = np.linspace(0, 1, WIDTH * HEIGHT).reshape(SIZE)
    for path in root.rglob("*.png"):
        split = "val" if path.stem in SPLITS["val"] else "train"
        Image.fromarray((values * brightest[split]).astype(np.uint16)).save(path)


class TestClassesJson:
    def test_a_range_maps_images_of_16_bits(self, tmp_path):
        make_coco(tmp_path)
        deep_images(tmp_path, {"train": 1000, "val": 2000})
        with pytest.raises(ValueError, match='"range": "auto"'):
            open_dataset(str(tmp_path), "val", channels=1)[0]
        for stated in ({"range": [0, 2000]}, {"window": [1000, 2001]}):
            write(tmp_path / "classes.json", {"names": NAMES} | stated)
            (sample,) = open_dataset(f"coco:{tmp_path}", "val", channels=1)
            assert (sample.image.min(), sample.image.max()) == (0, 255)
            assert open_dataset(f"coco:{tmp_path}", channels=1)[0].image.max() == 128

    def test_auto_measures_the_training_images_for_both_splits(self, tmp_path):
        make_coco(tmp_path)
        deep_images(tmp_path, {"train": 1000, "val": 2000})
        write(tmp_path / "classes.json", {"names": NAMES, "range": "auto"})
        train = open_dataset(str(tmp_path), channels=1)
        val = open_dataset(str(tmp_path), "val", channels=1)
        assert train.value_range == val.value_range
        assert np.max(train.value_range) == pytest.approx(995, abs=2)
        assert (val[0].image == 255).mean() > 0.4

    def test_nodata_is_unknown(self, tmp_path):
        expected = make_coco(tmp_path)
        for path in tmp_path.rglob("c.png"):
            pixels = np.full((*SIZE, 3), 90, np.uint8)
            pixels[:2] = 7
            Image.fromarray(pixels).save(path)
        write(tmp_path / "classes.json", {"names": NAMES, "nodata": 7})
        (sample,) = open_dataset(str(tmp_path), "val")
        assert (sample.mask[:2] == 255).all()
        np.testing.assert_array_equal(sample.mask[2:], expected[2:])

    def test_ignore_lists_values_of_masks(self, tmp_path):
        expected = make_roboflow(tmp_path)
        for path in tmp_path.rglob("c_mask.png"):
            Image.fromarray(np.where(expected == 2, 7, expected).astype(np.uint8)).save(path)
        told = r"c_mask\.png holds .*\[7\].* Add them there\. .*, .ignore.: \[7\]"
        with pytest.raises(ValueError, match=told):
            open_dataset(str(tmp_path), "val")[0]
        names = open_dataset(str(tmp_path), "val").classes.names
        write(tmp_path / "classes.json", {"names": list(names), "ignore": [7]})
        (sample,) = open_dataset(str(tmp_path), "val")
        np.testing.assert_array_equal(sample.mask, np.where(expected == 2, 255, expected))


class TestWrittenClassTable:
    def written(self, folder, *flags):
        verify = ["verify-dataset", str(folder), "--multi_label", "true", "--write_classes"]
        main([*verify, *flags])  # the pictures are alike, which it tells
        return json.loads((folder / "classes.json").read_text())

    def test_of_an_export_with_several_labels_per_pixel(self, tmp_path):
        make_coco(tmp_path)
        table = self.written(tmp_path)
        assert table["multi_label"] is True and table["names"] == ["cat", "dog"]
        dataset = open_dataset(str(tmp_path), "val")
        assert dataset.multi_label and dataset.classes.names == ("cat", "dog")
        np.testing.assert_array_equal(
            dataset[0].mask, open_dataset(str(tmp_path), "val", multi_label=True)[0].mask
        )

    def test_of_a_folder_for_each_label(self, tmp_path):
        for name in "abcdef":
            picture(tmp_path / "images" / f"{name}.png")
            for number, label in enumerate(("panel", "roof")):
                (tmp_path / "masks" / label).mkdir(parents=True, exist_ok=True)
                mask = by_pillow((255, (CAT, DOG)[number]))
                Image.fromarray(mask).save(tmp_path / "masks" / label / f"{name}.png")
        assert self.written(tmp_path)["names"] == ["panel", "roof"]
        assert open_dataset(str(tmp_path))[0].mask.shape == (*SIZE, 2)


class TestDefaultsOfTools:
    def test_label_studios_template_names_field_and_tag_image(self, tmp_path):
        regions = [region("cat", CAT, 1), region("dog", DOG, 2)]
        regions = [each | {"from_name": "label", "to_name": "image"} for each in regions]
        picture(tmp_path / "images" / "0a1b2c3d-a.png")
        write(tmp_path / "x.json", [task(1, "/data/upload/1/0a1b2c3d-a.png", regions)])
        (sample,) = open_dataset(str(tmp_path), "val")
        np.testing.assert_array_equal(sample.mask, by_pillow((1, CAT), (2, DOG)))

    def test_a_class_name_of_roboflow_with_a_comma(self, tmp_path):
        make_roboflow(tmp_path)
        for path in tmp_path.rglob("_classes.csv"):
            write(path, "Pixel Value, Class\n0, background\n1, cat, red\n2, dog\n")
        assert open_dataset(str(tmp_path)).classes.names == ("background", "cat, red", "dog")

    def test_a_value_of_roboflow_without_a_name_is_refused(self, tmp_path):
        make_roboflow(tmp_path)
        for path in tmp_path.rglob("_classes.csv"):
            write(path, "Pixel Value, Class\n0, background\n1, \n2, dog\n")
        with pytest.raises(ValueError, match=r"_classes\.csv lists a value without a class"):
            open_dataset(str(tmp_path))

    def test_skip_leaves_out_an_image_of_roboflow_without_a_mask(self, tmp_path):
        make_roboflow(tmp_path)
        (tmp_path / "train" / "a_mask.png").unlink()
        with pytest.warns(UserWarning, match=r"Left out: .*a\.jpg has no mask"):
            dataset = open_dataset(str(tmp_path), on_error="skip")
        assert [sample.name for sample in dataset] == ["b"]

    @pytest.mark.parametrize("names_file", ["class_names.txt", "classes.json"])
    def test_voc_of_a_folder_with_names_of_its_own(self, tmp_path, names_file):
        mask = by_pillow((1, CAT), (2, DOG))
        for name in "abcde":
            picture(tmp_path / "JPEGImages" / f"{name}.jpg")
            (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
            Image.fromarray(mask).save(tmp_path / "SegmentationClass" / f"{name}.png")
        content = "_background_\ncat\ndog\n" if names_file.endswith("txt") else {"names": NAMES}
        write(tmp_path / names_file, content)
        (sample,) = dataset = open_dataset(f"voc:{tmp_path}", "val")
        assert dataset.classes.names[1:] == ("cat", "dog")
        np.testing.assert_array_equal(sample.mask, mask)

    def test_the_folders_of_mmsegmentation(self, tmp_path):
        mask = by_pillow((1, CAT))
        for split, names in SPLITS.items():
            for name in names:
                picture(tmp_path / "img_dir" / split / f"{name}.jpg")
                (tmp_path / "ann_dir" / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(tmp_path / "ann_dir" / split / f"{name}.png")
        for split, names in SPLITS.items():
            samples = [*open_dataset(str(tmp_path), split)]
            assert [sample.name for sample in samples] == list(names)
            np.testing.assert_array_equal(samples[0].mask, mask)


class TestWords:
    def test_a_file_in_place_of_the_folder(self, tmp_path):
        make_yolo(tmp_path)
        told = rf"data\.yaml is a file\. Pass the folder that holds it: yolo:{tmp_path}"
        with pytest.raises(FileNotFoundError, match=told):
            open_dataset(f"yolo:{tmp_path / 'data.yaml'}")
        write(tmp_path / "export.zip", "")
        with pytest.raises(FileNotFoundError, match="is a file. Unpack it"):
            open_dataset(f"cvat:{tmp_path / 'export.zip'}")

    @pytest.mark.parametrize("prefix", ["", "roboflow:", "coco:"])
    def test_an_export_in_a_sub_folder_is_named(self, tmp_path, prefix):
        expected = make_roboflow(tmp_path / "project-1")
        with pytest.raises(FileNotFoundError) as refusal:
            open_dataset(f"{prefix}{tmp_path}", "val")
        source = str(refusal.value).rpartition("pass ")[2]
        assert source == f"roboflow:{tmp_path / 'project-1'}"
        np.testing.assert_array_equal(open_dataset(source, "val")[0].mask, expected)

    def test_a_data_file_with_an_error_in_its_syntax(self, tmp_path):
        make_yolo(tmp_path)
        write(tmp_path / "data.yaml", "train: images/train\nnames: [cat\n")
        with pytest.raises(ValueError, match=r"data\.yaml is not a YAML file"):
            open_dataset(f"yolo:{tmp_path}")

    def test_a_mask_of_labelme_without_pixels(self, tmp_path):
        picture(tmp_path / "a.png")
        shapes = [shape("cat", [[1, 1], [5, 5]], "mask", mask=None)]
        write(tmp_path / "a.json", labelme_file("a", shapes))
        with pytest.raises(ValueError, match=r"a mask has no pixels \(mask\)\.$"):
            open_dataset(str(tmp_path), "val")[0]

    def test_the_devkit_of_voc_without_a_prefix(self, tmp_path):
        (tmp_path / "VOCdevkit").mkdir()
        with pytest.raises(FileNotFoundError, match=rf"open the folder as voc:{tmp_path}"):
            open_dataset(str(tmp_path))

    def test_no_suffix_is_proposed_for_numbers(self, tmp_path):
        for number in range(6):
            picture(tmp_path / "images" / f"{number:03}.png")
            picture(tmp_path / "masks" / f"{number:04}.png")
        with pytest.raises(FileNotFoundError) as refusal:
            open_dataset(str(tmp_path))
        assert "mask_suffix" not in str(refusal.value)

    @pytest.mark.parametrize("kind", ["coco", "labelme"])
    def test_full_stops_are_single(self, tmp_path, kind):
        picture(tmp_path / "a.png")
        if kind == "coco":
            content = coco_file("a")
            content["annotations"][0]["segmentation"] = "nothing"
        else:
            content = labelme_file("a", [shape("cat", CAT[:2])])
        write(tmp_path / "a.json", content)
        with pytest.raises(ValueError, match=r"[^.]\.$"):
            open_dataset(str(tmp_path), "val")[0]
