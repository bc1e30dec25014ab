"""Class maps that are decided at the resolution of the head: what they are and what they cost."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_seg import export as room
from keras_seg import inference
from keras_seg.export.network.fused_argmax import nearest_cells
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.layers import Resize
from tests.helpers.colour_blocks import ColourBlocks, card_of, trained

SHAPE = (32, 48, 3)


def strided(grid="half_pixel", outputs=3, activation="linear"):
    """Scores at stride 4, resized to the image."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 48, 3), name="image")
    x = kl.Conv2D(8, 4, strides=4, activation="relu")(kl.Rescaling(1 / 255)(image))
    x = kl.Conv2D(outputs, 1, name="scores")(x)
    x = Resize(4, grid=grid)(x)
    return keras.Model(image, kl.Activation(activation, name="end")(x))


def decided_coarsely(model, image, grid, factor=4):
    """The promise, in NumPy: the class of the cell whose centre is nearest to each pixel."""
    scores = keras.Model(model.input, model.get_layer("scores").output)(image[None]).numpy()[0]
    small = scores.argmax(-1) if scores.shape[-1] > 1 else scores[..., 0] > 0
    rows, columns = (
        np.arange(n * factor) * (n - 1) / (n * factor - 1)
        if grid == "align_corners"
        else np.arange(n * factor) // factor
        for n in small.shape
    )
    return small[np.round(rows).astype(int)][:, np.round(columns).astype(int)]


@pytest.mark.parametrize(
    ("suffix", "grid", "outputs", "activation"),
    [
        (".tflite", "half_pixel", 3, "linear"),
        (".tflite", "align_corners", 3, "softmax"),
        (".tflite", "half_pixel", 1, "sigmoid"),
        (".onnx", "half_pixel", 3, "linear"),
    ],
)
def test_class_map_is_the_one_of_the_head_repeated(tmp_path, suffix, grid, outputs, activation):
    model, image = strided(grid, outputs, activation), ColourBlocks()[0].image[:32]
    card = card_of(ColourBlocks(max(outputs, 2)))
    head = "logits" if activation == "linear" else "probabilities"
    report = room.export(
        model,
        tmp_path / f"m{suffix}",
        head="fused_argmax",
        input="uint8",
        card=replace(card, head=head),
    )
    found = inference.load(report.path).run(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, decided_coarsely(model, image, grid))
    assert report.head == "fused_argmax"
    assert not {"RESIZE_BILINEAR", "Resize"} & set(report.audit.operators)


class Predicted(ColourBlocks):
    """Images whose truth is what a network says of them, so that all it loses shows."""

    def __init__(self, model):
        super().__init__(size=SHAPE[:2], length=4)
        self.runner = KerasRunner(model)

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(mask=self.runner.run(sample.image).argmax(-1).astype(np.int32))


def test_gate_measures_what_coarse_borders_cost(tmp_path):
    model = trained(strided(), ColourBlocks(size=SHAPE[:2]))
    data = Predicted(model)
    words = {"evaluation": data, "card": card_of(data), "head": "fused_argmax"}
    report = room.export(model, tmp_path / "m.tflite", max_drop=100, **words)
    assert report.gate.rule == "at most 100 points of mIoU lost"
    assert report.gate.drop > 1
    with pytest.raises(room.GateError, match="Use head='argmax', which decides at full"):
        room.export(model, tmp_path / "n.tflite", **words)
    assert not (tmp_path / "n.tflite").exists()


def test_network_of_full_resolution_is_left_as_it_is(tmp_path):
    image = keras.Input((32, 48, 3))
    model = keras.Model(image, kl.Conv2D(3, 3, padding="same")(image))
    reports = [
        room.export(model, tmp_path / f"{head}.tflite", head=head)
        for head in ("argmax", "fused_argmax")
    ]
    assert reports[0].audit.operators == reports[1].audit.operators


@pytest.mark.parametrize("grid", ["half_pixel", "align_corners", "top_left"])
def test_nearest_cells_are_where_a_bilinear_resize_has_its_largest_weight(grid):
    before, after = 5, 17
    ramp = np.tile(np.arange(before, dtype=np.float32)[None, :, None, None], (1, 1, 2, 1))
    like = np.zeros((1, after, 2, 1), np.float32)
    positions = np.asarray(Resize(grid=grid)(ramp, like=like))[0, :, 0, 0]
    assert np.abs(nearest_cells(before, after, grid) - positions).max() <= 0.5 + 1e-6
