"""Our files with the weights of an smp network, and ONNX Runtime's int8 file."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from serve import facts, serve

words = json.loads(sys.argv[1])
folder = Path(words["folder"])


def keras_file(path):
    from keras_seg.checkpoints.command import convert_file

    start = time.perf_counter()
    convert_file(folder / "weights.safetensors", "smp", Path(path))
    return facts(start, path)


def exported(size, path, quantize, classes=False):
    from keras_seg.data import BuiltinDataset
    from keras_seg.export import export
    from keras_seg.export.int8 import clipped_ranges

    # random weights lose classes with any ranges, so a search only costs minutes
    clipped_ranges.ACCEPTED = 100.0
    start = time.perf_counter()
    calibration = BuiltinDataset("streets", size=(size, size), length=words["calibration"])
    integers = quantize == "int8" and Path(path).suffix == ".tflite"
    ends = "int8" if integers else "uint8" if classes else "float32"
    export(
        folder / "model.keras",
        path,
        quantize=quantize,
        calibration=calibration,
        input_shape=(size, size, 3),
        input=ends,
        head="argmax" if classes else "logits",
    )
    return facts(start, path)


def onnx_int8(size, batch, path, source):
    """QDQ pairs by ONNX Runtime's quantizer: uint8 maps, int8 weights for each channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    pixels = np.load(folder / f"images-{size}.npy").astype(np.float32).transpose(0, 3, 1, 2)
    # as many calls as are needed for every image once
    feeds = iter([{"image": pixels[i : i + batch]} for i in range(0, len(pixels), batch)])

    class Reader(CalibrationDataReader):
        def get_next(self):
            return next(feeds, None)

    start = time.perf_counter()
    prepared = Path(path).with_suffix(".prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        path,
        Reader(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()
    return facts(start, path)


def images(size, count):
    from keras_seg.data import BuiltinDataset

    drawn = BuiltinDataset("streets", size=(size, size), length=count)
    np.save(folder / f"images-{size}.npy", np.stack([sample.image for sample in drawn]))
    return {}


if __name__ == "__main__":
    actions = (keras_file, exported, onnx_int8, images)
    serve({action.__name__: action for action in actions})
