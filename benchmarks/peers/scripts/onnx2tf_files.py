"""Converts an smp network's ONNX file to LiteRT with onnx2tf, for `benchmarks.peers`."""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from older_onnx import save_older
from serve import facts, serve

words = json.loads(sys.argv[1])
folder = Path(words["folder"])
SAMPLE = "calibration_image_sample_data_20x128x128x3_float32.npy"
"""File that onnx2tf downloads if it is not in the working folder."""


def onnx2tf(size, source, path, integers):
    """Writes float32 to `path` and full integer to `integers` in one conversion."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        np.save(SAMPLE, np.zeros((20, 128, 128, 3), np.float32))
        pixels = np.load(folder / f"images-{size}.npy")[: words["calibration"]]
        np.save("pixels.npy", pixels.astype(np.float32))
        save_older(source, "older.onnx")
        from onnx2tf import convert

        none, one = np.zeros((1, 1, 1, 3)).tolist(), np.ones((1, 1, 1, 3)).tolist()
        convert(
            input_onnx_file_path="older.onnx",
            output_folder_path="made",
            output_integer_quantized_tflite=True,
            custom_input_op_name_np_data_path=[["image", "pixels.npy", none, one]],
            non_verbose=True,
        )
        (float32,) = Path("made").glob("*_float32.tflite")
        (full,) = Path("made").glob("*_full_integer_quant.tflite")
        shutil.copy(float32, path)
        shutil.copy(full, integers)
        os.chdir("/")
    return facts(start, path)


if __name__ == "__main__":
    serve({"onnx2tf": onnx2tf})
