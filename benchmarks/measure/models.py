"""Every network and every encoder: parameters, multiply-adds, time and memory for one image.

    python -m benchmarks.measure.models [--quick] [--names unet resnet50 ...] [--fresh]

Each is built with random weights and runs as a Keras graph at batch 1 in its own process. Writes
`models.json` after each, and `models.md` at the end. Rows of the JSON file with the same versions,
size and threads are kept; --fresh measures them again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

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
SIZE, QUICK_SIZE = 512, 256
CLASSES = 21
SAMPLES, QUICK_SAMPLES, LEAST_SAMPLES = 20, 3, 3
SAMPLING_SECONDS = 20.0
TIMEOUT_SECONDS = 1800.0
VARIANTS = {
    "hrnet, hrnet_w18_small_v1": ("hrnet", {"backbone": "hrnet_w18_small_v1"}),
    "hrnet, hrnet_w18": ("hrnet", {"backbone": "hrnet_w18"}),
    "ocrnet, hrnet_w18": ("ocrnet", {"backbone": "hrnet_w18"}),
    "ocrnet, resnet101c": ("ocrnet", {"backbone": "resnet101c"}),
    "danet, resnet50": ("danet", {"backbone": "resnet50"}),
    "deeplabv3plus, resnet50": ("deeplabv3plus", {"backbone": "resnet50"}),
    "deeplabv3plus, xception65": ("deeplabv3plus", {"backbone": "xception65"}),
    "unet, 32 to 512 channels": ("unet", {"widths": (32, 64, 128, 256, 512)}),
    "unet, resnet34": ("unet", {"backbone": "resnet34"}),
}
"""Common forms of the networks, in addition to the defaults."""


def main() -> None:
    options = _arguments()
    if options.measure:
        answer(measure(options.measure, options.size, options.samples, options.threads))
        return
    path = options.output / "models.json"
    record = {
        "machine": machine(options.threads),
        "versions": versions(PACKAGES),
        "size": options.size,
        "rows": {},
    }
    if path.exists() and not options.fresh:
        record["rows"] = kept(json.loads(path.read_text()), record)
    names = options.names or subjects()
    for number, name in enumerate(names, start=1):
        if name in record["rows"]:
            print(f"{number}/{len(names)} {name}: measured before", flush=True)
            continue
        start = time.perf_counter()
        row = ask("benchmarks.measure.models", _question(name, options), timeout=TIMEOUT_SECONDS)
        record["rows"][name] = row | {"took_s": round(time.perf_counter() - start, 1)}
        print(f"{number}/{len(names)} {name}: {' | '.join(cells(name, row)[1:])}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")
    # in the order of the list, whenever they were measured
    record["rows"] = {n: record["rows"][n] for n in subjects() if n in record["rows"]}
    write(path, record, markdown(record))


def subjects() -> list[str]:
    """Names of all that is measured: networks, variants of them, encoders."""
    from keras_seg import backbones, models

    return [*models.list_models(), *VARIANTS, *(f"encoder {n}" for n in backbones.list_backbones())]


def measure(name: str, size: int, samples: int, threads: int) -> dict:
    """One row, in this process."""
    import tensorflow as tf

    from keras_seg.models import multiply_adds

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    idle = resident_mib()
    start = time.perf_counter()
    model = build(name)
    built = time.perf_counter() - start
    shape = (size, size, 3)
    run = tf.function(
        lambda image: model(image, training=False),
        input_signature=[tf.TensorSpec((1, *shape), tf.float32)],
    )
    image = tf.random.uniform((1, *shape), 0.0, 255.0, seed=0)

    def once():
        for output in tf.nest.flatten(run(image)):
            output.numpy()

    forget_peak()
    once()
    started, times = time.perf_counter(), []
    while len(times) < samples:
        times.append(milliseconds(once))
        if len(times) >= LEAST_SAMPLES and time.perf_counter() - started > SAMPLING_SECONDS:
            break
    return {
        "parameters": sum(int(tf.size(weight)) for weight in model.trainable_weights),
        "multiply_adds": multiply_adds(model, shape),
        **summary(times),
        "peak_mib": round(peak_mib()),
        "idle_mib": round(idle),
        "build_s": round(built, 1),
        "load_average": round(os.getloadavg()[0], 2),
    }


def build(name: str):
    """The Keras model of a row, with free height and width and random weights."""
    from keras_seg import backbones, models

    if name.startswith("encoder "):
        return backbones.build(name.removeprefix("encoder "), (None, None, 3))
    network, options = VARIANTS.get(name, (name, {}))
    if network in ("danet", "deeplabv3plus", "hrnet", "ocrnet") or "backbone" in options:
        options = options | {"backbone_weights": None}
    return models.build(network, (None, None, 3), CLASSES, **options)


def markdown(record: dict) -> str:
    size = record["size"]
    encoders = {n: row for n, row in record["rows"].items() if n.startswith("encoder ")}
    networks = {n: row for n, row in record["rows"].items() if n not in encoders}
    parts = [
        f"{machine_line(record)} One image of {size}x{size}, {CLASSES} classes, float32, random "
        "weights, Keras graph. Memory: the most that the process held while it answered, and how "
        "much of it was more than TensorFlow alone takes.\n"
    ]
    for title, rows in (("Networks", networks), ("Encoders", encoders)):
        header = (
            title[:-1].lower(),
            "parameters M",
            "multiply-adds G",
            "median / p90 ms",
            "peak MiB",
            "of the network MiB",
        )
        parts += [f"## {title}\n", markdown_table(header, [cells(n, r) for n, r in rows.items()])]
    return "\n".join(parts)


def cells(name: str, row: dict) -> list[str]:
    name = name.removeprefix("encoder ")
    if "error" in row:
        return [name, row["error"], "", "", "", ""]
    sizes = [name, f"{row['parameters'] / 1e6:.2f}", f"{row['multiply_adds'] / 1e9:.2f}"]
    if "median_ms" not in row:
        return [*sizes, "not measured", "", ""]
    return [
        *sizes,
        f"{row['median_ms']:.0f} / {row['p90_ms']:.0f}",
        str(row["peak_mib"]),
        str(row["peak_mib"] - row["idle_mib"]),
    ]


def kept(old: dict, record: dict) -> dict:
    """Rows of an earlier run with the same settings; failed ones are tried again."""
    same = all(old.get(key) == record[key] for key in ("versions", "size"))
    same = same and old["machine"]["threads"] == record["machine"]["threads"]
    return {n: row for n, row in old["rows"].items() if "median_ms" in row} if same else {}


def _question(name: str, options) -> list[str]:
    facts = {"measure": name, "size": options.size, "samples": options.samples}
    facts["threads"] = options.threads
    return [word for key, value in facts.items() for word in (f"--{key}", str(value))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small image, few samples")
    parser.add_argument("--names", nargs="+", help="only these rows, by their names in the table")
    parser.add_argument("--fresh", action="store_true", help="measure kept rows again")
    parser.add_argument("--size", type=int, help="height and width of the image, in pixels")
    parser.add_argument("--samples", type=int, help="timed runs of each, fewer if they take long")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, help="folder; quick runs go to a temporary one")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.size = options.size or (QUICK_SIZE if options.quick else SIZE)
    options.samples = options.samples or (QUICK_SAMPLES if options.quick else SAMPLES)
    if options.output is None:
        options.output = Path(tempfile.mkdtemp()) if options.quick else RESULTS
    if unknown := set(options.names or ()) - set(subjects()):
        parser.error(f"no rows of these names: {sorted(unknown)}. There are: {subjects()}")
    return options


if __name__ == "__main__":
    main()
