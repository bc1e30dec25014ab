"""What `python -m tests.backends` runs in the process of each backend.

    KERAS_BACKEND=jax python -m tests.backend_steps FOLDER unet segnet

TensorFlow's process comes first: it leaves its weights and files in the folder for the others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

REFERENCE = "tensorflow"
SIZE, CLASSES = (64, 96), 3
NUDGED = ("nudged-0", "nudged-1", "nudged-2")
"""TensorFlow with weights that start a share of `NUDGE` of themselves higher or lower."""
NUDGE = 1e-6
Arrays = dict[str, np.ndarray]


def problems_file(folder: Path, backend: str) -> Path:
    """Where a process writes network → step → what failed."""
    return Path(folder, f"{backend}.json")


def arrays_file(folder: Path, backend: str, network: str, step: str) -> Path:
    """Where a process writes what a step computed."""
    return Path(folder, f"{backend}-{network}-{step}.npz")


def work(folder: Path, networks: Sequence[str]) -> None:
    """Runs all steps of the networks on this process's backend; writes arrays and problems."""
    import keras

    backend = keras.backend.backend()
    problems: dict[str, dict[str, str]] = {}
    for name in networks:
        problems[name] = {}
        try:
            model = _with_reference_weights(name, backend, folder)
        except Exception as error:
            problems[name] = dict.fromkeys(WORK, _one_line(error))
            continue
        for step, compute in WORK.items():
            try:
                arrays = compute(model, folder, name)
                np.savez(arrays_file(folder, backend, name, step), **arrays)
            except Exception as error:
                problems[name][step] = _one_line(error)
        if backend == REFERENCE:
            for number in range(len(NUDGED)):
                _work_nudged(name, folder, number)
        keras.utils.clear_session()
    problems_file(folder, backend).write_text(json.dumps(problems))


def _work_nudged(name: str, folder: Path, number: int) -> None:
    model = _with_reference_weights(name, NUDGED[number], folder)
    rng = np.random.default_rng(number)
    for variable in model.trainable_variables:
        signs = rng.choice(np.array([-1, 1], "float32"), tuple(variable.shape))
        variable.assign(variable.numpy() * (1 + NUDGE * signs))
    for step in ("gradient", "fit"):
        arrays = WORK[step](model, folder, name)
        np.savez(arrays_file(folder, NUDGED[number], name, step), **arrays)


def _with_reference_weights(name: str, backend: str, folder: Path) -> Any:
    """The tiny network, without dropout, with the weights of TensorFlow's process."""
    import keras

    from keras_seg import models

    keras.utils.set_random_seed(0)
    model = models.build(name, (*SIZE, 3), CLASSES, **models.find(name).tiny)
    for layer in model.layers:
        if getattr(layer, "rate", 0):
            layer.rate = 0.0  # random draws differ between backends
    path = Path(folder, f"weights-{name}.npz")
    if backend == REFERENCE:
        np.savez(path, **_numbered(model.get_weights()))
    with np.load(path) as weights:
        model.set_weights([weights[str(i)] for i in range(len(weights))])
    return model


def _forward(model: Any, folder: Path, name: str) -> Arrays:
    import keras

    images, _ = _batch()
    return _numbered(keras.tree.flatten(_predicted(model, images)))


def _predicted(model: Any, images: np.ndarray) -> Any:
    """`model.predict`; for the reference without the time that a graph takes."""
    import keras

    if keras.backend.backend() == REFERENCE:
        return model(images, training=False)
    return model.predict(images, verbose=0)


def _gradient(model: Any, folder: Path, name: str) -> Arrays:
    import keras

    images, masks = _batch()
    differentiate = GRADIENTS[keras.backend.backend()]
    return _numbered([np.asarray(values) for values in differentiate(model, images, masks)])


def _save(model: Any, folder: Path, name: str) -> Arrays:
    """Outputs of the saved and loaded network.

    Raises: ValueError if the file that TensorFlow's process wrote holds something else.
    """
    import keras

    from keras_seg import models
    from keras_seg.data.classes import ClassTable

    images, _ = _batch()
    own = Path(folder, f"{keras.backend.backend()}-{name}.keras")
    models.save(model, own, models.ModelCard(ClassTable.numbered(CLASSES)))
    loaded = models.load(own)
    of_reference = models.load(Path(folder, f"{REFERENCE}-{name}.keras"))
    if of_reference.get_config() != loaded.get_config():
        raise ValueError("the file that TensorFlow wrote has another configuration")
    for one, other in zip(of_reference.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    return _numbered(keras.tree.flatten(_predicted(loaded, images)))


def _fit(model: Any, folder: Path, name: str) -> Arrays:
    """Loss and metric of two steps, and the change of the weights."""
    import keras

    from keras_seg import losses, metrics

    images, masks = _batch()
    trained_before, statistics_before = _values(model)
    model.compile(
        keras.optimizers.SGD(0.01),
        losses.CrossEntropy(),
        metrics=[metrics.MeanIoU(CLASSES)],
        jit_compile=keras.backend.backend() == "jax",
        run_eagerly=keras.backend.backend() == REFERENCE,
    )
    logs = model.fit(images, masks, batch_size=2, epochs=2, verbose=0, shuffle=False).history
    trained, statistics = _values(model)
    arrays = {
        "logs": np.asarray([logs["loss"], logs["mean_iou"]]),
        "trained": trained - trained_before,
    }
    if statistics.size:
        arrays["statistics"] = statistics - statistics_before
    return arrays


def _values(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """All trainable values, and all moving statistics, each as one vector."""
    import keras

    statistics = [v for v in model.non_trainable_variables if keras.backend.is_float_dtype(v.dtype)]
    vectors = [
        [keras.ops.convert_to_numpy(variable).ravel() for variable in variables]
        for variables in (model.trainable_variables, statistics)
    ]
    trained, moving = (np.concatenate(each or [np.zeros(0, "float32")]) for each in vectors)
    return trained, moving


WORK: dict[str, Callable[[Any, Path, str], Arrays]] = {
    "forward": _forward,
    "gradient": _gradient,
    "save": _save,
    "fit": _fit,
}
"""In this order, since `fit` changes the weights."""


def _tensorflow_gradients(model: Any, images: np.ndarray, masks: np.ndarray) -> list[Any]:
    import tensorflow as tf

    from keras_seg import losses

    pixels = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        loss = losses.CrossEntropy()(masks, model(pixels, training=False))
    variables = [variable.value for variable in model.trainable_variables]
    return tape.gradient(loss, [pixels, *variables])


def _jax_gradients(model: Any, images: np.ndarray, masks: np.ndarray) -> list[Any]:
    import jax

    from keras_seg import losses

    variables = [variable.value for variable in model.trainable_variables]
    constants = [variable.value for variable in model.non_trainable_variables]

    def loss_of(pixels: Any, weights: list[Any]) -> Any:
        outputs, _ = model.stateless_call(weights, constants, pixels, training=False)
        return losses.CrossEntropy()(masks, outputs)

    of_pixels, of_weights = jax.jit(jax.grad(loss_of, argnums=(0, 1)))(images, variables)
    return [of_pixels, *of_weights]


def _torch_gradients(model: Any, images: np.ndarray, masks: np.ndarray) -> list[Any]:
    import torch

    from keras_seg import losses

    pixels = torch.tensor(images, requires_grad=True)
    losses.CrossEntropy()(masks, model(pixels, training=False)).backward()
    variables = [variable.value for variable in model.trainable_variables]
    return [tensor.grad.numpy() for tensor in (pixels, *variables)]


GRADIENTS: dict[str, Callable[[Any, np.ndarray, np.ndarray], list[Any]]] = {
    "tensorflow": _tensorflow_gradients,
    "jax": _jax_gradients,
    "torch": _torch_gradients,
}


def _batch() -> tuple[np.ndarray, np.ndarray]:
    """Two images of noise, and masks with a row of ignored pixels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, *SIZE, 3)).astype("float32")
    masks = rng.integers(0, CLASSES, (2, *SIZE)).astype("int32")
    masks[:, :2] = 255
    return images, masks


def _numbered(arrays: Sequence[Any]) -> Arrays:
    return {str(number): np.asarray(array) for number, array in enumerate(arrays)}


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text}"[:200]


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2:])
