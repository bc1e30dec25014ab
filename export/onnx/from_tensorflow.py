"""A deployed network as an .onnx graph, by tf2onnx and in little memory.

tf2onnx copies weights with every TensorFlow graph that it makes, some ten times. So the function is
traced with its large kernels as arguments, and frozen and optimized without their values. Then each
argument becomes a constant of one number, and tf2onnx is given the values when it writes nodes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from keras_seg.export.errors import ExportError
from keras_seg.export.network.function import function_to_convert
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.onnx.on_disk import WEIGHTS, moved_to
from keras_seg.export.onnx.operators import WRITERS
from keras_seg.export.onnx.opset import NEWEST_OF_TF2ONNX
from keras_seg.export.options import DEFAULT_OPSET

LARGE = 2**14
"""Number of values from which on a kernel stays outside of TensorFlow's graphs."""
ON_DISK = 2**14
"""Number of bytes from which on a constant is written to a file of its own."""


class Kernels(Mapping[str, bytes]):
    """Name of a kernel in the graphs → its values, which are copied when they are asked for."""

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        # tensors share the memory of their variables, which cannot be read within a graph
        tensors = [tf.convert_to_tensor(each.value) for each in variables]
        self.tensors = {f"kernel_{i}": tensor for i, tensor in enumerate(tensors)}

    def __getitem__(self, name: str) -> bytes:
        return np.asarray(self.tensors[name]).tobytes()

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def onnx_of(deployed: keras.Model, network: NetworkToExport, folder: Path) -> onnx.ModelProto:
    """The graph of a deployed network as tf2onnx writes it.

    Args:
        folder: the large constants are written to a file in it, to which the graph refers.

    Raises: ExportError with what tf2onnx says.
    """
    large = [
        each
        for each in deployed.variables
        if np.prod(each.shape) >= LARGE and each.dtype == "float32"
    ]
    kernels = Kernels(large)
    function, spec = function_to_convert(
        deployed,
        network.options,
        network.options.input,
        from_logits=network.from_logits,
        multi_label=network.card.multi_label,
        threshold=network.card.threshold,
        variables=large,
    )
    specs = [tf.TensorSpec(each.shape, each.dtype, name) for name, each in kernels.tensors.items()]
    concrete = function.get_concrete_function(spec, *specs)
    try:
        return _converted(concrete, kernels, network, folder)
    except Exception as error:  # tf2onnx raises whatever its rewriters run into
        raise ExportError(f"tf2onnx cannot write this network. It says: {error}") from error


def _converted(
    concrete: tf.types.experimental.ConcreteFunction,
    kernels: Kernels,
    network: NetworkToExport,
    folder: Path,
) -> onnx.ModelProto:
    inputs, outputs = (
        [tensor.name for tensor in ends if tensor.dtype != tf.resource]
        for ends in (concrete.inputs, concrete.outputs)
    )
    with tf.device("/cpu:0"):
        frozen = tf2onnx.tf_loader.from_function(concrete, inputs, outputs)
    for node in frozen.node:
        if node.name in kernels:
            _make_constant(node)
    names = [name for name in inputs if name.removesuffix(":0") not in kernels], outputs
    arguments = frozen, concrete, names, kernels, network, folder
    try:
        proto = _written(*arguments, catch_errors=False)
    except Exception:  # a pass failed and spoilt the graph; with copies tf2onnx undoes it
        proto = _written(*arguments, catch_errors=True)
    _hold_constants(proto, concrete)
    return proto


def _make_constant(node: tf.compat.v1.NodeDef) -> None:
    """Turns an argument into a constant that is zero everywhere, which is stored as one number."""
    shape, dtype = node.attr["shape"].shape, node.attr["dtype"].type
    node.op = "Const"
    node.ClearField("attr")
    node.attr["dtype"].type = dtype
    tensor = node.attr["value"].tensor
    tensor.dtype = dtype
    tensor.tensor_shape.CopyFrom(shape)
    tensor.float_val.append(0.0)


def _written(
    frozen: tf.compat.v1.GraphDef,
    concrete: tf.types.experimental.ConcreteFunction,
    names: tuple[list[str], list[str]],
    kernels: Kernels,
    network: NetworkToExport,
    folder: Path,
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
            # after the image come constants that layers hold, which keep their names
            tensors_to_rename=tf2onnx.convert.tensor_names_from_structed(
                concrete, names[0][:1], names[1]
            ),
        )
        onnx_graph = tf2onnx.optimizer.optimize_graph(onnx_graph, catch_errors)
        _put_on_disk(onnx_graph, folder / WEIGHTS)
        return onnx_graph.make_model(f"converted from {concrete.name}")


def _put_on_disk(graph: tf2onnx.graph.Graph, path: Path) -> None:
    """Writes the large constants of a graph of tf2onnx to a file, since the model copies all."""
    with path.open("wb") as file:
        for node in graph.get_nodes():
            if node.is_const() and len(node.attr["value"].t.raw_data) >= ON_DISK:
                node.set_attr("value", moved_to(file, node.attr["value"].t))


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
