"""Time by operator: a training step and the TFLite graphs of each network.

    python -m benchmarks.measure.profiles [--quick] [--names NAME ...] [--size N] [--batch N]
        [--minutes N] [--fresh]

Training is profiled with TensorFlow's profiler: self time by kind of operation. Exported graphs,
float32 and int8, are profiled with LiteRT's profiler, kernels of XNNPACK included. The tables show
the share of XNNPACK, of operators in single-threaded kernels, and of operators that compute
nothing. Files are made as by `keras-seg export` but not compared with Keras, and int8 uses the
ranges of one image, because the weights are random. Training and export of a network run in one
process each. Writes `profiles.json` after each; a second call continues. Writes `profiles.md` and
`profiles.png` at the end.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks import common
from benchmarks.measure import untrained_files
from benchmarks.measure.litert_profile import ProfilerMissing
from benchmarks.measure.litert_profile import profile as profile_file
from benchmarks.measure.profiles_report import FOR_FILES, markdown, plot
from benchmarks.own_process import answer, ask

PACKAGES = ("keras-seg", "tensorflow", "keras", "ai-edge-litert")
CLASSES = 21
STEPS, PROFILED_STEPS, REPEATS, PROFILED_RUNS = 3, 1, 7, 3
ONEDNN = re.compile("^_Mkl(Native)?")
FILES = {"TFLite float32": None, "TFLite int8": "int8"}
PARTS = ("training", "files")
TIMEOUT_SECONDS = 400.0


def main() -> None:
    options = _arguments()
    if options.measure:
        answer(measure(**json.loads(options.measure)))
        return
    from keras_seg import models

    deadline = time.monotonic() + 60 * options.minutes
    path = common.output_folder(options) / "profiles.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "size": options.size,
        "batch": options.batch,
        "networks": {},
    }
    if path.exists() and not options.fresh:
        old = json.loads(path.read_text())
        if all(old[key] == record[key] for key in ("versions", "size", "batch")):
            record["networks"] = old["networks"]
    late = []
    for name in options.names or models.list_models():
        found = record["networks"].setdefault(name, {})
        for part in PARTS:
            if "error" not in found.get(part, {"error": "not yet measured"}):
                continue
            if time.monotonic() > deadline:
                late.append(f"{name}, {part}")
                continue
            found[part] = _asked(name, part, options)
            common.keep(path, record)
    record["networks"] = dict(sorted(record["networks"].items()))
    common.write(path, record, markdown(record))
    plot(record, path.with_suffix(".png"))
    if late:
        print(f"{options.minutes:g} minutes are over. Repeat the command to continue with: {late}")


def _asked(name: str, part: str, options) -> dict:
    words = {"name": name, "part": part, "size": options.size, "batch": options.batch}
    words |= {"threads": options.threads, "tiny": options.quick}
    start = time.perf_counter()
    question = ["--measure", json.dumps(words)]
    found = ask("benchmarks.measure.profiles", question, timeout=TIMEOUT_SECONDS)
    took = time.perf_counter() - start
    print(f"{name}, {part}: {found.get('error', 'measured')}, {took:.0f} s", flush=True)
    return found


def measure(name: str, part: str, size: int, batch: int, threads: int, tiny: bool) -> dict:
    """Profile of a training step, or facts of the float32 and int8 files, in this process."""
    import keras
    import tensorflow as tf

    from keras_seg import models
    from keras_seg.training import keep_freed_memory

    keep_freed_memory()  # as `train` does
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    keras.utils.set_random_seed(0)
    found = models.find(name)
    multiple = found.size_multiple
    shape = (*[-(-size // multiple) * multiple] * 2, 3)
    options = {"backbone_weights": None} if "backbone_weights" in found.tiny else {}
    options |= FOR_FILES.get(name, {}) if part == "files" else {}
    model = found.build(shape, CLASSES, **(found.tiny if tiny else options))
    return profile(model, shape, batch) if part == "training" else files(model, threads)


def profile(model, shape: tuple, batch: int) -> dict:
    """Kind of operation → milliseconds per step on all threads; and the time of a step."""
    import tensorflow as tf

    from keras_seg.training import output_losses

    model.compile("adam", jit_compile=False, **output_losses(model, "cross_entropy"))
    random = np.random.default_rng(0)
    image = random.uniform(0, 255, (batch, *shape)).astype(np.float32)
    mask = random.integers(0, CLASSES, (batch, *shape[:2])).astype(np.int32)
    batches = iter(tf.data.Dataset.from_tensors((image, mask)).repeat())
    model.make_train_function()

    def step():
        return float(model.train_function(batches)["loss"])

    step()
    samplers = {"step": lambda: common.milliseconds(step)}
    times = common.interleaved(samplers, repeats=STEPS)["step"]
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(PROFILED_STEPS):
            step()
        tf.profiler.experimental.stop()
        (trace,) = Path(folder).rglob("*.xplane.pb")
        spent = operations(trace.read_bytes())
    return times | {
        "operations": {kind: round(ms / PROFILED_STEPS, 3) for kind, ms in spent.most_common()}
    }


def operations(trace: bytes) -> Counter:
    """Kind of operation → milliseconds, of a trace that TensorFlow's profiler has written.

    The events of operations are called "name:kind". Those that run others (a graph's call, a loop)
    are left out: what they run is counted. oneDNN's forms count as TensorFlow's own.
    """
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    spent = Counter()
    for plane in XSpace.FromString(trace).planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                name, _, kind = names[event.metadata_id].rpartition(":")
                # a function of TensorFlow's own C++ is called "Class::Function"
                is_operation = name and kind.isidentifier() and not name.endswith(":")
                if is_operation and "Call" not in kind and kind not in ("While", "If"):
                    spent[ONEDNN.sub("", kind)] += event.duration_ps / 1e9
    return spent


def files(model, threads: int) -> dict:
    """File → its operators, those outside delegates, its latency; or the reason."""
    from keras_seg.export import ExportError

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, quantize in FILES.items():
            path, start = Path(folder) / f"{quantize}.tflite", time.perf_counter()
            try:
                untrained_files.write(model, path, quantize)
            except ExportError as error:
                found[name] = {"refused": str(error)}
                continue
            found[name] = {"export_s": round(time.perf_counter() - start, 1)}
            found[name] |= facts(path, threads)
    return found


def facts(path: Path, threads: int) -> dict:
    """The audit of a file, its latency, and its time by operator."""
    from keras_seg.export import audit

    found = audit(path)
    timed = latency(path, threads)
    try:
        timed["kernels"] = profile_file(path, threads, PROFILED_RUNS)
    except ProfilerMissing as error:
        timed["no_profile"] = str(error)
    return timed | {
        "operators": found.operators,
        "partitions": found.partitions,
        "undelegated": found.undelegated,
        "problems": found.problems,
        "multiply_adds": found.multiply_adds,
        "size_bytes": found.size_bytes,
    }


def latency(path: Path, threads: int) -> dict:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    samplers = {"file": lambda: common.milliseconds(interpreter.invoke)}
    return common.interleaved(samplers, repeats=REPEATS, warm_up=1)["file"]


def _arguments():
    parser = common.parser(__doc__, quick="tiny versions of the networks, small images")
    parser.add_argument("--names", nargs="+", help="only these networks")
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument(
        "--minutes", type=float, default=12.0, help="after these, no new network starts"
    )
    parser.add_argument("--fresh", action="store_true", help="measure kept networks again")
    parser.add_argument("--measure", help="words of one network as JSON; for its own process")
    options = parser.parse_args()
    options.size = options.size or (64 if options.quick else 256)
    return options


if __name__ == "__main__":
    main()
