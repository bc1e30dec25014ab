"""Thousands of predictions and training steps in one process, with the memory that they take.

    python -m tests.attacks.soak tflite --times 10000

Prints the resident memory after each twentieth, and its slope over the second half in bytes a time:
the first half fills caches and pools.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.attacks.damage import in_a_child, write_model

MEASURED = 20
"""How often."""


def resident() -> int:
    """Bytes of this process in memory; Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slope(times: int, sizes: list[int]) -> float:
    """Bytes a time, as a straight line through the second half of the measurements."""
    half = sizes[len(sizes) // 2 :]
    return float(np.polyfit(np.arange(len(half)) * times / len(sizes), half, 1)[0])


def predictions(folder: Path, kind: str, times: int) -> list[int]:
    in_a_child(lambda: write_model(folder, kind))
    from keras_seg import inference

    runner = inference.load(folder / f"m.{kind}", threads=1)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    sizes = []
    for _ in range(MEASURED):
        for i in range(times // MEASURED):
            runner.predict(images[i % 8])
        sizes.append(resident())
    return sizes


def training_steps(times: int) -> list[int]:
    import keras

    from keras_seg import losses, metrics, models
    from keras_seg.data.pipeline import training_pipeline
    from tests.helpers.shapes import Shapes

    network = models.build("unet", (32, 32, 3), 3, widths=(4, 8))
    network.compile("adam", losses.get("cross_entropy+dice"), metrics=[metrics.MeanIoU(3)])
    steps, sizes = times // MEASURED, []
    batches = training_pipeline(
        Shapes(), crop=(32, 32), batch_size=2, epochs=MEASURED, steps=steps, seed=0
    )
    measure = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: sizes.append(resident()))
    network.fit(batches, epochs=MEASURED, steps_per_epoch=steps, verbose=0, callbacks=[measure])
    return sizes


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["keras", "tflite", "onnx", "training"])
    parser.add_argument("--times", type=int, default=10_000)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "training":
            sizes = training_steps(options.times)
        else:
            sizes = predictions(Path(folder), options.what, options.times)
    record = {
        "times": options.times,
        "bytes a time": round(slope(options.times, sizes), 1),
        "megabytes": [round(size / 1e6, 1) for size in sizes],
    }
    sys.stdout.write(f"{options.what}: {json.dumps(record)}\n")


if __name__ == "__main__":
    main()
