"""The conversion to ONNX takes memory in proportion to the weights, not a hundred times as much."""

import copy
import os

import tf2onnx

from keras_seg.export import export
from keras_seg.export.onnx.convert import UNDO_FAILED_PASSES
from tests.helpers.colour_blocks import small_network


def test_conversion_copies_no_graph(tmp_path, monkeypatch):
    """Copies of tf2onnx hold all weights each, and stay alive until the collector comes."""
    copied, original = [], copy.deepcopy

    def watched(value, *arguments):
        copied.append(type(value))
        return original(value, *arguments)

    monkeypatch.setattr(copy, "deepcopy", watched)
    export(small_network(), tmp_path / "m.onnx", input_shape=(32, 32, 3))
    assert tf2onnx.graph.Graph not in copied
    assert copied  # nodes' attributes are still copied, so the watch was on


def test_conversion_leaves_the_environment_as_it_was(tmp_path, monkeypatch):
    monkeypatch.delenv(UNDO_FAILED_PASSES, raising=False)
    export(small_network(), tmp_path / "m.onnx", input_shape=(32, 32, 3))
    assert UNDO_FAILED_PASSES not in os.environ
    monkeypatch.setenv(UNDO_FAILED_PASSES, "TRUE")
    export(small_network(), tmp_path / "m.onnx", input_shape=(32, 32, 3))
    assert os.environ[UNDO_FAILED_PASSES] == "TRUE"
