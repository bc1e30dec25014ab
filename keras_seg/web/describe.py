"""The facts about a model file that the page needs to give the results of the Python runner."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_seg import inference
from keras_seg.card import CARD_ENTRY, ModelCard
from keras_seg.inference.files.label_masks import MASK_ENDING, mask_endings
from keras_seg.inference.prediction import Runner
from keras_seg.inference.sizing import resolve_sizing
from keras_seg.inference.tflite_file import read_metadata
from keras_seg.inference.tflite_runner import quantized

FORMATS = {".tflite": "tflite", ".onnx": "onnx"}
PAGE_TYPES = {"tflite": ("float32", "uint8", "int32"), "onnx": ("float32", "uint8")}
"""Types of images and scores that the runtimes support in a browser."""


def describe(file: Path, sizing: str = "auto") -> dict:
    """Returns the facts about a model file that the page reads, ready for JSON.

    Args:
        file: a .tflite or .onnx file.
        sizing: how images of other sizes are fitted to the network.

    Returns: file, format, height, width, channels, head, sizing, layout, network, classes (names
        and colours), background (the class that is not drawn, or None), value_range (black and
        white of images with more than 8 bits, or None), multi_label, file_names (of the masks of
        labels, or None), threshold (one number, or one per label), input_type, output_type,
        pixel_values (input value for each of the 256 pixel values), and output_scale and
        output_zero_point (None for scores that are not quantized).

    Raises: ValueError for another suffix, a damaged file, a free size, a file without a card, more
        channels than an image in a browser has, or types that the runtime does not support.
    """
    file = Path(file)
    format = FORMATS.get(file.suffix.lower())
    if format is None:
        raise ValueError(
            f"A browser runs .tflite and .onnx files. Received: {file}. "
            f"Export it first: keras-seg export {file} --format tflite"
        )
    runner = inference.load(file)
    card, shape = runner.card, runner.input_shape
    tensors = (_tflite_tensors if format == "tflite" else _onnx_tensors)(file)
    _check(runner, file)
    for part in ("input", "output"):
        if tensors[f"{part}_type"] not in PAGE_TYPES[format]:
            raise ValueError(
                f"The {part} of {file} has type {tensors[f'{part}_type']}; in a browser {format} "
                f"files have {', '.join(PAGE_TYPES[format])}. Export it with --input uint8 or "
                "float32 and --head argmax."
            )
    return {
        "file": f"model{file.suffix.lower()}",
        "format": format,
        "height": shape[0],
        "width": shape[1],
        "channels": shape[2],
        "head": card.head,
        "sizing": resolve_sizing(sizing, card),
        "layout": card.layout,
        "network": card.network,
        "classes": card.classes.to_dict(),
        "background": card.classes.background,
        "value_range": card.value_range,
        "multi_label": card.multi_label,
        "file_names": _file_names(card) if card.multi_label else None,
        "threshold": 0.5 if card.threshold is None else card.threshold,
        **tensors,
    }


def _file_names(card: ModelCard) -> list[str]:
    """The labels in the form that file names take, as `keras-seg predict` writes them."""
    endings = mask_endings(card.classes, multi_label=True)
    return [ending.removeprefix("_").removesuffix(MASK_ENDING) for ending in endings]


def _check(runner: Runner, file: Path) -> None:
    height, width, channels = runner.input_shape
    if height is None or width is None:
        raise ValueError(
            f"{file} takes images of any size, but a page needs a fixed size. Export it with "
            "--input_shape 256 256 or another height and width."
        )
    if channels not in (1, 3):
        raise ValueError(
            f"{file} takes images of {channels} channels; a browser gives 3 (or 1, grey). Run it "
            "with `keras-seg predict`."
        )


def _tflite_tensors(file: Path) -> dict:
    from ai_edge_litert.interpreter import Interpreter

    _require_card(read_metadata(file.read_bytes(), CARD_ENTRY), file)
    interpreter = Interpreter(model_path=str(file))
    image, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = output["quantization"]
    return {
        "input_type": np.dtype(image["dtype"]).name,
        "output_type": np.dtype(output["dtype"]).name,
        "pixel_values": quantized(np.arange(256, dtype=np.uint8), image).tolist(),
        "output_scale": float(np.float32(scale)) if scale else None,
        "output_zero_point": int(zero_point) if scale else None,
    }


def _onnx_tensors(file: Path) -> dict:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    _require_card(session.get_modelmeta().custom_metadata_map.get(CARD_ENTRY), file)
    names = {"tensor(float)": "float32"}
    types = [part[0].type for part in (session.get_inputs(), session.get_outputs())]
    types = [names.get(kind, kind.removeprefix("tensor(").removesuffix(")")) for kind in types]
    return {
        "input_type": types[0],
        "output_type": types[1],
        "pixel_values": list(range(256)),
        "output_scale": None,
        "output_zero_point": None,
    }


def _require_card(card: str | bytes | None, file: Path) -> None:
    if card is None:
        raise ValueError(
            f"{file} has no card, which `keras-seg export` writes and which names the classes. "
            "Export the model with keras-seg."
        )
