"""The conversion to ONNX takes memory in proportion to the weights, not a hundred times as much."""

import copy

import keras
import numpy as np
import onnx
import pytest
import tf2onnx
from keras import layers as kl

from keras_seg import inference
from keras_seg.export import export
from keras_seg.export.onnx import from_tensorflow
from keras_seg.export.onnx.graph import LARGE, Shapes, without_weights
from tests.helpers.colour_blocks import small_network

pytestmark = pytest.mark.xdist_group("onnx_memory")  # one worker, so that fixtures are made once


class TurnedKernel(kl.Conv2D):
    """A convolution whose kernel is turned before it is used."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, keras.ops.flip(kernel, 0))


def network(convolution=kl.Conv2D):
    """A network with a large kernel of each kind."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = kl.ReLU()(kl.BatchNormalization()(kl.Conv2D(160, 1, use_bias=False)(image)))
    x = convolution(160, (3, 1), padding="same", name="wide")(x)
    x = kl.DepthwiseConv2D(11, padding="same")(x)
    return keras.Model(image, kl.Conv2DTranspose(3, 12, padding="same")(kl.Conv2D(160, 1)(x)))


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """The file of the network, and the sizes of the graphs that TensorFlow saw."""
    sizes, freeze = [], tf2onnx.tf_loader.from_function
    path = tmp_path_factory.mktemp("traced") / "m.onnx"

    def watched(concrete, *arguments):
        sizes.append(concrete.graph.as_graph_def().ByteSize())
        frozen = freeze(concrete, *arguments)
        sizes.append(frozen.ByteSize())
        return frozen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf2onnx.tf_loader, "from_function", watched)
        export(network(), path)
    return path, sizes


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


def test_no_graph_of_tensorflow_holds_the_large_kernels(traced):
    path, sizes = traced
    assert len(sizes) == 2  # one attempt
    assert max(sizes) < 0.3 * path.stat().st_size


def test_the_file_is_that_of_a_graph_with_the_kernels(traced, tmp_path, monkeypatch):
    monkeypatch.setattr(from_tensorflow, "LARGE", np.inf)
    export(network(), tmp_path / "m.onnx")
    assert described(traced[0]) == described(tmp_path / "m.onnx")


def test_a_kernel_that_a_layer_computes_with_is_traced_as_it_is(tmp_path):
    model = network(TurnedKernel)
    export(model, tmp_path / "m.onnx")
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    scores = [inference.load(each).run(image) for each in (model, tmp_path / "m.onnx")]
    np.testing.assert_allclose(*scores, atol=1e-4 * np.abs(scores[0]).max())


def test_constants_are_written_into_nodes_again_afterwards(traced):
    node = onnx.helper.make_node("Const", [], ["a"], value=onnx.numpy_helper.from_array(np.ones(1)))
    graph = tf2onnx.graph.Graph([node], {"a": [1]}, {"a": onnx.TensorProto.DOUBLE})
    (wrapped,) = graph.get_nodes()
    del wrapped.op.attribute[:]
    wrapped.update_proto()
    assert [attribute.name for attribute in wrapped.op.attribute] == ["value"]


def test_shapes_are_known_without_the_weights(traced):
    proto = onnx.load(traced[0])
    bare = without_weights(proto)
    assert bare.ByteSize() < 0.1 * proto.ByteSize()
    assert all(np.prod(tensor.dims) < LARGE for tensor in bare.graph.initializer)
    assert not Shapes(proto).free


def described(path):
    """Operators with their attributes and the values of their constants, in order."""
    graph = onnx.load(path).graph
    values = {t.name: onnx.numpy_helper.to_array(t).tobytes() for t in graph.initializer}
    numbers: dict[str, int] = {}
    return [
        (
            node.op_type,
            sorted(attribute.SerializeToString() for attribute in node.attribute),
            [values.get(name) or numbers.setdefault(name, len(numbers)) for name in node.input],
            [numbers.setdefault(name, len(numbers)) for name in node.output],
        )
        for node in graph.node
    ]
