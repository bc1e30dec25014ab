"""Time and memory by image size, classes, batch size and number of images.

    python -m benchmarks.measure.scale [--quick] [--fresh] [--images N]

Each point is a process: a network in inference and in a training step. Then images go through the
training pipeline once while the memory of the process is sampled; it must not grow. Writes
`scale.json` after every point; a second call continues. Writes `scale.md` and `scale.png` at the
end.
"""

from __future__ import annotations

import json
import time

import numpy as np

from benchmarks import common
from benchmarks.measure.scale_report import markdown, plot
from benchmarks.own_process import answer, ask, forget_peak, peak_mib, resident_mib

PACKAGES = ("keras-seg", "tensorflow", "keras")
NETWORKS = {
    "unet": {"widths": (16, 32, 64, 128, 256)},
    "deeplabv3plus": {"backbone": "mobilenetv2", "backbone_weights": None},
}
BASE = {"size": 256, "classes": 21, "batch": 1}
AXES = {
    "size": (256, 512, 1024, 2048),
    "classes": (2, 21, 150),
    "batch": (1, 4, 16),
}
QUICK_AXES = {"size": (64, 128), "classes": (2,), "batch": (2,)}
QUICK_NETWORKS = ("unet",)
QUICK_BASE = {"size": 64, "classes": 21, "batch": 1}
IMAGES, QUICK_IMAGES = 100_000, 2_000
IMAGE_SIZE, PIPELINE_BATCH = 32, 32
SAMPLES, QUICK_SAMPLES, LEAST_SAMPLES, SAMPLING_SECONDS = 10, 3, 3, 4.0
TIMEOUT_SECONDS, STREAM_TIMEOUT_SECONDS = 240.0, 900.0


def main() -> None:
    options = _arguments()
    if options.measure:
        words = json.loads(options.measure)
        answer(stream(**words) if "images" in words else measure(**words))
        return
    path = common.output_folder(options) / "scale.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "points": {},
        "stream": {},
    }
    if path.exists() and not options.fresh:
        old = json.loads(path.read_text())
        if old["versions"] == record["versions"]:
            record |= {"points": old["points"], "stream": old["stream"]}
    for name, words in points(options).items():
        if "median_ms" not in record["points"].get(name, {}):
            record["points"][name] = words | _asked(name, words, TIMEOUT_SECONDS)
            common.keep(path, record)
    words = {"images": options.images, "threads": options.threads}
    if "median_mib" not in record["stream"] or not words.items() <= record["stream"].items():
        record["stream"] = words | _asked("stream", words, STREAM_TIMEOUT_SECONDS)
    common.write(path, record, markdown(record))
    plot(record, path.with_suffix(".png"))


def points(options) -> dict[str, dict]:
    """Name → words of `measure`: along each axis, the others as in the base."""
    base, axes = (QUICK_BASE, QUICK_AXES) if options.quick else (BASE, AXES)
    found = {}
    for network in QUICK_NETWORKS if options.quick else NETWORKS:
        for training in (False, True):
            for axis, values in axes.items():
                for value in values:
                    case = base | {axis: value}
                    name = ", ".join(f"{key} {number}" for key, number in case.items())
                    found[f"{network}, {'training' if training else 'inference'}, {name}"] = {
                        "network": network,
                        "training": training,
                        "threads": options.threads,
                        "samples": QUICK_SAMPLES if options.quick else SAMPLES,
                        **case,
                    }
    return found


def _asked(name: str, words: dict, timeout: float) -> dict:
    start = time.perf_counter()
    found = ask("benchmarks.measure.scale", ["--measure", json.dumps(words)], timeout=timeout)
    found["took_s"] = round(time.perf_counter() - start, 1)
    print(f"{name}: {found.get('error', 'measured')}, {found['took_s']:.0f} s", flush=True)
    return found


def measure(
    network: str,
    training: bool,
    size: int,
    classes: int,
    batch: int,
    threads: int,
    samples: int,
) -> dict:
    """One point, in this process: predict_on_batch or train_on_batch."""
    import keras
    import tensorflow as tf

    from keras_seg import models
    from keras_seg.training import keep_freed_memory

    if training:  # as `train` does
        keep_freed_memory()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    keras.utils.set_random_seed(0)
    idle = resident_mib()
    model = models.build(network, (size, size, 3), classes, **NETWORKS[network])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=False)
    random = np.random.default_rng(0)
    image = random.uniform(0, 255, (batch, size, size, 3)).astype(np.float32)
    mask = random.integers(0, classes, (batch, size, size)).astype(np.int32)

    def once():
        return model.train_on_batch(image, mask) if training else model.predict_on_batch(image)

    forget_peak()
    once()
    started, times = time.perf_counter(), []
    while len(times) < samples:
        times.append(common.milliseconds(once))
        if len(times) >= LEAST_SAMPLES and time.perf_counter() - started > SAMPLING_SECONDS:
            break
    return common.summary(times) | {"peak_mib": round(peak_mib()), "idle_mib": round(idle)}


def stream(images: int, threads: int) -> dict:
    """Draws every image of a synthetic set once; memory after each hundredth of them."""
    import tensorflow as tf

    from benchmarks.measure.synthetic import Noise
    from keras_seg.data import training_pipeline
    from keras_seg.training import keep_freed_memory

    keep_freed_memory()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    dataset = Noise(images, IMAGE_SIZE)
    crop = (IMAGE_SIZE, IMAGE_SIZE)
    batches = training_pipeline(dataset, crop=crop, batch_size=PIPELINE_BATCH, epochs=1)
    every = max(1, images // PIPELINE_BATCH // 100)
    seen, memory, start = [], [], time.perf_counter()
    for number, _ in enumerate(batches, start=1):
        if number % every == 0:
            seen.append(number * PIPELINE_BATCH)
            memory.append(round(resident_mib(), 1))
    seconds = time.perf_counter() - start
    settled = memory[len(memory) // 10 :]  # the first tenth fills buffers
    return {
        "seen": seen,
        "resident_mib": memory,
        "growth_mib": round(settled[-1] - settled[0], 1),
        "images_per_second": round(seen[-1] / seconds, 1),
        **common.summary(settled, "mib"),
    }


def _arguments():
    parser = common.parser(__doc__, quick="one network, small images, few points, 2,000 images")
    parser.add_argument("--images", type=int, help="number of images of the synthetic data set")
    parser.add_argument("--fresh", action="store_true", help="measure kept points again")
    parser.add_argument("--measure", help="words of one point as JSON; for its own process")
    options = parser.parse_args()
    options.images = options.images or (QUICK_IMAGES if options.quick else IMAGES)
    return options


if __name__ == "__main__":
    main()
