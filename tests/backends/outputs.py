"""Networks with several outputs: the losses of three steps of `model.fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.backends.networks import with_reference_weights
from tests.backends.processes import CLASSES, batch
from tests.backends.studies import REFERENCE, SEVERAL_OUTPUTS, Arrays

SIZE = (2, 64, 64)


def prepare(case: str, folder: Path) -> Any:
    """The tiny network with the weights of TensorFlow's process."""
    from keras_seg import models

    name, options = SEVERAL_OUTPUTS[case]
    _, height, width = SIZE
    tiny = models.find(name).tiny
    model = models.build(name, (height, width, 3), CLASSES, **tiny | options)
    return with_reference_weights(model, case, folder)


def fit(model: Any, folder: Path, case: str) -> Arrays:
    """Sum of losses, and loss of every output, in three steps with SGD; mIoU of the logits."""
    import keras

    from keras_seg import training

    images, masks = batch(*SIZE)
    arguments = training.output_losses(model, "cross_entropy", num_classes=CLASSES)
    model.compile(
        keras.optimizers.SGD(0.01),
        **arguments,
        jit_compile=keras.backend.backend() == "jax",
        run_eagerly=keras.backend.backend() == REFERENCE,
    )
    masks = dict.fromkeys(model.output, masks)
    logs = model.fit(images, masks, batch_size=2, epochs=3, verbose=0, shuffle=False).history
    if len(logs) < 3:
        raise ValueError(f"the losses of several outputs are missing: {sorted(logs)}")
    return {key: np.asarray(values) for key, values in logs.items()}


STEPS = {"fit": fit}
