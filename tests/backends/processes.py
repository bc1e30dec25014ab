"""What the processes on all backends share: numbers, prediction, gradients and a cheap start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.backends.studies import REFERENCE, Arrays

CLASSES = 3


def use_double_precision() -> None:
    """Lets Keras compute in float64. JAX also needs JAX_ENABLE_X64=1 in the environment.

    On JAX and PyTorch, Keras promotes float64 to float32: `keras.backend.result_type("float64")`
    is "float32" there. Batch normalization, means and products would compute in float32.
    """
    import keras
    from keras.src.backend.common import dtypes

    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")


def is_double() -> bool:
    """Whether Keras computes in float64."""
    import keras

    return keras.config.floatx() == "float64"


def draw_with_numpy() -> None:
    """Lets the initializers of this process draw in NumPy on every backend.

    For networks whose weights are then replaced. JAX compiles each initializer for each shape of
    weights, which takes ten times as long as building the network.
    """
    from keras.src.backend import random

    for name in ("normal", "truncated_normal", "uniform"):
        setattr(random, name, _draw)


def _draw(shape: Any, *args: Any, dtype: Any = None, seed: Any = None, **options: Any) -> Any:
    import keras

    values = np.random.default_rng(0).normal(0, 0.05, shape)
    return keras.ops.convert_to_tensor(values, dtype or keras.config.floatx())


def leave_out_dropout() -> None:
    """Lets all layers of this process drop nothing, since random draws differ between backends."""
    from keras.src.backend import random

    random.dropout = lambda inputs, *args, **options: inputs


def widen_float32_layers(model: Any) -> None:
    """Sets the layers that compute in float32 under every policy to float64."""
    for layer in model._flatten_layers():
        if layer.compute_dtype == "float32":
            layer.dtype_policy = "float64"


def predicted(model: Any, images: Any) -> Any:
    """The outputs for one batch at inference, compiled by XLA on JAX.

    TensorFlow computes them without a graph, and so without the time that one takes.
    """
    import keras

    if keras.backend.backend() == REFERENCE:
        return model(images, training=False)
    return model.predict(images, verbose=0)


def batch(count: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of noise, and masks with two rows of ignored pixels."""
    import keras

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, height, width, 3)).astype(keras.config.floatx())
    masks = rng.integers(0, CLASSES, (count, height, width)).astype("int32")
    masks[:, :2] = 255
    return images, masks


def cross_entropy(masks: Any, logits: Any) -> Any:
    """Mean cross-entropy of the counted pixels, in the precision of Keras.

    `keras_seg.losses` compute in float32 always, so float64 has its own formula.
    """
    from keras import ops

    from keras_seg import losses

    if not is_double():
        return losses.CrossEntropy()(masks, logits)
    masks = ops.cast(masks, "int32")
    counted = ops.cast(masks != 255, "float64")
    truth = ops.one_hot(ops.where(masks == 255, 0, masks), CLASSES, dtype="float64")
    values = ops.logsumexp(logits, axis=-1) - ops.sum(truth * logits, axis=-1)
    return ops.sum(values * counted) / ops.sum(counted)


def differentiated(model: Any, images: np.ndarray, masks: np.ndarray) -> tuple[Any, list[Any]]:
    """The logits, and the gradients of the cross-entropy for the images and all weights."""
    import keras

    return _GRADIENTS[keras.backend.backend()](model, images, masks)


def _by_tensorflow(model: Any, images: np.ndarray, masks: np.ndarray) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    pixels = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        logits = model(pixels, training=False)
        loss = cross_entropy(masks, logits)
    variables = [variable.value for variable in model.trainable_variables]
    zero = tf.UnconnectedGradients.ZERO
    return logits, tape.gradient(loss, [pixels, *variables], unconnected_gradients=zero)


def _by_jax(model: Any, images: np.ndarray, masks: np.ndarray) -> tuple[Any, list[Any]]:
    import jax

    variables = [variable.value for variable in model.trainable_variables]
    constants = [variable.value for variable in model.non_trainable_variables]

    def loss_of(pixels: Any, weights: list[Any]) -> tuple[Any, Any]:
        logits, _ = model.stateless_call(weights, constants, pixels, training=False)
        return cross_entropy(masks, logits), logits

    gradient = jax.jit(jax.grad(loss_of, argnums=(0, 1), has_aux=True))
    (of_pixels, of_weights), logits = gradient(images, variables)
    return logits, [of_pixels, *of_weights]


def _by_torch(model: Any, images: np.ndarray, masks: np.ndarray) -> tuple[Any, list[Any]]:
    import torch

    pixels = torch.tensor(images, requires_grad=True)
    logits = model(pixels, training=False)
    cross_entropy(masks, logits).backward()
    tensors = [pixels, *(variable.value for variable in model.trainable_variables)]
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in tensors]
    return logits.detach(), gradients


_GRADIENTS: dict[str, Callable[[Any, np.ndarray, np.ndarray], tuple[Any, list[Any]]]] = {
    "tensorflow": _by_tensorflow,
    "jax": _by_jax,
    "torch": _by_torch,
}


def numbered(arrays: Sequence[Any]) -> Arrays:
    """The arrays of a list, by their place in it."""
    return {str(number): np.asarray(array) for number, array in enumerate(arrays)}
