"""Every registered network leaves as an int8 .onnx file that answers nearly as the network does."""

import numpy as np
import onnx
import pytest

from keras_seg import inference, models
from keras_seg.export import export
from keras_seg.inference.keras_runner import KerasRunner
from tests.helpers.shapes import TINY_SIZE, Shapes

pytestmark = pytest.mark.slow

SEVEN_BITS = 1.5
"""Decibels that weights of 7 bits cost; the limits of the networks are for weights of 8."""


@pytest.fixture(scope="module", params=models.list_models())
def exported(request, tmp_path_factory, tiny_model):
    """(Keras runner, report, facts) of one network, which is converted once."""
    model, size = tiny_model(request.param), (*TINY_SIZE, 3)
    report = export(
        model,
        tmp_path_factory.mktemp(request.param) / "int8.onnx",
        quantize="int8",
        input_shape=size,
        calibration=Shapes("train"),
    )
    return KerasRunner(model, input_shape=size), report, models.find(request.param)


def test_logits_stay_near_those_of_keras(exported):
    """Indices of pooling change in int8, where values become equal: less is kept there, too."""
    keras_runner, report, network = exported
    image = Shapes("val", 1)[0].image
    expected = keras_runner.run(image)
    error = inference.load(report.path).run(image) - expected
    decibels = 10 * np.log10(expected.var() / error.var())
    assert decibels > network.int8_decibels - SEVEN_BITS


def test_convolutions_take_integers(exported):
    proto = onnx.load(exported[1].path)
    makers = {name: node.op_type for node in proto.graph.node for name in node.output}
    convolutions = [node for node in proto.graph.node if "Conv" in node.op_type]
    assert convolutions
    for node in convolutions:
        assert [makers[name] for name in node.input[:2]] == ["DequantizeLinear"] * 2, node.name


def test_no_convolution_is_an_island_and_costs_are_known(exported):
    audit = exported[1].audit
    assert not [island for island in audit.islands if "Conv" in island.split(" ")[0]]
    assert audit.multiply_adds > 0
    assert audit.arena_bytes > 0
