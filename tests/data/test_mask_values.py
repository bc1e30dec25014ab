"""Masks of all kinds in a folder: read as they are meant, or refused with what was found."""

import io
import json
import warnings

import numpy as np
import pytest
from PIL import Image

from keras_seg import data
from keras_seg.cli import main
from keras_seg.data import ClassTable, FolderDataset
from keras_seg.data.verify import verify_dataset
from keras_seg.data.wrappers.resized import ResizedDataset

SIZE = (32, 32)
TWO = {"names": ["background", "object"]}
THREE = {"names": ["background", "square", "bar"]}
BLACK_WHITE = TWO | {"colors": [[0, 0, 0], [255, 255, 255]]}
RED_BLUE = THREE | {"colors": [[0, 0, 0], [255, 0, 0], [0, 0, 255]]}


def two(i):
    """Class 1 in a tenth of the pixels."""
    mask = np.zeros(SIZE, np.uint8)
    mask[4 + i : 14 + i, 6:16] = 1
    return mask


def three(i):
    mask = two(i)
    mask[20:28, 2 + i : 9 + i] = 2
    return mask


def picture(array, mode=None):
    """A writer of PNG files of `array(i)`."""

    def write(i, path):
        image = Image.fromarray(array(i))
        (image.convert(mode) if mode else image).save(path)

    return write


def npy(array):
    return lambda i, path: np.save(path.with_suffix(".npy"), array(i))


def tiff(array, **options):
    return lambda i, path: Image.fromarray(array(i)).save(path.with_suffix(".tif"), **options)


def make(root, write, table=None, *, count=6):
    """A folder of noise and masks; `write(i, path)` saves the mask of image i."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for i in range(count):
        noise = np.random.default_rng(i).integers(0, 255, (*SIZE, 3), np.uint8)
        Image.fromarray(noise).save(root / "images" / f"{i}.png")
        write(i, root / "masks" / f"{i}.png")
    if table:
        (root / "classes.json").write_text(json.dumps(table))
    return root


def with_alpha(color, clear):
    """Opaque pixels of one grey where the object is, transparent ones of another around it."""

    def rgba(i):
        grey = np.where(two(i), np.uint8(color), np.uint8(clear))
        return np.dstack([grey, grey, grey, 255 * two(i)])

    return rgba


def red(i, opaque=False):
    alpha = np.full(SIZE, 255, np.uint8) if opaque else 255 * two(i)
    return np.dstack([255 * two(i), 0 * two(i), 0 * two(i), alpha])


def grey_alpha(values, alpha):
    def write(i, path):
        bands = [Image.fromarray(band(i)) for band in (values, alpha)]
        Image.merge("LA", bands).save(path)

    return write


def same_channels(array):
    return lambda i: np.dstack([array(i)] * 3)


def opaque(i):
    return np.full(SIZE, 255, np.uint8)


def soft(i):
    large = np.zeros((50, 50), np.uint8)
    rows, columns = np.mgrid[:50, :50]
    large[(rows - 20 - i) ** 2 + (columns - 22) ** 2 < 150] = 255
    return np.asarray(Image.fromarray(large).resize(SIZE, Image.Resampling.BILINEAR))


def through_jpeg(array):
    def compressed(i):
        file = io.BytesIO()
        Image.fromarray(array(i)).save(file, "JPEG")
        return np.asarray(Image.open(file))

    return compressed


def one_hot(i):
    return np.eye(3)[three(i)]


def labels(i):
    """Three labels of which several hold at a pixel."""
    return np.dstack([two(i), two(i)[::-1], two(i) | two(i)[::-1]])


def border(i):
    mask = two(i).copy()
    mask[:2] = 255
    return mask


SCALE = {"names": ["a", "b", "c"], "colors": [[0, 0, 0], [127, 127, 127], [255, 255, 255]]}
READ = {
    "0 and 255 of black and white": (picture(lambda i: 255 * two(i)), BLACK_WHITE, two),
    "levels of grey colours": (
        picture(lambda i: (127.5 * three(i)).astype(np.uint8)),
        SCALE,
        three,
    ),
    "index masks of grey colours": (picture(border), BLACK_WHITE, border),
    "unknown borders": (picture(border), TWO, border),
    "unknown borders without names": (picture(border), None, border),
    "one bit": (picture(lambda i: two(i).astype(bool)), TWO, two),
    "16 bits": (picture(lambda i: two(i).astype(np.uint16)), TWO, two),
    "white on transparent black": (picture(with_alpha(255, 0)), BLACK_WHITE, two),
    "red on transparent black": (picture(red), TWO | {"colors": RED_BLUE["colors"][:2]}, two),
    "opaque colours": (
        picture(lambda i: red(i, opaque=True)),
        TWO | {"colors": RED_BLUE["colors"][:2]},
        two,
    ),
    "opaque grey": (grey_alpha(two, opaque), TWO, two),
    "grey on transparent": (grey_alpha(two, lambda i: 255 * two(i)), TWO, two),
    "equal channels without names": (picture(same_channels(three)), None, three),
    "equal channels with names": (picture(same_channels(three)), THREE, three),
    "equal channels and alpha": (picture(same_channels(two), "RGBA"), None, two),
    "equal channels with values": (
        picture(same_channels(lambda i: 255 * two(i))),
        TWO | {"values": [0, 255]},
        two,
    ),
    "float TIFF": (tiff(lambda i: three(i).astype(np.float32)), THREE, three),
    "float TIFF with values": (
        tiff(lambda i: 255 * two(i).astype(np.float32)),
        TWO | {"values": [0, 255]},
        two,
    ),
    "booleans": (npy(lambda i: two(i) > 0), TWO, two),
    "(H, W, 1)": (npy(lambda i: three(i)[..., None].astype(np.int64)), THREE, three),
    "(1, H, W)": (npy(lambda i: three(i)[None]), THREE, three),
    "one-hot": (npy(one_hot), THREE, three),
    "one-hot, channels first": (npy(lambda i: np.moveaxis(one_hot(i), -1, 0)), THREE, three),
    "one-hot of 255": (npy(lambda i: (255 * one_hot(i)).astype(np.uint8)), THREE, three),
    "one-hot without names": (npy(one_hot), None, three),
    "one-hot with unknown": (
        npy(lambda i: np.where(border(i)[..., None] == 255, 255, np.eye(256)[border(i)][..., :2])),
        TWO,
        border,
    ),
    "-9999 is ignored": (
        npy(lambda i: np.where(border(i) == 255, -9999, two(i).astype(np.int32))),
        TWO | {"ignore": -9999},
        border,
    ),
}


@pytest.mark.parametrize("case", READ)
def test_masks_are_read_as_they_are_meant(case, tmp_path):
    write, table, truth = READ[case]
    root = make(tmp_path / "data", write, table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for split in ("train", "val"):
            for sample in FolderDataset(root, split):
                assert sample.mask.dtype == np.int32
                np.testing.assert_array_equal(sample.mask, truth(int(sample.name)))
    assert not verify_dataset(str(root)).errors


VALUES = r'"values": \[0, 255\]'
REFUSED = {
    "0 and 255 with names": (picture(lambda i: 255 * two(i)), TWO, VALUES),
    "0 and 255, ignored by name": (picture(lambda i: 255 * two(i)), TWO | {"ignore": 255}, VALUES),
    "0 and 255 in some masks": (picture(lambda i: 255 * two(i) * (i % 3 == 0)), TWO, VALUES),
    "0 and 255 of three classes": (picture(lambda i: 255 * two(i)), THREE, "only 0 and 255"),
    "0 and 255 in float": (tiff(lambda i: two(i) * np.float32(255)), TWO, VALUES),
    "0 and 255 in colour": (picture(same_channels(lambda i: 255 * two(i))), TWO, VALUES),
    "0 and 255 turned over": (picture(lambda i: 255 - 255 * two(i)), TWO, VALUES),
    "0 and 254": (picture(lambda i: 254 * two(i)), TWO, r'"values": \[0, 254\]'),
    "0 and 65535": (
        picture(lambda i: two(i).astype(np.uint16) * 65535),
        None,
        r'"values": \[0, 65535\]',
    ),
    "some of 0 and 255, some of 0 and 1": (
        picture(lambda i: two(i) * (255 if i % 2 else 1)),
        TWO,
        "written in two ways: .* hold only 0 and 255",
    ),
    "the same without names": (
        picture(lambda i: two(i) * (255 if i % 2 else 1)),
        None,
        "written in two ways",
    ),
    "grey levels": (
        picture(lambda i: (127.5 * three(i)).astype(np.uint8)),
        THREE,
        r'"values": \[0, 127, 255\]',
    ),
    "object in alpha, white throughout": (picture(with_alpha(255, 255)), BLACK_WHITE, "90.2%"),
    "object in alpha, black throughout": (picture(with_alpha(0, 0)), None, "transparent in 90.2%"),
    "object in alpha, white around": (picture(with_alpha(0, 255)), BLACK_WHITE, "transparent"),
    "object in grey's alpha": (
        grey_alpha(lambda i: 0 * two(i), lambda i: 255 * two(i)),
        TWO,
        "transparent in 90.2%",
    ),
    "half transparent": (
        picture(lambda i: np.dstack([red(i)[..., :3], 128 * two(i)])),
        TWO | {"colors": RED_BLUE["colors"][:2]},
        "transparent in 100.0%",
    ),
    "equal channels, other colours stated": (
        picture(same_channels(two)),
        BLACK_WHITE,
        "three channels of this one are equal",
    ),
    "colours without a table": (
        picture(lambda i: red(i)[..., :3]),
        None,
        r"\[\[0, 0, 0\], \[255, 0, 0\]\].* to classes.json",
    ),
    "colours with names alone": (picture(lambda i: red(i)[..., :3]), TWO, "nothing lists yet"),
    "resized smoothly": (picture(soft), None, "resized smoothly"),
    "resized smoothly with names": (picture(soft), TWO, "resized smoothly"),
    "resized smoothly, black and white": (picture(soft), BLACK_WHITE, "resized smoothly"),
    "resized smoothly with values": (picture(soft), TWO | {"values": [0, 255]}, "smoothly"),
    "went through JPEG": (picture(through_jpeg(lambda i: 255 * two(i))), TWO, "saved as JPEG"),
    "JPEG named .png": (
        lambda i, path: Image.fromarray(255 * two(i)).save(path, "JPEG"),
        TWO,
        "compressed as JPEG",
    ),
    "JPEG in TIFF": (tiff(lambda i: 255 * two(i), compression="jpeg"), TWO, "compressed as JPEG"),
    "ids with gaps": (
        picture(lambda i: np.uint8([0, 24, 26])[three(i)]),
        None,
        r'"values": \[0, 24, 26\]',
    ),
    "void beyond the classes": (
        picture(lambda i: np.where(border(i) == 255, 2, two(i)).astype(np.uint8)),
        TWO,
        r'\[2\], in 6.2% of the pixels.*"ignore": 2',
    ),
    "numbered from 1": (picture(lambda i: three(i) + 1), THREE, r'"values": \[1, 2, 3\]'),
    "-1": (npy(lambda i: two(i).astype(int) - 1), TWO, '"ignore": -1'),
    "fractions": (tiff(lambda i: two(i) * np.float32(0.5)), TWO, "fractions in 9.8%"),
    "divided by 255": (npy(lambda i: two(i) / 255), TWO, "divided by 255"),
    "NaN": (npy(lambda i: np.where(two(i), np.nan, 0)), TWO, "NaN in 9.8% of the pixels"),
    "several labels": (npy(labels), THREE, '19.5%.*several channels set.*"multi_label": true'),
    "no label": (npy(lambda i: np.dstack([two(i), 0 * two(i)])), TWO, "90.2% have none"),
    "probabilities": (npy(lambda i: np.full((*SIZE, 3), 0.4)), THREE, "argmax"),
    "colours in an array": (npy(lambda i: red(i)[..., :3] // 2), TWO, "values such as .127"),
    "pictures": (
        picture(lambda i: np.random.default_rng(i).integers(0, 256, SIZE, np.uint8)),
        TWO,
        "look like pictures",
    ),
    "nothing known": (picture(lambda i: 255 + 0 * two(i)), TWO, "hold only 255"),
    "palette of colours": (
        picture(lambda i: np.uint8(RED_BLUE["colors"])[three(i)], "P"),
        RED_BLUE,
        r"palettes .* in the colours of the classes.*convert\('RGB'\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_masks_that_mean_something_else_are_refused(case, tmp_path):
    """By the reader, as `train` opens it, with and without `skip`; `verify-dataset` agrees."""
    write, table, words = REFUSED[case]
    root = make(tmp_path / "data", write, table)
    with pytest.raises(ValueError, match=words):
        list(FolderDataset(root))
    with pytest.raises(ValueError, match=f"{words}|None of the 5 samples"):
        data.open_dataset(root, on_error="skip")
    report = verify_dataset(str(root))
    assert any(problem.kind in ("values", "unreadable") for problem in report.errors)
    assert main(["verify-dataset", str(root)]) == 1


def test_classes_of_the_command_line_do_not_hide_0_and_255(tmp_path):
    root = make(tmp_path / "data", picture(lambda i: 255 * two(i)))
    classes = ClassTable(("background", "cell"))
    with pytest.raises(ValueError, match=r'"names": \["background", "cell"\], "values": .0, 255.'):
        FolderDataset(root, classes=classes)
    assert {problem.kind for problem in verify_dataset(str(root), classes=classes).errors} == {
        "values"
    }


def test_a_validation_split_is_looked_at_for_itself(tmp_path):
    """Training masks of 0 and 1, validation masks of 0 and 255."""
    write = picture(lambda i: two(i) * (255 if i > 3 else 1))
    root = make(tmp_path / "data", write, TWO)
    (root / "splits.json").write_text(json.dumps({"train": list("0123"), "val": list("45")}))
    assert FolderDataset(root)[0].mask.max() == 1
    with pytest.raises(ValueError, match="only 0 and 255"):
        FolderDataset(root, "val")


def test_unknown_that_is_stated_is_unknown(tmp_path):
    """Some masks of background and unknown, others of objects: fine if 255 is listed."""
    write = picture(lambda i: two(i) * (255 if i % 2 else 1))
    root = make(tmp_path / "data", write, TWO | {"ignore": 255})
    dataset = FolderDataset(root)
    assert {255 in sample.mask for sample in dataset} == {True, False}
    assert not verify_dataset(str(root)).errors


def test_one_mask_written_otherwise_is_told(tmp_path):
    root = make(tmp_path / "data", picture(lambda i: two(i) * (255 if i == 1 else 1)), TWO)
    with pytest.warns(UserWarning, match=r"two ways: 1 of .*masks.1\.png"):
        FolderDataset(root)
    report = verify_dataset(str(root))
    assert any("two ways" in problem.message for problem in report.warnings)


def test_masks_that_were_not_looked_at_first_are_told_once_all_are_read(tmp_path, monkeypatch):
    """The survey of a large folder sees a part of the masks."""
    monkeypatch.setattr("keras_seg.data.mask_values.survey.SAMPLED", 2)
    root = make(tmp_path / "data", picture(lambda i: two(i) * (255 if i == 1 else 1)), TWO)
    (root / "splits.json").write_text(json.dumps({"train": list("02413"), "val": ["5"]}))
    dataset = FolderDataset(root)
    assert len(dataset.masks.survey.counts) == 2 and dataset.masks.survey.kinds.total() == 2
    with pytest.warns(UserWarning, match="two ways: 1 of 5"):
        list(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(dataset)  # told once


def test_empty_masks_are_looked_through_until_an_object_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_seg.data.mask_values.survey.SAMPLED", 2)
    root = make(tmp_path / "data", picture(lambda i: 255 * two(i) * (i == 5)), TWO)
    (root / "splits.json").write_text(json.dumps({"train": list("012345"), "val": ["0"]}))
    with pytest.raises(ValueError, match="only 0 and 255"):
        FolderDataset(root)


def test_one_class_alone_is_an_error_of_verification(tmp_path):
    root = make(tmp_path / "data", picture(lambda i: 0 * two(i)), TWO)
    errors = verify_dataset(str(root)).errors
    assert [problem.kind for problem in errors] == ["values"]
    assert "only one class: 0 (background)" in errors[0].message


def test_skip_leaves_out_a_mask_of_other_values(tmp_path):
    """And keeps the others, whereas strict reading refuses the folder."""
    root = make(tmp_path / "data", picture(lambda i: two(i) * (9 if i == 1 else 1)), TWO)
    with pytest.raises(ValueError, match=r"\[9\], in 2.0% .* first such file is .*masks.1\.png"):
        FolderDataset(root)
    with pytest.warns(UserWarning, match=r"1 of 5 samples .*1\.png holds .*\[9\], in 9.8%"):
        dataset = data.open_dataset(root, on_error="skip")
    assert [sample.name for sample in dataset] == ["0", "2", "4", "5"]


def test_sixteen_bit_colour_with_equal_channels_is_an_index_mask(tmp_path):
    import tensorflow as tf

    def write(i, path):
        path.write_bytes(tf.io.encode_png(np.dstack([three(i)] * 3).astype(np.uint16)).numpy())

    root = make(tmp_path / "data", write, THREE)
    np.testing.assert_array_equal(FolderDataset(root)[0].mask, three(0))


def test_gaps_in_numbered_classes_are_told(tmp_path):
    root = make(tmp_path / "data", picture(lambda i: np.uint8([0, 1, 3])[three(i)]))
    with pytest.warns(UserWarning, match="none is 2.*read as 4 classes"):
        assert len(FolderDataset(root).classes) == 4


def test_palettes_in_another_order_than_the_classes_are_told(tmp_path):
    def write(i, path):
        colored = Image.fromarray(np.uint8(RED_BLUE["colors"])[three(i)])
        colored.convert("P", palette=Image.Palette.ADAPTIVE, colors=3).save(path)

    root = make(tmp_path / "data", write, RED_BLUE)
    with pytest.warns(UserWarning, match="Values count, not palettes"):
        FolderDataset(root)


class TestMultiLabel:
    TABLE = THREE | {"multi_label": True}

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
    def test_masks_keep_their_channels(self, tmp_path, dtype):
        root = make(tmp_path / "data", npy(lambda i: labels(i).astype(dtype)), self.TABLE)
        dataset = FolderDataset(root)
        assert dataset.multi_label and not data.BuiltinDataset("cells").multi_label
        for sample in dataset:
            assert sample.mask.dtype == np.uint8
            np.testing.assert_array_equal(sample.mask, labels(int(sample.name)))
        resized = ResizedDataset(dataset, (16, 16))
        assert resized.multi_label
        np.testing.assert_array_equal(resized[0].mask, dataset[0].mask[1::2, 1::2])

    def test_verification_counts_the_pixels_of_each_label(self, tmp_path):
        def write(i, path):
            mask = labels(i)
            mask[0] = 255
            np.save(path.with_suffix(".npy"), mask)

        root = make(tmp_path / "data", write, self.TABLE)
        assert main(["verify-dataset", str(root)]) == 0
        report = verify_dataset(str(root))
        truth = [(sample.mask == 1).sum(axis=(0, 1)) for sample in FolderDataset(root)]
        np.testing.assert_array_equal(report.histogram("train"), truth)
        assert {fact.ignored for fact in report.facts["train"]} == {SIZE[1]}

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (lambda i: 255 * labels(i), "Divide them by 255"),
            (lambda i: labels(i)[..., :2], r"shape \(32, 32, 2\).*\(height, width, 3\)"),
            (two, r"shape \(32, 32\)"),
            (lambda i: labels(i) * 2, r"values \[0, 2\]"),
            (lambda i: labels(i) * 0.5, "fractions"),
        ],
    )
    def test_other_masks_are_refused(self, tmp_path, array, words):
        root = make(tmp_path / "data", npy(array), self.TABLE)
        with pytest.raises(ValueError, match=words):
            FolderDataset(root)[0]
        assert verify_dataset(str(root)).errors

    def test_weight_maps_refuse_it(self, tmp_path):
        dataset = FolderDataset(make(tmp_path / "data", npy(labels), self.TABLE))
        with pytest.raises(ValueError, match="border weights"):
            data.WeightedDataset(dataset)

    @pytest.mark.parametrize(
        "table", [{"multi_label": 1}, {"multi_label": True, "values": [1, 2, 3]}]
    )
    def test_entries_that_contradict_it_are_refused(self, tmp_path, table):
        root = make(tmp_path / "data", npy(labels), THREE | table)
        with pytest.raises(ValueError, match=r"classes\.json is not a class table.*multi_label"):
            FolderDataset(root)


def test_images_without_data_that_have_a_class_are_told(tmp_path):
    """-9999 below the range becomes black; where the mask is unknown there, nothing is said."""
    for name, mask in (("counted", two), ("unknown", border)):
        root = make(tmp_path / name, picture(mask), TWO | {"range": [0, 1]})
        for path in list((root / "images").iterdir()):
            image = np.random.default_rng(0).random(SIZE, np.float32)
            image[:2] = -9999
            np.save(path.with_suffix(".npy"), image)
            path.unlink()
        found = [p for p in verify_dataset(str(root), channels=1).warnings if p.kind == "no data"]
        assert len(found) == (2 if name == "counted" else 0)
        assert all("-9999.0 in 6.2% of the pixels" in problem.message for problem in found)
