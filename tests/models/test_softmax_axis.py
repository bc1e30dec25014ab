"""A softmax over rows or columns of a foreign file gives no probabilities of classes."""

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from keras_seg import inference

SIZE, CLASSES = 16, 3
KERNEL = np.random.default_rng(1).normal(size=(3, CLASSES)).astype(np.float32) / 50
IMAGE = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), "uint8")


def onnx_file(path, axis):
    weight = KERNEL.T[:, :, None, None]
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["classes"], axis=axis),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, SIZE, SIZE])
        for name, channels in (("image", 3), ("classes", CLASSES))
    ]
    held = [numpy_helper.from_array(np.ascontiguousarray(weight), "kernel")]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], held)
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def tflite_file(path, axis):
    entry = keras.Input((SIZE, SIZE, 3))
    layer = keras.layers.Conv2D(CLASSES, 1, use_bias=False)
    model = keras.Model(entry, keras.layers.Softmax(axis=axis)(layer(entry)))
    layer.set_weights([KERNEL[None, None]])
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


@pytest.mark.parametrize(
    ("write", "suffix", "axes"),
    [
        (onnx_file, "onnx", (2, 3, -1)),
        (tflite_file, "tflite", (1, 2)),
    ],
)
def test_other_axes_are_refused(tmp_path, write, suffix, axes):
    for axis in axes:
        path = tmp_path / f"{axis}.{suffix}"
        write(path, axis)
        with pytest.raises(ValueError, match=r"over an axis that is not the channels.*sum to 0\."):
            inference.load(path)


@pytest.mark.parametrize(
    ("write", "suffix", "axis"),
    [
        (onnx_file, "onnx", 1),
        (tflite_file, "tflite", -1),
    ],
)
def test_the_channels_are_taken(tmp_path, write, suffix, axis):
    path = tmp_path / f"model.{suffix}"
    write(path, axis)
    scores = np.exp(IMAGE.astype(np.float32) @ KERNEL)
    found = inference.load(path).predict(IMAGE, probabilities=True)
    np.testing.assert_allclose(found, scores / scores.sum(-1, keepdims=True), atol=1e-4)
