"""`inference.show`: a figure with a row per image."""

import numpy as np
import pytest

from keras_seg import inference
from keras_seg.data import ClassTable
from keras_seg.data.mask_colors import overlay

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (2, 8, 12, 3), np.uint8)
MASKS = RANDOM.integers(0, 3, (2, 8, 12), np.uint8)
TABLE = ClassTable(("sky", "road", "car"))


def pictures(figure):
    return [axes.images[0].get_array() for axes in figure.axes]


def test_a_row_has_the_image_its_mask_and_its_prediction(tmp_path):
    scores = np.eye(3, dtype="float32")[MASKS]
    figure = inference.show(IMAGES, MASKS[..., None], scores, classes=TABLE)
    assert [axes.get_title() for axes in figure.axes] == ["image", "mask", "prediction"] + [""] * 3
    for i in range(2):
        drawn = overlay(IMAGES[i], MASKS[i], TABLE)
        for picture, expected in zip(
            pictures(figure)[3 * i :], (IMAGES[i], drawn, drawn), strict=False
        ):
            np.testing.assert_array_equal(picture, expected)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sky", "road", "car"]
    figure.savefig(tmp_path / "gallery.png")
    assert (tmp_path / "gallery.png").stat().st_size


def test_images_alone_in_several_sizes_and_types():
    sizes = [IMAGES[0], (IMAGES[1, :5] / 255).astype("float32")]
    drawn = pictures(inference.show(sizes))
    np.testing.assert_array_equal(drawn[0], IMAGES[0])
    np.testing.assert_array_equal(drawn[1], IMAGES[1, :5])
    assert len(pictures(inference.show(IMAGES[0], MASKS[0], classes=["a", "b", "c"]))) == 2


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (MASKS[:1], "2 images and 1 masks"),
        (MASKS[:, :4], r"shape \(4, 12\) for an image of \(8, 12\)"),
        (MASKS[..., None] * 0.3, "scores of one channel. Pass classes"),
        (np.full((2, 8, 12, 3), 0.9), "do not sum to 1, so that .* several labels"),
        (MASKS.astype("int32") + 300, "classes of 0 to 255. Received: 300 to 302"),
        (MASKS + 4, "no class 6 among the 3 classes"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, message):
    with pytest.raises(ValueError, match=message):
        inference.show(IMAGES, masks, classes=TABLE)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype("uint16") * 16, "pixels of 0 to 255.*Received: 0 to 4"),
        (IMAGES / 127.5 - 1, "pixels of 0 to 255.*before the normalisation"),
        (IMAGES * np.float32("nan"), "pixels of 0 to 255"),
        (np.zeros((20, 64, 64), "uint8"), r"\(B, H, W, C\).*images\[\.\.\., None\] for grey"),
        (IMAGES[0, ..., 0], r"\(H, W, C\).*Add an axis"),
        (np.zeros((2, 3, 8, 9), np.uint8), "channels last"),
    ],
)
def test_images_that_cannot_be_shown_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        inference.show(images)


def test_dark_float_images_stay_dark_beside_bright_ones():
    images = np.stack([np.zeros((8, 8, 3)), np.full((8, 8, 3), 200)]).astype("float32")
    images[0, 0, 0] = 1  # of 255
    assert [picture.max() for picture in pictures(inference.show(images))] == [1, 200]


def test_float_masks_of_a_data_set_are_classes():
    masks = MASKS[..., None].astype("float32")
    for one, other in zip(
        pictures(inference.show(IMAGES, masks)),
        pictures(inference.show(IMAGES, MASKS)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_one_image_with_a_batch_of_one_or_a_mask_of_its_own():
    scores = np.eye(3, dtype="float32")[MASKS[0]]
    expected = pictures(inference.show(IMAGES[:1], MASKS[:1]))[1]
    for mask in (MASKS[0], MASKS[:1], MASKS[0, ..., None], scores, scores[None]):
        np.testing.assert_array_equal(pictures(inference.show(IMAGES[0], mask))[1], expected)
