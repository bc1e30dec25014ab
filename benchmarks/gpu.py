"""Training on a GPU: images per second and memory of four networks, beside PyTorch and the CPU.

    python -m benchmarks.gpu [--minutes 12] [--torch-python PATH] [--quick]

Measures, in the order of `CASES` and one network after the other, until the minutes are over:

1. training in float32 and in mixed precision on Keras' TensorFlow backend,
2. PyTorch with channels last, in float32 and with autocast, by the interpreter of --torch-python,
3. one step on the GPU and the same step on the CPU, in float32 without TF32,
4. XLA on TensorFlow, and Keras' JAX backend, if JAX is installed.

Each measurement has its own process and a time limit. The results are written after each one. A
case for which no time is left is recorded as such. On a machine without a GPU everything runs on
the CPU; --quick takes tiny images, to see that the script works.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.measure.training import CLASSES, NETWORKS, TORCH_WORKER, Worker, serve

SIZE, BATCH, STEPS = 512, 8, 20
QUICK_SIZE, QUICK_BATCH, QUICK_STEPS = 32, 2, 1
TURNS = 3
LIMIT_S, QUICK_LIMIT_S = 75.0, 240.0
LEAST_S = 20.0
"""A measurement is not started with less time left."""
HALF = "mixed_float16"
NAME = "gpu.json"


@dataclass(frozen=True)
class Case:
    """One measurement of every network.

    Attributes:
        name: its name in the record.
        side: "keras", "torch" or "equality".
        facts: arguments of the worker.
        backend: Keras backend.
    """

    name: str
    side: str = "keras"
    facts: dict[str, Any] = field(default_factory=dict)
    backend: str = "tensorflow"


CASES = (
    Case("TensorFlow, float32"),
    Case("TensorFlow, mixed float16", facts={"policy": HALF}),
    Case("PyTorch, float32", "torch"),
    Case("PyTorch, autocast float16", "torch", {"half": "float16"}),
    Case("one step, GPU and CPU", "equality"),
    Case("TensorFlow, mixed float16, XLA", facts={"policy": HALF, "jit": True}),
    Case("JAX, mixed float16", facts={"policy": HALF}, backend="jax"),
    Case("TensorFlow, float32, XLA", facts={"jit": True}),
    Case("JAX, float32", backend="jax"),
)
"""The most important ones first."""


def main() -> None:
    parser = common.parser(__doc__, quick="tiny images and one step, also on a CPU")
    parser.add_argument("--minutes", type=float, default=12.0, help="time for everything")
    parser.add_argument("--torch-python", type=Path, help="interpreter with PyTorch")
    parser.add_argument("--networks", nargs="+", default=tuple(NETWORKS), choices=NETWORKS)
    parser.add_argument("--size", type=int, help=f"height and width in pixels, {SIZE} by default")
    parser.add_argument("--batch", type=int, help=f"images per step, {BATCH} by default")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        facts = json.loads(options.worker)
        {"keras": keras_worker, "equality": equality_worker}[facts.pop("side")](**facts)
        return
    folder = common.output_folder(options)
    record = measure(options, lambda partial: common.keep(folder / NAME, partial))
    common.write(folder / NAME, record, report(record))


def measure(options: argparse.Namespace, keep: Callable[[dict], None]) -> dict:
    """The record. `keep` is called with it after each measurement."""
    deadline = time.monotonic() + 60 * options.minutes
    size, batch, steps = SIZE, BATCH, STEPS
    if options.quick:
        size, batch, steps = QUICK_SIZE, QUICK_BATCH, QUICK_STEPS
    shared = {
        "size": options.size or size,
        "batch": options.batch or batch,
        "steps": steps,
    }
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(("keras-seg", "tensorflow", "keras", "jax")),
        **shared,
        "runs": {network: {} for network in options.networks},
    }
    limit = QUICK_LIMIT_S if options.quick else LIMIT_S
    for case in CASES:
        for network in options.networks:
            left = deadline - time.monotonic()
            reason = reason_to_leave_out(case, options.torch_python, left)
            result = {"left_out": reason} if reason else None
            if result is None:
                result = run(case, {"network": network, **shared}, options, min(limit, left))
            record["runs"][network][case.name] = result
            keep(record)
    return record


def reason_to_leave_out(case: Case, torch_python: Path | None, left: float) -> str | None:
    """Why a case is not measured; None if it is."""
    if case.side == "torch" and torch_python is None:
        return "no --torch-python"
    if case.backend == "jax" and importlib.util.find_spec("jax") is None:
        return "JAX is not installed"
    return "no time left" if left < LEAST_S else None


def run(case: Case, facts: dict, options: argparse.Namespace, limit: float) -> dict:
    """The result of one measurement, or {"error": the reason}."""
    if case.side == "torch":
        command = [str(options.torch_python), str(TORCH_WORKER)]
        facts = facts | case.facts | {"channels_last": True, "device": "auto"}
    else:
        command = [sys.executable, "-m", "benchmarks.gpu", "--worker"]
        facts = facts | case.facts | {"side": case.side}
    worker = Worker(command, facts, {"KERAS_BACKEND": case.backend, "TF_CPP_MIN_LOG_LEVEL": "3"})
    with killed_after(worker, limit) as is_late:
        samples = worker.steps(1 if case.side == "equality" else TURNS)
        answer = worker.finish() if worker.error is None else {}
    if worker.error is not None:
        return {"error": f"not finished after {limit:.0f} s" if is_late() else worker.error}
    if case.side == "equality":
        return answer
    summary = common.summary([1e3 * seconds / facts["steps"] for seconds in samples])
    rate = {"images_per_second": round(1e3 * facts["batch"] / summary["median_ms"], 2)}
    return answer | summary | rate


@contextmanager
def killed_after(worker: Worker, seconds: float) -> Iterator[Callable[[], bool]]:
    """Kills a worker that is still there after some seconds. Yields whether it had to be."""
    late = threading.Event()

    def kill() -> None:
        late.set()
        worker.process.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield late.is_set
    finally:
        timer.cancel()


def keras_worker(
    network: str, size: int, batch: int, steps: int, policy: str | None = None, jit: bool = False
) -> None:
    """Serves calls of `fit` of some steps each, on the backend of the environment."""
    import keras
    import tensorflow as tf

    if keras.backend.backend() == "jax":
        tf.config.set_visible_devices([], "GPU")  # it would reserve the memory that JAX needs
    if policy:
        keras.config.set_dtype_policy(policy)
    model, image, mask = compiled(network, size, batch, jit or keras.backend.backend() == "jax")
    batches = tf.data.Dataset.from_tensors((image, mask)).repeat().prefetch(2)

    def step() -> float:
        fitted = model.fit(batches, steps_per_epoch=steps, verbose=0)
        return float(fitted.history["loss"][0])

    serve(step, lambda: device_facts(keras.backend.backend()))


def compiled(
    network: str, size: int, batch: int, jit: bool, optimizer: Any = "adam"
) -> tuple[Any, Any, Any]:
    """(model, images, masks); equal in every process."""
    import keras
    import numpy as np

    from keras_seg import models
    from keras_seg.training import output_losses

    keras.utils.set_random_seed(0)
    model = models.build(network, (size, size, 3), CLASSES, **NETWORKS[network])
    # no accuracy: PyTorch computes none
    model.compile(optimizer, jit_compile=jit, **output_losses(model, "cross_entropy"))
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (batch, size, size, 3)).astype("float32")
    return model, image, rng.integers(0, CLASSES, (batch, size, size)).astype("int32")


def device_facts(backend: str) -> dict[str, Any]:
    """The device, and the most of its memory that was in use."""
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
        return {"device": device.device_kind, "device_peak_gib": _gib(peak)}
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return {"device": "cpu", "device_peak_gib": None}
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return {"device": name, "device_peak_gib": _gib(peak)}


def _gib(number: int | None) -> float | None:
    return None if number is None else round(number / 2**30, 2)


def equality_worker(network: str, size: int, batch: int, steps: int) -> None:
    """Serves one step on the first GPU and on the CPU, and how far apart they are."""
    del steps
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)
    gpus = tf.config.list_logical_devices("GPU")
    results = []

    def step() -> float:
        if len(results) == 2:  # the first call has done it
            return results[0][0]
        for device in (gpus[0].name if gpus else "/CPU:0", "/CPU:0"):
            with tf.device(device):
                optimizer = keras.optimizers.SGD(0.01)
                model, image, mask = compiled(network, size, min(batch, 2), False, optimizer)
                before = [weight.numpy() for weight in model.trainable_weights]
                loss = model.train_on_batch(image, mask)
                after = [weight.numpy() for weight in model.trainable_weights]
            moved = [np.ravel(b - a) for a, b in zip(before, after, strict=True)]
            results.append((float(np.ravel(loss)[0]), np.concatenate(moved)))
        return results[0][0]

    def facts() -> dict[str, Any]:
        (loss, moved), (expected, update) = results
        apart = float(np.linalg.norm(moved - update) / np.linalg.norm(update))
        losses = {"loss": loss, "loss_on_cpu": expected, "updates_apart": apart}
        return device_facts("tensorflow") | losses

    serve(step, facts)


def report(record: dict) -> str:
    """The record as Markdown."""
    every = [run for runs in record["runs"].values() for run in runs.values()]
    devices = {run["device"] for run in every if "device" in run}
    text = (
        f"# Training on a GPU, batches of {record['batch']} x {record['size']} x {record['size']}"
        f" x 3\n\n{common.machine_line(record)} Devices: {', '.join(sorted(devices)) or 'none'}.\n"
    )
    header = ("set-up", "images/s", "step ms, median / p90", "peak GiB of the GPU", "first call s")
    for network, runs in record["runs"].items():
        rows = [(name, *cells(run)) for name, run in runs.items()]
        text += f"\n## {network}\n\n{common.markdown_table(header, rows)}"
    return text


def cells(run: dict) -> tuple[str, ...]:
    """The cells of a row."""
    if "left_out" in run or "error" in run:
        return "-", "-", "-", run.get("left_out") or f"failed: {run['error']}"
    if "updates_apart" in run:
        return (
            "-",
            "-",
            "-",
            f"loss {run['loss']:.6f} and {run['loss_on_cpu']:.6f}; "
            f"updates apart by {run['updates_apart']:.1e}",
        )
    peak = run.get("device_peak_gib")
    return (
        f"{run['images_per_second']:.1f}",
        f"{run['median_ms']:.1f} / {run['p90_ms']:.1f}",
        "-" if peak is None else f"{peak:.2f}",
        f"{run['first_step_s']:.0f}",
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    main()
