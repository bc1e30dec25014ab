"""Exports networks with random weights, for benchmarks that only measure time."""

from __future__ import annotations

from pathlib import Path

import keras


def write(model: keras.Model, path: Path, quantize: str | None) -> None:
    """The file that `export` makes, which is not compared with Keras here.

    Integers have the ranges of the calibration image: where these are bad, as they often are for
    random weights, `export` looks for better ones, which says nothing of trained networks.

    Raises: ExportError for a network that the format cannot hold.
    """
    from keras_seg.card import ModelCard
    from keras_seg.data import BuiltinDataset, ClassTable
    from keras_seg.export.network.deployed import model_of_file
    from keras_seg.export.onnx.convert import to_onnx
    from keras_seg.export.options import Request
    from keras_seg.export.tflite.convert import to_tflite
    from keras_seg.models import for_inference

    shape, classes = model.input_shape[1:], for_inference(model).output_shape[-1]
    (sample,) = BuiltinDataset("streets", size=shape[:2], length=1)
    format = path.suffix.removeprefix(".")
    request = Request(path, format, quantize, "float32", "logits", "auto", 1.0, None)
    deployed = model_of_file(for_inference(model), shape, request)
    if format == "onnx":
        card = ModelCard(ClassTable.numbered(classes))
        path.write_bytes(to_onnx(deployed, request, card, [sample.image]))
    else:
        path.write_bytes(to_tflite(deployed, request, [sample.image]))
