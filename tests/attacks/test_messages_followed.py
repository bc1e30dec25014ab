"""Lines that messages say to write: they are written here, and must do what they promise."""

import re
import warnings

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.data.mask_values.findings import label_findings
from keras_seg.data.mask_values.remedies import ARRAYS
from keras_seg.data.reading.in_memory import as_pixels
from keras_seg.model_paths import check_model_path
from keras_seg.names import unknown_name

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), "uint8")


@pytest.mark.parametrize("low", [-1.0, -0.9])
def test_pixels_in_minus_1_to_1_are_told_their_own_range(low):
    image = np.maximum(IMAGE / 127.5 - 1, low)
    with pytest.raises(ValueError, match=r"value_range=\(-1, 1\)") as told:
        as_pixels(image, 3)
    assert "astype" not in str(told.value)
    np.testing.assert_array_equal(as_pixels(IMAGE / 127.5 - 1, 3, value_range=(-1, 1)), IMAGE)


def test_standardised_pixels_are_not_told_a_range():
    image = (IMAGE - IMAGE.mean()) / IMAGE.std()
    with pytest.raises(ValueError, match="normalised") as told:
        as_pixels(image, 3)
    assert "value_range" not in str(told.value)


def test_range_of_a_scan_begins_at_its_lowest_value():
    scan = np.linspace(-1000, 3000, 48).reshape(4, 4, 3).astype("int16")
    with pytest.raises(ValueError) as told:
        as_pixels(scan, 3)
    low, high = re.search(r"value_range=\((-?\d+), (\d+)\)", str(told.value)).groups()
    pixels = as_pixels(scan, 3, value_range=(int(low), int(high)))
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_batch_of_channels_first_is_told_the_line_for_a_batch():
    model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
    batch = np.stack([IMAGE] * 2)
    with pytest.raises(ValueError, match=re.escape("images.transpose(0, 2, 3, 1)")):
        keras_seg.inference.predict(model, batch.transpose(0, 3, 1, 2))
    assert np.array_equal(batch.transpose(0, 3, 1, 2).transpose(0, 2, 3, 1), batch)


def test_input_shape_with_channels_first_is_told_in_our_order():
    with pytest.raises(ValueError, match=r"channels seem to come first. Write \(64, 48, 3\)"):
        keras_seg.models.unet((3, 64, 48), 2, widths=(4, 8))


@pytest.mark.parametrize(
    "written, meant",
    [("unet++", "unetplusplus"), ("DeepLabV3+", "deeplabv3plus"), ("Unet", "unet")],
)
def test_plus_signs_find_the_name(written, meant):
    known = keras_seg.models.list_models()
    assert f"Did you mean {meant!r}?" in unknown_name("model", written, known)


@pytest.mark.parametrize(
    "loss, classes, line",
    [
        ("binary_crossentropy", 1, "keras.losses.BinaryCrossentropy(from_logits=True)"),
        (
            "sparse_categorical_crossentropy",
            2,
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)",
        ),
    ],
)
def test_a_loss_named_in_compile_is_told_the_line_that_passes(loss, classes, line):
    model = keras_seg.models.unet((None, None, 3), classes, widths=(4, 8))
    images, masks = np.stack([IMAGE] * 4), (np.stack([IMAGE] * 4)[..., :1] > 127).astype("uint8")
    model.compile("adam", loss)
    with pytest.raises(ValueError, match=re.escape(line)):
        keras_seg.data.check_batches((images, masks), model, batch_size=2)
    model.compile("adam", eval(line))
    keras_seg.data.check_batches((images, masks), model, batch_size=2)


def test_focal_of_keras_is_led_to_focal():
    model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
    images, masks = np.stack([IMAGE] * 4), (np.stack([IMAGE] * 4)[..., 0] > 127).astype("uint8")
    model.compile("adam", "categorical_focal_crossentropy")
    with pytest.raises(ValueError, match=re.escape('keras_seg.losses.get("focal")')):
        keras_seg.data.check_batches((images, masks), model, batch_size=2)


def test_overlapping_labels_are_not_sent_to_argmax():
    model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
    images, labels = np.stack([IMAGE] * 2), np.ones((2, 16, 16, 2), "uint8")
    with pytest.raises(ValueError, match="multi_label=True") as told:
        keras_seg.inference.evaluate(model, (images, labels))
    assert "argmax" not in str(told.value)
    runner = keras_seg.inference.load(model, multi_label=True)
    assert 0 <= keras_seg.inference.evaluate(runner, (images, labels)).miou <= 1


def test_masks_of_many_numbers_are_told_to_the_end_of_the_sentence():
    counts = {value * 3: 10 for value in range(60)}
    found = label_findings(counts, num_classes=None, remedies=ARRAYS)
    told = " ".join(finding.message for finding in found)
    assert not re.search(r"\bor\s*$", told)
    assert told.rstrip().endswith(".")


def test_folder_of_save_pretrained_is_told_to_convert(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="keras-seg convert .* --source smp"):
        check_model_path(tmp_path)


def test_model_trained_on_images_divided_outside_is_told_and_its_line_is_right(tmp_path):
    """Masks of images / 255 at training: wrong on 0..255, right with the line of the warning."""
    entry = keras.Input((16, 16, 3))
    last = keras.layers.Conv2D(1, 1, activation="sigmoid")
    model = keras.Model(entry, last(entry))
    last.set_weights([np.float32([8, 0, 0]).reshape(1, 1, 3, 1), np.float32([-4])])
    truth = IMAGE[..., 0] > 127.5
    model.save(tmp_path / "own.keras")
    with pytest.warns(UserWarning, match="no layer that normalises") as told:
        keras_seg.inference.load(tmp_path / "own.keras")
    line = re.search(r"keras\.Sequential\(.*\]\)(?=\.save)", str(told[0].message)).group()
    wrapped = eval(line)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = keras_seg.inference.predict(wrapped, IMAGE)
    np.testing.assert_array_equal(mask, truth)


def test_networks_of_this_package_are_loaded_without_that_warning(tmp_path):
    for options in ({}, {"preprocessing": "imagenet"}, {"preprocessing": "unit"}):
        model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8), **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            keras_seg.inference.load(model)


def test_norm_first_is_loaded_without_that_warning():
    entry = keras.Input((16, 16, 3))
    normed = keras.layers.BatchNormalization()(entry)
    model = keras.Model(entry, keras.layers.Conv2D(2, 1)(normed))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keras_seg.inference.load(model)


def test_options_of_the_command_line_are_numbers_and_lists():
    from keras_seg.checkpoints.command import _parsed

    said = {"encoder_output_stride": "8", "decoder_atrous_rates": "[6, 12, 18]", "x": "bilinear"}
    assert _parsed(said) == {
        "encoder_output_stride": 8,
        "decoder_atrous_rates": [6, 12, 18],
        "x": "bilinear",
    }
