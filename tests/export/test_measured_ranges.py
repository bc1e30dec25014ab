"""Ranges of maps that LiteRT overwrites, because the next operator computes in their memory."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize import calibrator

from keras_seg.export.int8.calibrated import Calibrated
from keras_seg.export.network.deployed import deploy
from keras_seg.export.network_to_export import open_network
from keras_seg.export.options import ExportOptions
from keras_seg.export.tflite.graph import read_graphs
from keras_seg.export.tflite.measured_ranges import MeasuredRanges, with_ranges
from tests.helpers.shapes import TINY_SIZE, Shapes

SHAPE = (1, 8, 8, 2)


@pytest.fixture(scope="module")
def content():
    """A float file: a convolution, its product with another, and a sum with a third."""

    def convolved(x, factor, name):
        return tf.nn.conv2d(x, factor * tf.eye(2)[None, None], 1, "SAME", name=name)

    @tf.function(input_signature=[tf.TensorSpec(SHAPE)])
    def network(image):
        product = convolved(image, 1.0, "first") * convolved(image, -2.0, "second")
        return convolved(product, 0.5, "third") + convolved(image, 0.1, "fourth")

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    return converter.convert()


@pytest.fixture(scope="module")
def images():
    return [np.random.default_rng(i).uniform(0, 10, SHAPE).astype(np.float32) for i in range(2)]


def values_of_maps(content, images):
    """Number of a tensor → its values on all images, from a run that overwrites nothing."""
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (graph,), values = read_graphs(content), []
    maps = [*graph.inputs, *(i for operator in graph.operators for i in operator.outputs)]
    for image in images:
        interpreter.set_tensor(graph.inputs[0], image.astype(np.float32))
        interpreter.invoke()
        values.append([interpreter.get_tensor(i) for i in maps])
    return {i: np.stack(all_images) for i, *all_images in zip(maps, *values, strict=True)}


@pytest.fixture(scope="module")
def kept_maps(content, images):
    return values_of_maps(content, images)


def ranges_of_tensorflow(content, images):
    calibrated = calibrator.Calibrator(content).calibrate(lambda: ([image] for image in images))
    return read_graphs(calibrated)[0].tensors


class TestMeasuredRanges:
    def test_every_map_has_the_range_of_its_values(self, content, images, kept_maps):
        measured = MeasuredRanges.of(content, images)
        for i, values in kept_maps.items():
            of_images = np.stack([values.min((1, 2, 3, 4)), values.max((1, 2, 3, 4))], -1)
            np.testing.assert_allclose(measured.extremes[:, i], of_images, rtol=1e-5)
        for i, tensor in enumerate(read_graphs(measured.content)[0].tensors):
            if i in kept_maps:
                assert tensor.extent == pytest.approx(np.ptp(kept_maps[i]), rel=1e-5)
            else:
                assert tensor.extent is None
                assert np.isnan(measured.extremes[:, i]).all()

    def test_calibrator_of_tensorflow_takes_the_result_for_an_input(
        self, content, images, kept_maps
    ):
        # if this fails, TensorFlow is mended, and its own calibrator can be used again
        tensors = ranges_of_tensorflow(content, images)
        assert max(tensors[i].extent / np.ptp(kept_maps[i]) for i in kept_maps) > 3

    def test_file_has_fine_steps_for_a_map_that_is_overwritten(self, content, images, kept_maps):
        measured = MeasuredRanges.of(content, images)
        tensors = {
            tensor.name: tensor
            for tensor in read_graphs(mlir_quantize(measured.content))[0].tensors
        }
        names = [tensor.name for tensor in read_graphs(content)[0].tensors]
        steps = [
            tensors[names[i]].scale / (max(values.max(), 0) - min(values.min(), 0))
            for i, values in kept_maps.items()
            if names[i] in tensors and tensors[names[i]].scale
        ]
        assert len(steps) >= 3
        np.testing.assert_allclose(steps, 1 / 255, rtol=1e-3)

    def test_other_ranges_replace_those_that_are_no_nan(self, content, images):
        measured = MeasuredRanges.of(content, images)
        low, high = measured.at(0.5)
        assert np.isnan(low[read_graphs(content)[0].inputs[0]])
        before = read_graphs(measured.content)[0].tensors
        after = read_graphs(with_ranges(measured.content, low, high))[0].tensors
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            assert new.extent == (
                old.extent if np.isnan(low[i]) else pytest.approx(high[i] - low[i], rel=1e-5)
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["danet", "gridnet", "hrnet", "resunetplusplus"])
def test_maps_of_networks_with_sums_and_gates_have_the_range_of_their_values(name, tiny_model):
    shape = (*TINY_SIZE, 3)
    opened = open_network(tiny_model(name), ExportOptions("tflite", "mixed", shape), None)
    deployed = deploy(opened.model, opened.shape, opened.options)
    images = [Shapes()[i].image for i in range(2)]
    calibrated = Calibrated.measured(deployed, opened, images)
    tensors = read_graphs(calibrated.content)[0].tensors
    for i, values in values_of_maps(calibrated.content, [image[None] for image in images]).items():
        if tensors[i].dtype == "FLOAT32":
            # XNNPACK adds in another order
            assert tensors[i].extent == pytest.approx(np.ptp(values), rel=1e-3, abs=1e-4)
