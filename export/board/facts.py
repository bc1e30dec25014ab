"""The facts about a file in words, for the page and the C++ program of a board pack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_seg.data.reading.ranges import limits_of, range_text
from keras_seg.export.board.ends import End
from keras_seg.export.board.latency import Latency
from keras_seg.export.report import ExportReport
from keras_seg.inference.results import megabytes, threshold_in_words

PHOTO = (3000, 4000)
"""(height, width) of the photo for which the memory of `board.py` is stated."""
C_TYPES = {"float32": "float", "uint8": "uint8_t", "int8": "int8_t", "int32": "int32_t"}
"""Type of a tensor → type in C++."""


def page_words(
    report: ExportReport, constants: dict[str, Any], ends: tuple[End, End], latency: Latency
) -> dict[str, Any]:
    """What the template of the page names."""
    card, audit = report.card, report.audit
    image, output = ends
    return {
        "file": Path(report.path).name,
        "format": report.format,
        "network": card.network or "A network",
        "number_format": report.options.kind.label,
        "version": card.version,
        "names": constants["CLASSES"],
        "labels": card.multi_label,
        "image": _end_words(image, "pixels 0 to 255"),
        "output": _end_words(output, _output_range(constants, output)),
        "axes": _axes(constants),
        "height": constants["HEIGHT"],
        "width": constants["WIDTH"],
        "channels": constants["CHANNELS"],
        "resized": constants["RESIZED"],
        "classes": constants["OUTPUT"] == "classes",
        "chosen": report.options.sizing != "auto",
        "foreign": card.network is None and report.options.sizing == "auto",
        "margin": constants["MARGIN"] if any(constants["MARGIN"]) else None,
        "nodata": constants["NODATA"],
        "value_range": card.value_range and f"black to white, {range_text(card.value_range)}",
        "rule": _rule_in_words(constants, report),
        "file_size": megabytes(report.size_bytes),
        "maps": None if audit.arena_bytes is None else megabytes(audit.arena_bytes),
        "board_memory": f"{_board_bytes(constants) / 1e6:.0f} MB",
        "multiply_adds": audit.multiply_adds and f"{audit.multiply_adds / 1e6:,.1f} million",
        "latency": str(latency),
        "accuracy": report.accuracy,
    }


def why_no_cpp(constants: dict[str, Any]) -> str | None:
    """Why a pack has no C++ program; None if it has one."""
    if any(constants["MARGIN"]):
        return "the network has no padding, and its windows meet"
    if constants["CHANNELS"] not in (1, 3):
        return f"no common format of pictures has {constants['CHANNELS']} channels"
    if constants["NODATA"] is not None:
        return "its images have pixels without data"
    others = {constants["INPUT_TYPE"], constants["OUTPUT_TYPE"]} - {*C_TYPES}
    return f"C++ has no type {', '.join(sorted(others))}" if others else None


def cpp_words(file: str, constants: dict[str, Any], ends: tuple[End, End]) -> dict[str, Any]:
    """What the templates of the C++ program name.

    Args:
        file: name of the model file.
    """
    classes, rule = constants["OUTPUT"] == "classes", constants["RULE"]
    count = len(constants["CLASSES"])
    planes = 1 if rule == "single" else count
    words = {
        "file": file,
        "format": constants["FORMAT"],
        "height": constants["HEIGHT"],
        "width": constants["WIDTH"],
        "channels": constants["CHANNELS"],
        "channels_first": constants["CHANNELS_FIRST"],
        "resized": constants["RESIZED"],
        "blended": constants["BLENDED"],
        "coarse": constants["COARSE"],
        "value_range": constants["VALUE_RANGE"] is not None,
        "labels": rule == "labels",
        "logits": constants["OUTPUT"] == "logits",
        "classes": classes,
        "rule": rule,
        "planes": planes,
        "depth": 1 if classes else planes,
        "mask_depth": count if rule == "labels" else 1,
        "input_type": constants["INPUT_TYPE"],
        "output_type": constants["OUTPUT_TYPE"],
        "input_name": ends[0].name,
        "output_name": ends[1].name,
        "c_types": C_TYPES,
    }
    if rule == "labels":
        words["limits"] = [_c_float(limit) for limit in constants["LIMIT"]]
    elif rule != "largest":
        words["limit"] = _c_float(constants["LIMIT"])
    if constants["VALUE_RANGE"] is not None:
        channels = constants["CHANNELS"]
        black, white = limits_of(constants["VALUE_RANGE"], channels, "The image")
        black, white = (np.broadcast_to(each, channels) for each in (black, white))
        words["blacks"] = [_c_float(value) for value in black]
        words["scales"] = [_c_float(value) for value in 255 / (white - black)]
    return words


def _c_float(value: float) -> str:
    text = repr(float(value))
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _end_words(end: End, range_in_words: str) -> dict[str, Any]:
    return {
        "name": end.name,
        "shape": end.shape,
        "dtype": end.dtype,
        "scale": f"{end.scale:.9g}" if end.scale else "none",
        "zero_point": end.zero_point if end.scale else "none",
        "range": range_in_words,
    }


def _output_range(constants: dict[str, Any], output: End) -> str:
    if constants["OUTPUT"] == "classes":
        return f"classes 0 to {len(constants['CLASSES']) - 1}"
    if constants["OUTPUT"] == "probabilities":
        return "probabilities 0 to 1"
    if output.limits is None:
        return "logits, any number"
    low, high = output.limits
    return f"logits {low:.3g} to {high:.3g}"


def _axes(constants: dict[str, Any]) -> str:
    classes = constants["OUTPUT"] == "classes"
    if constants["CHANNELS_FIRST"]:
        return "channels, height, width" + ("; of the output batch, height, width" * classes)
    return "height, width, channels" + ("; of the output batch, height, width" * classes)


def _rule_in_words(constants: dict[str, Any], report: ExportReport) -> str:
    """How a pixel gets its class or labels."""
    threshold = threshold_in_words(0.5 if (own := report.card.threshold) is None else own)
    if constants["RULE"] == "labels":
        return f"A pixel has each label whose probability is above the threshold: {threshold}."
    if constants["OUTPUT"] == "classes":
        decided = f", decided at the threshold {threshold}" if own is not None else ""
        return f"The output is the class of each pixel{decided}."
    if constants["RULE"] == "single":
        return (
            "The output is one score, of the second class. A pixel has it where its probability is "
            f"above {threshold}; for logits, probability = 1 / (1 + exp(-score))."
        )
    if constants["RULE"] == "second":
        return f"A pixel has the second class where its probability is above {threshold}."
    return "The class with the largest score wins."


def _board_bytes(constants: dict[str, Any]) -> int:
    """Memory of `board.py` for a photo, besides the model: image, scores and mask.

    Checked against the peak of the process, to a tenth.
    """
    height, width = PHOTO
    image, pixels = height * width * constants["CHANNELS"], height * width
    if constants["BLENDED"]:  # sums, weights and their quotient in the rows of a window
        rows = constants["HEIGHT"] * width * 4
        return 2 * image + 2 * pixels + rows * (2 * len(constants["CLASSES"]) + 1)
    # four planes of float32: the largest scores, and a plane while Pillow resizes and copies it
    return 2 * image + (4 * 4 + 2) * pixels
