"""The promises of the drawn data sets: reproducible, exact, varied, and hard for a threshold."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_seg.data.builtin import DRAWN_KINDS, SPLITS, BuiltinDataset, otsu_threshold_mask
from keras_seg.names import IGNORE_CLASS

every_kind = pytest.mark.parametrize("kind", DRAWN_KINDS)


@functools.cache
def drawn(kind: str):
    """Samples at the default size that several tests look at."""
    return tuple(BuiltinDataset(kind, length=30))


def fingerprint(sample) -> str:
    arrays = [a for a in (sample.image, sample.mask, sample.instances) if a is not None]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def mean_iou(predicted, truth) -> float:
    pairs = ((predicted, truth), (~predicted, ~truth))
    return float(np.mean([(p & t).sum() / (p | t).sum() for p, t in pairs]))


@every_kind
def test_reading_twice_gives_the_same_sample(kind):
    data = BuiltinDataset(kind, size=(48, 64), length=3)
    again = BuiltinDataset(kind, size=(48, 64), length=900)
    for order in (0, 2, 1, 0):
        assert fingerprint(data[order]) == fingerprint(again[order])
        assert data[order].name == again[order].name


@every_kind
def test_drawing_does_not_touch_the_global_random_state(kind):
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    BuiltinDataset(kind, size=(32, 32))[0]
    assert np.random.random() == expected  # noqa: NPY002


def test_another_process_draws_the_same_samples_without_tensorflow():
    script = (
        "import sys; from keras_seg.data.builtin import *; import hashlib\n"
        "for kind in DRAWN_KINDS:\n"
        "    s = BuiltinDataset(kind, 'val', size=(40, 56), seed=3)[7]\n"
        "    parts = [a.tobytes() for a in s[1:] if a is not None]\n"
        "    print(hashlib.sha256(b''.join(parts)).hexdigest())\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    here = [fingerprint(BuiltinDataset(k, "val", size=(40, 56), seed=3)[7]) for k in DRAWN_KINDS]
    assert run.stdout.split() == here


@every_kind
def test_splits_seeds_and_indices_share_no_sample(kind):
    size = (32, 32)
    prints = [
        fingerprint(BuiltinDataset(kind, split, size=size, seed=seed)[i])
        for split in SPLITS
        for seed in (0, 1)
        for i in range(4)
    ]
    assert len(set(prints)) == len(prints)


@every_kind
def test_arrays_have_the_promised_shapes_and_types(kind):
    for sample in drawn(kind)[:5]:
        height, width = sample.mask.shape
        assert sample.image.shape == (height, width, 3) and sample.image.dtype == np.uint8
        assert sample.mask.dtype == np.int32
        assert (sample.instances is None) == (kind != "cells")
    data = BuiltinDataset(kind)
    assert data.channels == 3 and data.name == kind and data.split == "train"


@every_kind
@pytest.mark.parametrize("size", [(32, 32), (33, 250), (250, 33), (65, 127)])
def test_any_size_is_drawn(kind, size):
    for sample in BuiltinDataset(kind, "val", size=size, length=3):
        assert sample.image.shape == (*size, 3) and sample.mask.shape == size
        assert len(np.unique(sample.mask)) > 1


@every_kind
def test_mask_holds_only_class_ids_and_255(kind):
    allowed = {*range(len(BuiltinDataset(kind).classes)), IGNORE_CLASS}
    seen = set(np.unique([sample.mask for sample in drawn(kind)]).tolist())
    assert seen <= allowed
    assert (IGNORE_CLASS in seen) == (kind == "streets")


@every_kind
def test_every_class_is_in_most_images(kind):
    masks = np.stack([sample.mask for sample in drawn(kind)])
    for value in range(len(BuiltinDataset(kind).classes)):
        assert (masks == value).any(axis=(1, 2)).mean() > 0.8


@every_kind
def test_images_differ_in_brightness_and_are_not_burnt_out(kind):
    grey = np.stack([sample.image.mean(axis=-1) for sample in drawn(kind)])
    assert grey.mean(axis=(1, 2)).std() > 15
    assert (grey > 250).mean() < 0.05
    assert (grey < 5).mean() < 0.05


def test_cells_are_where_the_instances_are():
    for sample in drawn("cells"):
        np.testing.assert_array_equal(sample.mask == 1, sample.instances > 0)
        assert sample.instances.max() >= 3


def test_cells_touch_each_other():
    touching = 0
    for sample in drawn("cells"):
        left, right = sample.instances[:, :-1], sample.instances[:, 1:]
        touching += bool(((left != right) & (left > 0) & (right > 0)).any())
    assert touching > 0.8 * len(drawn("cells"))


def test_cells_come_bright_on_dark_and_dark_on_bright():
    brighter = [
        sample.image[sample.mask == 1].mean() > sample.image[sample.mask == 0].mean()
        for sample in drawn("cells")
    ]
    assert 0.2 < np.mean(brighter) < 0.8


def test_a_threshold_does_not_find_the_cells():
    scores = []
    for sample in drawn("cells"):
        bright, truth = otsu_threshold_mask(sample.image), sample.mask == 1
        scores.append(max(mean_iou(bright, truth), mean_iou(~bright, truth)))
    assert np.mean(scores) < 0.65


def test_streets_are_unbalanced_and_partly_unknown():
    data = BuiltinDataset("streets")
    counts = np.bincount(np.ravel([s.mask for s in drawn("streets")]), minlength=256)
    share = dict(zip(data.classes.names, counts / counts.sum(), strict=False))
    assert share["road"] > 10 * share["pole"] > 0.01
    assert 0 < counts[IGNORE_CLASS] / counts.sum() < 0.1


def test_poles_are_one_to_three_pixels_thin():
    runs = []
    for sample in drawn("streets"):
        pole = np.pad(sample.mask == 6, ((0, 0), (1, 1))).astype(np.int8)
        steps = np.diff(pole, axis=1)
        runs += (np.nonzero(steps == -1)[1] - np.nonzero(steps == 1)[1]).tolist()
    assert np.percentile(runs, 75) <= 3


def test_indexing_is_that_of_a_sequence():
    data = BuiltinDataset("faces", length=3, size=(32, 32))
    assert len(data) == 3 and len(list(data)) == 3
    assert fingerprint(data[-1]) == fingerprint(data[np.int64(2)])
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"3 samples. Received: index={index}"):
            data[index]


def test_left_out_arguments_take_the_documented_values():
    assert [len(BuiltinDataset("cells", split)) for split in SPLITS] == [400, 60]
    assert [BuiltinDataset(kind).size for kind in DRAWN_KINDS] == [
        (128, 128),
        (128, 192),
        (128, 128),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"kind": "cell"},
            "streets, faces, nuclei. Received: kind='cell'. Did you mean 'cells'",
        ),
        ({"split": "validation"}, "train, val. Received: .* Did you mean 'val'"),
        ({"length": 0}, "length must .* at least 1. Received: length=0"),
        ({"length": 2.5}, "Received: length=2.5"),
        ({"seed": -1}, "seed must .* at least 0. Received: seed=-1"),
        ({"size": 64}, "size must be .height, width.* Received: size=64"),
        ({"size": (64, 31)}, "at least 32 pixels. Received: size=.64, 31."),
        ({"size": (64, 64, 3)}, "Received: size=.64, 64, 3."),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        BuiltinDataset(**{"kind": "cells", **arguments})


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_otsu_separates_two_grey_levels(channels):
    truth = np.zeros((20, 30), bool)
    truth[5:12, 8:20] = True
    grey = np.where(truth, 180, 60).astype(np.uint8)
    grey[0, :5] += 7
    image = np.broadcast_to(grey.reshape(20, 30, *[1 for _ in channels]), (20, 30, *channels))
    np.testing.assert_array_equal(otsu_threshold_mask(image), truth)


def test_otsu_finds_nothing_in_an_even_image():
    for value in (0, 77, 255):
        assert not otsu_threshold_mask(np.full((8, 8, 3), value, np.uint8)).any()


@pytest.mark.parametrize("image", [np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8)])
def test_otsu_refuses_what_is_no_image(image):
    with pytest.raises(ValueError, match=r"image must be uint8 .* Received: "):
        otsu_threshold_mask(image)
