"""`verify-dataset` finds what is wrong, says what the data are like, and its exit code tells."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_seg.cli import main
from keras_seg.data import ClassTable
from keras_seg.data.verify import verify_dataset
from keras_seg.data.verify.suggestion import SampleFacts, suggest
from keras_seg.data.verify.text import NAMED, to_dict
from tests.helpers.palette import palette_picture
from tests.helpers.shapes import TINY_CLASSES, TINY_SIZE


def cut_short(folder):
    path = folder / "images" / "train1.png"
    path.write_bytes(path.read_bytes()[:400])


def shrink_mask(folder):
    path = folder / "masks" / "train2.png"
    Image.open(path).resize((50, 40), Image.Resampling.NEAREST).save(path)


def wrong_value(folder):
    path = folder / "masks" / "val1.png"
    mask = np.array(Image.open(path))
    mask[9, 9] = 77
    Image.fromarray(mask).save(path)


def lose_mask(folder):
    (folder / "masks" / "train3.png").unlink()


def lose_image(folder):
    (folder / "images" / "train4.png").unlink()


def repeat_in_val(folder):
    (folder / "images" / "val0.png").write_bytes((folder / "images" / "train0.png").read_bytes())


def break_class_table(folder):
    (folder / "classes.json").write_text("{")


FAULTS = {
    cut_short: ("unreadable", "train", "train1.png"),
    shrink_mask: ("sizes", "train", "train2.png is 50x40"),
    wrong_value: ("values", "val", "[77]"),
    lose_mask: ("pairs", "train", "no mask, for example ['train3']"),
    lose_image: ("pairs", "train", "no image, for example ['train4']"),
    repeat_in_val: ("duplicates", "train", "train: train0, val: val0"),
    break_class_table: ("layout", "train", "not a class table"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_found_named_and_fails_the_command(fault, shapes_folder, tmp_path, capsys):
    fault(shapes_folder)
    file = tmp_path / "report.json"
    assert main(["verify-dataset", str(shapes_folder), "--json_file", str(file)]) == 1
    kind, split, message = FAULTS[fault]
    record = json.loads(file.read_text())
    assert not record["ok"]
    assert any(
        e["kind"] == kind and e["split"] == split and message in e["message"]
        for e in record["errors"]
    )
    assert f"error ({split}, {kind}): " in capsys.readouterr().out


def test_all_faults_are_found_in_one_go(shapes_folder):
    for fault in (cut_short, shrink_mask, wrong_value, lose_mask, repeat_in_val):
        fault(shapes_folder)
    report = verify_dataset(shapes_folder)
    kinds = {problem.kind for problem in report.errors}
    assert kinds == {"unreadable", "sizes", "values", "pairs", "duplicates"}
    # one is unpaired, one cut short, one of another size; one has a wrong value
    assert [len(report.facts[split]) for split in ("train", "val")] == [5, 3]


def test_masks_in_colours_without_a_table_are_one_problem_per_split(tmp_path, capsys):
    colors = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], "uint8")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(10):
        classes = np.arange(16).reshape(4, 4) % (2 + number % 2)
        image = np.random.default_rng(number).integers(0, 256, (4, 4, 3), "uint8")
        for folder, pixels in (("images", image), ("masks", colors[classes])):
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    errors = verify_dataset(tmp_path).errors
    assert {(error.kind, error.split) for error in errors} == {
        ("values", "train"),
        ("values", "val"),
    }
    (told,) = [error.message for error in errors if error.split == "train"]
    assert told.startswith("8 of 8 masks are colour pictures, with 2 colours that no class has: ")
    command = told.partition("keras-seg ")[2].split()
    assert main(command) == 0  # as the message says
    names = json.loads((tmp_path / "classes.json").read_text())["names"]
    assert names == ["background", "class 1", "class 2"]


def test_a_sound_data_set_is_described(shapes, shapes_folder, tmp_path, capsys):
    file = tmp_path / "report.json"
    assert main(["verify-dataset", str(shapes_folder), "--json_file", str(file)]) == 0
    record = json.loads(file.read_text())
    train = record["splits"]["train"]
    masks = np.stack([sample.mask for sample in shapes[0]])
    assert train["pixels"] == [int((masks == number).sum()) for number in range(3)]
    assert train["ignored_pixels"] == int((masks == 255).sum())
    assert train["images_with_class"] == [8, 8, 8]
    assert train["samples"] == train["readable"] == 8 and train["median_size"] == [*TINY_SIZE]
    assert record["ok"] and record["errors"] == []
    assert record["suggestion"]["crop"] == [64, 96] and record["suggestion"]["batch_size"] == 8
    assert sorted(record["suggestion"]["class_weights"])[1] == pytest.approx(1)
    text = capsys.readouterr().out
    assert "No errors." in text and "--crop 64 96" in text and "ring" in text


def test_unknown_and_absent_classes_and_turned_images_are_warned_of(shapes_folder):
    path = shapes_folder / "masks" / "train5.png"
    Image.fromarray(np.full(TINY_SIZE, 255, np.uint8)).save(path)
    for path in (shapes_folder / "masks").glob("val*.png"):
        mask = np.array(Image.open(path))
        Image.fromarray(np.where(mask == 1, 0, mask)).save(path)
    path = shapes_folder / "images" / "train6.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(path).save(path, exif=exif)
    report = verify_dataset(shapes_folder)
    found = {(problem.kind, problem.split): problem.message for problem in report.warnings}
    assert "train5" in found["unknown", "train"]
    assert "square" in found["absent class", "val"]
    assert "train6.png" in found["orientation", "train"]
    assert not report.errors


def test_palettes_that_contradict_the_class_table_are_warned_of(shapes_folder):
    swapped = ClassTable(TINY_CLASSES.names, TINY_CLASSES.colors[::-1])
    for table, found in ((TINY_CLASSES, []), (swapped, ["palette"])):
        path = shapes_folder / "masks" / "train0.png"
        palette_picture(np.array(Image.open(path)), table).save(path)
        report = verify_dataset(shapes_folder)
        assert [problem.kind for problem in report.warnings] == found and not report.errors


def test_many_faults_of_one_kind_are_counted(shapes_folder, capsys):
    for path in (shapes_folder / "images").glob("train*.png"):
        path.write_text("no image")
    assert main(["verify-dataset", str(shapes_folder)]) == 1
    text = capsys.readouterr().out
    assert text.count("error (train, unreadable)") == NAMED
    assert f"and {8 - NAMED} more" in text
    assert len(to_dict(verify_dataset(shapes_folder))["errors"]) == 8


def test_masks_without_class_table_are_looked_at_though_one_is_damaged(shapes_folder):
    (shapes_folder / "classes.json").unlink()
    (shapes_folder / "masks" / "train0.png").write_text("no mask")
    report = verify_dataset(shapes_folder)
    assert [problem.kind for problem in report.errors] == ["unreadable"]
    assert len(report.classes) == 3 and len(report.facts["train"]) == 7


def test_nothing_there_is_one_error():
    (error,) = verify_dataset("/nowhere").errors
    assert error.kind == "layout" and "no data folder" in error.message


def facts(size, diameters, grey=False, count=10):
    pixels = np.array([900, 100])
    return [
        SampleFacts(str(i), size, pixels, 0, b"", grey, np.array(diameters)) for i in range(count)
    ]


@pytest.mark.parametrize(
    ("size", "diameters", "crop", "batch"),
    [
        ((1000, 1200), [20.0] * 50, (128, 128), 32),  # small objects: the smallest crop
        ((1000, 1200), [70.0] * 50, (288, 288), 6),  # four across
        ((1000, 1200), [1.0] * 50 + [400.0], (512, 512), 4),  # crumbs do not count
        ((360, 480), [300.0], (352, 480), 4),  # no larger than the images
        ((1000, 1200), [], (512, 512), 4),  # no objects
        ((20, 300), [9.0], (32, 128), 32),
    ],
)
def test_crop_and_batch_follow_from_images_and_objects(size, diameters, crop, batch):
    suggestion = suggest(facts(size, diameters, count=40))
    assert (suggestion.crop, suggestion.batch_size) == (crop, batch)


def test_grey_images_suggest_one_channel_and_few_samples_a_small_batch():
    suggestion = suggest(facts((500, 500), [10.0], grey=True, count=3))
    assert suggestion.channels == 1 and suggestion.batch_size == 3
    assert suggestion.class_weights == [round(0.5 / 0.9, 4), 5.0]
