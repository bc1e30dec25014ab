"""Training images per second: Keras in float32, mixed precision and XLA, beside PyTorch.

    python -m benchmarks.measure.training [--quick] [--torch-python PATH] [--networks NAME ...]

Each configuration runs in its own process, so that its peak memory can be measured. The processes
alternate, a few steps each, so that the noise of the machine affects all equally. PyTorch runs the
same networks (Adam, cross-entropy) in another interpreter: eager, and tuned with channels last.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import common

WIDTHS = (32, 64, 128, 256, 512)
CLASSES = 19
SIZE, BATCH = 256, 8
QUICK_SIZE, QUICK_BATCH = 64, 2
NETWORKS = {
    "unet": {"widths": WIDTHS},
    "deeplabv3plus": {"backbone": "mobilenetv2", "backbone_weights": None},
    "hrnet": {"backbone": "hrnet_w18", "backbone_weights": None},
    "danet": {"backbone": "resnet50", "backbone_weights": None, "multi_grid": None},
}
"""Network → its options. PyTorch's are in `torch_networks.py`."""
MEASURED = ("unet", "deeplabv3plus", "hrnet")
"""Networks that are measured on CPUs; `benchmarks.gpu` measures all."""
KERAS = {
    "float32": {},
    "float32, memory as glibc gives it": {"keep_memory": False},
    "float32, batch norm of Keras": {"fused": False},
    "float32, oneDNN": {"onednn": True},
    "mixed float16": {"policy": "mixed_float16"},
    "mixed bfloat16": {"policy": "mixed_bfloat16"},
    "XLA": {"jit": True},
}
TORCH = {"eager": {}, "channels last": {"channels_last": True}}
TOO_SLOW = 4.0
SLOW_S = 40.0
KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
"""Environment that gives PyTorch the memory settings of `keras_seg.training`."""
ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "1"}
"""Environment that enables oneDNN's operators on processors without AVX-512."""
TORCH_WORKER = Path(__file__).with_name("torch_networks.py")


def main() -> None:
    parser = common.parser(__doc__, quick="small images, few steps")
    parser.add_argument("--torch-python", type=Path, help="interpreter with PyTorch")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=MEASURED, choices=NETWORKS)
    parser.add_argument("--without", nargs="*", default=[], help="set-ups to leave out")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        keras_worker(**json.loads(options.worker))
        return
    if options.quick:
        options.steps, options.turns = 2, 2
    folder = common.output_folder(options)
    record = measure(options, folder)
    common.write(folder / "training.json", record, report(record))


def measure(options, folder: Path) -> dict:
    """The record. It is kept in the folder after each network."""
    size, batch = (QUICK_SIZE, QUICK_BATCH) if options.quick else (SIZE, BATCH)
    shared = {"size": size, "batch": batch, "threads": options.threads}
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(("keras-seg", "tensorflow", "keras")),
        "size": size,
        "batch": batch,
        "runs": {},
    }
    for network in options.networks:
        workers = workers_of(network, shared, options)
        record["runs"][network] = take_turns(workers, options, batch)
        common.keep(folder / "training.json", record)
    return record


def workers_of(network: str, shared: dict, options) -> dict[str, Worker]:
    """Name of a set-up → its process, which waits for work."""
    facts = {"network": network, **shared}
    ours = [sys.executable, "-m", "benchmarks.measure.training", "--worker"]
    starts = {
        f"Keras {name}": (ours, setup, ONEDNN if setup.get("onednn") else None)
        for name, setup in KERAS.items()
    }
    if options.torch_python:
        theirs = [str(options.torch_python), str(TORCH_WORKER)]
        for name, setup in TORCH.items():
            starts[f"PyTorch {name}"] = theirs, setup, None
            starts[f"PyTorch {name}, memory kept"] = theirs, setup, KEPT_MEMORY
    left_out = {*options.without, *(f"Keras {name}" for name in options.without)}
    return {
        name: Worker(command, facts | setup, environment)
        for name, (command, setup, environment) in starts.items()
        if name not in left_out
    }


def take_turns(workers: dict[str, Worker], options, batch: int) -> dict:
    """Name → images a second (median over the steps), peak memory, seconds of the first step.

    After a first step of each, those that took `TOO_SLOW` times the fastest one take no more turns.
    """
    samples = {name: worker.steps(1) for name, worker in workers.items()}
    limit = TOO_SLOW * min(taken[0] for taken in samples.values() if taken)
    for _ in range(options.turns):
        for name, worker in workers.items():
            if worker.error is None and samples[name][0] < limit:
                samples[name] += worker.steps(options.steps)
    results = {}
    for name, worker in workers.items():
        if worker.error is not None or not samples[name]:
            results[name] = {"error": worker.error}
            continue
        facts = worker.finish()
        summary = common.summary([1e3 * seconds for seconds in samples[name]])
        rate = {"images_per_second": round(1e3 * batch / summary["median_ms"], 3)}
        results[name] = facts | summary | rate
    return results


class Worker:
    """A process that trains a few steps whenever it is asked.

    Attributes: `error`, the last line of its stderr if it failed, else None.
    """

    def __init__(self, command: list[str], facts: dict, environment: dict[str, str] | None = None):
        self.messages = tempfile.TemporaryFile("w+")  # noqa: SIM115  (lives as long as the process)
        self.process = subprocess.Popen(
            [*command, json.dumps(facts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.messages,
            text=True,
            env=os.environ | (environment or {}),
        )
        self.error: str | None = None

    def steps(self, count: int) -> list[float]:
        return self._ask(count) or []

    def finish(self) -> dict:
        facts = self._ask(0) or {}
        self.process.wait()
        return facts

    def _ask(self, count: int):
        try:
            self.process.stdin.write(f"{count}\n")
            self.process.stdin.flush()
            for line in self.process.stdout:  # libraries may print, too
                if line.startswith("ANSWER"):
                    return json.loads(line.removeprefix("ANSWER"))
        except BrokenPipeError:
            pass
        code = self.process.wait()
        self.messages.seek(0)
        lines = self.messages.read().strip().splitlines()
        self.error = lines[-1][:300] if lines else f"exit code {code}"
        return None


def serve(step: Callable[[], float], facts: Callable[[], dict] = dict) -> None:
    """Answers a number on stdin with the seconds of that many steps, and 0 with the peak memory.

    Args:
        step: computes a step and waits for its loss.
        facts: is called for the last answer, which has its entries, too.
    """
    import resource
    import time

    def timed():
        start = time.perf_counter()
        step()
        return time.perf_counter() - start

    first = timed()
    if first < SLOW_S:  # one more step to warm up, unless steps are very slow
        timed()
    for line in sys.stdin:
        if count := int(line):
            answer = [timed() for _ in range(count)]
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            answer = {"peak_gib": round(peak, 2), "first_step_s": round(first, 1), **facts()}
        sys.stdout.write(f"ANSWER{json.dumps(answer)}\n")
        sys.stdout.flush()
        if not count:
            return


def keras_worker(
    network: str,
    size: int,
    batch: int,
    threads: int,
    policy: str | None = None,
    jit: bool = False,
    keep_memory: bool = True,
    fused: bool = True,
    onednn: bool = False,
):
    del onednn  # the environment has it
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_seg import layers, models
    from keras_seg.training import keep_freed_memory, output_losses

    if keep_memory:  # as `train` does
        keep_freed_memory()
    if not fused:
        layers.BatchNormalization.call = keras.layers.BatchNormalization.call
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    if policy:
        keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    model = models.build(network, (size, size, 3), CLASSES, **NETWORKS[network])
    model.compile("adam", jit_compile=jit, **output_losses(model, "cross_entropy"))
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (batch, size, size, 3)).astype("float32")
    mask = rng.integers(0, CLASSES, (batch, size, size)).astype("int32")
    # The step of `fit` alone, on data in memory: benchmarks.measure.data measures the pipeline.
    batches = iter(tf.data.Dataset.from_tensors((image, mask)).repeat().prefetch(2))
    model.make_train_function()
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    serve(
        lambda: float(model.train_function(batches)["loss"]),
        lambda: {"parameters": trained},
    )


def report(record: dict) -> str:
    text = f"# Training, batches of {record['batch']} x {record['size']} x {record['size']} x 3\n\n"
    text += f"{common.machine_line(record)} Median over steps of processes that take turns.\n"
    for network, runs in record["runs"].items():
        rows = []
        for name, run in runs.items():
            if "error" in run:
                rows.append((name, "-", "-", "-", f"failed: {run['error']}"))
            else:
                rows.append(
                    (
                        name,
                        f"{run['images_per_second']:.2f}",
                        f"{run['median_ms']:.0f} / {run['p90_ms']:.0f}",
                        f"{run['peak_gib']:.2f}",
                        f"{run['first_step_s']:.0f}",
                    )
                )
        header = ("set-up", "images/s", "step ms, median / p90", "peak GiB", "first step s")
        text += f"\n## {network}\n\n{common.markdown_table(header, rows)}"
    return text


if __name__ == "__main__":
    main()
