"""The photographs that the package holds: complete, licensed, and read like other data."""

import json

import numpy as np
import pytest

from keras_seg.data import BuiltinDataset, open_dataset
from keras_seg.data.builtin import DRAWN_KINDS, KINDS
from keras_seg.data.builtin.nuclei import FOLDER
from tools.builtin_nuclei import CHOSEN

LARGEST_SIZE = 3_000_000
"""Bytes of all files."""


def test_a_split_has_the_images_that_were_chosen():
    counts = [sum(each) for each in zip(*CHOSEN.values(), strict=True)]
    assert [len(BuiltinDataset("nuclei", split)) for split in ("train", "val")] == counts
    splits = json.loads((FOLDER / "splits.json").read_text())
    names = splits["train"] + splits["val"]
    assert len({*names}) == len(names) == sum(counts)
    for part in ("images", "instances"):
        assert sorted(path.stem for path in (FOLDER / part).iterdir()) == sorted(names)


def test_samples_are_read():
    val = open_dataset("builtin:nuclei", "val")
    sizes = set()
    for sample in val:
        height, width = sample.mask.shape
        assert sample.image.shape == (height, width, 3) and sample.image.dtype == np.uint8
        assert sample.mask.dtype == np.int32 and sample.instances.max() > 1
        np.testing.assert_array_equal(sample.mask, sample.instances > 0)
        sizes.add((height, width))
    assert len(sizes) > 3
    assert val.sample_name(0) == val[0].name and val.classes.names == ("background", "nucleus")
    assert [each.name for each in BuiltinDataset("nuclei", "val", length=2)] == [
        val[0].name,
        val[1].name,
    ]


def test_licence_and_origin_are_beside_the_images():
    assert "CC0 1.0 Universal" in (FOLDER / "LICENCE-CC0-1.0.txt").read_text()
    page = (FOLDER / "README.md").read_text()
    assert "BBBC038" in page and "CC0" in page
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.png")) < LARGEST_SIZE


def test_nuclei_are_no_drawn_set():
    assert [*KINDS] == [*DRAWN_KINDS, "nuclei"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (64, 64)}, r"no size or seed .* Received: size=\(64, 64\), seed=0"),
        ({"seed": 1}, "seed=1. Leave them out, or take one of cells, streets, faces"),
        ({"length": 27}, "nuclei has 26 images in this split. Received: length=27"),
        ({"length": 0}, "length must .* at least 1"),
    ],
)
def test_arguments_of_drawn_sets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BuiltinDataset("nuclei", **arguments)
