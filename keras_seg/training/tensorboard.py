"""The callback that writes TensorBoard files."""

from __future__ import annotations

import io
from pathlib import Path

import keras
import tensorflow as tf

from keras_seg.training.history import History
from keras_seg.training.pictures import DrawOverlays

_Summary = tf.compat.v1.Summary


class TensorBoard(keras.callbacks.Callback):
    """Writes the scalars of each epoch and the overlays for TensorBoard."""

    def __init__(self, folder: Path, history: History, overlays: DrawOverlays | None):
        super().__init__()
        self.history, self.overlays = history, overlays
        self.writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        row, values = self.history.rows[-1], []
        scalars = {name: value for name, value in row.items() if isinstance(value, float)}
        scalars |= {f"val_iou/{n}": v for n, v in row["val_iou"].items() if v is not None}
        for name, value in scalars.items():
            values.append(_Summary.Value(tag=name, simple_value=value))
        if self.overlays is not None and self.overlays.sheet is not None:
            png = io.BytesIO()
            self.overlays.sheet.save(png, "PNG")
            image = _Summary.Image(encoded_image_string=png.getvalue(), colorspace=3)
            image.width, image.height = self.overlays.sheet.size
            values.append(_Summary.Value(tag="image, truth, prediction", image=image))
        with self.writer.as_default():
            # tf.summary.scalar and .image need the package tensorboard
            record = _Summary(value=values).SerializeToString()
            tf.summary.experimental.write_raw_pb(record, step=epoch + 1)
        self.writer.flush()
