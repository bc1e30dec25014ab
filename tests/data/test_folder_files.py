"""Which mask belongs to which image, and what is said of folders where that cannot be known."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_seg import data
from keras_seg.cli import main
from keras_seg.data import FolderDataset
from keras_seg.data.folder.contents import annotation_kind
from keras_seg.data.verify import verify_dataset

SIZE = (32, 32)


def mask(i):
    values = np.zeros(SIZE, np.uint8)
    values[i : i + 9, 3:12] = 1
    return values


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make(root, image, truth, count=6):
    """Files named by the patterns, with {i} for the number; returns the folder."""
    for i in range(count):
        noise = np.random.default_rng([i, *image.encode()]).integers(0, 255, (*SIZE, 3), np.uint8)
        save(root / image.format(i=i), noise)
        save(root / truth.format(i=i), mask(i))
    return root


PAIRED = {
    "suffix": ("images/s{i}.png", "masks/s{i}_mask.png"),
    "prefix": ("images/s{i}.png", "masks/mask_s{i}.png"),
    "lower case": ("images/S{i}.PNG", "masks/s{i}.PNG"),
    "upper case and suffix": ("images/img_{i}.JPG", "masks/IMG_{i}_Seg.png"),
    "two endings": ("images/s{i}.jpg", "masks/s{i}.jpg.png"),
    "only numbers": ("images/{i}.png", "masks/{i}_gt.png"),
    "two prefixes": ("images/image_{i}.png", "masks/mask_{i}.png"),
    "two suffixes": ("images/s{i}_rgb.png", "masks/s{i}_gt.png"),
    "labels": ("images/s{i}.png", "labels/s{i}.png"),
    "annotations": ("image/s{i}.png", "annotations/s{i}.png"),
    "gt": ("imgs/s{i}.TIF", "gt/s{i}.png"),
    "capitals": ("Images/s{i}.png", "Masks/s{i}.png"),
    "VOC": ("JPEGImages/s{i}.jpg", "SegmentationClass/s{i}.png"),
    "images beside the folder of masks": ("s{i}.JPG", "masks/s{i}.PNG"),
    "one folder, suffix": ("s{i}.png", "s{i}_mask.png"),
    "one folder, CamVid": ("s{i}.png", "s{i}_L.png"),
    "one folder, prefix": ("S{i}.JPG", "mask_s{i}.png"),
    "one folder, seg": ("s{i}.jpg", "s{i}-seg.TIF"),
    "one folder, unknown word": ("s{i}.jpg", "s{i}_roofs.png"),
    "one folder, endings": ("s{i}.jpg", "s{i}.png"),
    "one folder, endings in capitals": ("s{i}.JPG", "s{i}.PNG"),
    "one folder, both": ("s{i}_sat.jpg", "s{i}_mask.png"),
    "train alone": ("train/s{i}.jpg", "train/s{i}_mask.png"),
    "train/images alone": ("train/images/s{i}.jpg", "train/masks/s{i}.png"),
    "images/train alone": ("images/train/s{i}.jpg", "labels/train/s{i}.png"),
    "Carvana": ("train/s{i}.jpg", "train_masks/s{i}_mask.png"),
    "train_images": ("train_images/s{i}.jpg", "train_labels/s{i}.png"),
}


@pytest.mark.parametrize("case", PAIRED)
def test_one_rule_for_all_masks_pairs_them(case, tmp_path, capsys):
    root = make(tmp_path / "data", *PAIRED[case])
    samples = [*FolderDataset(root), *FolderDataset(root, "val")]
    assert len(samples) == 6
    for sample in samples:
        (number,) = (int(letter) for letter in sample.name if letter.isdigit())
        np.testing.assert_array_equal(sample.mask, mask(number))
    assert main(["verify-dataset", str(root)]) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    assert "no validation split is stated, so a fixed 20% is used" in " ".join(told.split())


def test_suffixes_hold_for_splits_and_instances(tmp_path):
    root = make(tmp_path / "data", "images/s{i}.png", "masks/s{i}_mask.png")
    (root / "splits.json").write_text(json.dumps({"train": ["s0", "s3"], "val": ["s5"]}))
    for i in range(6):
        save(root / "instances" / f"s{i}.png", 7 * mask(i))
    train = FolderDataset(root)
    assert [sample.name for sample in train] == ["s0", "s3"]
    np.testing.assert_array_equal(train[1].instances, 7 * mask(3))


@pytest.mark.parametrize(
    ("image", "truth"),
    [("images/{i}.png", "masks/1{i}.png"), ("images/s1{i}.png", "masks/s{i}.png")],
)
def test_a_part_of_a_number_is_no_suffix(image, truth, tmp_path):
    """Image 1 and mask 11 may well be different pictures."""
    with pytest.raises(FileNotFoundError, match="6 images in .* have no mask"):
        FolderDataset(make(tmp_path / "data", image, truth))


SPLIT_PATTERNS = ["{split}/{kind}", "{kind}/{split}", "{split}_{kind}", "{split}{kind}"]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev", "Val"])
@pytest.mark.parametrize("pattern", SPLIT_PATTERNS)
def test_split_folders_either_way_round(pattern, val, tmp_path):
    for split, count in (("train", 4), (val, 2), ("testing", 3)):
        image, truth = (pattern.format(split=split, kind=kind) for kind in ("images", "masks"))
        make(tmp_path, image + f"/{split}{{i}}.png", truth + f"/{split}{{i}}.png", count)
    train, validation = FolderDataset(tmp_path), FolderDataset(tmp_path, "val")
    assert (len(train), len(validation), len(FolderDataset(tmp_path, "test"))) == (4, 2, 3)
    assert train[0].name == "train0" and validation[1].name == f"{val}1"
    assert not verify_dataset(str(tmp_path)).errors


def test_masks_of_all_splits_may_share_a_folder(tmp_path):
    make(tmp_path, "images/train/s{i}.png", "masks/s{i}.png", 4)
    save(tmp_path / "images/val/t.png", np.zeros((*SIZE, 3), np.uint8))
    save(tmp_path / "masks/t.png", mask(1))
    lengths = [len(FolderDataset(tmp_path, split)) for split in ("train", "val")]
    assert lengths == [4, 1]


def test_a_list_of_one_split_leaves_the_rest_to_the_other(tmp_path):
    root = make(tmp_path, "images/s{i}.png", "masks/s{i}.png")
    (root / "val.txt").write_text("s1\ns4\n")
    names = [[sample.name for sample in FolderDataset(root, s)] for s in ("train", "val")]
    assert names == [["s0", "s2", "s3", "s5"], ["s1", "s4"]]
    (root / "train.txt").write_text("\n".join(f"s{i}" for i in range(6)))
    (root / "val.txt").unlink()
    with pytest.raises(ValueError, match="another split names all images.*Write val.txt"):
        FolderDataset(root, "val")  # it would be the images that train
    (root / "train.txt").unlink()
    (root / "valid.txt").write_text("s1\ns4\n")
    assert len(FolderDataset(root, "val")) == 2


TWO_READINGS = {
    "ending or suffix": (["s{i}.jpg", "s{i}.png", "s{i}_mask.png"], r"X\.png, or X with X_mask"),
    "two suffixes": (["s{i}.jpg", "s{i}_gt.png", "s{i}_seg.png"], "X_gt, or X with X_seg"),
    "two lossless endings": (["s{i}.tif", "s{i}.png"], r"masks X\.tif, or images X\.tif"),
    "two folders of splits": (
        ["train/images/s{i}.png", "train/masks/s{i}.png", "images/train/s{i}.png"],
        "images of 'train' are in .* or in ",
    ),
    "valid and val": (
        ["train/images/s{i}.png", "train/masks/s{i}.png", "val/a{i}.png", "valid/b{i}.png"],
        "two folders for the split 'val': val and valid",
    ),
    "two mask folders": (
        ["images/s{i}.png", "labels/s{i}.png", "gt/s{i}.png"],
        "2 folders that may hold the masks: gt, labels",
    ),
}


@pytest.mark.parametrize("case", TWO_READINGS)
def test_two_readings_are_refused_with_both(case, tmp_path):
    patterns, words = TWO_READINGS[case]
    for pattern in patterns:
        make(tmp_path, pattern, pattern)
    with pytest.raises(ValueError, match=words):
        FolderDataset(tmp_path)
    assert main(["verify-dataset", str(tmp_path)]) == 1


@pytest.mark.parametrize("folder", ["", "masks/"])
def test_classes_json_states_the_suffix(folder, tmp_path):
    images = folder.replace("masks", "images")
    for word in ("gt", "view"):
        make(tmp_path, images + "s{i}.jpg", folder + f"s{{i}}_{word}.png")
    for i in range(6):
        save(tmp_path / f"{folder}s{i}_view.png", 200 * mask(i))
    table = {"names": ["background", "cell"], "mask_suffix": "_GT"}
    (tmp_path / "classes.json").write_text(json.dumps(table))
    samples = [*FolderDataset(tmp_path), *FolderDataset(tmp_path, "val")]
    assert sorted(sample.name for sample in samples) == [f"s{i}" for i in range(6)]
    assert set(np.unique(samples[0].mask)) == {0, 1}
    (tmp_path / "classes.json").write_text('{"names": ["a", "b"], "mask_suffix": "../x"}')
    with pytest.raises(ValueError, match="mask_suffix.*part of a file name"):
        FolderDataset(tmp_path)


def test_a_folder_named_train_beside_images_is_no_split(tmp_path):
    root = make(tmp_path, "images/s{i}.png", "masks/s{i}.png")
    (root / "train").mkdir()
    assert len(FolderDataset(root)) == 5


UNPAIRED = {
    "JPEG": ("images/s{i}.png", "masks/s{i}.jpg", "not read from JPEG"),
    "JPEG in capitals": ("images/s{i}.png", "masks/s{i}.JPG", "not read from JPEG"),
    "JPEG with suffix": ("images/s{i}.png", "masks/s{i}_mask.jpeg", "not read from JPEG"),
    "GIF": ("images/s{i}.png", "masks/s{i}.gif", r"6 files that end in \.gif"),
    "GIF images": ("images/s{i}.gif", "masks/s{i}.png", r"images holds 6 files that end in \.gif"),
    "nothing alike": ("images/a{i}.png", "masks/b{i}x.png", "named like a0, a1, a2, ..., masks"),
    "deeper": ("images/x/s{i}.png", "masks/x/s{i}.png", "has the sub-folders x"),
    "nested": ("data/images/s{i}.png", "data/masks/s{i}.png", "data has both: pass that folder"),
    "JPEG beside": ("s{i}.jpg", "s{i}_mask.jpg", "not read from JPEG"),
}


@pytest.mark.parametrize("case", UNPAIRED)
def test_what_lies_there_is_said(case, tmp_path):
    image, truth, words = UNPAIRED[case]
    root = make(tmp_path / "data", image, truth)
    with pytest.raises((FileNotFoundError, ValueError), match=words):
        FolderDataset(root)
    with pytest.raises((FileNotFoundError, ValueError), match=words):
        data.open_dataset(root, on_error="skip")
    report = verify_dataset(str(root))
    told = " ".join(problem.message for problem in report.errors)
    assert "Add images, or name other stems" not in told
    assert main(["verify-dataset", str(root)]) == 1
    if (root / "images").is_dir() and (root / "masks").is_dir() and case != "deeper":
        assert [problem.kind for problem in report.errors] == ["pairs"]


def test_several_masks_of_an_image_are_named(tmp_path):
    make(tmp_path, "images/s{i}.png", "masks/s{i}_road.png")
    make(tmp_path, "images/s{i}.png", "masks/s{i}_car.png")
    with pytest.raises(FileNotFoundError, match="2 masks begin with 's0'.*Merge them"):
        FolderDataset(tmp_path)


def test_part_of_the_masks_is_missing(tmp_path):
    root = make(tmp_path, "images/s{i}.png", "masks/s{i}_mask.png")
    save(root / "images" / "t.png", np.zeros((*SIZE, 3), np.uint8))
    save(root / "masks" / "t.jpg", mask(0))
    (root / "train.txt").write_text("s0\ns1\nt\n")
    with pytest.raises(FileNotFoundError, match=r"1 of 3 samples .*\['t'\].*not read from JPEG"):
        FolderDataset(root)
    with pytest.warns(UserWarning, match="Left out: 1 of 3"):
        assert len(data.open_dataset(root, on_error="skip")) == 2


def test_empty_folders_and_splits_are_told_apart(tmp_path):
    def only_error(root):
        (error,) = {problem.message for problem in verify_dataset(str(root)).errors}
        return error

    root = tmp_path / "masks_empty"
    save(root / "images" / "a.png", mask(0))
    save(root / "images" / "b.png", mask(0))
    (root / "masks").mkdir()
    assert f"{root / 'masks'} is empty" in only_error(root)
    root = tmp_path / "images_empty"
    save(root / "masks" / "a.png", mask(0))
    (root / "images").mkdir()
    assert f"{root / 'images'} is empty" in only_error(root)
    root = make(tmp_path / "one", "images/{i}.png", "masks/{i}.png", 1)
    assert "only one image" in only_error(root)
    root = make(tmp_path / "listed", "images/{i}.png", "masks/{i}.png")
    (root / "splits.json").write_text('{"train": [], "val": ["0"]}')
    assert "lists no stem" in only_error(root)


ANNOTATIONS = {
    "COCO": ("a.json", '{"info": {}, "images": [], "annotations": [], "categories": []}'),
    "LabelMe": ("a.json", '{"version": "5.5.0", "flags": {}, "shapes": [], "imagePath": "a"}'),
    "VIA": ("a.json", '{"_via_settings": {}}'),
    "Label Studio": ("a.json", '[{"id": 1, "annotations": [{"result": []}]}]'),
    "YOLO": ("a.txt", "0 0.1 0.25 0.3 1e-05 0.5 0.6\n"),
    "Pascal VOC boxes": ("a.xml", "<annotation><object/></annotation>"),
    "CVAT": ("a.xml", "<?xml version='1.0'?><annotations></annotations>"),
}


@pytest.mark.parametrize("kind", ANNOTATIONS)
@pytest.mark.parametrize("place", [".", "labels", "annotations", "masks"])
def test_annotations_that_are_no_masks_are_named(kind, place, tmp_path):
    name, content = ANNOTATIONS[kind]
    save(tmp_path / "images" / "a.png", mask(0))
    save(tmp_path / "images" / "b.png", mask(0))
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / name).write_text(content)
    with pytest.raises(FileNotFoundError, match=rf"annotations of {kind}\. (Open|They)"):
        FolderDataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "s0\ns1\n"),
        ("a.txt", "0 1\n"),
        ("classes.json", '{"names": []}'),
        ("b.json", "[]"),
    ],
)
def test_other_text_files_are_no_annotations(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    assert annotation_kind(tmp_path / name) is None


def test_archives_are_to_be_unpacked(tmp_path):
    (tmp_path / "cells.zip").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match=r"cells\.zip is an archive: unpack it"):
        FolderDataset(tmp_path)
    with pytest.raises(FileNotFoundError, match="it is a file. Unpack it"):
        FolderDataset(tmp_path / "cells.zip")
