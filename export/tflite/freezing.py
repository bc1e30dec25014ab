"""TensorFlow's converter with fewer copies of the weights on its way.

The converter makes a frozen graph into a function again, although it needs the graph alone, and
keeps both until it ends. That is eight copies of all weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import lite
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework import convert_to_constants

from keras_seg.export.freed_memory import give_back_freed_memory
from keras_seg.export.tflite.late_weights import LateKernels
from keras_seg.export.tflite.metadata import as_tensorflow_writes

STAND_IN = b"the file is elsewhere"


def converter_of(concrete: tf.types.experimental.ConcreteFunction) -> tf.lite.TFLiteConverter:
    """TensorFlow's converter of a function, whose variables become constants.

    Without a trackable object they do, and fold; with one, a Keras 3 model's variables stay
    resources of the file.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter._freeze_concrete_function = lambda: _frozen(concrete, None)
    return converter


def write_kernels_late(
    converter: tf.lite.TFLiteConverter, concrete: tf.types.experimental.ConcreteFunction
) -> None:
    """Lets a converter of float files write large kernels at its end.

    `convert` then raises NotFilledError if a kernel has no place in the file. The methods of the
    converter hand each other the file and keep it until they end, so they get a stand-in for it.
    """
    kernels, files = LateKernels(), []
    convert, optimize, quantize = (
        lite._convert_graphdef,
        converter._optimize_tflite_model,
        converter._quantize,
    )
    calibrated = converter.representative_dataset is not None

    def convert_graph(*arguments: object, **words: object) -> bytes:
        files.append(kernels.fill(convert(*arguments, **words)))
        give_back_freed_memory()
        return STAND_IN

    def optimize_file(stand_in: bytes, *arguments: object, **words: object) -> bytes:
        return optimize(stand_in if calibrated else files.pop(), *arguments, **words)

    def quantize_file(stand_in: bytes, *arguments: object, **words: object) -> bytes:
        return quantize(files.pop(), *arguments, **words)

    def convert_all() -> bytes:
        with mock.patch.object(lite, "_convert_graphdef", convert_graph):
            return type(converter).convert(converter)

    converter._freeze_concrete_function = lambda: _frozen(concrete, kernels)
    converter._optimize_tflite_model = optimize_file
    converter._quantize = quantize_file
    converter.convert = convert_all


@contextlib.contextmanager
def files_written_in_little_memory() -> Iterator[None]:
    """Lets the converter's last steps, which are in Python, write files with fewer copies."""
    write = "convert_object_to_bytearray"
    with mock.patch.object(flatbuffer_utils, write, as_tensorflow_writes):
        yield


def has_float_kernels(converter: tf.lite.TFLiteConverter) -> bool:
    """Whether the converter leaves kernels in float32, at first if not in the end."""
    return not converter.optimizations or converter.representative_dataset is not None


class GivenOnce:
    """A graph that gives its content once, and keeps only what the converter looks at afterwards.

    Attributes:
        node: names, operators and origins of the nodes.
        library: the functions of the graph.
    """

    def __init__(self, graph: tf.compat.v1.GraphDef) -> None:
        self._graphs = [graph]
        light = tf.compat.v1.GraphDef(library=graph.library)
        for node in graph.node:
            light.node.add(
                name=node.name, op=node.op, experimental_debug_info=node.experimental_debug_info
            )
        self.node, self.library = light.node, light.library

    def SerializeToString(self) -> bytes:
        return self._graphs.pop().SerializeToString()


def _frozen(concrete: tf.types.experimental.ConcreteFunction, late: LateKernels | None) -> tuple:
    """What the converter asks for: a frozen graph, its inputs, its outputs, and no function."""
    data = convert_to_constants._FunctionConverterDataInEager(
        func=concrete, lower_control_flow=False, aggressive_inlining=False
    )
    graph, _ = convert_to_constants._replace_variables_by_constants(converter_data=data)
    del data
    if late is not None:
        late.take_from(graph, _values_of_variables(concrete))
    give_back_freed_memory()  # the nodes of `data` refer to each other, and hold all weights
    # the last inputs are what the function captured, which became constants: variables, and tensors
    # such as the mean of Keras' Normalization
    inputs = concrete.inputs[: len(concrete.inputs) - len(concrete.captured_inputs)]
    return GivenOnce(graph), inputs, concrete.outputs, None


def _values_of_variables(
    concrete: tf.types.experimental.ConcreteFunction,
) -> dict[str, np.ndarray]:
    """Name of a variable's constant in the frozen graph → its values, in the variable's memory."""
    captured = concrete.captured_inputs
    inputs = concrete.inputs[len(concrete.inputs) - len(captured) :]
    variables = {id(variable.handle): variable for variable in concrete.graph.variables}
    return {
        x.op.name: np.asarray(tf.convert_to_tensor(variables[id(value)]))
        for x, value in zip(inputs, captured, strict=True)
        if id(value) in variables
    }
