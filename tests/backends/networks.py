"""The thirteen networks: outputs, gradients, two steps of `model.fit`, and saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.backends.processes import (
    CLASSES,
    batch,
    cross_entropy,
    differentiated,
    is_double,
    numbered,
    predicted,
    widen_float32_layers,
)
from tests.backends.studies import REFERENCE, Arrays

SIZE = (2, 64, 96)


def prepare(name: str, folder: Path) -> Any:
    """The tiny network with the weights of TensorFlow's process."""
    from keras_seg import models

    _, height, width = SIZE
    model = models.build(name, (height, width, 3), CLASSES, **models.find(name).tiny)
    return with_reference_weights(model, name, folder)


def with_reference_weights(model: Any, case: str, folder: Path) -> Any:
    """Gives a model the weights of TensorFlow's process, which writes them."""
    import keras

    if is_double():
        widen_float32_layers(model)
    path = Path(folder, f"weights-{case}.npz")
    if keras.backend.backend() == REFERENCE and not path.exists():
        np.savez(path, **numbered(model.get_weights()))
    with np.load(path) as weights:
        model.set_weights([weights[str(i)] for i in range(len(weights))])
    return model


def forward(model: Any, folder: Path, name: str) -> Arrays:
    """Outputs at inference."""
    import keras

    images, _ = batch(*SIZE)
    return numbered(keras.tree.flatten(predicted(model, images)))


def gradient(model: Any, folder: Path, name: str) -> Arrays:
    """Gradients of the cross-entropy for the images and every trained weight."""
    return numbered(differentiated(model, *batch(*SIZE))[1])


def save(model: Any, folder: Path, name: str) -> Arrays:
    """Outputs of the saved and loaded network.

    Raises: ValueError if the file that TensorFlow's process wrote holds something else.
    """
    import keras

    from keras_seg import models
    from keras_seg.data.classes import ClassTable

    images, _ = batch(*SIZE)
    own = Path(folder, f"{keras.backend.backend()}-{name}.keras")
    models.save(model, own, models.ModelCard(ClassTable.numbered(CLASSES)))
    loaded = models.load(own)
    of_reference = models.load(Path(folder, f"{REFERENCE}-{name}.keras"))
    if of_reference.get_config() != loaded.get_config():
        raise ValueError("the file that TensorFlow wrote has another configuration")
    for one, other in zip(of_reference.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    return numbered(keras.tree.flatten(predicted(loaded, images)))


def fit(model: Any, folder: Path, name: str) -> Arrays:
    """Loss and mIoU of two steps with SGD, and the changes of the weights."""
    import keras

    from keras_seg import losses, metrics

    images, masks = batch(*SIZE)
    trained_before, statistics_before = _values(model)
    model.compile(
        keras.optimizers.SGD(0.01),
        cross_entropy if is_double() else losses.CrossEntropy(),
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


STEPS = {"forward": forward, "gradient": gradient, "save": save, "fit": fit}
"""In this order, since `fit` changes the weights."""
