"""The audit of .onnx files: multiply-adds, memory for maps, what an int8 file computes in float."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from keras_seg.export import audit

KERNEL = np.ones((4, 3, 3, 3), np.float32)
UPWARDS = np.ones((4, 2, 2, 2), np.float32)
TO_SCORES = np.ones((5, 4, 1, 1), np.float32)
DENSE = np.ones((8, 6), np.float32)


def write(path, nodes, weights, image, output, *, dtype=TensorProto.FLOAT):
    """An .onnx file from (operator, inputs, output, attributes) and named arrays."""
    graph = helper.make_graph(
        [
            helper.make_node(kind, inputs, [made], name=f"{made}_node", **words)
            for kind, inputs, made, words in nodes
        ],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info(nodes[-1][2], dtype, output)],
        [onnx.numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def pairs(name):
    """Nodes that quantize a tensor and undo it."""
    return [
        ("QuantizeLinear", [name, "scale", "zero"], f"{name}_q", {}),
        ("DequantizeLinear", [f"{name}_q", "scale", "zero"], f"{name}_d", {}),
    ]


SCALE = {"scale": np.float32(0.1), "zero": np.uint8(128)}
QUANTIZED = {
    "kernel_q": KERNEL.astype(np.int8),
    "step": np.full(4, 0.1, np.float32),
    "none": np.zeros(4, np.int8),
}
UNDONE = ("DequantizeLinear", ["kernel_q", "step", "none"], "kernel", {"axis": 0})
CONVOLUTION = ("Conv", ["image_d", "kernel"], "maps", {"pads": [1, 1, 1, 1]})


@pytest.mark.parametrize(
    ("nodes", "weights", "image", "output", "expected"),
    [
        (
            [("Conv", ["image", "w"], "y", {"pads": [1, 1, 1, 1], "strides": [2, 2]})],
            *({"w": KERNEL}, (1, 3, 8, 12), (1, 4, 4, 6), 4 * 6 * 4 * 3 * 9),
        ),
        (
            [("Conv", ["image", "w"], "y", {"group": 4})],
            *({"w": KERNEL[:, :1]}, (1, 4, 8, 12), (1, 4, 6, 10), 6 * 10 * 4 * 9),
        ),
        (
            [("ConvTranspose", ["image", "w"], "y", {"strides": [2, 2]})],
            *({"w": UPWARDS}, (1, 4, 8, 12), (1, 2, 16, 24), 8 * 12 * 4 * 2 * 4),
        ),
        (
            [("MatMul", ["image", "w"], "y", {})],
            *({"w": DENSE}, (1, 4, 10, 8), (1, 4, 10, 6), 4 * 10 * 8 * 6),
        ),
        (
            [("Gemm", ["image", "w"], "y", {"transA": 1})],
            *({"w": DENSE}, (8, 10), (10, 6), 10 * 8 * 6),
        ),
    ],
    ids=["convolution", "depthwise", "transposed", "matmul", "gemm"],
)
def test_multiply_adds(tmp_path, nodes, weights, image, output, expected):
    path = write(tmp_path / "m.onnx", nodes, weights, image, output)
    assert audit(path).multiply_adds == expected


def test_memory_is_that_of_maps_alive_together(tmp_path):
    nodes = [("Relu" if i else "Abs", [f"x{i}"], f"x{i + 1}", {}) for i in range(3)]
    nodes[0] = ("Abs", ["image"], "x1", {})
    path = write(tmp_path / "m.onnx", nodes, {}, (1, 4, 8, 8), (1, 4, 8, 8))
    # the image, which stays, and one map, as an activation overwrites what it takes
    assert audit(path).arena_bytes == 2 * 4 * 8 * 8 * 4


def test_maps_of_an_int8_file_have_a_byte_a_value(tmp_path):
    nodes = [*pairs("image"), UNDONE, CONVOLUTION, ("Relu", ["maps"], "active", {})]
    nodes += pairs("active")
    path = write(tmp_path / "m.onnx", nodes, SCALE | QUANTIZED, (1, 3, 8, 8), (1, 4, 8, 8))
    # the float image, the integers of the convolution, and the scores, which leave as float; the
    # image's integers are gone by then
    assert audit(path).arena_bytes == 64 * (3 * 4 + 4 + 4 * 4)


def test_free_sizes_have_neither(tmp_path):
    nodes = [("Conv", ["image", "w"], "y", {"pads": [1, 1, 1, 1]})]
    path = write(tmp_path / "m.onnx", nodes, {"w": KERNEL}, (1, 3, "h", "w"), (1, 4, "h", "w"))
    found = audit(path)
    assert found.multiply_adds is None
    assert found.arena_bytes is None


def test_what_lies_between_pairs_is_no_island(tmp_path):
    nodes = [*pairs("image"), UNDONE, CONVOLUTION, ("Relu", ["maps"], "active", {})]
    nodes += pairs("active")
    path = write(tmp_path / "m.onnx", nodes, SCALE | QUANTIZED, (1, 3, 8, 8), (1, 4, 8, 8))
    assert audit(path).islands == ()


@pytest.mark.parametrize("kind", ["Softmax", "Exp"])
def test_what_lies_outside_of_pairs_is_an_island(tmp_path, kind):
    nodes = [*pairs("image"), UNDONE, CONVOLUTION, *pairs("maps"), (kind, ["maps_d"], "float", {})]
    nodes += [("Conv", ["float", "w"], "scores", {})]
    weights = SCALE | QUANTIZED | {"w": TO_SCORES}
    path = write(tmp_path / "m.onnx", nodes, weights, (1, 3, 8, 8), (1, 5, 8, 8))
    assert audit(path).islands == (f"{kind} (float_node)", "Conv (scores_node)")


def test_a_float_file_has_no_islands(tmp_path):
    nodes = [("Conv", ["image", "w"], "y", {}), ("Softmax", ["y"], "z", {})]
    path = write(tmp_path / "m.onnx", nodes, {"w": KERNEL}, (1, 3, 8, 8), (1, 4, 6, 6))
    assert audit(path).islands == ()
