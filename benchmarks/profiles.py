"""Where the time of each network goes: operators of a training step, of a TFLite graph.

    python -m benchmarks.profiles [--quick] [--names NAME ...] [--size N] [--batch N] [--fresh]

Training: TensorFlow's profiler over a step, self time by kind of operation. Exported graph:
LiteRT's Python interface times no single operators, so their counts, those that XNNPACK leaves to
single-threaded kernels, and conversions and transpositions, beside the latency of the whole.
Each network is a process of its own. Writes `profiles.json` after each, in the end `profiles.md`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks import common
from benchmarks.own_process import answer, ask

PACKAGES = ("keras-seg", "tensorflow", "keras", "ai-edge-litert")
STEPS, PROFILED_STEPS, REPEATS, SHOWN = 3, 1, 10, 8
TIMEOUT_SECONDS = 300.0
MOVING = ("TRANSPOSE", "CAST", "QUANTIZE", "DEQUANTIZE", "RESHAPE", "TILE", "CONCATENATION", "PAD")
"""Operators that compute nothing."""
HEADER = (
    *("network", "file", "ms, median / p90", "operators", "XNNPACK parts", "not in XNNPACK"),
    *("that compute nothing", "MB"),
)


def main() -> None:
    options = _arguments()
    if options.measure:
        answer(measure(**json.loads(options.measure)))
        return
    from keras_seg import models

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
    for name in options.names or models.list_models():
        if "training" in record["networks"].get(name, {}):
            continue
        words = {"name": name, "size": options.size, "batch": options.batch}
        words |= {"threads": options.threads, "tiny": options.quick}
        start = time.perf_counter()
        question = ["--measure", json.dumps(words)]
        found = ask("benchmarks.profiles", question, timeout=TIMEOUT_SECONDS)
        record["networks"][name] = found
        took = time.perf_counter() - start
        print(f"{name}: {found.get('error', 'measured')}, {took:.0f} s", flush=True)
        common.keep(path, record)
    common.write(path, record, markdown(record))


def measure(name: str, size: int, batch: int, threads: int, tiny: bool) -> dict:
    """Profile of a training step and facts of the float32 and int8 files, in this process."""
    import tensorflow as tf

    from keras_seg import models

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    found = models.find(name)
    multiple = found.size_multiple
    shape = (*[-(-size // multiple) * multiple] * 2, 3)
    backbone = {"backbone_weights": None} if "backbone_weights" in found.tiny else {}
    model = found.build(shape, 21, **(found.tiny if tiny else backbone))
    training = profile(model, shape, batch)
    return {"training": training, "files": files(model, shape, threads)}


def profile(model, shape: tuple, batch: int) -> dict:
    """Kind of operation → milliseconds a step on all threads, and the step's own time."""
    import tensorflow as tf

    from keras_seg.training import output_losses

    model.compile("adam", jit_compile=False, **output_losses(model, "cross_entropy"))
    random = np.random.default_rng(0)
    image = random.uniform(0, 255, (batch, *shape)).astype(np.float32)
    mask = random.integers(0, 21, (batch, *shape[:2])).astype(np.int32)
    batches = iter(tf.data.Dataset.from_tensors((image, mask)).repeat())
    model.make_train_function()

    def step():
        return float(model.train_function(batches)["loss"])

    step()
    times = [common.milliseconds(step) for _ in range(STEPS)]
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(PROFILED_STEPS):
            step()
        tf.profiler.experimental.stop()
        (trace,) = Path(folder).rglob("*.xplane.pb")
        spent = operations(trace.read_bytes())
    return common.summary(times) | {
        "operations": {kind: round(ms / PROFILED_STEPS, 3) for kind, ms in spent.most_common()}
    }


def operations(trace: bytes) -> Counter:
    """Kind of operation → milliseconds, of a trace that TensorFlow's profiler has written.

    The events of operations are called "name:kind". Those that run others (a graph's call, a loop)
    are left out: what they run is counted.
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
                    spent[kind] += event.duration_ps / 1e9
    return spent


def files(model, shape: tuple, threads: int) -> dict:
    """File → its operators, what no delegate takes, its latency; or why there is none."""
    from keras_seg.card import ModelCard
    from keras_seg.data import BuiltinDataset, ClassTable
    from keras_seg.export import ExportError, export
    from keras_seg.models import for_inference

    calibration = BuiltinDataset("streets", size=shape[:2], length=4)
    card, found = ModelCard(ClassTable.numbered(21)), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, quantize in (("TFLite float32", None), ("TFLite int8", "int8")):
            path = Path(folder) / f"{quantize}.tflite"
            try:
                report = export(
                    for_inference(model),
                    path,
                    quantize=quantize,
                    calibration=calibration,
                    card=card,
                )
            except ExportError as error:
                found[name] = {"refused": str(error)}
                continue
            facts = report.audit
            found[name] = latency(path, threads) | {
                "operators": facts.operators,
                "partitions": facts.partitions,
                "undelegated": facts.undelegated,
                "multiply_adds": facts.multiply_adds,
                "size_bytes": facts.size_bytes,
                "export_s": round(report.seconds, 1),
            }
    return found


def latency(path: Path, threads: int) -> dict:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.invoke()
    return common.summary([common.milliseconds(interpreter.invoke) for _ in range(REPEATS)])


def markdown(record: dict) -> str:
    parts = [
        f"{common.machine_line(record)} Images {record['size']}x{record['size']}, batches of "
        f"{record['batch']} in training, 21 classes, random weights.\n",
        "## Training step: time on all threads by kind of operation\n",
    ]
    networks = record["networks"].items()
    header = ("network", "step ms, median / p90", f"the {SHOWN} kinds that take most, %")
    parts.append(common.markdown_table(header, [_training_cells(*item) for item in networks]))
    parts.append("## Exported graphs\n")
    rows = [
        _file_cells(name, file, facts)
        for name, found in networks
        for file, facts in found.get("files", {}).items()
    ]
    return "\n".join([*parts, common.markdown_table(HEADER, rows)])


def _training_cells(name: str, found: dict) -> tuple:
    if "error" in found:
        return (name, "", found["error"].replace("|", "/"))
    times = found["training"]
    total = sum(times["operations"].values()) or 1
    shares = [f"{kind} {100 * ms / total:.0f}" for kind, ms in times["operations"].items()]
    pace = f"{times['median_ms']:.0f} / {times['p90_ms']:.0f}"
    return (name, pace, ", ".join(shares[:SHOWN]))


def _file_cells(name: str, file: str, facts: dict) -> tuple:
    if "refused" in facts:
        return (name, file, facts["refused"].replace("|", "/").replace("\n", " "), *[""] * 5)
    counts = facts["operators"]
    return (
        *(name, file, f"{facts['median_ms']:.1f} / {facts['p90_ms']:.1f}", sum(counts.values())),
        facts["partitions"],
        ", ".join(f"{kind} {count}" for kind, count in facts["undelegated"].items()),
        ", ".join(f"{kind} {counts[kind]}" for kind in MOVING if kind in counts),
        f"{facts['size_bytes'] / 1e6:.2f}",
    )


def _arguments():
    parser = common.parser(__doc__, quick="tiny versions of the networks, small images")
    parser.add_argument("--names", nargs="+", help="only these networks")
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="measure kept networks again")
    parser.add_argument("--measure", help="words of one network as JSON; for its own process")
    options = parser.parse_args()
    options.size = options.size or (64 if options.quick else 256)
    return options


if __name__ == "__main__":
    main()
