"""Exports networks with random weights, for benchmarks that only measure time."""

from __future__ import annotations

from pathlib import Path

import keras


def write(model: keras.Model, path: Path, quantize: str | None) -> None:
    """The file that `export` makes, which is not compared with Keras here.

    Integer files have the ranges of the calibration image. `export` would search for better ones,
    which random weights often need and trained networks do not.

    Raises: ExportError for a network that the format cannot hold.
    """
    from keras_seg.card import ModelCard
    from keras_seg.data import BuiltinDataset, ClassTable
    from keras_seg.export import ExportOptions
    from keras_seg.export.network.deployed import deploy
    from keras_seg.export.network_to_export import open_network
    from keras_seg.export.onnx.convert import CONVERTERS as ONNX
    from keras_seg.export.tflite.convert import CONVERTERS as TFLITE
    from keras_seg.models import for_inference

    shape, classes = model.input_shape[1:], for_inference(model).output_shape[-1]
    (sample,) = BuiltinDataset("streets", size=shape[:2], length=1)
    options = ExportOptions(quantize=quantize, head="logits").for_file(path)
    card = ModelCard(ClassTable.numbered(classes))
    network = open_network(for_inference(model), options, card)
    deployed = deploy(network.model, network.shape, network.options)
    convert = {"tflite": TFLITE, "onnx": ONNX}[network.options.format][quantize]
    path.write_bytes(convert(deployed, network, [sample.image], None).content)
