"""The one place where layers ask which backend Keras runs on."""

from __future__ import annotations

import keras


def on_tensorflow() -> bool:
    """Whether tensors are TensorFlow's.

    Layers compute with `keras.ops`. A few use an operator of TensorFlow there, for exported files
    or for speed, in one small function with the neutral form beside it. That function imports
    TensorFlow itself, so that the layers work where TensorFlow is not installed.
    """
    return keras.backend.backend() == "tensorflow"
