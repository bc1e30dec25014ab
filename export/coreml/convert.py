"""The deployed network as a Core ML package: an ML program that takes a picture.

`CONVERTERS` has a converter for each kind.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_seg.card import CARD_ENTRY, ModelCard
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.conversion import ConvertedFile, Converter
from keras_seg.export.coreml.package import (
    SUFFIX,
    import_coremltools,
    packed,
    without_progress,
)
from keras_seg.export.errors import ExportError
from keras_seg.export.kinds import UNCOMPARED
from keras_seg.export.network.function import function_to_convert
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.options import HEADS

COLOURS = {1: "GRAYSCALE", 3: "RGB"}
"""Number of channels → colour layout of the picture."""
PREVIEW = "com.apple.coreml.model.preview"
"""Prefix of the metadata from which Xcode shows the masks of a model."""


def coreml_converter(precision: str, *, int8_weights: bool = False) -> Converter:
    """The converter of a kind.

    Args:
        precision: "FLOAT32" or "FLOAT16", of the weights and the arithmetic.
        int8_weights: store the weights in int8, with a scale per channel. coremltools leaves
            tensors of up to 2048 weights as they are.
    """

    def convert(
        deployed: keras.Model,
        network: NetworkToExport,
        images: Sequence[np.ndarray] = (),
        evaluation: SegmentationDataset | None = None,
    ) -> ConvertedFile:
        with without_progress():
            model = _ml_program(deployed, network, precision)
            if int8_weights:
                model = _with_int8_weights(model)
            model = _described(model, network)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{SUFFIX}"
            model.save(str(path))
            return ConvertedFile(packed(path))

    return convert


CONVERTERS: dict[str | None, Converter] = {
    None: coreml_converter("FLOAT32"),
    "fp16": coreml_converter("FLOAT16"),
    "dynamic": coreml_converter("FLOAT16", int8_weights=True),
}
"""Value of `quantize` → converter."""


def _ml_program(deployed: keras.Model, network: NetworkToExport, precision: str) -> Any:
    """The network as coremltools' model, for iOS 16, macOS 13 and newer.

    Raises: ExportError for a network that Core ML cannot hold.
    """
    ct, options = import_coremltools(), network.options
    channels = network.shape[2]
    if channels not in COLOURS:
        raise ExportError(
            f"A picture in Core ML has 1 or 3 channels. Received: a network of {channels}. Write a "
            ".tflite or .onnx file."
        )
    function, spec = function_to_convert(
        deployed,
        options,
        "float32",
        from_logits=network.from_logits,
        multi_label=network.card.multi_label,
        threshold=network.card.threshold,
    )
    # of the forms that coremltools takes, a frozen function is the one with which all others work
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    picture = ct.ImageType(
        name="image",
        shape=tuple(spec.shape),
        color_layout=getattr(ct.colorlayout, COLOURS[channels]),
    )
    try:
        return ct.convert(
            [frozen],
            source="tensorflow",
            inputs=[picture],
            convert_to="mlprogram",
            compute_precision=getattr(ct.precision, precision),
            minimum_deployment_target=ct.target.iOS16,
            skip_model_load=True,
        )
    except Exception as error:  # coremltools raises whatever its passes run into
        raise ExportError(
            f"coremltools cannot write this network. It says: {str(error).strip()[-600:]}"
        ) from error


def _with_int8_weights(model: Any) -> Any:
    """The model with its weights in int8."""
    ct = import_coremltools()
    weights = ct.optimize.coreml.OpLinearQuantizerConfig(mode="linear_symmetric")
    return ct.optimize.coreml.linear_quantize_weights(
        model, ct.optimize.coreml.OptimizationConfig(global_config=weights)
    )


def _described(model: Any, network: NetworkToExport) -> Any:
    """The model with the name of its output, the names of the classes, and the card."""
    ct, card = import_coremltools(), network.card
    spec, name = model.get_spec(), HEADS[network.options.head or "logits"]
    ct.utils.rename_feature(spec, spec.description.output[0].name, name)
    described = ct.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)
    described.short_description = f"Semantic segmentation: {', '.join(card.classes.names)}"
    record = json.loads(card.to_json())
    if not network.options.kind.runs_here:
        described.short_description += f". {UNCOMPARED[:1].upper()}{UNCOMPARED[1:]}."
        record["comparison"] = UNCOMPARED
    described.author, described.version = "keras_seg", card.version
    described.input_description["image"] = "a picture; normalisation is part of the model"
    described.output_description[name] = _meaning(card)
    described.user_defined_metadata[CARD_ENTRY] = json.dumps(record, indent=1)
    described.user_defined_metadata[f"{PREVIEW}.type"] = "imageSegmenter"
    described.user_defined_metadata[f"{PREVIEW}.params"] = json.dumps(
        {"labels": list(card.classes.names), "colors": list(map(_css, card.classes.colors))}
    )
    return described


def _meaning(card: ModelCard) -> str:
    if card.head == "argmax":
        return "the number of the class of each pixel, (1, height, width)"
    return f"{card.head} of each pixel, (1, height, width, {len(card.classes)} classes)"


def _css(color: tuple[int, int, int]) -> str:
    return "#{:02X}{:02X}{:02X}".format(*color)
