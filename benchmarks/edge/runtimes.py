"""Runs the exported files in two more runtimes, where these are installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from keras_seg.data.dataset import Sample
from keras_seg.data.reading.in_memory import as_pixels
from keras_seg.data.reading.resize import resize_image
from keras_seg.export import ExportReport
from keras_seg.inference.prediction import Runner
from keras_seg.inference.scores import class_map

IMAGES = 2
MICRO_ARENA = 128 << 20
MICRO_MULTIPLY_ADDS = 3e8
"""Above this, TFLite Micro's plain loops take seconds per image."""
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "NO"}
"""Float arithmetic, because OpenVINO's integers overflow on processors without VNNI."""


def agreements(report: ExportReport, runner: Runner, samples: Sequence[Sample]) -> dict:
    """Runtime → share of the pixels with the class that LiteRT or ONNX Runtime gives.

    A text instead of the share says why the runtime does not run the file. TFLite Micro runs small
    integer files with uint8 images.
    """
    height, width, channels = report.input_shape
    images = [
        resize_image(as_pixels(sample.image, channels), (height, width)) for sample in samples
    ]
    expected = [class_map(runner.run(image), report.head) for image in images]
    runtimes: dict[str, Callable[[ExportReport], Callable]] = {"openvino": _openvino}
    small = (report.audit.multiply_adds or 0) <= MICRO_MULTIPLY_ADDS
    if report.format == "tflite" and report.input == "uint8" and small:
        runtimes["tflite micro"] = _micro
    found = {}
    for name, load in runtimes.items():
        try:
            run = load(report)
        except ImportError:
            continue
        except Exception as error:  # each runtime has its own errors
            found[name] = str(error).strip().splitlines()[-1][:200]
            continue
        answers = [class_map(run(image), report.head) for image in images]
        pairs = zip(answers, expected, strict=True)
        found[name] = float(np.mean([(ours == theirs).mean() for ours, theirs in pairs]))
    return found


def _openvino(report: ExportReport):
    import openvino

    compiled = openvino.Core().compile_model(report.path, "CPU", EXACT)

    def run(image: np.ndarray) -> np.ndarray:
        (scores,) = compiled(image[None].astype(report.input)).values()
        return scores[0]

    return run


def _micro(report: ExportReport):
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(report.path, arena_size=MICRO_ARENA)

    def run(image: np.ndarray) -> np.ndarray:
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        return interpreter.get_output(0)[0]

    return run
