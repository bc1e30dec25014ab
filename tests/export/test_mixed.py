"""Mixed files: what stays in float, that it is as little as the allowed loss asks for, and why."""

import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as kl
from rich.console import Console

from keras_seg import export as room
from keras_seg import inference, models
from keras_seg.export.int8 import mixed
from keras_seg.export.int8.calibrated import with_enclosed
from keras_seg.export.tflite.graph import Graph, Operator, Tensor, read_graphs
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.layers import (
    ChannelAttention,
    MaxPoolingWithIndices2D,
    MaxUnpooling2D,
    PositionAttention,
)
from tests.helpers.colour_blocks import ColourBlocks, card_of
from tests.helpers.shapes import TINY_SIZE, Shapes

pytestmark = pytest.mark.xdist_group("mixed")  # one worker, so that fixtures are made once

SHAPE = (32, 48, 3)
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


class Predicted(ColourBlocks):
    """Images whose truth is what a network says of them, so that all it loses shows."""

    def __init__(self, model, num_classes=3, length=8):
        super().__init__(num_classes, size=SHAPE[:2], length=length)
        self.runner = KerasRunner(model)

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(mask=self.runner.run(sample.image).argmax(-1).astype(np.int32))


def uneven_network():
    """Two layers that int8 ruins: channels from 1 to 3000 share one range, and are evened after."""
    keras.utils.set_random_seed(3)
    image = keras.Input(SHAPE, name="image")
    x = kl.Rescaling(1 / 255, name="unit")(image)
    x = kl.Conv2D(8, 3, padding="same", activation="relu", name="first")(x)
    x = kl.Conv2D(8, 1, activation="relu", use_bias=False, name="spread")(x)
    x = kl.Conv2D(8, 1, activation="relu", use_bias=False, name="evened")(x)
    for name in ("second", "third"):
        x = kl.Conv2D(8, 3, padding="same", activation="relu", name=name)(x)
    model = keras.Model(image, kl.Conv2D(3, 1, name="scores")(x))
    gains = np.array([3000, 1, 1, 1, 1, 1, 1, 1], np.float32)
    kernel = model.get_layer("spread").kernel
    kernel.assign(np.abs(kernel) * gains)
    kernel = model.get_layer("evened").kernel
    kernel.assign(kernel / gains[:, None])
    return model


def exported(model, path, data, **words):
    words = {"quantize": "mixed", "calibration": data, "card": card_of(data)} | words
    return room.export(model, path, **words)


def dtypes(report):
    """(kind, type of its result) of every operator of a file."""
    (graph,) = read_graphs(Path(report.path).read_bytes())
    return [
        (operator.kind, graph.tensors[operator.outputs[0]].dtype) for operator in graph.operators
    ]


@pytest.fixture(scope="module")
def uneven():
    model = uneven_network()
    return model, Predicted(model)


@pytest.fixture(scope="module")
def searched(uneven, tmp_path_factory):
    model, data = uneven
    path = tmp_path_factory.mktemp("uneven") / "mixed.tflite"
    return exported(model, path, data, evaluation=data, input="uint8", head="argmax", max_drop=5)


class TestSearch:
    def test_int8_alone_loses_too_much(self, uneven, tmp_path):
        model, data = uneven
        with pytest.raises(room.GateError, match="try quantize='mixed'"):
            exported(
                model, tmp_path / "m.tflite", data, quantize="int8", evaluation=data, max_drop=5
            )

    def test_the_layers_that_int8_ruins_stay_float_and_no_more(self, searched):
        assert searched.gate.drop <= 5
        kept = {entry.layer for entry in searched.mixed.kept}
        assert kept & {"spread", "evened"}
        kinds = dtypes(searched)
        assert ("CONV_2D", "FLOAT32") in kinds
        assert ("CONV_2D", "INT8") in kinds
        assert all("in int8 it leaves the scores" in entry.why for entry in searched.mixed.kept)

    def test_fewer_would_not_have_fitted(self, searched):
        steps = searched.mixed.steps
        assert steps[0].layers == 0
        assert steps[0].loss > 5
        final = max(step.layers for step in steps if step.loss == searched.mixed.loss)
        assert all(step.loss > 5 for step in steps if step.layers < final)
        assert searched.mixed.loss == pytest.approx(searched.gate.drop)

    def test_image_and_scores_may_be_int8(self, uneven, tmp_path):
        model, data = uneven
        path = tmp_path / "m.tflite"
        exported(model, path, data, input="int8", max_drop=100)
        image, output = inference.load(path)._details()
        assert (image["dtype"], output["dtype"]) == (np.int8, np.int8)

    def test_image_and_classes_stay_uint8(self, searched, uneven):
        image, output = inference.load(searched.path)._details()
        assert (image["dtype"], output["dtype"]) == (np.uint8, np.uint8)
        assert image["quantization"] == (1.0, 0)

    def test_report_tells_what_and_why(self, searched):
        record = json.loads(json.dumps(searched.to_dict()))["mixed"]
        assert record["measure"] == "points of mIoU lost"
        assert record["noise"] == dict(sorted(record["noise"].items(), key=lambda e: -e[1]))
        console = Console(width=160, record=True, file=io.StringIO())
        console.print(searched.table())
        text = console.export_text()
        assert "kept in float" in text
        assert "spread" in text
        assert "points of mIoU lost, 5 allowed" in text

    def test_without_masks_the_changed_classes_are_counted(self, uneven, tmp_path):
        model, data = uneven
        report = exported(model, tmp_path / "m.tflite", data, max_drop=1)
        assert report.gate is None
        assert "accuracy unmeasured" in report.accuracy
        assert report.mixed.measure.startswith("% of the pixels of the calibration images")
        assert report.mixed.loss <= 1 < report.mixed.steps[0].loss

    def test_where_int8_is_good_enough_it_is_the_int8_file(self, uneven, tmp_path):
        model, data = uneven
        files = [
            exported(model, tmp_path / f"{quantize}.tflite", data, quantize=quantize, max_drop=100)
            for quantize in ("int8", "mixed")
        ]
        assert files[1].mixed.kept == ()
        assert len(files[1].mixed.steps) == 1
        outputs = [inference.load(report.path).run(data[0].image) for report in files]
        np.testing.assert_array_equal(*outputs)

    def test_loss_that_float_does_not_mend_is_said(self, uneven, tmp_path, monkeypatch):
        model, data = uneven
        monkeypatch.setattr(mixed, "loss_of_file", lambda *_: 7.0)
        with pytest.raises(room.ExportError, match=r"Even with every layer .* loses 7\.00 "):
            exported(model, tmp_path / "m.tflite", data, max_drop=5)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def attentive(tmp_path_factory):
    """Report of a network with attention over positions and over channels."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE, name="image")
    x = kl.Conv2D(8, 4, strides=4, activation="relu")(kl.Rescaling(1 / 255)(image))
    parts = [kl.Conv2D(width, 1, name=name)(x) for name, width in (("q", 4), ("k", 4), ("v", 8))]
    x = PositionAttention(initial_scale=1.0, name="positions")(x, *parts)
    x = kl.Conv2D(8, 3, padding="same", activation="relu", name="between")(x)
    x = ChannelAttention(initial_scale=1.0, name="channels")(x)
    model = keras.Model(image, kl.Conv2D(3, 1, name="scores")(x))
    data = ColourBlocks()
    path = tmp_path_factory.mktemp("attentive") / "m.tflite"
    return exported(model, path, data, max_drop=100)


class TestAttention:
    def test_products_and_softmax_stay_float_convolutions_do_not(self, attentive):
        kinds = dtypes(attentive)
        for kind in ("BATCH_MATMUL", "SOFTMAX"):
            assert {dtype for name, dtype in kinds if name == kind} == {"FLOAT32"}
        assert {dtype for name, dtype in kinds if name in CONVOLUTIONS} == {"INT8"}

    def test_what_lies_between_stays_float_too(self, attentive):
        """max(G) - G between product and softmax would go to int8 and back for nothing."""
        assert ("SUB", "FLOAT32") in dtypes(attentive)
        assert ("REDUCE_MAX", "FLOAT32") in dtypes(attentive)

    def test_reasons_name_the_layers(self, attentive):
        reasons = {(entry.layer, entry.why) for entry in attentive.mixed.kept}
        attention = "attention, which is several times slower in int8"
        assert {("positions", attention), ("channels", attention)} <= reasons
        assert ("channels", "is between operators in float") in reasons

    def test_all_of_it_is_delegated(self, attentive):
        assert not {"BATCH_MATMUL", "SOFTMAX", "SUB"} & set(attentive.audit.undelegated)


def test_enclosed_groups_follow_their_surroundings():
    """conv → pool → reshape → conv, and conv → add: the group follows if both convs are float."""
    tensors = tuple(Tensor(str(i), "FLOAT32", (1, 4), False, None, None) for i in range(6))
    operators = tuple(
        Operator(kind, inputs, outputs)
        for kind, inputs, outputs in (
            ("CONV_2D", (0,), (1,)),
            ("MAX_POOL_2D", (1,), (2,)),
            ("RESHAPE", (2,), (3,)),
            ("CONV_2D", (3,), (4,)),
            ("ADD", (4,), (5,)),
        )
    )
    graph = Graph(tensors, operators, (0,), (5,))
    assert with_enclosed(graph, frozenset({0})) == {0}
    assert with_enclosed(graph, frozenset({0, 3})) == {0, 1, 2, 3}
    assert with_enclosed(graph, frozenset({0, 2, 3})) == {0, 1, 2, 3}


def coarse_network():
    """Pooling indices of values up to thousands, which int8 would compare in steps above 1."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE, name="image")
    x = kl.Conv2D(4, 3, padding="same", name="large")(image)
    pooled, places = MaxPoolingWithIndices2D(name="pool")(x)
    x = MaxUnpooling2D(name="unpool")([pooled, places])
    x = kl.Rescaling(0.001)(x)
    return keras.Model(image, kl.Conv2D(3, 3, padding="same", name="scores")(x))


class TestComparisonsOfLargeNumbers:
    def test_int8_compares_them_in_smaller_steps(self, tmp_path):
        model, data = coarse_network(), ColourBlocks(size=SHAPE[:2])
        report = exported(model, tmp_path / "m.tflite", data, quantize="int8")
        assert report.audit.problems == report.audit.islands == ()
        image = data[0].image
        expected = KerasRunner(model).run(image)
        error = inference.load(report.path).run(image) - expected
        assert 10 * np.log10(expected.var() / error.var()) > 10

    def test_mixed_keeps_the_whole_pooling_in_float(self, tmp_path):
        model, data = coarse_network(), ColourBlocks()
        report = exported(model, tmp_path / "m.tflite", data, max_drop=100)
        kept = {entry.layer: entry for entry in report.mixed.kept}
        assert "numbers so large" in kept["pool"].why
        kinds = dtypes(report)
        for kind in ("SPLIT", "SPACE_TO_DEPTH", "MAXIMUM"):
            assert {dtype for name, dtype in kinds if name == kind} == {"FLOAT32"}
        assert ("CONV_2D", "INT8") in kinds


@pytest.mark.slow
@pytest.mark.parametrize("name", models.list_models())
def test_every_network_leaves_mixed_and_loses_no_more_than_allowed(name, tiny_model, tmp_path):
    model, size = tiny_model(name), (*TINY_SIZE, 3)
    reference = KerasRunner(model, input_shape=size)
    image = Shapes("val", 1)[0].image
    report = room.export(
        model,
        tmp_path / "m.tflite",
        quantize="mixed",
        input_shape=size,
        input="uint8",
        calibration=Shapes("train"),
        max_drop=5,
    )
    assert report.audit.problems == ()
    assert report.mixed.loss <= 5
    expected = reference.run(image)
    error = inference.load(report.path).run(image) - expected
    floor = models.find(name).int8_decibels or 15.0
    assert 10 * np.log10(expected.var() / error.var()) > floor
