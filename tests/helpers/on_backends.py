"""Values of layers on this process' backend of Keras, and on JAX in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np


def arrays_on_jax(module: str, path: Path) -> dict[str, np.ndarray]:
    """What a module of the tests writes to an .npz file on JAX. Its "backend" is checked."""
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, path],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    arrays = dict(np.load(path))
    assert arrays.pop("backend") == "jax"
    return arrays


def gradient(loss: Callable, variables: Any) -> tuple[Any, Any]:
    """The gradient of a loss, compiled by JAX or traced by TensorFlow, and its other results.

    Args:
        loss: function of the variables that returns (scalar, other results).
        variables: an array, or arrays in tuples and dictionaries.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.grad(loss, has_aux=True))(variables)
    import tensorflow as tf

    @tf.function
    def traced(variables: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(variables)
            scalar, results = loss(variables)
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(scalar, variables, unconnected_gradients=zero), results

    return traced(keras.tree.map_structure(tf.convert_to_tensor, variables))
