"""Data whose pixels may have several labels: files, exports of annotation tools, augmentation."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from keras_seg import data, losses
from keras_seg.data.augmentation.draw import augment
from keras_seg.data.verify import verify_dataset
from tests.helpers.label_squares import LABELS, SIZE, draw, write_labels

LOUD = data.Augmentation(
    scale=(0.5, 2.0), rotation=30, elastic=2, flip_vertical=True, mask_morphology=2, cut_mix=0.0
)
CALM = data.Augmentation(scale=(0.5, 2.0), mask_morphology=1)


def first(root, **options):
    return data.open_dataset(str(root), "train", **options)


def expected(dataset, index=0):
    return draw(int(dataset[index].name))[1]


def per_label(root, name, value=1):
    """Writes one mask file per label in place of the arrays; name: file of (stem, label)."""
    for path in sorted((root / "masks").glob("*.npy")):
        labels = np.load(path)
        path.unlink()
        for number, label in enumerate(LABELS):
            target = root / "masks" / name.format(path.stem, label)
            target.parent.mkdir(exist_ok=True)
            Image.fromarray(labels[..., number] * np.uint8(value)).save(target)
    return root


class TestFolders:
    def test_one_channel_per_label(self, tmp_path):
        dataset = first(write_labels(tmp_path))
        assert dataset.multi_label and dataset.classes.names == LABELS
        assert (0, 0, 0) not in dataset.classes.colors
        np.testing.assert_array_equal(dataset[0].mask, expected(dataset))

    @pytest.mark.parametrize("name", ["{1}/{0}.png", "{0}_{1}.png", "{0}_{1}_mask.png"])
    @pytest.mark.parametrize("value", [1, 255])
    def test_one_file_per_label(self, tmp_path, name, value):
        dataset = first(per_label(write_labels(tmp_path), name, value))
        assert dataset.multi_label and len(dataset) == 6
        for index in range(len(dataset)):
            np.testing.assert_array_equal(dataset[index].mask, expected(dataset, index))
        report = verify_dataset(str(tmp_path))
        assert not report.errors and report.multi_label

    def test_sub_folders_name_the_labels(self, tmp_path):
        root = per_label(write_labels(tmp_path, classes=False), "{1}/{0}.png", 255)
        dataset = first(root, multi_label=True)
        assert dataset.classes.names == tuple(sorted(LABELS))
        order = [LABELS.index(name) for name in dataset.classes.names]
        np.testing.assert_array_equal(dataset[0].mask, expected(dataset)[..., order])

    def test_a_label_without_a_file_is_absent(self, tmp_path):
        root = per_label(write_labels(tmp_path), "{1}/{0}.png")
        for path in (root / "masks" / "wall").glob("*.png"):
            path.unlink()
        dataset = first(root)
        assert not dataset[0].mask[..., 1].any() and dataset[0].mask[..., 2].any()

    def test_an_image_without_any_file_is_refused_or_left_out(self, tmp_path):
        root = per_label(write_labels(tmp_path), "{1}/{0}.png")
        gone = first(root)[0].name
        for label in LABELS:
            (root / "masks" / label / f"{gone}.png").unlink()
        with pytest.raises(FileNotFoundError, match=f"no mask file of any label.*'{gone}'"):
            first(root)
        assert len(first(root, on_error="skip")) == 5

    def test_255_is_unknown_beside_1(self, tmp_path):
        root = per_label(write_labels(tmp_path), "{1}/{0}.png")
        name = first(root)[0].name
        plane = draw(int(name))[1][..., 0]
        plane[0] = 255
        Image.fromarray(plane).save(root / "masks" / "roof" / f"{name}.png")
        np.testing.assert_array_equal(first(root)[0].mask[..., 0], plane)

    def test_channels_of_0_and_255_by_values(self, tmp_path):
        root = write_labels(tmp_path)
        for path in sorted((root / "masks").glob("*.npy")):
            Image.fromarray(np.load(path) * np.uint8(255)).save(path.with_suffix(".png"))
            path.unlink()
        with pytest.raises(ValueError, match=r'write "values": \[0, 255\] to classes.json'):
            first(root)[0]
        table = {"names": LABELS, "multi_label": True, "values": [0, 255]}
        (root / "classes.json").write_text(json.dumps(table))
        dataset = first(root)
        np.testing.assert_array_equal(dataset[0].mask, expected(dataset))

    def test_wrong_folders_and_values_are_refused(self, tmp_path):
        root = per_label(write_labels(tmp_path), "{1}/{0}.png")
        (root / "masks" / "roofs").mkdir()
        with pytest.raises(ValueError, match=r"sub-folders \['roofs'\], which are not labels"):
            first(root)
        (root / "masks" / "roofs").rmdir()
        name = first(root)[0].name
        Image.fromarray(np.full(SIZE, 7, np.uint8)).save(root / "masks" / "roof" / f"{name}.png")
        with pytest.raises(ValueError, match=r"holds the values \[7\]; the mask of one label"):
            first(root)[0]
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / "masks" / "roof" / f"{name}.png")
        with pytest.raises(ValueError, match=r"differ in size: .*8x8.*32x24"):
            first(root)[0]

    def test_labels_need_names(self, tmp_path):
        with pytest.raises(ValueError, match="does not name its labels"):
            first(write_labels(tmp_path, classes=False), multi_label=True)

    def test_data_of_one_class_per_pixel(self):
        with pytest.raises(ValueError, match="has one class per pixel. Received: multi_label=True"):
            data.open_dataset("builtin:cells", multi_label=True)


SQUARES = {"roof": [2, 2, 20, 2, 20, 20, 2, 20], "wall": [10, 10, 30, 10, 30, 22, 10, 22]}


def write_coco(root):
    """Two images whose polygons overlap; category ids as tools number them."""
    root.mkdir(exist_ok=True)
    images, annotations = [], []
    for number in (1, 2):
        Image.fromarray(draw(number)[0]).save(root / f"{number}.png")
        size = {"height": SIZE[0], "width": SIZE[1]}
        images.append({"id": number, "file_name": f"{number}.png", **size})
        for category, points in enumerate(SQUARES.values(), start=5):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "segmentation": [points],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 5, "name": "roof"}, {"id": 6, "name": "wall"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "result.json").write_text(json.dumps(content))
    return root


class TestExports:
    def test_overlapping_polygons_of_coco(self, tmp_path):
        dataset = data.open_dataset(f"coco:{write_coco(tmp_path)}", multi_label=True)
        runs = [coco_mask.frPyObjects([points], *SIZE)[0] for points in SQUARES.values()]
        truth = coco_mask.decode(runs)
        assert dataset.classes.names == ("roof", "wall")
        np.testing.assert_array_equal(dataset[0].mask, truth)
        assert (truth.sum(-1) == 2).any()
        exclusive = data.open_dataset(f"coco:{tmp_path}")
        assert exclusive.classes.names == ("background", "roof", "wall")
        assert not exclusive.multi_label

    def test_the_class_file_of_an_export_may_say_so(self, tmp_path):
        table = {"names": ["wall", "roof"], "multi_label": True}
        write_coco(tmp_path)
        (tmp_path / "classes.json").write_text(json.dumps(table))
        dataset = data.open_dataset(str(tmp_path))
        assert dataset.multi_label and dataset.classes.names == ("wall", "roof")
        runs = [coco_mask.frPyObjects([points], *SIZE)[0] for points in SQUARES.values()]
        np.testing.assert_array_equal(dataset[0].mask, coco_mask.decode(runs)[..., ::-1])

    def test_overlapping_polygons_of_labelme(self, tmp_path):
        for number in (1, 2):
            Image.fromarray(draw(number)[0]).save(tmp_path / f"{number}.png")
            shapes = [
                {"label": label, "points": np.reshape(points, (4, 2)).tolist()}
                for label, points in (*SQUARES.items(), ("__ignore__", [0, 0, 3, 0, 3, 3, 0, 3]))
            ]
            content = {"shapes": shapes, "imagePath": f"{number}.png", "imageHeight": SIZE[0]}
            content["imageWidth"] = SIZE[1]
            (tmp_path / f"{number}.json").write_text(json.dumps(content))
        dataset = data.open_dataset(f"labelme:{tmp_path}", multi_label=True)
        mask, (roof, wall) = dataset[0].mask, dataset.classes.names
        assert (roof, wall) == ("roof", "wall")
        assert (mask[:4, :4] == 255).all()
        assert mask[12, 12].tolist() == [1, 1] and mask[21, 28].tolist() == [0, 1]

    def test_masks_of_a_tool_have_one_class_per_pixel(self, tmp_path):
        folder = tmp_path / "train"
        folder.mkdir()
        for number in range(3):
            image, labels = draw(number)
            Image.fromarray(image).save(folder / f"{number}.jpg")
            Image.fromarray(labels[..., 0]).save(folder / f"{number}_mask.png")
        (folder / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, roof\n")
        with pytest.raises(ValueError, match="holds masks, which show one class per pixel"):
            data.open_dataset(f"roboflow:{tmp_path}", multi_label=True)


class TestPipelines:
    @pytest.mark.parametrize("augmentation", [LOUD, CALM])
    def test_each_label_is_augmented_as_a_mask_of_its_own(self, augmentation):
        image, labels = draw(3)
        labels[:3, :3] = 255
        words = (tf.constant([4, 7]), (16, 20), augmentation)
        _, together = augment(image, labels.astype(np.int32), *words)
        alone = [augment(image, labels[..., i].astype(np.int32), *words)[1] for i in range(3)]
        np.testing.assert_array_equal(together, np.stack(alone, -1))
        assert {0, 1} <= set(np.unique(together))

    def test_left_and_right_labels_are_exchanged_in_a_mirror(self):
        table = data.ClassTable(("left eye", "nose", "right eye"))
        image, labels = draw(1)
        plain = data.Augmentation(scale=(1, 1), flip_horizontal=True)
        seen = set()
        for seed in range(8):
            words = (tf.constant([0, seed]), SIZE, plain)
            moved = augment(image, labels.astype(np.int32), *words, mirrored=table.mirrored())[1]
            flipped = not np.array_equal(moved, labels)
            seen.add(flipped)
            if flipped:
                np.testing.assert_array_equal(moved, labels[:, ::-1, ::-1])
        assert seen == {False, True}

    def test_cut_mix_moves_all_labels_of_a_pixel(self):
        pairs = [draw(index) for index in range(4)]
        images = np.stack([image for image, _ in pairs]).astype(np.float32)
        labels = np.stack([mask for _, mask in pairs]).astype(np.int32)
        mixed, moved = data.cut_mix(images, labels, tf.constant([0, 1]), 1.0)
        for index in range(4):
            own = (mixed[index].numpy() == images[index]).all(-1)
            np.testing.assert_array_equal(moved[index][own], labels[index][own])
            other = labels[(index + 1) % 4]
            np.testing.assert_array_equal(moved[index][~own], other[~own])
            assert not own.all()

    def test_validation_pads_with_unknown(self, tmp_path):
        dataset = first(write_labels(tmp_path))
        batches = data.validation_pipeline(dataset, batch_size=4, size_multiple=16)
        image, mask = next(iter(batches))
        assert image.shape == (4, 32, 32, 3) and mask.shape == (4, 32, 32, 3)
        np.testing.assert_array_equal(mask[0, :24], expected(dataset))
        assert (mask.numpy()[:, 24:] == 255).all()

    def test_batches_train(self, tmp_path):
        dataset = first(write_labels(tmp_path))
        batches = data.training_pipeline(dataset, crop=(16, 16), batch_size=2, epochs=1)
        layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(3, 1)]
        model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
        loss = losses.get({"name": "dice", "multi_label": True})
        model.compile("adam", loss, run_eagerly=True)
        history = model.fit(data.check_batches(batches, model), shuffle=False, verbose=0)
        assert np.isfinite(history.history["loss"]).all()
