"""Exports of annotation tools become masks: pixels, classes, splits and refusals."""

import base64
import io
import json
import unicodedata
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from keras_seg.data import open_dataset
from keras_seg.data.annotations import ANNOTATIONS, recognise
from keras_seg.data.verify import verify_dataset

HEIGHT, WIDTH = SIZE = (24, 32)
CAT = [[2.0, 3.0], [20.0, 3.0], [20.0, 18.0], [2.0, 12.0]]
DOG = [[15.0, 8.0], [30.0, 8.0], [26.0, 22.0]]
SPLITS = {"train": ("a", "b"), "val": ("c",)}


def picture(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], (90, 120, 60)).save(path)
    return path


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def by_pillow(*polygons):
    """A mask as LabelMe draws it: later polygons over earlier ones."""
    canvas = Image.new("L", SIZE[::-1])
    for value, points in polygons:
        ImageDraw.Draw(canvas).polygon([tuple(p) for p in points], fill=value, outline=value)
    return np.array(canvas)


def by_coco(*polygons):
    """A mask as COCO's own tools draw it."""
    mask = np.zeros(SIZE, int)
    for value, points in polygons:
        runs = coco_mask.frPyObjects([np.ravel(points).tolist()], *SIZE)
        mask[coco_mask.decode(coco_mask.merge(runs)) > 0] = value
    return mask


def coco_file(names, *, annotations=None, categories=((1, "cat"), (3, "dog")), first=0):
    outlines = [
        {"category_id": 3, "segmentation": [np.ravel(DOG).tolist()]},
        {"category_id": 1, "segmentation": [np.ravel(CAT).tolist()]},
    ]
    made = outlines if annotations is None else annotations
    return {
        "images": [
            {"id": first + i, "file_name": f"{name}.png", "height": HEIGHT, "width": WIDTH}
            for i, name in enumerate(names)
        ],
        "categories": [{"id": number, "name": name} for number, name in categories],
        "annotations": [
            {"id": 10 * i + j, "image_id": first + i, "iscrowd": 0} | annotation
            for i in range(len(names))
            for j, annotation in enumerate(made)
        ],
    }


def make_coco(root):
    for split, names in SPLITS.items():
        write(root / "annotations" / f"instances_{split}2017.json", coco_file(names))
        for name in names:
            picture(root / f"{split}2017" / f"{name}.png")
    # the larger first, so that the smaller lies on top
    return by_coco((1, CAT), (2, DOG))


def make_roboflow(root):
    mask = by_pillow((1, CAT), (2, DOG))
    for split, names in SPLITS.items():
        folder = root / {"val": "valid"}.get(split, split)
        for name in names:
            picture(folder / f"{name}.jpg")
            Image.fromarray(mask).save(folder / f"{name}_mask.png")
        write(folder / "_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    return mask


def make_cvat(root):
    mask = by_pillow((1, CAT), (2, DOG))
    colors = np.array([(0, 0, 0), (250, 50, 83), (42, 125, 209)], np.uint8)
    for split, names in SPLITS.items():
        for name in names:
            picture(root / "JPEGImages" / f"{name}.png")
            (root / "SegmentationClass").mkdir(exist_ok=True)
            Image.fromarray(colors[mask]).save(root / "SegmentationClass" / f"{name}.png")
        write(root / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join(names) + "\n")
    lines = (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\ndog:42,125,209::\n"
    )
    write(root / "labelmap.txt", lines)
    return mask


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def labelme_file(name, shapes, size=SIZE):
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": f"{name}.png",
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }


def make_labelme(root):
    for split, names in SPLITS.items():
        for name in names:
            picture(root / split / f"{name}.png")
            shapes = [shape("cat", CAT), shape("dog", DOG)]
            write(root / split / f"{name}.json", labelme_file(name, shapes))
    return by_pillow((1, CAT), (2, DOG))


def make_yolo(root):
    lines = [
        " ".join(map(str, [number, *(np.array(points) / (WIDTH, HEIGHT)).ravel()]))
        for number, points in ((0, CAT), (1, DOG))
    ]
    for split, names in SPLITS.items():
        for name in names:
            picture(root / "images" / split / f"{name}.png")
            write(root / "labels" / split / f"{name}.txt", "\n".join(lines) + "\n")
    write(root / "data.yaml", "path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n")
    return by_pillow((1, CAT), (2, DOG))


def region(label, points, number, kind="polygonlabels", **value):
    scaled = (np.array(points) / (WIDTH, HEIGHT) * 100).tolist() if points else None
    return {
        "id": f"r{number}",
        "type": kind,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": ({"points": scaled} if points else {}) | {kind: [label]} | value,
    }


def task(number, image, regions):
    annotations = [{"id": number, "was_cancelled": False, "result": regions}]
    return {"id": number, "data": {"image": image}, "annotations": annotations}


def make_labelstudio(root):
    regions = [region("cat", CAT, 1), region("dog", DOG, 2)]
    for split, names in SPLITS.items():
        for name in names:
            picture(root / "images" / split / f"{name}.png")
        tasks = [
            task(i, f"/data/local-files/?d=images/{split}/{name}.png", regions)
            for i, name in enumerate(names)
        ]
        write(root / f"{split}.json", tasks)
    return by_pillow((1, CAT), (2, DOG))


def make_supervisely(root):
    pixels = io.BytesIO()
    drawn = by_pillow((255, DOG))[8:23, 15:31]
    Image.fromarray(drawn).save(pixels, "PNG")
    bitmap = base64.b64encode(zlib.compress(pixels.getvalue())).decode()
    objects = [
        {
            "classTitle": "cat",
            "geometryType": "polygon",
            "points": {"exterior": CAT, "interior": []},
        },
        {
            "classTitle": "dog",
            "geometryType": "bitmap",
            "bitmap": {"data": bitmap, "origin": [15, 8]},
        },
    ]
    size = {"height": HEIGHT, "width": WIDTH}
    for split, names in SPLITS.items():
        for name in names:
            picture(root / split / "img" / f"{name}.png")
            content = {"size": size, "objects": objects, "tags": []}
            write(root / split / "ann" / f"{name}.png.json", content)
    classes = [
        {"title": "cat", "shape": "polygon", "color": "#FF0000"},
        {"title": "dog", "shape": "bitmap", "color": "#00FF00"},
    ]
    write(root / "meta.json", {"classes": classes, "tags": []})
    return by_pillow((1, CAT), (2, DOG))


MAKERS = {
    "coco": make_coco,
    "cvat": make_cvat,
    "labelme": make_labelme,
    "labelstudio": make_labelstudio,
    "roboflow": make_roboflow,
    "supervisely": make_supervisely,
    "yolo": make_yolo,
}


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@pytest.mark.parametrize("kind", sorted(ANNOTATIONS))
class TestEveryFormat:
    @pytest.mark.parametrize("prefix", ["prefix", "recognised"])
    def test_masks_are_those_of_an_independent_rasterizer(self, kind, prefix, tmp_path):
        expected = MAKERS[kind](tmp_path)
        source = f"{kind}:{tmp_path}" if prefix == "prefix" else str(tmp_path)
        for split, names in SPLITS.items():
            dataset = open_dataset(source, split)
            assert dataset.classes.names == ("background", "cat", "dog")
            assert [sample.name for sample in dataset] == list(names)
            for sample in dataset:
                np.testing.assert_array_equal(sample.mask, expected)
                assert sample.mask.dtype == np.int32 and sample.image.shape == (*SIZE, 3)

    def test_verify_dataset_reads_every_sample(self, kind, tmp_path):
        MAKERS[kind](tmp_path)
        for source in (str(tmp_path), f"{kind}:{tmp_path}"):
            report = verify_dataset(source)
            assert report.samples == {"train": 2, "val": 1}
            assert report.classes.names == ("background", "cat", "dog")
            # all images of these exports are the same picture
            assert {problem.kind for problem in report.errors} == {"duplicates"}

    def test_the_folder_is_recognised(self, kind, tmp_path):
        MAKERS[kind](tmp_path)
        assert recognise(tmp_path) == kind

    def test_a_split_that_is_not_there_is_refused(self, kind, tmp_path):
        MAKERS[kind](tmp_path)
        with pytest.raises(ValueError, match="no split 'test'"):
            open_dataset(f"{kind}:{tmp_path}", "test")
        with pytest.raises(ValueError, match=r"trian.*'train'"):
            open_dataset(f"{kind}:{tmp_path}", "trian")

    def test_missing_images_are_named(self, kind, tmp_path):
        MAKERS[kind](tmp_path)
        next(
            p
            for p in sorted(tmp_path.rglob("b.*"))
            if p.suffix in (".png", ".jpg") and (p.parent.name not in ("SegmentationClass",))
        ).unlink()
        if kind in ("yolo", "roboflow"):  # their images are listed by the folder itself
            assert len(open_dataset(f"{kind}:{tmp_path}")) == 1
            return
        with pytest.raises(FileNotFoundError, match=r"1 of the 2 images.*\Wb[.']"):
            open_dataset(f"{kind}:{tmp_path}")
        with pytest.warns(UserWarning, match=r"Left out.*1 of the 2 images"):
            dataset = open_dataset(f"{kind}:{tmp_path}", on_error="skip")
        assert [sample.name for sample in dataset] == ["a"]

    def test_an_empty_folder_is_refused_in_words(self, kind, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"Pass|Export"):
            open_dataset(f"{kind}:{tmp_path}")

    def test_classes_json_fixes_the_order(self, kind, tmp_path):
        expected = MAKERS[kind](tmp_path)
        write(tmp_path / "classes.json", {"names": ["background", "dog", "cat", "cow"]})
        (sample,) = open_dataset(f"{kind}:{tmp_path}", "val")
        np.testing.assert_array_equal(sample.mask, np.array([0, 2, 1])[expected])
        write(tmp_path / "classes.json", {"names": ["background", "dog"]})
        with pytest.raises(ValueError, match=r"no class \['cat'\]"):
            open_dataset(f"{kind}:{tmp_path}", "val")


class TestCoco:
    def test_run_lengths_compressed_or_not_are_read(self, tmp_path):
        drawn = by_coco((1, DOG)).astype(np.uint8)
        packed = coco_mask.encode(np.asfortranarray(drawn))
        flat = np.concatenate([[0], drawn.ravel(order="F"), [1 - drawn[-1, -1]]])
        edges = np.flatnonzero(np.diff(flat))
        counts = np.diff(np.concatenate([[0], edges])).tolist()
        for value in (packed["counts"].decode(), counts):
            runs = {"size": list(SIZE), "counts": value}
            content = coco_file("a", annotations=[{"category_id": 3, "segmentation": runs}])
            write(tmp_path / "annotations.json", content)
            picture(tmp_path / "images" / "a.png")
            (sample,) = open_dataset(f"coco:{tmp_path}", "val")
            np.testing.assert_array_equal(sample.mask, 2 * drawn)

    def test_a_crowd_has_its_class_and_is_no_instance(self, tmp_path):
        crowd = {"category_id": 1, "iscrowd": 1, "segmentation": [np.ravel(CAT).tolist()]}
        write(tmp_path / "annotations.json", coco_file("a", annotations=[crowd]))
        picture(tmp_path / "a.png")
        (sample,) = open_dataset(f"coco:{tmp_path}", "val")
        np.testing.assert_array_equal(sample.mask, by_coco((1, CAT)))
        assert not sample.instances.any()

    def test_the_parts_of_one_object_are_one_instance(self, tmp_path):
        parts = [[1, 1, 6, 1, 6, 6, 1, 6], [20, 10, 28, 10, 28, 20, 20, 20]]
        two = [
            {"category_id": 1, "segmentation": parts},
            {"category_id": 1, "segmentation": [[10, 1, 15, 1, 15, 5, 10, 5]]},
        ]
        write(tmp_path / "annotations.json", coco_file("a", annotations=two))
        picture(tmp_path / "a.png")
        (sample,) = open_dataset(f"coco:{tmp_path}", "val")
        assert set(np.unique(sample.instances)) == {0, 1, 2}
        assert sample.instances[2, 2] == sample.instances[15, 25] != sample.instances[2, 12]
        assert set(np.unique(sample.mask)) == {0, 1}

    def test_images_without_objects_are_background_and_told(self, tmp_path):
        content = coco_file("ab")
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] == 0]
        write(tmp_path / "_annotations.coco.json", content)
        for name in "ab":
            picture(tmp_path / f"{name}.png")
        with pytest.warns(UserWarning, match=r"1 images have no annotation.*b\.png"):
            samples = [*open_dataset(f"coco:{tmp_path}"), *open_dataset(f"coco:{tmp_path}", "val")]
        masks = {sample.name: sample.mask for sample in samples}
        assert masks["a"].any() and not masks["b"].any()

    def test_verify_dataset_tells_of_images_without_objects(self, tmp_path):
        content = coco_file("ab")
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] == 0]
        write(tmp_path / "_annotations.coco.json", content)
        for name in "ab":
            picture(tmp_path / f"{name}.png")
        report = verify_dataset(f"coco:{tmp_path}")
        (told,) = [p.message for p in report.warnings if "no annotation" in p.message]
        assert told.startswith("COCO: 1 images have no annotation")

    def test_the_heading_of_roboflow_is_no_class(self, tmp_path):
        content = coco_file("ab", categories=((0, "pets"), (1, "cat"), (3, "dog")))
        for category in content["categories"]:
            category["supercategory"] = "none" if category["name"] == "pets" else "pets"
        write(tmp_path / "train" / "_annotations.coco.json", content)
        for name in "ab":
            picture(tmp_path / "train" / f"{name}.png")
        assert open_dataset(str(tmp_path)).classes.names == ("background", "cat", "dog")

    def test_without_a_validation_split_a_fifth_validates_and_does_not_train(self, tmp_path):
        names = [f"i{n}" for n in range(10)]
        write(tmp_path / "train" / "_annotations.coco.json", coco_file(names))
        for name in names:
            picture(tmp_path / "train" / f"{name}.png")
        train, val = (
            {s.name for s in open_dataset(f"coco:{tmp_path}", split)} for split in ("train", "val")
        )
        assert len(val) == 2 and not train & val and train | val == set(names)

    def test_images_of_one_name_in_both_splits_are_those_of_the_split(self, tmp_path):
        for split, size in (("train", SIZE), ("val", (12, 16))):
            content = coco_file("a", annotations=[])
            content["images"][0] |= {"height": size[0], "width": size[1]}
            write(tmp_path / "annotations" / f"instances_{split}.json", content)
            picture(tmp_path / "images" / split / "a.png", size)
        with pytest.warns(UserWarning, match="no annotation"):
            for split, size in (("train", SIZE), ("val", (12, 16))):
                (sample,) = open_dataset(f"coco:{tmp_path}", split)
                assert sample.image.shape[:2] == size

    def test_names_in_another_normal_form_and_case_are_found(self, tmp_path):
        name = unicodedata.normalize("NFD", "grün")
        write(
            tmp_path / "result.json", coco_file(["images\\" + unicodedata.normalize("NFC", name)])
        )
        picture(tmp_path / "images" / f"{name}.PNG")
        (sample,) = open_dataset(f"coco:{tmp_path}", "val")
        assert sample.mask.any()

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda c: c["annotations"][0].pop("segmentation"), r"1 of the 2.*no outline"),
            (lambda c: c["annotations"][0].update(category_id=9), r"category 9, .*not listed"),
            (lambda c: c["annotations"][0].update(image_id=9), "annotations of images"),
            (lambda c: c["images"].append(dict(c["images"][0])), "twice"),
            (lambda c: c["images"][0].pop("file_name"), "without id and file_name"),
        ],
        ids=["box", "category", "image", "twice", "no name"],
    )
    def test_wrong_files_are_refused_by_name(self, tmp_path, change, told):
        content = coco_file("a")
        change(content)
        write(tmp_path / "annotations.json", content)
        picture(tmp_path / "a.png")
        with pytest.raises(ValueError, match=told) as error:
            open_dataset(f"coco:{tmp_path}", "val")
        assert str(tmp_path) in str(error.value)

    def test_a_mask_of_another_size_is_refused_by_name(self, tmp_path):
        runs = {"size": [3, 3], "counts": [9]}
        content = coco_file("a", annotations=[{"category_id": 1, "segmentation": runs}])
        write(tmp_path / "annotations.json", content)
        picture(tmp_path / "a.png")
        with pytest.raises(ValueError, match=r"a\.png.*3x3 and the image 32x24"):
            open_dataset(f"coco:{tmp_path}", "val")[0]

    def test_ids_that_differ_between_splits_are_refused(self, tmp_path):
        write(tmp_path / "train.json", coco_file("a"))
        write(tmp_path / "val.json", coco_file("b", categories=((1, "dog"), (3, "cat"))))
        with pytest.raises(ValueError, match="Export all splits at once"):
            open_dataset(f"coco:{tmp_path}", "val")


class TestLabelMe:
    def mask(self, tmp_path, *shapes):
        picture(tmp_path / "a.png")
        write(tmp_path / "a.json", labelme_file("a", list(shapes)))
        (sample,) = open_dataset(f"labelme:{tmp_path}", "val")
        return sample.mask

    def test_later_shapes_lie_on_earlier_ones(self, tmp_path):
        mask = self.mask(tmp_path, shape("dog", DOG), shape("cat", CAT))
        np.testing.assert_array_equal(mask, by_pillow((2, DOG), (1, CAT)))

    def test_rectangles_circles_and_masks(self, tmp_path):
        stored = io.BytesIO()
        Image.fromarray(np.eye(3, dtype=np.uint8) * 255).save(stored, "PNG")
        text = base64.b64encode(stored.getvalue()).decode()
        mask = self.mask(
            tmp_path,
            shape("a", [[20, 4], [10, 2]], "rectangle"),
            shape("b", [[5, 15], [5, 18]], "circle"),
            shape("c", [[25, 18], [27, 20]], "mask", mask=text),
        )
        assert (mask[2:5, 10:21] == 1).all() and (mask == 1).sum() == 33
        assert mask[15, 5] == mask[18, 5] == mask[15, 2] == 2 and mask[19, 5] == 0
        np.testing.assert_array_equal(mask[18:21, 25:28], 3 * np.eye(3))

    def test_shapes_of_one_group_are_one_instance(self, tmp_path):
        corners = [[[x, y], [x + 5, y], [x + 5, y + 5]] for x, y in ((1, 1), (20, 10), (9, 1))]
        shapes = [shape("cat", corner) for corner in corners]
        shapes[0]["group_id"] = shapes[1]["group_id"] = 3
        self.mask(tmp_path, *shapes)
        (sample,) = open_dataset(f"labelme:{tmp_path}", "val")
        first, second, third = (sample.instances[y + 1, x - 1] for (_, (x, y), _) in corners)
        assert first == second != third and 0 not in (first, third)

    def test_ignore_is_unknown_and_lines_are_told(self, tmp_path):
        with pytest.warns(UserWarning, match=r"1 lines and points cover no area"):
            mask = self.mask(
                tmp_path, shape("cat", CAT), shape("__ignore__", DOG), shape("l", [[1, 1]], "point")
            )
        np.testing.assert_array_equal(mask, by_pillow((1, CAT), (255, DOG)))

    def test_labels_txt_orders_the_classes(self, tmp_path):
        write(tmp_path / "labels.txt", "__ignore__\n_background_\ndog\ncat\n")
        mask = self.mask(tmp_path, shape("cat", CAT))
        np.testing.assert_array_equal(mask, by_pillow((2, CAT)))
        names = open_dataset(f"labelme:{tmp_path}", "val").classes.names
        assert names == ("_background_", "dog", "cat")
        write(tmp_path / "labels.txt", "dog\n")
        with pytest.raises(ValueError, match=r"does not list the labels \['cat'\]"):
            open_dataset(f"labelme:{tmp_path}", "val")

    def test_an_image_in_another_folder_is_found(self, tmp_path):
        picture(tmp_path / "pictures" / "a.png")
        content = labelme_file("a", [shape("cat", CAT)]) | {"imagePath": "..\\pictures\\a.png"}
        write(tmp_path / "json" / "a.json", content)
        (sample,) = open_dataset(str(tmp_path), "val")
        assert sample.mask.any()

    def test_one_image_validates_and_none_trains(self, tmp_path):
        self.mask(tmp_path, shape("cat", CAT))
        with pytest.raises(ValueError, match=r"'train' of .* is empty: 1 annotated images"):
            open_dataset(f"labelme:{tmp_path}")

    def test_labels_that_differ_in_case_are_told(self, tmp_path):
        with pytest.warns(UserWarning, match="upper and lower case"):
            self.mask(tmp_path, shape("cat", CAT), shape("Cat", DOG))

    @pytest.mark.parametrize(
        ("shapes", "told"),
        [
            ([shape("cat", CAT[:2])], "2 corners"),
            ([shape("cat", CAT, "spline")], "'spline', which is not read"),
            ([{"points": CAT}], "no label and points"),
        ],
        ids=["corners", "kind", "label"],
    )
    def test_wrong_shapes_are_refused_by_name(self, tmp_path, shapes, told):
        with pytest.raises(ValueError, match=rf"a\.json.*{told}"):
            self.mask(tmp_path, *shapes)

    def test_an_image_of_another_size_is_refused(self, tmp_path):
        picture(tmp_path / "a.png", (10, 10))
        write(tmp_path / "a.json", labelme_file("a", [shape("cat", CAT)]))
        with pytest.raises(ValueError, match=r"10x10.*32x24"):
            open_dataset(f"labelme:{tmp_path}", "val")[0]


class TestYolo:
    def test_roboflows_paths_and_folders(self, tmp_path):
        for split in ("train", "valid"):
            picture(tmp_path / split / "images" / f"{split}.jpg")
            write(tmp_path / split / "labels" / f"{split}.txt", "1 0.25 0.25 0.75 0.25 0.75 0.75\n")
        data = "train: ../train/images\nval: ../valid/images\nnames: {0: cat, 1: dog}\n"
        write(tmp_path / "data.yaml", data)
        for split, name in (("train", "train"), ("val", "valid")):
            (sample,) = open_dataset(str(tmp_path), split)
            assert sample.name == name
            assert set(np.unique(sample.mask)) == {0, 2}

    def test_semantic_masks_have_the_names_of_the_data_file(self, tmp_path):
        mask = by_pillow((1, CAT))
        for split in ("train", "val"):
            picture(tmp_path / "images" / split / "a.jpg")
            (tmp_path / "masks" / split).mkdir(parents=True)
            Image.fromarray(mask).save(tmp_path / "masks" / split / "a.png")
        write(tmp_path / "data.yaml", "train: images/train\nval: images/val\nnames: [floor, cat]\n")
        dataset = open_dataset(str(tmp_path))
        assert dataset.classes.names == ("floor", "cat")
        np.testing.assert_array_equal(dataset[0].mask, mask)
        write(tmp_path / "classes.json", {"names": ["cat", "floor"]})
        np.testing.assert_array_equal(open_dataset(str(tmp_path))[0].mask, 1 - mask)

    def test_an_image_without_labels_is_background_and_told(self, tmp_path):
        make_yolo(tmp_path)
        (tmp_path / "labels" / "val" / "c.txt").unlink()
        with pytest.warns(UserWarning, match=r"1 images have no label file.*c\.png"):
            (sample,) = open_dataset(f"yolo:{tmp_path}", "val")
        assert not sample.mask.any()

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("0 0.5 0.5 0.2 0.2", "line 1: a box"),
            ("2 0.1 0.1 0.9 0.1 0.9 0.9", "class 2.*2 classes"),
            ("0 0.1 0.1 0.9 0.1 0.9", "5 coordinates"),
            ("0 10 10 90 10 90 90", "outside of 0..1"),
            ("cat 0.1 0.1", "no numbers"),
        ],
        ids=["box", "class", "odd", "pixels", "text"],
    )
    def test_wrong_lines_are_refused_when_the_set_is_opened(self, tmp_path, line, told):
        make_yolo(tmp_path)
        write(tmp_path / "labels" / "train" / "a.txt", line)
        with pytest.raises(ValueError, match=rf"a\.txt.*{told}"):
            open_dataset(f"yolo:{tmp_path}", "val")

    def test_names_are_needed(self, tmp_path):
        make_yolo(tmp_path)
        (tmp_path / "data.yaml").unlink()
        with pytest.raises(ValueError, match=r"no data\.yaml with names"):
            open_dataset(f"yolo:{tmp_path}")
        write(tmp_path / "data.yaml", "names: [cat, dog]\n")  # as the message says
        assert open_dataset(str(tmp_path)).classes.names == ("background", "cat", "dog")
        (tmp_path / "data.yaml").unlink()
        write(tmp_path / "classes.txt", "cat\ndog\n")
        assert open_dataset(f"yolo:{tmp_path}").classes.names == ("background", "cat", "dog")


class TestCvat:
    def test_the_voc_prefix_takes_what_cvat_writes(self, tmp_path):
        expected = make_cvat(tmp_path)
        (sample,) = open_dataset(f"voc:{tmp_path}", "val")
        np.testing.assert_array_equal(sample.mask, expected)

    def test_one_list_for_all_images_is_divided(self, tmp_path):
        expected = make_cvat(tmp_path)
        for split in SPLITS:
            (tmp_path / "ImageSets" / "Segmentation" / f"{split}.txt").unlink()
        write(tmp_path / "ImageSets" / "Segmentation" / "default.txt", "a\nb\nc\n")
        samples = [*open_dataset(str(tmp_path)), *open_dataset(str(tmp_path), "val")]
        assert sorted(sample.name for sample in samples) == ["a", "b", "c"]
        np.testing.assert_array_equal(samples[0].mask, expected)

    def test_images_beside_an_export_without_images(self, tmp_path):
        make_cvat(tmp_path)
        (tmp_path / "JPEGImages").rename(tmp_path / "pictures")
        assert [sample.name for sample in open_dataset(str(tmp_path))] == ["a", "b"]

    def test_objects_become_instances(self, tmp_path):
        expected = make_cvat(tmp_path)
        (tmp_path / "SegmentationObject").mkdir()
        colors = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)
        Image.fromarray(colors[expected]).save(tmp_path / "SegmentationObject" / "c.png")
        (sample,) = open_dataset(str(tmp_path), "val")
        assert len(np.unique(sample.instances[expected > 0])) == 2
        assert not sample.instances[expected == 0].any()

    def test_a_colour_that_is_not_listed_is_refused(self, tmp_path):
        make_cvat(tmp_path)
        write(tmp_path / "labelmap.txt", "background:0,0,0::\ncat:250,50,83::\n")
        with pytest.raises(ValueError, match=r"c\.png.*\(42, 125, 209\).*labelmap\.txt"):
            open_dataset(str(tmp_path), "val")[0]

    def test_the_xml_export(self, tmp_path):
        picture(tmp_path / "images" / "a.png")
        points = {n: ";".join(f"{x},{y}" for x, y in p) for n, p in (("cat", CAT), ("dog", DOG))}
        write(
            tmp_path / "annotations.xml",
            f"""<?xml version="1.0" encoding="utf-8"?>
            <annotations><version>1.1</version>
            <meta><task><labels><label><name>dog</name><color>#ff0000</color></label>
            <label><name>cat</name><color>#00ff00</color></label></labels></task></meta>
            <image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}">
              <polygon label="dog" points="{points["dog"]}" z_order="1"/>
              <polygon label="cat" points="{points["cat"]}" z_order="0"/>
              <mask label="dog" rle="1, 2, 1" left="0" top="20" width="2" height="2"/>
            </image></annotations>""",
        )
        dataset = open_dataset(str(tmp_path), "val")
        assert dataset.classes.names == ("background", "dog", "cat")
        expected = by_pillow((2, CAT), (1, DOG))
        expected[20:22, 0:2] = [[0, 1], [1, 0]]
        np.testing.assert_array_equal(dataset[0].mask, expected)


class TestRoboflow:
    def test_coco_and_yolo_exports_are_taken_too(self, tmp_path):
        make_yolo(tmp_path / "y")
        content = coco_file("a")
        write(tmp_path / "c" / "train" / "_annotations.coco.json", content)
        picture(tmp_path / "c" / "train" / "a.png")
        for folder in "yc":
            dataset = open_dataset(f"roboflow:{tmp_path / folder}", "val")
            assert dataset.classes.names == ("background", "cat", "dog")

    def test_a_value_that_is_not_listed_is_refused(self, tmp_path):
        make_roboflow(tmp_path)
        for path in tmp_path.rglob("_classes.csv"):
            write(path, "Pixel Value, Class\n0, background\n1, cat\n")
        with pytest.raises(ValueError, match=r"c_mask\.png.*_classes\.csv does not have: \[2\]"):
            open_dataset(str(tmp_path), "val")[0]

    def test_an_image_without_a_mask_is_refused(self, tmp_path):
        make_roboflow(tmp_path)
        (tmp_path / "train" / "a_mask.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"a\.jpg has no mask a_mask\.png"):
            open_dataset(str(tmp_path))


class TestLabelStudio:
    def mask(self, tmp_path, *regions, image="/data/upload/1/0a1b2c3d-a.png"):
        picture(tmp_path / "images" / "a.png")
        write(tmp_path / "export.json", [task(1, image, list(regions))])
        (sample,) = open_dataset(f"labelstudio:{tmp_path}", "val")
        return sample.mask

    def test_rectangles_turn_about_their_first_corner(self, tmp_path):
        value = {"x": 25, "y": 25, "width": 25, "height": 25, "rotation": 0}
        mask = self.mask(tmp_path, region("a", None, 1, "rectanglelabels", **value))
        assert (mask[6:13, 8:17] == 1).all() and mask.sum() == 7 * 9
        turned = region("a", None, 1, "rectanglelabels", **value | {"rotation": 90})
        mask = self.mask(tmp_path, turned)
        assert (mask[6:15, 2:9] == 1).all() and mask.sum() == 7 * 9

    def test_ellipses(self, tmp_path):
        value = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25, "rotation": 0}
        mask = self.mask(tmp_path, region("a", None, 1, "ellipselabels", **value))
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        inside = ((columns - 16) / 8) ** 2 + ((rows - 12) / 6) ** 2
        assert (mask[inside < 0.8] == 1).all() and not mask[inside > 1.2].any()

    def test_brush_masks(self, tmp_path):
        drawn = by_pillow((1, DOG)) > 0
        brush = region("a", None, 1, "brushlabels", format="rle", rle=packed(drawn))
        np.testing.assert_array_equal(self.mask(tmp_path, brush), drawn)

    def test_a_brush_mask_that_ends_early_is_refused(self, tmp_path):
        rle = packed(by_pillow((1, DOG)) > 0)[:-9]
        brush = region("a", None, 1, "brushlabels", format="rle", rle=rle)
        with pytest.raises(ValueError, match=r"export\.json.*brush mask ends early"):
            self.mask(tmp_path, brush)

    def test_labels_of_their_own_entry(self, tmp_path):
        drawn = region("x", CAT, 1, "polygon")
        del drawn["value"]["polygon"]
        named = region("x", CAT, 1, "labels") | {"value": {"labels": ["cat"]}}
        np.testing.assert_array_equal(self.mask(tmp_path, drawn, named), by_pillow((1, CAT)))

    def test_pictures_for_each_tag(self, tmp_path):
        make_labelstudio(tmp_path)
        write(tmp_path / "train.json", [task(7, "/data/upload/a.png", [])])
        (tmp_path / "val.json").unlink()
        drawn = by_pillow((255, CAT))
        path = tmp_path / "task-7-annotation-7-by-1-tag-cat-0.png"
        Image.fromarray(drawn).save(path)
        dataset = open_dataset(f"labelstudio:{tmp_path}", "val")
        assert dataset.classes.names == ("background", "cat")
        np.testing.assert_array_equal(dataset[0].mask, drawn > 0)

    def test_json_min(self, tmp_path):
        picture(tmp_path / "a.png")
        value = region("cat", CAT, 1)["value"]
        value |= {"original_width": WIDTH, "original_height": HEIGHT}
        content = [{"image": "/data/upload/a.png", "id": 1, "label": [value], "annotator": 1}]
        write(tmp_path / "min.json", content)
        (sample,) = open_dataset(str(tmp_path), "val")
        np.testing.assert_array_equal(sample.mask, by_pillow((1, CAT)))

    def test_tasks_without_annotation_are_left_out_and_told(self, tmp_path):
        for name in "ab":
            picture(tmp_path / f"{name}.png")
        tasks = [task(1, "a.png", [region("cat", CAT, 1)]), task(2, "b.png", [])]
        tasks[1]["annotations"] = [{"was_cancelled": True, "result": []}]
        write(tmp_path / "export.json", tasks)
        with pytest.warns(UserWarning, match=r"1 images have no annotation yet.*b\.png"):
            assert [s.name for s in open_dataset(str(tmp_path), "val")] == ["a"]

    def test_a_region_of_two_labels_is_refused(self, tmp_path):
        both = region("cat", CAT, 1)
        both["value"]["polygonlabels"] = ["cat", "dog"]
        with pytest.raises(ValueError, match=r"export\.json.*2 labels \(\['cat', 'dog'\]\)"):
            self.mask(tmp_path, both)


def packed(mask):
    """A mask as Label Studio's brush stores it: all runs as values of their own."""
    values = np.repeat((mask * 255).astype(np.uint8).ravel(), 4)
    bits = f"{len(values):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    changes = np.flatnonzero(np.diff(values.astype(int))) + 1
    for run in np.split(values, changes):
        while len(run):
            part, run = run[:65536], run[65536:]
            bits += f"111{len(part) - 1:016b}{part[0]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


class TestSupervisely:
    def test_holes_are_cut_out(self, tmp_path):
        make_supervisely(tmp_path)
        outline = {
            "exterior": [[1, 1], [20, 1], [20, 20], [1, 20]],
            "interior": [[[5, 5], [9, 5], [9, 9], [5, 9]]],
        }
        thing = {"classTitle": "cat", "geometryType": "polygon", "points": outline}
        content = {"size": {"height": HEIGHT, "width": WIDTH}, "objects": [thing], "tags": []}
        write(tmp_path / "val" / "ann" / "c.png.json", content)
        (sample,) = open_dataset(str(tmp_path), "val")
        assert sample.mask[3, 3] == 1 and not sample.mask[5:10, 5:10].any()
        assert sample.mask.sum() == 400 - 25

    def test_tags_name_the_split(self, tmp_path):
        make_supervisely(tmp_path)
        (tmp_path / "train").rename(tmp_path / "ds0")
        (tmp_path / "val").rename(tmp_path / "ds1")
        for path in tmp_path.rglob("ann/*.json"):
            content = json.loads(path.read_text())
            content["tags"] = [{"name": "val" if path.name.startswith("c") else "train"}]
            write(path, content)
        assert [s.name for s in open_dataset(str(tmp_path))] == ["a", "b"]
        assert [s.name for s in open_dataset(str(tmp_path), "val")] == ["c"]


LINE = " ".join(map(str, [0, *(np.array(CAT) / (WIDTH, HEIGHT)).ravel()]))
POINTS = ";".join(f"{x},{y}" for x, y in CAT)
OUTLINE = np.ravel(CAT).tolist()


class TestVariantsOfCoco:
    def open(self, tmp_path, content, split="val"):
        write(tmp_path / "annotations.json", content)
        for name in "ab":
            picture(tmp_path / f"{name}.png")
        return open_dataset(str(tmp_path), split)

    @pytest.mark.parametrize(
        "segmentation",
        [
            OUTLINE,
            [CAT],
            CAT,
            [[str(number) for number in OUTLINE]],
        ],
        ids=["flat", "corners", "flat corners", "text"],
    )
    def test_spellings_of_a_polygon(self, tmp_path, segmentation):
        annotation = {"category_id": 3, "segmentation": segmentation}
        dataset = self.open(tmp_path, coco_file("ab", annotations=[annotation]))
        np.testing.assert_array_equal(dataset[0].mask, by_coco((2, CAT)))

    @pytest.mark.parametrize(
        ("segmentation", "told"),
        [
            ([[1, 2, float("nan"), 5, 7, 9]], "coordinate nan"),
            ([[1, 2, 1e12, 5, 7, 9]], "coordinate 1e"),
            ("outline", "neither a list of polygons"),
            ([{"size": [24, 32], "counts": [768]}], "neither a list of polygons"),
            ({"size": [24, 32], "counts": [-10, 778]}, "cannot be read"),
        ],
        ids=["nan", "far", "text", "list of runs", "negative"],
    )
    def test_wrong_segmentations_are_refused_by_name(self, tmp_path, segmentation, told):
        annotation = {"category_id": 3, "segmentation": segmentation}
        dataset = self.open(tmp_path, coco_file("ab", annotations=[annotation]))
        with pytest.raises(ValueError, match=rf"annotations\.json \(b\.png\).*{told}"):
            dataset[0]

    def test_a_box_with_an_empty_polygon_is_refused(self, tmp_path):
        box = {"category_id": 1, "segmentation": [[]], "bbox": [2, 3, 18, 15]}
        with pytest.raises(ValueError, match="no outline"):
            self.open(tmp_path, coco_file("ab", annotations=[box]))

    @pytest.mark.parametrize("kind", [str, float, "name{}".format], ids=["text", "float", "names"])
    def test_ids_of_other_types(self, tmp_path, kind):
        content = coco_file("ab")
        for annotation in content["annotations"]:
            annotation["category_id"] = kind(annotation["category_id"])
            annotation["image_id"] = kind(annotation["image_id"])
        for entry in (*content["categories"], *content["images"]):
            entry["id"] = kind(entry["id"])
        dataset = self.open(tmp_path, content)
        assert dataset.classes.names == ("background", "cat", "dog")
        np.testing.assert_array_equal(dataset[0].mask, by_coco((1, CAT), (2, DOG)))

    @pytest.mark.parametrize("key", ["category_id", "image_id"])
    def test_an_id_that_is_a_list_is_refused(self, tmp_path, key):
        content = coco_file("ab")
        content["annotations"][0][key] = [1]
        with pytest.raises(ValueError, match=r"annotations\.json.*an id must be a number"):
            self.open(tmp_path, content)

    def test_a_size_without_width_is_that_of_the_image(self, tmp_path):
        content = coco_file("ab")
        for image in content["images"]:
            del image["width"]
        assert self.open(tmp_path, content)[0].mask.shape == SIZE

    def test_an_image_that_is_listed_twice_does_not_train_and_validate(self, tmp_path):
        content = coco_file("ab")
        content["images"][1]["file_name"] = "a.png"
        with pytest.raises(ValueError, match=r"a\.png twice"):
            self.open(tmp_path, content)

    @pytest.mark.parametrize(
        "name",
        [
            "../../label-studio/data/media/upload/1/0a1b2c3d-{}",
            "https://host/x/{}?sig=1",
            "C:\\pictures\\{}",
            "/data/local-files/?d=home%2Fx%2F{}",
        ],
    )
    def test_images_of_addresses_and_of_uploads_are_found(self, tmp_path, name):
        content = coco_file("ab")
        for image in content["images"]:
            image["file_name"] = name.format(image["file_name"])
        assert [sample.name for sample in self.open(tmp_path, content)] == ["b"]

    def test_utf_16(self, tmp_path):
        picture(tmp_path / "a.png")
        (tmp_path / "a.json").write_text(json.dumps(coco_file("a")), "utf-16")
        assert open_dataset(str(tmp_path), "val").classes.names == ("background", "cat", "dog")


class TestVariantsOfCvat:
    def xml(self, path, shapes, size=f'width="{WIDTH}" height="{HEIGHT}"'):
        picture(path.parent / "images" / f"{path.parent.name}{path.stem}.png")
        name = f"{path.parent.name}{path.stem}.png"
        image = f'<image id="0" name="{name}" {size}>{shapes}</image>'
        meta = "<meta><job><labels><label><name>cat</name><color>#zz0000</color></label></labels>"
        write(path, f"<annotations>{meta}</job></meta>{image}</annotations>")

    def test_rotated_boxes(self, tmp_path):
        box = '<box label="cat" xtl="10" ytl="4" xbr="14" ybr="20" rotation="90.00"/>'
        self.xml(tmp_path / "annotations.xml", box)
        (sample,) = open_dataset(str(tmp_path), "val")
        expected = np.zeros(SIZE, int)
        expected[10:15, 4:21] = 1
        np.testing.assert_array_equal(sample.mask, expected)

    @pytest.mark.parametrize(
        "names", [("1.xml", "2.xml"), ("a/annotations.xml", "b/annotations.xml")]
    )
    def test_a_file_for_each_task(self, tmp_path, names):
        for name in names:
            self.xml(tmp_path / name, f'<polygon label="cat" points="{POINTS}"/>', size="")
        train, val = open_dataset(str(tmp_path)), open_dataset(str(tmp_path), "val")
        assert len(train) == len(val) == 1 and train[0].name != val[0].name
        np.testing.assert_array_equal(train[0].mask, by_pillow((1, CAT)))

    def test_names_with_folders_and_spaces(self, tmp_path):
        make_cvat(tmp_path)
        for kind in ("JPEGImages", "SegmentationClass"):
            (tmp_path / kind / "cam 1").mkdir()
            (tmp_path / kind / "c.png").rename(tmp_path / kind / "cam 1" / "c d.png")
        write(tmp_path / "ImageSets" / "Segmentation" / "val.txt", "cam 1/c d\n")
        (sample,) = open_dataset(str(tmp_path), "val")
        assert sample.name == "c d" and sample.mask.any()

    def test_label_maps(self, tmp_path):
        expected = make_cvat(tmp_path)
        write(
            tmp_path / "labelmap.txt", "sky:0,0,0::\ncat:x:250,50,83:head,paw:\ndog:42,125,209::\n"
        )
        dataset = open_dataset(str(tmp_path), "val")
        assert dataset.classes.names == ("background", "sky", "cat:x", "dog")
        np.testing.assert_array_equal(dataset[0].mask, expected + 1)
        (tmp_path / "labelmap.txt").write_bytes(b"b\xe4r:250,50,83::\n")
        with pytest.raises(ValueError, match=r"labelmap\.txt is not UTF-8"):
            open_dataset(str(tmp_path))


class TestVariantsOfLabelMe:
    @pytest.mark.parametrize("name", [None, "", "IMG_001.png"])
    def test_an_image_of_the_name_of_the_json_file(self, tmp_path, name):
        picture(tmp_path / "a.jpeg")
        write(tmp_path / "a.json", labelme_file("a", [shape("cat", CAT)]) | {"imagePath": name})
        (sample,) = open_dataset(str(tmp_path), "val")
        np.testing.assert_array_equal(sample.mask, by_pillow((1, CAT)))

    @pytest.mark.parametrize("kind", ["rectangle", "rotation"])
    def test_rectangles_of_four_corners(self, tmp_path, kind):
        corners = [[2, 2], [10, 2], [10, 8], [2, 8]]
        mask = TestLabelMe().mask(tmp_path, shape("cat", corners, kind))
        assert (mask[2:9, 2:11] == 1).all() and mask.sum() == 63

    @pytest.mark.parametrize("far", [float("nan"), 1e12])
    def test_corners_that_no_image_has_are_refused(self, tmp_path, far):
        with pytest.raises(ValueError, match=r"a\.json.*coordinate"):
            TestLabelMe().mask(tmp_path, shape("cat", [[far, 1], [2, 3], [4, 9]]))

    def test_a_label_without_a_name_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="label without a name"):
            TestLabelMe().mask(tmp_path, shape(" ", CAT))


class TestVariantsOfYolo:
    @pytest.mark.parametrize("start", ["data/", "/mnt/x/", "C:\\x\\"])
    def test_lists_with_paths_of_another_machine(self, tmp_path, start):
        make_yolo(tmp_path)
        for split, names in SPLITS.items():
            lines = [f"{start}images/{split}/{name}.png" for name in names]
            write(tmp_path / f"{split}.txt", "\n".join(lines))
        write(tmp_path / "data.yaml", "train: train.txt\nval: val.txt\nnames: [cat, dog]\n")
        assert [sample.name for sample in open_dataset(str(tmp_path))] == ["a", "b"]
        assert [sample.name for sample in open_dataset(str(tmp_path), "val")] == ["c"]

    def test_valid_names_the_validation_split(self, tmp_path):
        make_yolo(tmp_path)
        write(tmp_path / "data.yaml", "train: images/train\nvalid: images/val\nnames: [cat, dog]\n")
        assert [sample.name for sample in open_dataset(str(tmp_path), "val")] == ["c"]

    @pytest.mark.parametrize("label", ["nan", "inf"])
    def test_classes_that_are_no_number_are_refused(self, tmp_path, label):
        make_yolo(tmp_path)
        write(tmp_path / "labels" / "train" / "a.txt", LINE.replace("0", label, 1))
        with pytest.raises(ValueError, match=r"a\.txt, line 1: the class"):
            open_dataset(str(tmp_path))

    @pytest.mark.parametrize(
        ("names", "told"),
        [
            ("[cat, '', dog]", "a class has no name"),
            ("{a: cat, b: dog}", "names must be numbered"),
            ("[cat, dog]\nnc: 5", "nc is 5, and names has 2"),
        ],
        ids=["blank", "text", "nc"],
    )
    def test_wrong_names_are_refused(self, tmp_path, names, told):
        make_yolo(tmp_path)
        write(tmp_path / "data.yaml", f"train: images/train\nval: images/val\nnames: {names}\n")
        with pytest.raises(ValueError, match=rf"data\.yaml.*{told}"):
            open_dataset(str(tmp_path))

    def test_a_label_file_that_is_not_utf_8_is_named(self, tmp_path):
        make_yolo(tmp_path)
        (tmp_path / "labels" / "train" / "a.txt").write_bytes(b"\xe9")
        with pytest.raises(ValueError, match=r"a\.txt is not UTF-8"):
            open_dataset(str(tmp_path))


class TestVariantsOfRoboflow:
    def test_class_lists_without_heading_and_with_quotes(self, tmp_path):
        expected = make_roboflow(tmp_path)
        for path in tmp_path.rglob("_classes.csv"):
            write(path, '0, background\n1, "cat, big"\n2, dog\n')
        dataset = open_dataset(str(tmp_path), "val")
        assert dataset.classes.names == ("background", "cat, big", "dog")
        np.testing.assert_array_equal(dataset[0].mask, expected)


class TestVariantsOfLabelStudio:
    def open(self, tmp_path, tasks):
        picture(tmp_path / "images" / "a.png")
        write(tmp_path / "export.json", tasks)
        return open_dataset(str(tmp_path), "val")

    def test_the_image_of_several_fields_is_that_of_the_regions(self, tmp_path):
        drawn = task(1, "", [region("cat", CAT, 1) | {"to_name": "second"}])
        drawn["data"] = {"first": "other.png", "second": "a.png"}
        assert self.open(tmp_path, [drawn])[0].mask.any()
        drawn["data"] = {"first": "other.png", "third": "a.png"}
        with pytest.raises(ValueError, match=r"task 1 has 2 images"):
            self.open(tmp_path, [drawn])

    def test_a_list_of_one_image(self, tmp_path):
        drawn = task(1, "", [region("cat", CAT, 1)]) | {"data": {"pages": ["s3://x/a.png"]}}
        assert self.open(tmp_path, [drawn])[0].mask.any()

    def test_json_min_of_several_annotators(self, tmp_path):
        short = {"id": 1, "image": "a.png", "label": [region("cat", CAT, 1)["value"]]}
        tasks = [short | {"annotator": 1}, short | {"annotator": 2, "label": []}]
        np.testing.assert_array_equal(self.open(tmp_path, tasks)[0].mask, by_pillow((1, CAT)))

    def test_points_are_told(self, tmp_path):
        point = region("p", None, 2, "keypointlabels", x=1, y=2, width=0.5)
        with pytest.warns(UserWarning, match="1 points cover no area"):
            dataset = self.open(tmp_path, [task(1, "a.png", [region("cat", CAT, 1), point])])
        assert dataset.classes.names == ("background", "cat")

    @pytest.mark.parametrize("wrong", ["x", {"value": {"imageDataURL": "data:"}}])
    def test_regions_that_are_not_read_are_refused(self, tmp_path, wrong):
        with pytest.raises(ValueError, match=r"export\.json \(a\.png\): a region is not a polygon"):
            self.open(tmp_path, [task(1, "a.png", [wrong])])


class TestVariantsOfSupervisely:
    def test_names_of_older_projects_and_holes_that_are_null(self, tmp_path):
        make_supervisely(tmp_path)
        path = tmp_path / "val" / "ann" / "c.png.json"
        content = json.loads(path.read_text())
        content["objects"][0]["points"]["interior"] = None
        write(path.with_name("c.json"), content)
        path.unlink()
        (sample,) = open_dataset(str(tmp_path), "val")
        np.testing.assert_array_equal(sample.mask, by_pillow((1, CAT), (2, DOG)))


class TestRecognition:
    def test_a_plain_folder_with_other_json_stays_one(self, tmp_path):
        for name in "abcde":
            picture(tmp_path / "images" / f"{name}.png")
            (tmp_path / "masks").mkdir(exist_ok=True)
            Image.fromarray(by_pillow((1, CAT))).save(tmp_path / "masks" / f"{name}.png")
        write(tmp_path / "notes.json", {"shapes": 3})
        (tmp_path / "latin.json").write_bytes(b"\xe9")
        write(tmp_path / "config.yaml", "names: [a]\n")
        assert recognise(tmp_path) is None
        assert len(open_dataset(str(tmp_path))) == 4

    def test_few_of_many_files_are_read(self, tmp_path, monkeypatch):
        for number in range(200):
            write(tmp_path / f"{number}.json", {"size": number})
        read, original = [], type(tmp_path).read_bytes
        monkeypatch.setattr(
            type(tmp_path), "read_bytes", lambda path: read.append(path) or original(path)
        )
        assert recognise(tmp_path) is None
        assert len(set(read)) <= 20
