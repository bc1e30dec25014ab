"""Memory between encoder and decoder, measured from the model."""

from __future__ import annotations

import keras
import numpy as np


def between_the_halves(model: keras.Model, last_layer: str) -> list[dict]:
    """The tensors that cross from the encoder to the decoder, at the model's own input size.

    The encoder is `last_layer` and everything that it is computed from. A tensor of which the
    decoder reads only the size does not count; this is tested by running the decoder with zeros in
    its place.

    Returns: name, shape, dtype, bytes per image, and whether it is the bottleneck's output.
    """
    encoder = _with_ancestors(model.get_layer(last_layer))
    crossing = {}
    for operation in model.operations:
        if operation in encoder:
            continue
        for node in operation._inbound_nodes:
            for tensor in node.input_tensors:
                if tensor._keras_history.operation in encoder:
                    crossing[id(tensor)] = tensor
    tensors = [*crossing.values()]
    values = _values(model, tensors)
    decoder = keras.Model(tensors, model.output)
    expected = np.asarray(decoder(values))
    found = []
    for i, (tensor, value) in enumerate(zip(tensors, values, strict=True)):
        blanked = [*values[:i], np.zeros_like(value), *values[i + 1 :]]
        if np.array_equal(decoder(blanked), expected):
            continue
        found.append(
            {
                "name": tensor.name,
                "shape": list(value.shape[1:]),
                "dtype": str(value.dtype),
                "bytes": value.nbytes,
                "bottleneck": _is_output(tensor, last_layer) and value.dtype != np.uint8,
            }
        )
    return found


def _values(model, tensors) -> list[np.ndarray]:
    image = np.random.default_rng(0).uniform(0, 255, (1, *model.input_shape[1:]))
    results = keras.Model(model.inputs, tensors)([image.astype("float32")])
    return [np.asarray(result) for result in results]


def _is_output(tensor, layer_name: str) -> bool:
    return tensor._keras_history.operation.name == layer_name


def _with_ancestors(operation) -> set:
    found, waiting = set(), [operation]
    while waiting:
        operation = waiting.pop()
        if operation not in found:
            found.add(operation)
            waiting += [parent.operation for parent in operation._inbound_nodes[0].parent_nodes]
    return found
