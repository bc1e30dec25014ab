"""What new users ran into: advice that works when it is followed, and data that are right."""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from keras_seg import losses, metrics, models
from keras_seg.cli import main
from keras_seg.data import (
    ArrayDataset,
    BuiltinDataset,
    ClassTable,
    FolderDataset,
    check_batches,
)
from keras_seg.data.verify import verify_dataset

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 16, 16, 3)).astype("float32")
MASKS = (IMAGES[..., 0] > 128).astype("int32")
LABELS = np.stack([MASKS, MASKS, 1 - MASKS], -1)
UNKNOWN = np.where(np.arange(16)[:, None] < 3, -1, MASKS)


def compiled(loss, metric=None, *, channels=2, **options):
    model = models.unet((None, None, 3), channels, widths=(2, 4), **options)
    model.compile("adam", loss, metrics=[] if metric is None else [metric])
    return model


def check(masks, *model, images=IMAGES, **options):
    check_batches((images, masks), compiled(*model, **options), batch_size=2)


@pytest.mark.filterwarnings("error::UserWarning")
def test_another_ignored_value_passes_as_the_advice_says():
    with pytest.raises(ValueError, match="pass ignore_class=-1 to the losses and metrics"):
        check(UNKNOWN, losses.get("dice"))
    check(UNKNOWN, losses.Dice(ignore_class=-1), metrics.MeanIoU(2, ignore_class=-1))
    check(UNKNOWN, keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1))


def test_a_metric_that_counts_what_the_loss_leaves_out_is_refused():
    with pytest.raises(ValueError, match="Make it with ignore_class=-1"):
        check(UNKNOWN, losses.Dice(ignore_class=-1), metrics.MeanIoU(2))


def test_255_is_no_label_where_the_loss_leaves_nothing_out():
    masks = np.where(UNKNOWN < 0, 255, UNKNOWN)
    check(masks, losses.Dice())
    with pytest.raises(ValueError, match=re.escape("outside the classes: [255]")):
        check(masks, losses.Dice(ignore_class=None))


@pytest.mark.filterwarnings("error::UserWarning")
def test_binary_losses_of_keras_take_several_labels_per_pixel():
    check(LABELS, keras.losses.BinaryCrossentropy(from_logits=True), channels=3)
    with pytest.raises(ValueError, match="255 in .* of the labels"):
        unknown = np.where(RNG.random(LABELS.shape) < 0.2, 255, LABELS)
        check(unknown, keras.losses.BinaryCrossentropy(from_logits=True), channels=3)


def test_multi_label_needs_its_metric_and_no_softmax():
    loss = losses.Dice(multi_label=True)
    with pytest.raises(ValueError, match="'mean_iou' counts one class per pixel, .*: it is NaN"):
        check(LABELS, loss, metrics.MeanIoU(3), channels=3)
    check(LABELS, loss, metrics.MeanIoU(3, multi_label=True), channels=3)
    check(np.eye(3)[MASKS], loss, metrics.MeanIoU(3), channels=3)  # one class per pixel
    loss = losses.Dice(multi_label=True, from_logits=False)
    with pytest.raises(ValueError, match="a pixel cannot have two labels"):
        check(LABELS, loss, channels=3, activation="softmax")


def test_soft_labels_of_a_loss_that_takes_hard_ones_are_refused():
    soft = np.stack([1 - 0.8 * MASKS, 0.8 * MASKS], -1)
    assert np.isnan(float(losses.get("lovasz_softmax")(soft, np.zeros((4, 16, 16, 2)))))
    with pytest.raises(ValueError, match="takes only hard labels, and .*% of the pixels"):
        check(soft, losses.get("lovasz_softmax"))
    check(soft, losses.get("cross_entropy"))


def test_images_and_masks_in_each_others_place_are_named():
    with pytest.raises(ValueError, match="seem to be swapped"):
        check(IMAGES, losses.get("dice"), images=MASKS)


def test_a_data_set_is_told_how_to_become_batches():
    with pytest.raises(ValueError, match="training_pipeline"):
        check_batches(BuiltinDataset("cells", "train", length=2), compiled(losses.get("dice")))


def test_pixels_from_minus_one_are_mapped_as_the_message_says():
    images = IMAGES / 127.5 - 1
    with pytest.raises(ValueError, match=re.escape("value_range=(-1, 1)")):
        ArrayDataset(images, MASKS)[0]
    mapped = ArrayDataset(images, MASKS, value_range=(-1, 1))[0].image
    np.testing.assert_allclose(mapped, IMAGES[0], atol=1)


def test_arrays_are_told_what_arrays_need():
    negative = "np.where(masks == -1, 255, masks)"
    with pytest.raises(ValueError, match=re.escape(negative)):
        ArrayDataset(IMAGES, UNKNOWN)
    assert set(np.unique(ArrayDataset(IMAGES, np.where(UNKNOWN == -1, 255, UNKNOWN))[0].mask)) == {
        0,
        1,
        255,
    }
    with pytest.raises(ValueError, match=re.escape("np.searchsorted([0, 5], masks)")):
        ArrayDataset(IMAGES, MASKS * 5, classes=["a", "b"])[0]
    for masks, told in (
        (np.stack([MASKS] * 3, -1), "masks[..., 0]"),
        (LABELS, "multi_label=True"),
        (np.stack([MASKS * 255, MASKS, MASKS], -1), "colour picture"),
        (np.eye(2)[MASKS], "masks.argmax(-1)"),
    ):
        with pytest.raises(ValueError, match=re.escape(told)):
            ArrayDataset(IMAGES, masks)


def folder(root, **files):
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for number in range(3):
        pixels = {"images": IMAGES[number].astype("uint8"), "masks": MASKS[number].astype("uint8")}
        for kind, each in pixels.items():
            Image.fromarray(each).save(root / kind / f"s{number}.png")
    for name, content in files.items():
        (root / f"{name}.json").write_text(json.dumps(content))
    return root


def test_names_stand_for_a_class_table(tmp_path, capsys):
    data = folder(tmp_path)
    assert FolderDataset(data, classes=["dark", "bright"]).classes.names == ("dark", "bright")
    assert main(["verify-dataset", str(data), "--classes", "[dark,bright]"]) == 0
    assert "bright" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a list with the name of each class"):
        ClassTable("dark")


def test_splits_may_name_files(tmp_path):
    data = folder(tmp_path, splits={"train": ["s0.png", "images/s1.png"], "val": ["s2"]})
    assert len(FolderDataset(data)) == 2
    (data / "splits.json").write_text('{"train": ["s0"], "validation": ["s1"]}')
    assert [sample.name for sample in FolderDataset(data, "val")] == ["s1"]
    (data / "splits.json").write_text('{"train": ["s0"], "held out": ["s1"]}')
    with pytest.raises(ValueError, match=r"no split 'val': it has \['held out', 'train'\]"):
        FolderDataset(data, "val")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (["dark", "bright"], 'it has no "names"'),
        ({"0": "dark", "1": "bright"}, 'it has no "names"'),
        ({"names": ["a", "b"], "colors": ["#000000", "#ff0000"]}, "whole numbers in 0..255"),
        ({"names": ["a", "b"], "colors": [[0, 0, 0], [1.0, 0.5, 0]]}, "whole numbers in 0..255"),
    ],
)
def test_class_files_of_other_forms_are_refused_in_words(tmp_path, content, told):
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        FolderDataset(folder(tmp_path, classes=content))
    assert "Error(" not in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "wrong"), [([0, 1], True), ([0, 65535 * 500], True), ([0, 51000], False)]
)
def test_a_range_that_leaves_nothing_of_the_images_is_an_error(tmp_path, stated, wrong):
    data = folder(tmp_path, classes={"names": ["dark", "bright"], "range": stated})
    for number in range(3):
        deep = IMAGES[number, ..., 0].astype("uint16") * 200
        Image.fromarray(deep).save(data / "images" / f"s{number}.png")
    told = [problem.message for problem in verify_dataset(str(data)).errors]
    assert any("leaves nothing of the images" in each for each in told) == wrong
    assert wrong or not told
