"""A network with the range of every tensor, from which files of any mixture of int8 and float are
made in a fraction of a second each.

TensorFlow's own quantizer does it, the one that makes int8 files, so that a mixed file that keeps
nothing in float is the int8 file. It knows every operator of the networks here; the package
ai-edge-quantizer, made for the same task, knows neither ARG_MAX nor comparisons, of which class
maps and pooling indices are made, and brings a second way to choose scales.
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

from keras_seg.export.options import Request
from keras_seg.export.tflite.convert import calibrated_content, layer_of, types_of_ends
from keras_seg.export.tflite.graph import Graph, Operator, read_graphs
from keras_seg.export.tflite.metadata import read_model, write_model

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
"""Operators that are worth a conversion to int8 and back."""


@dataclass(frozen=True)
class Calibrated:
    """A float .tflite file that carries the range of every tensor.

    Attributes:
        content: its bytes.
        graph: what is in it.
        layers: Keras layer → numbers of the operators that it became, those that touch floats.
        input_type, output_type: of the files to make.
    """

    content: bytes
    graph: Graph
    layers: dict[str, frozenset[int]]
    input_type: tf.DType
    output_type: tf.DType

    @classmethod
    def measured(
        cls,
        model: keras.Model,
        request: Request,
        images: Sequence[np.ndarray],
        from_logits: bool,
        multi_label: bool = False,
    ) -> Calibrated:
        """Converts a deployed model and runs it on (H, W, C) uint8 images.

        Raises: ExportError that names the operators which TFLite does not have.
        """
        content = calibrated_content(model, request, images, from_logits, multi_label)
        graph = read_graphs(content)[0]
        layers = defaultdict(set)
        for i, operator in enumerate(graph.operators):
            if touches_floats(graph, operator):
                layers[_layer(graph, operator, model)].add(i)
        return cls(
            content,
            graph,
            {name: frozenset(operators) for name, operators in layers.items()},
            *types_of_ends(request),
        )

    def quantized(self, kept: frozenset[int]) -> bytes:
        """A .tflite file in int8 but for the operators of these numbers, which compute in float."""
        operators = [self.graph.operators[i] for i in kept]
        # the quantizer finds an operator by the name of its result; one of several results it
        # finds by its kind alone, so that all of that kind become float
        several = {operator.kind for operator in operators if len(operator.outputs) > 1}
        names = {self.graph.tensors[operator.outputs[0]].name for operator in operators}
        with _silent():  # the quantizer prints its options each time
            return mlir_quantize(
                self.content,
                input_data_type=self.input_type,
                output_data_type=self.output_type,
                denylisted_ops=several,
                denylisted_nodes=names,
            )

    def until_scores(self) -> Calibrated:
        """The same, but float images in and the scores out that a class map is made of."""
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
    """Adds operators without weights that only kept operators give to and take from.

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
    """Whether an operator takes or makes a float map, so that it could be quantized."""
    ends = graph.computed_inputs(operator) + [graph.tensors[i] for i in operator.outputs]
    return any(tensor.dtype == "FLOAT32" for tensor in ends)


def _neighbours(graph: Graph) -> dict[int, set[int]]:
    """Operator → those that it shares a float map with by making or taking it; -1: the outside."""
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
    """The layer that an operator comes from; of several that became one, the first to compute."""
    node = graph.tensors[operator.outputs[0]].name.split(";")[-1]
    found = layer_of(node, model)
    return "output" if found == node else found  # the head and what it shares a name with


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps back what compiled code prints to standard error."""
    before = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
