"""Classic segmentation networks: trained with `model.fit`, exported to TFLite and ONNX.

Subpackages load when they are first used, so that `import keras_seg` and `keras-seg --help` do not
wait for TensorFlow:

    import keras_seg
    model = keras_seg.models.unet((None, None, 3), num_classes=2)

Imported before or after Keras, it registers every layer, loss and metric, so that
`keras.saving.load_model` opens saved models (`keras_seg.keras_registration`).
"""

from keras_seg.former_modules import accept_former_modules
from keras_seg.keras_registration import register_with_keras
from keras_seg.lazy import lazy_names
from keras_seg.names_elsewhere import advice, metric_here
from keras_seg.version import __version__

_SUBPACKAGES = (
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
    "report",
    "training",
)

__all__ = ["__version__", *_SUBPACKAGES]


def _name_here(name: str) -> str | None:
    """The loss or metric that is similar to one of another package."""
    if name.startswith("_") or advice(name):
        return None
    if metric := metric_here(name):
        return f"keras_seg.metrics.{metric}"
    from keras_seg.losses.spec import name_here

    return (loss := name_here(name)) and f"keras_seg.losses.get({loss!r})"


__getattr__, __dir__ = lazy_names(
    __name__, {name: f"keras_seg.{name}" for name in _SUBPACKAGES}, name_here=_name_here
)

register_with_keras()
accept_former_modules()
