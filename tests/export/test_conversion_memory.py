"""Conversions share weights with the network and copy them rarely, and the files stay the same."""

import hashlib

import keras
import numpy as np
import onnx
import pytest
from keras import layers as kl

from keras_seg.export import ExportOptions, export, quantization_aware
from keras_seg.export.network.copies import share_weights
from keras_seg.export.network.deployed import deploy
from keras_seg.export.onnx.on_disk import bytes_of, loaded, moved_to
from keras_seg.export.tflite import freezing, late_weights
from keras_seg.inference.checksum import parts_with_checksum, with_checksum

pytestmark = pytest.mark.xdist_group("conversion_memory")  # one worker converts the network once


class TurnedKernel(kl.Conv2D):
    """A convolution whose kernel is turned before it is used."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, keras.ops.flip(kernel, 0))


@pytest.fixture(scope="module")
def network():
    """Kernels that reach the file as they are, with a scale, transposed, turned and shared."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = kl.ReLU()(kl.BatchNormalization()(kl.Conv2D(4, 3, padding="same")(image)))
    x = kl.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = kl.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = TurnedKernel(4, (3, 1), padding="same")(x)
    shared = kl.Conv2D(4, 1, name="shared")
    x = kl.Conv2DTranspose(4, 2, strides=2)(shared(kl.ReLU()(shared(x))))
    model = keras.Model(image, kl.Conv2D(3, 1)(x))
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, kl.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 2, w.shape) for w in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def plain(network, tmp_path_factory):
    """The digest of the file that is converted with everything in the graph, as TensorFlow does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_weights, "LARGE", np.inf)
        write = freezing.flatbuffer_utils.convert_object_to_bytearray
        patch.setattr(freezing, "as_tensorflow_writes", write)
        return digest_of_export(network, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def filled(monkeypatch):
    """The number of kernels that were written late, of each file; marks are used at any size."""
    counts, fill = [], late_weights.LateKernels.fill

    def watched(self, content):
        result = fill(self, content)
        counts.append((len(self.kernels), sum(kernel.scale is not None for kernel in self.kernels)))
        return result

    monkeypatch.setattr(late_weights, "LARGE", 1)
    monkeypatch.setattr(late_weights.LateKernels, "fill", watched)
    return counts


def digest_of_export(network, folder):
    keras.backend.clear_session()  # Keras numbers the names in each graph
    export(network, folder / "m.tflite")
    return hashlib.sha256((folder / "m.tflite").read_bytes()).hexdigest()


class TestLateKernels:
    def test_the_file_is_that_of_a_graph_with_the_kernels(self, network, tmp_path, filled, plain):
        assert digest_of_export(network, tmp_path) == plain
        assert filled == [(5, 1)]  # not the turned and the shared one

    def test_a_kernel_without_a_place_is_converted_in_the_graph(
        self, network, tmp_path, filled, plain, monkeypatch
    ):
        reader = late_weights._GraphReader
        values = reader.constant_values

        def others(*arguments):  # scales that are not those of the file
            return {name: 2 * scale for name, scale in values(*arguments).items()}

        monkeypatch.setattr(reader, "constant_values", others)
        assert digest_of_export(network, tmp_path) == plain
        assert filled == []

    def test_files_with_other_weights_keep_them_in_the_graph(self, network, tmp_path, filled):
        export(network, tmp_path / "m.tflite", quantize="dynamic")
        assert filled == []

    def test_a_mark_in_two_places_is_refused(self):
        values = np.ones((2, 1, 1, 2), np.float32)
        kernel = late_weights.LateKernel("k", np.float32(2), values, None)
        place = np.full(values.shape, 2, np.float32)
        kernels = late_weights.LateKernels([kernel])
        assert kernels._fill_place(place, [kernel]) == ["k"]
        np.testing.assert_array_equal(place, values)
        assert kernels._fill_place(np.full(values.shape, 3, np.float32), [kernel]) == []


class TestSharedWeights:
    def test_a_deployed_network_computes_with_the_variables_of_the_network(self, network):
        options = ExportOptions(format="tflite", input_shape=(8, 8, 3), head="logits")
        deployed = deploy(network, (8, 8, 3), options)
        kernel = network.get_layer("shared").kernel
        assert deployed.get_layer("shared").kernel.value is kernel.value

    def test_an_export_changes_no_weight(self, network, tmp_path):
        aware = quantization_aware(network)
        aware(np.full((1, 8, 8, 3), 200.0), training=True)
        before = [weight.numpy() for weight in aware.weights]
        export(aware, tmp_path / "m.tflite", quantize="int8")
        for weight, old in zip(aware.weights, before, strict=True):
            np.testing.assert_array_equal(weight.numpy(), old)

    def test_layers_of_other_types_are_copied(self):
        source, target = kl.Dense(2, dtype="float16"), kl.Dense(2)
        for layer in (source, target):
            layer.build((None, 3))
        share_weights(target, source)
        np.testing.assert_allclose(target.kernel.numpy(), source.kernel.numpy(), atol=1e-3)
        assert target.kernel.value is not source.kernel.value

    def test_a_normalization_keeps_what_it_derives(self):
        source, target = kl.Normalization(), kl.Normalization()
        source.adapt(np.array([[1.0, 4.0], [3.0, 8.0]]))
        target.build((None, 2))
        share_weights(target, source)
        np.testing.assert_allclose(target(np.array([[2.0, 6.0]])), [[0.0, 0.0]], atol=1e-6)


class TestGraphsOnDisk:
    @pytest.fixture
    def proto(self):
        values = np.arange(200, dtype=np.float32)
        node = onnx.helper.make_node("Add", ["x", "w"], ["y"], name="sum")
        ends = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [200])
            for name in ("x", "y")
        ]
        weights = [onnx.numpy_helper.from_array(values, "w"), onnx.numpy_helper.from_array(values)]
        graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], weights, doc_string="d")
        model = onnx.helper.make_model(graph, producer_name="p")
        onnx.helper.set_model_props(model, {"card": "c" * 300})
        return model

    def test_a_file_in_parts_is_the_whole(self, proto):
        assert bytes_of(proto) == proto.SerializeToString()

    def test_weights_come_back_from_their_file(self, proto, tmp_path):
        apart = onnx.ModelProto()
        apart.CopyFrom(proto)
        del apart.graph.initializer[:]
        with (tmp_path / "weights").open("wb") as file:
            file.write(b"before")
            apart.graph.initializer.extend(moved_to(file, x) for x in proto.graph.initializer)
        assert all(not tensor.raw_data for tensor in apart.graph.initializer)
        onnx.save(apart, tmp_path / "m.onnx")
        assert loaded(tmp_path / "m.onnx").SerializeToString() == proto.SerializeToString()


def test_the_parts_of_a_file_with_its_checksum_are_the_file():
    content = b'before {"seal": "' + b"0" * 64 + b'"} behind'
    assert b"".join(parts_with_checksum(content)) == with_checksum(content) != content
    assert parts_with_checksum(b"foreign") == (b"foreign",)
