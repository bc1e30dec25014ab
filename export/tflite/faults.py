"""Operators of a .tflite graph that a device could not run, or would run badly."""

from __future__ import annotations

from collections import Counter

from keras_seg.export.tflite.graph import Graph

BATCH_OPERATORS = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
"""What a dilated convolution becomes if the batch is free: twice as slow."""
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "CAST")
"""Operators that only convert from one type to another."""
COMPARISONS = ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
"""Operators whose int8 kernels multiply by a scale that they take to be below 1."""


def problems_of(graphs: list[Graph]) -> list[str]:
    """What a device could not run, or would run badly, in words; empty is good."""
    problems = [problem for graph in graphs for problem in broken_comparisons(graph)]
    counts = sum((graph.counts() for graph in graphs), Counter())
    return problems + [
        f"{kind} x {counts[kind]}: {why}" for kind in sorted(counts) if (why := _why_not(kind))
    ]


def broken_comparisons(graph: Graph) -> list[str]:
    """Comparisons of integers whose quantization step is 1 or more.

    LiteRT's kernels then treat all numbers as equal, and some builds of it end the process.
    """
    return [
        f"{operator.kind} ({graph.tensors[operator.outputs[0]].name}): compares integers with a "
        "step of 1 or more, which LiteRT treats as equal; quantize='mixed' keeps it in float"
        for operator in graph.operators
        if operator.kind in COMPARISONS
        and any(
            tensor.dtype in ("INT8", "UINT8") and (tensor.scale or 0) >= 1
            for tensor in (graph.tensors[i] for i in operator.inputs)
        )
    ]


def float_islands(graph: Graph) -> list[str]:
    """ "operator (tensor)" that computes in float although the file computes in integers."""
    results = [
        (operator.kind, graph.tensors[i])
        for operator in graph.operators
        if operator.kind not in CONVERSIONS
        for i in operator.outputs
    ]
    if not any(tensor.dtype in ("INT8", "INT16") for _, tensor in results):
        return []
    return [
        f"{kind} ({tensor.name})"
        for kind, tensor in results
        if tensor.dtype in ("FLOAT32", "FLOAT16")
    ]


def _why_not(kind: str) -> str | None:
    if kind.startswith("custom "):
        return "not built into TFLite; the device would need a custom operator"
    if kind in BATCH_OPERATORS:
        return "part of a split dilated convolution, which halves its speed; export with batch 1"
    return None
