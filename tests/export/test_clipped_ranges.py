"""Integer files whose ranges a few unusual calibration images would spoil."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_seg import export as room
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.export.int8 import clipped_ranges
from keras_seg.export.int8.calibrated import Calibrated
from keras_seg.export.network.deployed import deploy
from keras_seg.export.network_to_export import open_network
from keras_seg.export.onnx import ranges
from keras_seg.export.tflite.convert import tflite_file
from keras_seg.export.tflite.graph import read_graphs
from keras_seg.export.tflite.measured_ranges import measuring

pytestmark = pytest.mark.xdist_group("clipped_ranges")  # one worker, so that fixtures are made once


SHAPE = (16, 16, 2)


class Dim(SegmentationDataset):
    """Images as dim as 16, and some as bright as 255; a pixel's class is its brighter channel."""

    def __init__(self, bright, length=16):
        self.name, self.split, self.channels = "dim", "val", 2
        self.classes = ClassTable(("first", "second"))
        self.bright, self.length = bright, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        random = np.random.default_rng(index)
        image = random.integers(0, 256 if index < self.bright else 17, SHAPE)
        return Sample(str(index), image.astype(np.uint8), image.argmax(-1).astype(np.int32))


@pytest.fixture(scope="module")
def network():
    """Squares by a product that nothing bounds, and compares the squares."""
    image = keras.Input((None, None, 2), name="image")
    sides = [kl.Conv2D(2, 1, use_bias=False, name=name)(image) for name in ("a", "b")]
    model = keras.Model(image, kl.Conv2D(2, 1, name="head")(kl.Multiply()(sides)))
    for name in ("a", "b", "head"):
        model.get_layer(name).kernel.assign(np.eye(2)[None, None])
    return model


def exported(network, path, bright, **options):
    data = Dim(bright)
    words = {"calibration": data, "evaluation": data, "max_drop": 100.0, "input_shape": SHAPE}
    card = ModelCard(data.classes)
    return room.export(network, path, quantize="int8", card=card, **words, **options)


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
class TestClippedRanges:
    def test_unusual_images_do_not_spoil_the_others(self, network, tmp_path, suffix, monkeypatch):
        found = exported(network, tmp_path / f"m.{suffix}", bright=2)
        monkeypatch.setattr(clipped_ranges, "ACCEPTED", 100.0)
        spoilt = exported(network, tmp_path / f"spoilt.{suffix}", bright=2)
        assert spoilt.gate.agreement < 0.8
        assert found.gate.agreement > spoilt.gate.agreement + 0.15
        assert spoilt.clipped is None
        assert found.clipped.quantile < 1
        assert found.clipped.loss < found.clipped.before
        assert found.to_dict()["clipped"]["quantile"] == found.clipped.quantile

    def test_a_file_of_classes_has_its_ranges_clipped_too(self, network, tmp_path, suffix):
        scores = exported(network, tmp_path / f"m.{suffix}", bright=2)
        classes = exported(network, tmp_path / f"classes.{suffix}", bright=2, head="argmax")
        assert classes.clipped == scores.clipped

    def test_usual_images_leave_all_as_it_was(self, network, tmp_path, suffix):
        assert exported(network, tmp_path / f"m.{suffix}", bright=16).clipped is None


def test_network_is_converted_and_measured_once_for_all_ranges_that_are_tried(
    network, tmp_path, monkeypatch
):
    calls = {}

    def counted(room, name):
        function = getattr(room, name)

        def call(*arguments, **words):
            calls[name] = calls.get(name, 0) + 1
            return function(*arguments, **words)

        monkeypatch.setattr(room, name, call)

    counted(clipped_ranges, "float_graph")
    counted(ranges, "_measuring_session")
    counted(clipped_ranges, "quantized")
    assert exported(network, tmp_path / "m.onnx", bright=2).clipped
    assert calls.pop("quantized") > 2
    assert calls == {"float_graph": 1, "_measuring_session": 1}
    calls.clear()
    counted(clipped_ranges, "tflite_file")
    counted(clipped_ranges, "respelled")
    assert exported(network, tmp_path / "m.tflite", bright=2).clipped
    # every trial is spelled for the device, too
    assert calls == {"tflite_file": 1, "respelled": len(clipped_ranges.QUANTILES)}


def test_ranges_of_single_images_together_are_those_of_all(network):
    options = room.ExportOptions("tflite", "int8", SHAPE)
    opened = open_network(network, options, ModelCard(Dim(2).classes))
    deployed = deploy(network, SHAPE, opened.options)
    images, measured = [Dim(2)[i].image for i in range(4)], []
    tflite_file(deployed, opened, images, measuring(measured))
    together = Calibrated.measured(deployed, opened, images)
    (found,) = measured
    assert found.extremes.shape == (4, len(together.graph.tensors), 2)
    ranges_of = [tensor.extent for tensor in read_graphs(found.content)[0].tensors]
    assert ranges_of == [tensor.extent for tensor in together.graph.tensors]
    low, high = found.at(0.5)
    narrow = read_graphs(together.with_ranges(low, high).content)[0]
    (image,) = narrow.inputs
    assert narrow.tensors[image].extent == together.graph.tensors[image].extent
    extents = [
        (new.extent, old.extent)
        for new, old in zip(narrow.tensors, together.graph.tensors, strict=True)
        if old.extent is not None
    ]
    assert all(new <= old for new, old in extents) and any(new < old for new, old in extents)
