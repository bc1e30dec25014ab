"""Miniature folders in the official layouts are read with the official classes."""

import sys
import types

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from keras_seg import data
from keras_seg.data.layouts import LAYOUTS, ade20k, camvid, cityscapes, cocostuff, voc
from tests.helpers.palette import palette_picture

SIZE = (10, 14)
RNG = np.random.default_rng(0)


def image(path, size=SIZE, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def mask(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values).astype(np.uint8)).save(path)


def rows(*values):
    """A mask whose rows repeat the values from the top; the last fills what is left."""
    column = np.array([*values, *[values[-1]] * (SIZE[0] - len(values))])
    return np.repeat(column[:, None], SIZE[1], axis=1)


def column_of(sample):
    """The values down the first column of a mask whose rows are even."""
    assert (sample.mask == sample.mask[:, :1]).all()
    return sample.mask[:, 0].tolist()


def make_camvid(root):
    for split in ("train", "val", "test"):
        image(root / split / f"0001_{split}.png")
        mask(root / f"{split}annot" / f"0001_{split}.png", rows(*range(8), 10, 11))
    return [*range(8), 10, 255]


def make_camvid_original(root):
    names = ["Sky", "Bridge", "Wall", "LaneMkgsDriv", "Truck_Bus", "Child", "Void"]
    colors = np.array([camvid.ORIGINAL[name][1] for name in names], np.uint8)
    (root / "LabeledApproved_full").mkdir(parents=True)
    for split in ("train", "val", "test"):
        image(root / "701_StillsRaw_full" / f"{split}7.png")
        painted = colors[rows(*range(7))]
        Image.fromarray(painted).save(root / "LabeledApproved_full" / f"{split}7_L.png")
        (root / f"{split}.txt").write_text(f"{split}7.png\n")
    return [0, 1, 1, 3, 8, 9, 255, 255, 255, 255]


def make_voc(root, splits=("train", "val")):
    folder = root / "VOCdevkit" / "VOC2012"
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (folder / "SegmentationClass").mkdir()
    for split in splits:
        name = f"2007_{split}"
        image(folder / "JPEGImages" / f"{name}.jpg")
        picture = palette_picture(rows(0, 15, 20, 255), voc.CLASSES)
        picture.save(folder / "SegmentationClass" / f"{name}.png")
        (lists / f"{split}.txt").write_text(f"{name}\n")
    return [0, 15, 20, *[255] * 7]


def make_sbd(root, names=("2008_a", "2008_b")):
    folder = root / "benchmark_RELEASE" / "dataset"
    (folder / "cls").mkdir(parents=True)
    for split, name in zip(("train", "val"), names, strict=True):
        image(folder / "img" / f"{name}.jpg")
        truth = {"Segmentation": rows(0, 7, 3).astype(np.uint8), "CategoriesPresent": [3, 7]}
        savemat(folder / "cls" / f"{name}.mat", {"GTcls": truth})
        (folder / f"{split}.txt").write_text(f"{name}\n")
    return [0, 7, *[3] * 8]


def make_cityscapes(root):
    for split, city in (("train", "aachen"), ("val", "lindau")):
        key = f"{city}_000000_000019"
        image(root / "leftImg8bit" / split / city / f"{key}_leftImg8bit.png")
        truth = rows(0, 7, 8, 11, 14, 26, 29, 33, 255)
        mask(root / "gtFine" / split / city / f"{key}_gtFine_labelIds.png", truth)
    return [255, 0, 1, 2, 255, 13, 255, 18, 255, 255]


def make_ade20k(root):
    folder = root / "ADEChallengeData2016"
    for kind in ("training", "validation"):
        image(folder / "images" / kind / f"ADE_{kind}.jpg")
        mask(folder / "annotations" / kind / f"ADE_{kind}.png", rows(0, 1, 2, 150))
    return [255, 0, 1, *[149] * 7]


def make_cocostuff(root):
    for kind in ("train2017", "val2017"):
        image(root / "images" / kind / "000000000139.jpg")
        # person, traffic light, (street sign), stop sign, banner, wood, unlabelled
        truth = rows(0, 9, 11, 12, 91, 181, 255)
        mask(root / "annotations" / kind / "000000000139.png", truth)
    return [0, 9, 255, 11, 80, 170, *[255] * 4]


def make_lip(root):
    for split in ("train", "val"):
        nested = root / "TrainVal_images" / "TrainVal_images" / f"{split}_images"
        image(nested / "77_1.jpg")
        folder = "TrainVal_parsing_annotations"
        mask(root / folder / folder / f"{split}_segmentations" / "77_1.png", rows(0, 2, 19))
    return [0, 2, *[19] * 8]


def make_celebamask(root):
    root = root / "CelebAMask-HQ"
    lines = ["idx orig_idx orig_file"]
    for number, original in ((0, 5), (1, 162770), (2, 162771), (2001, 182637), (5, 182638)):
        lines.append(f"{number} {original} {original:06d}.jpg")
        image(root / "CelebA-HQ-img" / f"{number}.jpg", (20, 28))
        folder = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
        folder.mkdir(parents=True, exist_ok=True)
        # hair is drawn over skin, cloth over both
        for part, share in (
            ("skin", rows(0, 1)),
            ("hair", rows(0, 0, 0, 1)),
            ("cloth", rows(0, 0, 0, 0, 1)),
        ):
            picture = Image.fromarray((share * 255).astype(np.uint8)).convert("RGB")
            picture.save(folder / f"{number:05d}_{part}.png")
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(lines) + "\n")
    return [0, 1, 1, 13, *[18] * 6]


def make_helen(root):
    for number, (split, file) in enumerate(
        (("train", "exemplars.txt"), ("val", "tuning.txt"), ("test", "testing.txt"))
    ):
        name = f"10_{split}_1"
        image(root / "images" / f"{name}.jpg")
        for channel in range(11):
            value = {0: rows(200, 100, 0), 1: rows(50, 120, 90), 10: rows(5, 35, 165)}.get(channel)
            mask(
                root / "labels" / name / f"{name}_lbl{channel:02d}.png",
                rows(0) if value is None else value,
            )
        (root / file).write_text(f"{number + 1} , {name}\n")
    return [0, 1, *[10] * 8]


def make_dsb2018(root):
    for i in range(10):
        folder = root / "stage1_train" / f"id{i}"
        image(folder / "images" / f"id{i}.png", mode="RGBA")
        mask(folder / "masks" / "aa.png", rows(0, 255, 0))
        mask(folder / "masks" / "bb.png", rows(0, 0, 0, 255, 0))
    return [0, 1, 0, 1, *[0] * 6]


MAKERS = {
    "ade20k": make_ade20k,
    "camvid": make_camvid,
    "celebamask": make_celebamask,
    "cityscapes": make_cityscapes,
    "cocostuff": make_cocostuff,
    "dsb2018": make_dsb2018,
    "helen": make_helen,
    "lip": make_lip,
    "sbd": make_sbd,
    "voc": make_voc,
}
CLASS_COUNTS = {
    "ade20k": 150,
    "camvid": 11,
    "celebamask": 19,
    "cityscapes": 19,
    "cocostuff": 171,
    "dsb2018": 2,
    "helen": 11,
    "lip": 20,
    "sbd": 21,
    "voc": 21,
    "voc+sbd": 21,
}


def test_every_layout_has_a_miniature_and_its_number_of_classes():
    assert {*MAKERS, "voc+sbd"} == set(LAYOUTS) == set(CLASS_COUNTS)


@pytest.mark.parametrize("scheme", MAKERS)
class TestEveryLayout:
    def test_images_and_truth_are_read_in_both_splits(self, scheme, tmp_path):
        expected = MAKERS[scheme](tmp_path)
        names = []
        for split in ("train", "val"):
            dataset = data.open_dataset(f"{scheme}:{tmp_path}", split)
            assert len(dataset.classes) == CLASS_COUNTS[scheme] and dataset.split == split
            for sample in dataset:
                assert sample.image.shape == (*SIZE, 3) and sample.image.dtype == np.uint8
                assert sample.mask.dtype == np.int32 and column_of(sample) == expected
            names += [sample.name for sample in dataset]
        if scheme not in ("lip", "cocostuff"):  # their miniatures have one name for both splits
            assert len(set(names)) == len(names)

    def test_an_empty_folder_says_what_is_missing(self, scheme, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"layout of|split file|There is no"):
            data.open_dataset(f"{scheme}:{tmp_path}")
        with pytest.raises(FileNotFoundError, match=f"Pass {scheme}:FOLDER"):
            data.open_dataset(f"{scheme}:{tmp_path / 'nowhere'}")

    def test_unknown_splits_and_tables_of_other_length_are_refused(self, scheme, tmp_path):
        MAKERS[scheme](tmp_path)
        with pytest.raises(ValueError, match="Unknown split of .* 'vall'. Did you mean 'val'"):
            data.open_dataset(f"{scheme}:{tmp_path}", "vall")
        table = data.ClassTable.numbered(3)
        with pytest.raises(ValueError, match=f"{scheme} has {CLASS_COUNTS[scheme]} classes"):
            data.open_dataset(f"{scheme}:{tmp_path}", classes=table)


@pytest.mark.parametrize("scheme", ["ade20k", "camvid", "cityscapes", "lip", "voc"])
def test_a_missing_mask_is_named(scheme, tmp_path):
    MAKERS[scheme](tmp_path)
    victim = data.open_dataset(f"{scheme}:{tmp_path}").pairs[0].mask
    victim.unlink()
    with pytest.raises(FileNotFoundError, match=f"1 files of .* for example .*{victim.name}"):
        data.open_dataset(f"{scheme}:{tmp_path}")


def test_the_original_camvid_is_grouped_into_the_eleven_classes(tmp_path):
    expected = make_camvid_original(tmp_path)
    for split in ("train", "val", "test"):
        (sample,) = data.open_dataset(f"camvid:{tmp_path}", split)
        assert column_of(sample) == expected


def test_voc_with_sbd_trains_on_all_that_does_not_validate(tmp_path):
    make_voc(tmp_path)
    # one image of SBD validates in VOC, the other is new
    make_sbd(tmp_path, ("2007_val", "2008_new"))
    train, val = (data.open_dataset(f"voc+sbd:{tmp_path}", split) for split in ("train", "val"))
    assert [sample.name for sample in train] == ["2007_train", "2008_new"]
    assert column_of(train[1])[:3] == [0, 7, 3] and column_of(train[0])[1] == 15
    assert [sample.name for sample in val] == ["2007_val"]


def test_nuclei_keep_their_instances(tmp_path):
    make_dsb2018(tmp_path)
    train, val = (data.open_dataset(f"dsb2018:{tmp_path}", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (9, 1)
    np.testing.assert_array_equal(train[0].instances, rows(0, 1, 0, 2, 0))


def test_values_of_another_layout_are_refused(tmp_path):
    make_camvid(tmp_path)
    mask(tmp_path / "trainannot" / "0001_train.png", rows(30))
    with pytest.raises(ValueError, match=r"values that this layout does not have: \[30\]"):
        data.open_dataset(f"camvid:{tmp_path}")[0]


def test_official_tables_are_whole():
    assert len(cityscapes.train_ids()) == 35 and len(cocostuff.class_numbers()) == 183
    assert sum(v == 255 for v in cocostuff.class_numbers().values()) == 12
    assert ade20k.CLASSES.names[::149] == ("wall", "flag")
    assert cityscapes.CLASSES.names[::18] == ("road", "bicycle")
    assert voc.CLASSES.colors[15] == (192, 128, 128)  # person
    groups = {group for group, _ in camvid.ORIGINAL.values()} - {None}
    assert groups == set(camvid.CLASSES.names) and len(camvid.ORIGINAL) == 32


@pytest.mark.parametrize(("scheme", "pairs"), [("celebamask", 3), ("helen", 2), ("lip", 3)])
def test_left_and_right_parts_know_each_other(scheme, pairs, tmp_path):
    MAKERS[scheme](tmp_path)
    mirrored = data.open_dataset(f"{scheme}:{tmp_path}").classes.mirrored()
    assert sum(number != i for i, number in enumerate(mirrored)) == 2 * pairs
    assert [mirrored[number] for number in mirrored] == list(range(len(mirrored)))


class Feature:
    def __init__(self, *shape):
        self.shape = shape


class FakeTfds(types.ModuleType):
    """As much of tensorflow_datasets as the reader touches, with pictures as encoded bytes."""

    def __init__(self, splits=("train", "test")):
        super().__init__("tensorflow_datasets")
        self.features = types.SimpleNamespace(Image=Feature)
        self.decode = types.SimpleNamespace(SkipDecoding=lambda: "encoded")
        self._splits = splits

    def builder(self, name):
        assert name == "pets:1.0.0"
        features = {"image": Feature(None, None, 3), "segmentation_mask": Feature(None, None, 1)}
        info = types.SimpleNamespace(features=features | {"label": Feature()}, splits=self._splits)
        return types.SimpleNamespace(
            info=info, download_and_prepare=lambda: None, as_dataset=self.as_dataset
        )

    def as_dataset(self, split, decoders):
        assert decoders == {"image": "encoded", "segmentation_mask": "encoded"}
        return [self.row(i) for i in range(3 if split == "train" else 2)]

    def as_numpy(self, rows):
        return rows

    def row(self, i):
        import io

        encoded = []
        for pixels in (np.full((*SIZE, 3), i, np.uint8), rows(1, 2, 3).astype(np.uint8)):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            encoded.append(file.getvalue())
        return {"image": encoded[0], "segmentation_mask": encoded[1], "label": i}


class TestTfds:
    def test_a_set_is_read_by_name(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", FakeTfds())
        train = data.open_dataset("tfds:pets:1.0.0")
        val = data.open_dataset("tfds:pets:1.0.0", "val")
        assert (len(train), len(val), len(train.classes)) == (3, 2, 4)
        assert (train[2].image == 2).all() and column_of(train[2]) == [1, 2, *[3] * 8]
        assert len({sample.name for sample in (*train, *val)}) == 5
        assert train[-1].name == train[2].name

    def test_without_the_library_the_error_says_how_to_install_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
        with pytest.raises(ImportError, match=r"pip install tensorflow-datasets"):
            data.open_dataset("tfds:pets:1.0.0")

    def test_sets_without_a_validation_split_are_refused(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", FakeTfds(("train",)))
        with pytest.raises(ValueError, match="no split for 'val': it has train"):
            data.open_dataset("tfds:pets:1.0.0", "val")
