"""Steps of layers on the backend of the process: outputs, gradients, and weights after the step.

`KERAS_BACKEND=jax python -m tests.helpers.layer_steps FILE.npz` writes the values of JAX.
"""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np

from keras_seg import layers
from tests.helpers.on_backends import gradient as gradient_of

MAP = (2, 7, 10, 4)
LIKE = (2, 12, 5, 3)
POINT = (2, 1, 1, 4)
EQUALS = np.random.default_rng(1).integers(-2, 3, MAP).astype("float32")
"""A map in which windows have several equal maxima."""
VALUES = (2, 4, 5, 4)
POSITIONS = np.random.default_rng(2).integers(0, 8 * 10 * 4, VALUES).astype("int32")


def places(**options: Any) -> np.ndarray:
    """Positions of the maxima of `EQUALS`."""
    return keras.ops.convert_to_numpy(layers.MaxPoolingWithIndices2D(**options)(EQUALS)[1])


PLACES = places(pool_size=2)


CASES: dict[str, tuple[str, dict, dict]] = {
    # name: (layer, arguments, inputs: shapes, or the arrays themselves)
    "BatchNormalization": ("BatchNormalization", {}, {"inputs": MAP}),
    "BatchNormalization in training": (
        "BatchNormalization",
        {"momentum": 0.9},
        {"inputs": MAP},
    ),
    "BatchNormalization without scale in training": (
        "BatchNormalization",
        {"momentum": 0.9, "scale": False},
        {"inputs": MAP},
    ),
    "BatchNormalization of one value in training": (
        "BatchNormalization",
        {"momentum": 0.9},
        {"inputs": (1, 1, 1, 4)},
    ),
    "BatchNormalization of two values in training": (
        "BatchNormalization",
        {"momentum": 0.9},
        {"inputs": POINT},
    ),
    "BatchNormalization of vectors in training": (
        "BatchNormalization",
        {"momentum": 0.9},
        {"inputs": (3, 4)},
    ),
    "ChannelAttention": ("ChannelAttention", {}, {"x": MAP}),
    "LocalResponseNormalization": (
        "LocalResponseNormalization",
        {"size": 3, "alpha": 0.5},
        {"x": MAP},
    ),
    "MaxPoolingWithIndices2D": ("MaxPoolingWithIndices2D", {}, {"x": EQUALS}),
    "MaxPoolingWithIndices2D valid": (
        "MaxPoolingWithIndices2D",
        {"padding": "valid"},
        {"x": EQUALS},
    ),
    "MaxPoolingWithIndices2D overlapping": (
        "MaxPoolingWithIndices2D",
        {"pool_size": 3, "strides": 2},
        {"x": EQUALS},
    ),
    "MaxPoolingWithIndices2D overlapping valid": (
        "MaxPoolingWithIndices2D",
        {"pool_size": (3, 2), "strides": (2, 1), "padding": "valid"},
        {"x": EQUALS},
    ),
    "MaxPoolingWithIndices2D tiles": (
        "MaxPoolingWithIndices2D",
        {"pool_size": (2, 3)},
        {"x": EQUALS},
    ),
    "MaxPoolingWithIndices2D integers": (
        "MaxPoolingWithIndices2D",
        {"pool_size": 3, "strides": 2},
        {"x": EQUALS.astype("int32")},
    ),
    "MaxUnpooling2D": ("MaxUnpooling2D", {}, {"values": VALUES, "places": PLACES}),
    "MaxUnpooling2D odd": (
        "MaxUnpooling2D",
        {},
        {"values": VALUES, "places": PLACES, "like": MAP},
    ),
    "MaxUnpooling2D valid": (
        "MaxUnpooling2D",
        {"padding": "valid"},
        {"values": VALUES, "places": PLACES, "like": (2, 9, 11, 4)},
    ),
    "MaxUnpooling2D overlapping": (
        "MaxUnpooling2D",
        {"pool_size": 3, "strides": 2},
        {"values": VALUES, "places": places(pool_size=3, strides=2), "like": MAP},
    ),
    "MaxUnpooling2D tiles": (
        "MaxUnpooling2D",
        {"pool_size": (2, 3)},
        {"values": VALUES, "places": PLACES},
    ),
    "MaxUnpooling2D positions": (
        "MaxUnpooling2D",
        {},
        {"values": VALUES, "places": POSITIONS},
    ),
    "ObjectAttention": (
        "ObjectAttention",
        {},
        {"queries": MAP, "keys": (2, 3, 1, 4), "values": (2, 3, 1, 5)},
    ),
    "ObjectRegions": (
        "ObjectRegions",
        {},
        {"features": MAP, "scores": (2, 7, 10, 3)},
    ),
    "ParityPlanes": ("ParityPlanes", {}, {"x": MAP}),
    "PartWindows": (
        "PartWindows",
        {"parts": [[1], [2, 3]], "sides": [4, 5]},
        {"probabilities": np.exp(EQUALS), "like": LIKE},
    ),
    "PositionAttention": (
        "PositionAttention",
        {"query_chunk": 8},
        {"x": MAP, "query": (2, 7, 10, 3), "key": (2, 7, 10, 3), "value": MAP},
    ),
    "PositionAttention in training": (
        "PositionAttention",
        {"query_chunk": 8},
        {"x": MAP, "query": (2, 7, 10, 3), "key": (2, 7, 10, 3), "value": MAP},
    ),
}


def values(name: str) -> dict[str, np.ndarray]:
    """Outputs of a case, compiled as the backend does, its gradients, and its weights after it.

    Gradients are those of the inputs and weights that are floats.
    """
    kind, arguments, given = CASES[name]
    rng = np.random.default_rng(0)
    inputs = {
        key: x if isinstance(x, np.ndarray) else rng.normal(size=x).astype("float32")
        for key, x in given.items()
    }
    layer = getattr(layers, kind)(**arguments)
    layer(**inputs)
    layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    options = {"training": True} if name.endswith("in training") else {}
    constants = [variable.value for variable in layer.non_trainable_variables]
    differentiated = {key: x for key, x in inputs.items() if x.dtype == "float32"}

    def loss(variables: tuple) -> tuple[Any, tuple]:
        chosen, weights = variables
        outputs, state = layer.stateless_call(weights, constants, **inputs | chosen, **options)
        floats = [y for y in keras.tree.flatten(outputs) if "float" in str(y.dtype)]
        start = keras.ops.zeros(())
        return sum((keras.ops.sum(keras.ops.sin(3 * y)) for y in floats), start), (outputs, state)

    weights = [variable.value for variable in layer.trainable_variables]
    gradients, (outputs, state) = gradient_of(loss, (differentiated, weights))
    parts = {"output": outputs, "gradient": gradients, "state": state}
    return {
        f"{name}: {part} {i}": np.asarray(array)
        for part, arrays in parts.items()
        for i, array in enumerate(keras.tree.flatten(arrays))
    }


def all_values() -> dict[str, np.ndarray]:
    """Outputs, gradients and weights of all cases, by their names."""
    return {key: array for name in CASES for key, array in values(name).items()}


if __name__ == "__main__":
    np.savez(sys.argv[1], **all_values(), backend=np.array(keras.backend.backend()))
