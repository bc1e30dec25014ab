"""An int8 file by the package litert-quantizer, for `benchmarks.measure.int8`.

    python litert_quantizer_files.py FLOAT.tflite IMAGES.npy INT8.tflite ALGORITHM

The interpreter needs litert-quantizer and ai-edge-litert alone. The images are (N, H, W, C).
"""

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import quantizer, recipe
from litert_quantizer.algorithm_manager import AlgorithmName


def main(source: str, images: str, target: str, algorithm: str) -> None:
    made = quantizer.Quantizer(source)
    made.load_quantization_recipe(recipe.static_wi8_ai8(AlgorithmName[algorithm]))
    key, ends = next(iter(Interpreter(source).get_signature_list().items()))
    pixels = np.load(images).astype(np.float32)
    ranges = made.calibrate({key: [{ends["inputs"][0]: one[None]} for one in pixels]})
    Path(target).write_bytes(made.quantize(ranges).quantized_model)
    print(json.dumps({"bytes": Path(target).stat().st_size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
