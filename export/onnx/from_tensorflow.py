"""A deployed network as an .onnx graph, by tf2onnx and in little memory.

tf2onnx copies weights with every TensorFlow graph that it makes, some ten times. So the function is
traced with a constant of one number in the place of each large kernel, and the kernel itself is
given to tf2onnx when it writes the constants of the .onnx graph.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from unittest import mock

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from keras_seg.export.errors import ExportError
from keras_seg.export.network.function import function_to_convert
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.onnx.operators import WRITERS
from keras_seg.export.onnx.opset import NEWEST_OF_TF2ONNX
from keras_seg.export.options import DEFAULT_OPSET

LARGE = 2**14
"""Number of values from which on a kernel stays outside of TensorFlow's graphs."""
NUMBER = 0.375
"""What stands for the values of a kernel. No pass of TensorFlow treats it in a special way."""
KERNEL_OPERATORS = ("Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul")
"""Operators whose kernels TensorFlow does not look into."""

Function = tf.types.experimental.GenericFunction


class Kernels(Mapping[str, bytes]):
    """Name of a constant that stands for a kernel → the values of the kernel, read when needed."""

    def __init__(self, variables: dict[str, keras.Variable]) -> None:
        self.variables = variables

    def __getitem__(self, name: str) -> bytes:
        with tf.init_scope():  # tf2onnx asks within a graph
            return np.asarray(self.variables[name], np.float32).tobytes()

    def __contains__(self, name: object) -> bool:
        return name in self.variables

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)


def onnx_of(deployed: keras.Model, network: NetworkToExport) -> onnx.ModelProto:
    """The graph of a deployed network as tf2onnx writes it.

    Raises: ExportError with what tf2onnx says.
    """
    large = [each for each in deployed.variables if np.prod(each.shape) >= LARGE]
    kernels = Kernels({f"kernel_{i}": each for i, each in enumerate(large)})
    try:
        converted = _converted(deployed, network, kernels)
        return converted or _converted(deployed, network, Kernels({}))
    except Exception as error:  # tf2onnx raises whatever its rewriters run into
        raise ExportError(f"tf2onnx cannot write this network. It says: {error}") from error


def _converted(
    deployed: keras.Model, network: NetworkToExport, kernels: Kernels
) -> onnx.ModelProto | None:
    """The graph; None if TensorFlow would change one of the kernels, or look into it."""
    function, spec = function_to_convert(
        deployed,
        network.options,
        network.options.input,
        from_logits=network.from_logits,
        multi_label=network.card.multi_label,
        threshold=network.card.threshold,
        stand_ins={name: (each, NUMBER) for name, each in kernels.variables.items()},
    )
    concrete = function.get_concrete_function(spec)
    names = [
        [tensor.name for tensor in ends if tensor.dtype != tf.resource]
        for ends in (concrete.inputs, concrete.outputs)
    ]
    readers = _readers(concrete.graph.as_graph_def(), kernels)
    with tf.device("/cpu:0"):
        frozen = tf2onnx.tf_loader.from_function(concrete, *names)
    if readers is None or readers != _readers(frozen, kernels):
        return None
    try:
        proto = _written(frozen, concrete, names, kernels, network, catch_errors=False)
    except Exception:  # a pass failed and spoilt the graph; with copies tf2onnx undoes it
        proto = _written(frozen, concrete, names, kernels, network, catch_errors=True)
    _hold_constants(proto, concrete)
    return proto


def _readers(graph: tf.compat.v1.GraphDef, kernels: Kernels) -> Counter | None:
    """(name of a kernel, operator) → number of such operators that read the kernel.

    None if an operator reads one that may look into it.
    """
    readers = Counter(
        (name, node.op) for node in graph.node for name in node.input if name in kernels
    )
    return None if any(kind not in KERNEL_OPERATORS for _, kind in readers) else readers


def _written(
    frozen: tf.compat.v1.GraphDef,
    concrete: tf.types.experimental.ConcreteFunction,
    names: list[list[str]],
    kernels: Kernels,
    network: NetworkToExport,
    *,
    catch_errors: bool,
) -> onnx.ModelProto:
    """The steps of `tf2onnx.convert.from_function` from a frozen graph on."""
    options = network.options
    scores = [] if options.puts_out_classes else [names[1][0]]
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"), _constants_written_once():
        tf.import_graph_def(frozen, name="")
        onnx_graph = tf2onnx.tfonnx.process_tf_graph(
            graph,
            continue_on_error=True,
            opset=min(options.opset or DEFAULT_OPSET, NEWEST_OF_TF2ONNX),
            custom_op_handlers=dict(WRITERS),
            input_names=names[0],
            output_names=names[1],
            inputs_as_nchw=names[0][:1] if options.layout == "nchw" else None,
            outputs_as_nchw=scores if options.layout == "nchw" else None,
            const_node_values=kernels,
            tensors_to_rename=tf2onnx.convert.tensor_names_from_structed(concrete, *names),
        )
        onnx_graph = tf2onnx.optimizer.optimize_graph(onnx_graph, catch_errors)
        return onnx_graph.make_model(f"converted from {concrete.name}")


@contextlib.contextmanager
def _constants_written_once() -> Iterator[None]:
    """Keeps tf2onnx from copying every constant into its node after each pass.

    A node is a protobuf message, whose memory grows with each such copy: 2.4 GB for weights of 0.1
    GB. The copies are not needed, since a constant is written from its attribute.
    """
    update = tf2onnx.graph.Node.update_proto

    def update_proto(node: tf2onnx.graph.Node, *arguments: object, **words: object) -> None:
        if not node.is_const():
            update(node, *arguments, **words)

    with mock.patch.object(tf2onnx.graph.Node, "update_proto", update_proto):
        yield


def _hold_constants(
    proto: onnx.ModelProto, function: tf.types.experimental.ConcreteFunction
) -> None:
    """Writes constants that a layer holds as tensors into the file, instead of as its inputs.

    Normalization holds its mean so. tf2onnx knows the values of variables, not of such tensors.
    """
    captured = function.captured_inputs
    own = function.inputs[len(function.inputs) - len(captured) :]
    values = {x.name: value for x, value in zip(own, captured, strict=True)}
    for entry in [entry for entry in proto.graph.input if entry.name in values]:
        constant = onnx.numpy_helper.from_array(values[entry.name].numpy(), entry.name)
        proto.graph.initializer.append(constant)
        proto.graph.input.remove(entry)
