"""TensorFlow's converter with fewer copies of the weights on its way.

The converter makes a frozen graph into a function again, although it needs the graph alone, and
keeps both until it ends. That is eight copies of all weights.
"""

from __future__ import annotations

import gc

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants


def converter_of(concrete: tf.types.experimental.ConcreteFunction) -> tf.lite.TFLiteConverter:
    """TensorFlow's converter of a function, whose variables become constants.

    Without a trackable object they do, and fold; with one, a Keras 3 model's variables stay
    resources of the file.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter._freeze_concrete_function = lambda: _frozen(concrete)
    return converter


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


def _frozen(concrete: tf.types.experimental.ConcreteFunction) -> tuple:
    """What the converter asks for: a frozen graph, its inputs, its outputs, and no function."""
    data = convert_to_constants._FunctionConverterDataInEager(
        func=concrete, lower_control_flow=False, aggressive_inlining=False
    )
    graph, _ = convert_to_constants._replace_variables_by_constants(converter_data=data)
    del data
    gc.collect()  # its nodes refer to each other, and hold all weights
    # the last inputs are what the function captured, which became constants: variables, and tensors
    # such as the mean of Keras' Normalization
    inputs = concrete.inputs[: len(concrete.inputs) - len(concrete.captured_inputs)]
    return GivenOnce(graph), inputs, concrete.outputs, None
