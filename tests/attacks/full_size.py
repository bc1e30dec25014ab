"""Exports one network at its full size in a process of its own, so that its memory is measured.

    python -m tests.attacks.full_size "DANet on ResNet-50" int8 folder

Writes the file into the folder and prints what is known of it as one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_seg import inference, models
from keras_seg.data import BuiltinDataset
from keras_seg.export import export
from keras_seg.inference.keras_runner import KerasRunner

RANDOM = {"backbone_weights": None}
CASES = {
    "HRNet-W18 + OCR": ("ocrnet", (512, 1024, 3), 19, {"backbone": "hrnet_w18"} | RANDOM),
    "DeepLabV3+ on MobileNetV2, 513": ("deeplabv3plus", (513, 513, 3), 21, RANDOM),
    "DeepLabV3+ on MobileNetV2, 512": ("deeplabv3plus", (512, 512, 3), 21, RANDOM),
    "DANet on ResNet-50": (
        "danet",
        (512, 512, 3),
        19,
        {"backbone": "resnet50", "variant": {"attention_scale": 0.5}} | RANDOM,
    ),
    "U-Net of the paper": ("unet", (572, 572, 3), 7, {"padding": "valid"}),
    "SegNet": ("segnet", (360, 480, 3), 11, {}),
}
"""Name → (network, image, classes, options). DANet's attention is off in a fresh network."""

FILES = {
    "float.tflite": {},
    "int8.tflite": {"quantize": "int8", "input": "uint8"},
    "float.onnx": {},
}
IMAGES, CALIBRATION = 2, 2
SETTLING_SIZE = (256, 256)


def streets(split: str, length: int, size: tuple[int, int]) -> BuiltinDataset:
    return BuiltinDataset("streets", split, length=length, size=size)


def settled(model: keras.Model) -> keras.Model:
    """The model with batch norms that have seen images, as those of a trained one.

    Fresh ones let the values of deep networks explode or vanish.
    """
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    if norms:
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        images = [sample.image for sample in streets("train", 4, SETTLING_SIZE)]
        model(np.stack(images).astype(np.float32), training=True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return model


def run(case: str, file: str, folder: Path) -> dict:
    """Builds, exports and compares; what the test wants to know as plain values."""
    network, shape, num_classes, options = CASES[case]
    keras.utils.set_random_seed(0)
    model = models.build(network, (None, None, shape[2]), num_classes, **options)
    if file != "int8.tflite":
        # Random weights that are normalised amplify every rounding, which no trained ones do.
        settled(model)
    report = export(
        model,
        folder / file,
        input_shape=shape,
        calibration=streets("train", CALIBRATION, shape[:2]),
        **FILES[file],
    )
    in_keras, in_file = KerasRunner(model, input_shape=shape), inference.load(report.path)
    images = [sample.image for sample in streets("val", IMAGES, shape[:2])]
    expected = np.stack([in_keras.run(image) for image in images])
    error = np.stack([in_file.run(image) for image in images]) - expected
    classes = expected.argmax(-1)
    return {
        "agreement": float(((expected + error).argmax(-1) == classes).mean()),
        "decibels": float(10 * np.log10(expected.var() / error.var())),
        "relative_difference": float(np.abs(error).max() / np.abs(expected).max()),
        "classes_seen": len(np.unique(classes)),
        "operators": report.audit.operators,
        "tensors": report.audit.tensors,
        "problems": report.audit.problems,
        "islands": report.audit.islands,
        "megabytes": report.size_bytes / 1e6,
        "seconds": report.seconds,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(sys.argv[1], sys.argv[2], Path(sys.argv[3]))) + "\n")
