"""Memory and time of training DANet's position attention, with and without query chunks.

    python -m benchmarks.measure.attention [--quick] [--fresh]

The attention holds N x N scores for a map of N positions. `query_chunk` limits how many queries
have their scores in memory (see `keras_seg.layers.PositionAttention`). Each row is a process that
takes a few optimizer steps on the same random map and labels. All rows of a size must have the same
loss before and after the first step. Writes `attention.json` after every row; a second call
continues. Writes `attention.md` at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import (
    RESULTS,
    machine,
    machine_line,
    markdown_table,
    milliseconds,
    summary,
    versions,
    write,
)
from benchmarks.own_process import answer, ask, forget_peak, peak_mib, resident_mib

PACKAGES = ("keras-seg", "tensorflow", "keras")
CLASSES, CHANNELS, SCALE = 19, 512, 0.5
STEPS, SAME_STEPS = 3, 2
"""The first step builds the graph and is not timed. Later losses of a deep network with random
weights and one image differ, because every step amplifies rounding errors."""
TIMEOUT_SECONDS = 1800.0
CHUNKS = {"all at once": None, "1024 queries": 1024, "256 queries": 256}
SAME_LOSS = 1e-4
"""Largest relative difference of two losses at the same step."""
SUBJECTS = {
    # name: (height and width that the model takes, images a step)
    "attention, 64x64 map": (64, 2),
    "attention, 96x96 map": (96, 1),
    "DANet on ResNet-50, 512x512 image": (512, 1),
}
QUICK = {"attention, 32x32 map": (32, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small map alone")
    parser.add_argument("--fresh", action="store_true", help="measure kept rows again")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, help="folder; quick runs go to a temporary one")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        answer(measure(*options.measure, options.threads))
        return
    folder = options.output or (Path(tempfile.mkdtemp()) if options.quick else RESULTS)
    path = folder / "attention.json"
    record = {
        "machine": machine(options.threads),
        "versions": versions(PACKAGES),
        "steps": STEPS,
        "rows": {},
    }
    if path.exists() and not options.fresh:
        old = json.loads(path.read_text())
        alike = all(old.get(key) == record[key] for key in ("versions", "steps"))
        record["rows"] = old["rows"] if alike else {}
    for name in QUICK if options.quick else SUBJECTS:
        rows = record["rows"].setdefault(name, {})
        for chunk in CHUNKS:
            if "losses" in rows.get(chunk, {}):
                continue
            start = time.perf_counter()
            question = ["--measure", name, chunk, "--threads", str(options.threads)]
            rows[chunk] = ask("benchmarks.measure.attention", question, timeout=TIMEOUT_SECONDS)
            print(f"{name}, {chunk}: {time.perf_counter() - start:.0f} s", flush=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record, indent=1) + "\n")
        _check_same(name, rows)
    write(path, record, markdown(record))


def _check_same(name: str, rows: dict):
    losses = [row["losses"][:SAME_STEPS] for row in rows.values() if "error" not in row]
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=SAME_LOSS, err_msg=name)


def measure(name: str, chunk: str, threads: int) -> dict:
    """A few steps of `fit`, one image of labels each, in this process."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    keras.utils.set_random_seed(0)
    side, batch = (SUBJECTS | QUICK)[name]
    idle = resident_mib()
    model = build(name, side, CHUNKS[chunk])
    model.compile(
        keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    random = np.random.default_rng(0)
    x = random.uniform(0, 255, (batch, *model.input.shape[1:])).astype(np.float32)
    if "image" not in name:
        x = x / 255
    y = random.integers(0, CLASSES, (batch, *model.output.shape[1:3]))
    losses, times = [], []
    for step in range(STEPS):
        if step == 1:
            forget_peak()
        times.append(milliseconds(lambda: losses.append(float(model.train_on_batch(x, y)))))
    return {
        "positions": math.prod(model.get_layer("head.sa").input[0].shape[1:3]),
        "batch": batch,
        "losses": losses,
        **summary(times[1:]),
        "peak_mib": round(peak_mib()),
        "idle_mib": round(idle),
    }


def build(name: str, side: int, query_chunk: int | None):
    """The attention between a map and a classifier, or the whole network around it."""
    import keras

    from keras_seg import blocks, models
    from keras_seg.models.danet import position_attention

    if "image" in name:
        return models.danet(
            (side, side, 3),
            CLASSES,
            backbone="resnet50",
            backbone_weights=None,
            query_chunk=query_chunk,
            variant={"attention_scale": SCALE},
            dropout=0.0,
        )
    features = keras.Input((side, side, CHANNELS), name="features")
    x = position_attention(features, query_chunk, SCALE, name="head.sa")
    return keras.Model(features, blocks.classifier(x, CLASSES, name="classifier"))


def markdown(record: dict) -> str:
    header = (
        "model",
        "scores in memory",
        "positions",
        "images",
        "step ms, median / p90",
        "peak MiB",
        "more than TensorFlow alone, MiB",
    )
    rows = [
        _cells(name, chunk, row)
        for name, chunks in record["rows"].items()
        for chunk, row in chunks.items()
    ]
    return (
        f"{machine_line(record)} Optimizer steps in float32, first step not timed, memory since "
        f"then. All rows of a model have the same loss before and after the "
        f"first step, to {SAME_LOSS:g} of its value.\n\n"
        f"{markdown_table(header, rows)}"
    )


def _cells(name: str, chunk: str, row: dict) -> tuple:
    if "error" in row:
        return (name, chunk, row["error"], "", "", "", "")
    return (
        name,
        chunk,
        row["positions"],
        row["batch"],
        f"{row['median_ms']:.0f} / {row['p90_ms']:.0f}",
        row["peak_mib"],
        row["peak_mib"] - row["idle_mib"],
    )


if __name__ == "__main__":
    main()
