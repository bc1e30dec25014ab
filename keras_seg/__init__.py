"""Segmentation networks from their papers, trained with `model.fit`, proven equal on the device.

Rooms load when they are first used, so that `import keras_seg` and `keras-seg --help` do not wait
for TensorFlow:

    import keras_seg
    model = keras_seg.models.unet((None, None, 3), num_classes=2)

Beside Keras, imported before it or after, it registers every layer, loss and metric, so that
`keras.saving.load_model` opens what was saved (`keras_seg.keras_registration`).
"""

from keras_seg.keras_registration import register_with_keras
from keras_seg.lazy import lazy_names
from keras_seg.version import __version__

_ROOMS = (
    "backbones",
    "blocks",
    "checkpoints",
    "data",
    "export",
    "inference",
    "layers",
    "losses",
    "metrics",
    "models",
    "training",
)

__all__ = ["__version__", *_ROOMS]

__getattr__, __dir__ = lazy_names(__name__, {room: f"keras_seg.{room}" for room in _ROOMS})

register_with_keras()
