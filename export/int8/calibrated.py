"""A converted network with the range of every tensor.

From it, files with any mixture of int8 and float are made in a fraction of a second each, by
TensorFlow's own quantizer. That quantizer makes int8 files, too, so a mixed file that keeps nothing
in float is the int8 file. The package ai-edge-quantizer, made for the same task, supports neither
ARG_MAX nor comparisons, which class maps and pooling indices need, and chooses scales in another
way.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize

from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.tflite.convert import layer_of, tflite_graph, types_of_ends
from keras_seg.export.tflite.graph import Graph, Operator, read_graphs
from keras_seg.export.tflite.measured_ranges import only_measured, with_ranges
from keras_seg.export.tflite.metadata import read_model, write_model

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
"""Operators that are worth a conversion to int8 and back, since they have weights."""


@dataclass(frozen=True)
class Calibrated:
    """A float .tflite file that carries the range of every tensor.

    Attributes:
        content: the bytes of the file.
        graph: the graph of the file.
        layers: Keras layer → numbers of its operators that read or write floats.
        input_type: type of the image in the files to make.
        output_type: type of the output in the files to make.
        per_channel: whether weights get a scale per channel.
    """

    content: bytes
    graph: Graph
    layers: dict[str, frozenset[int]]
    input_type: tf.DType
    output_type: tf.DType
    per_channel: bool = True

    @classmethod
    def measured(
        cls,
        deployed: keras.Model,
        network: NetworkToExport,
        images: Sequence[np.ndarray],
    ) -> Calibrated:
        """Converts a deployed network and runs it on (H, W, C) uint8 images.

        Raises: ExportError that names the operators which TFLite does not have.
        """
        content = tflite_graph(deployed, network, images, only_measured)
        graph = read_graphs(content)[0]
        layers = defaultdict(set)
        for i, operator in enumerate(graph.operators):
            if touches_floats(graph, operator):
                layers[_layer(graph, operator, deployed)].add(i)
        return cls(
            content,
            graph,
            {name: frozenset(operators) for name, operators in layers.items()},
            *types_of_ends(network.options),
            network.options.device.per_channel,
        )

    def quantized(self, kept: frozenset[int]) -> bytes:
        """A .tflite file in int8, except the operators with these numbers, which stay float."""
        operators = [self.graph.operators[i] for i in kept]
        # The quantizer finds an operator by the name of its result. One with several results it
        # finds only by its kind, so all operators of that kind become float.
        several = {operator.kind for operator in operators if len(operator.outputs) > 1}
        names = {self.graph.tensors[operator.outputs[0]].name for operator in operators}
        with _silent():  # the quantizer prints its options each time
            return mlir_quantize(
                self.content,
                disable_per_channel=not self.per_channel,
                input_data_type=self.input_type,
                output_data_type=self.output_type,
                denylisted_ops=several,
                denylisted_nodes=names,
            )

    def with_ranges(self, low: np.ndarray, high: np.ndarray) -> Calibrated:
        """The same network with other ranges, one number per tensor; NaN changes nothing."""
        return replace(self, content=with_ranges(self.content, low, high))

    def until_scores(self) -> Calibrated:
        """The same network with float images, cut off at the scores, before the class map."""
        makers, (tensor,) = self.graph.producers(), self.graph.outputs
        while self.graph.tensors[tensor].dtype != "FLOAT32":
            tensor = self.graph.operators[makers[tensor]].inputs[0]
        model = read_model(self.content)
        model.subgraphs[0].outputs = [tensor]
        model.signatureDefs = []
        content = write_model(model)
        return replace(
            self,
            content=content,
            graph=replace(self.graph, outputs=(tensor,)),
            input_type=tf.float32,
            output_type=tf.float32,
        )


def with_enclosed(graph: Graph, kept: frozenset[int]) -> frozenset[int]:
    """Adds operators without weights all of whose neighbours are kept in float.

    In int8 they would cost two conversions and gain nothing.
    """
    waiting = {
        i
        for i, operator in enumerate(graph.operators)
        if i not in kept and operator.kind not in WEIGHTED and touches_floats(graph, operator)
    }
    around = _neighbours(graph)
    while waiting:
        group = {waiting.pop()}
        while edge := {i for j in group for i in around[j]} & waiting:
            group |= edge
            waiting -= edge
        outside = set().union(*(around[i] for i in group)) - group
        if outside <= kept:
            kept |= group
    return kept


def touches_floats(graph: Graph, operator: Operator) -> bool:
    """Whether an operator reads or writes a float map, so that it could be quantized."""
    ends = graph.computed_inputs(operator) + [graph.tensors[i] for i in operator.outputs]
    return any(tensor.dtype == "FLOAT32" for tensor in ends)


def _neighbours(graph: Graph) -> dict[int, set[int]]:
    """Operator → operators that share a float map with it; -1 stands for input and output."""
    makers, around = graph.producers(), defaultdict(set)
    for i, operator in enumerate(graph.operators):
        for tensor in operator.inputs:
            if graph.tensors[tensor].dtype == "FLOAT32" and not graph.tensors[tensor].constant:
                maker = makers.get(tensor, -1)
                around[i].add(maker)
                around[maker].add(i)
    for tensor in graph.outputs:
        around[makers[tensor]].add(-1)
    return around


def _layer(graph: Graph, operator: Operator, model: keras.Model) -> str:
    """The layer that an operator comes from; for a fused operator, the first of its layers."""
    node = graph.tensors[operator.outputs[0]].name.split(";")[-1]
    layer = layer_of(node, model)
    return "output" if layer == node else layer  # the head, and what has its name


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppresses what compiled code prints to standard error."""
    before = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
