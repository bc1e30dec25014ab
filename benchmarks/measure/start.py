"""Start-up times: help of the command line, imports, networks, conversions.

    python -m benchmarks.measure.start [--quick] [--torch-python PYTHON] [--fresh]

Every start is a new process, and all alternate, among them TensorFlow alone and PyTorch with smp.
Then each network is built and converted several times, each time in a new process. Writes
`start.json` after each part; a second call continues. Writes `start.md` and `start.png` at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import common
from benchmarks.own_process import answer, ask

OURS = "keras-seg --help"
PACKAGES = ("keras-seg", "tensorflow", "keras", "onnxruntime", "ai-edge-litert", "tf2onnx")
REPEATS, QUICK_REPEATS = 10, 2
ROUNDS, QUICK_ROUNDS = 3, 1
NETWORKS = {
    "unet": {},
    "deeplabv3plus": {"backbone": "mobilenetv2", "backbone_weights": None},
}
QUICK_NETWORKS = ("deeplabv3plus",)
SIZE, QUICK_SIZE, CLASSES = 256, 64, 21
FILES = {
    "TFLite float32": ("float32.tflite", None),
    "TFLite int8": ("int8.tflite", "int8"),
    "ONNX float32": ("float32.onnx", None),
}
TIMEOUT_SECONDS = 300.0


def main() -> None:
    options = _arguments()
    if options.measure:
        answer(measure(**json.loads(options.measure)))
        return
    path = common.output_folder(options) / "start.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "size": QUICK_SIZE if options.quick else SIZE,
        "starts": {},
        "phases": {},
    }
    if path.exists() and not options.fresh:
        old = json.loads(path.read_text())
        if all(old.get(key) == record[key] for key in ("versions", "size")):
            record |= {key: old[key] for key in ("starts", "phases")}
    commands = starts(options.torch_python)
    if not record["starts"].keys() >= commands.keys():
        samplers = {name: sampler(words) for name, words in commands.items()}
        repeats = QUICK_REPEATS if options.quick else REPEATS
        # the first round reads the files from the disk, which does not count
        record["starts"] = common.interleaved(samplers, repeats=repeats, warm_up=1, reference=OURS)
        common.keep(path, record)
    for network in QUICK_NETWORKS if options.quick else NETWORKS:
        if network not in record["phases"]:
            rounds = QUICK_ROUNDS if options.quick else ROUNDS
            record["phases"][network] = phases(network, record["size"], options.threads, rounds)
            common.keep(path, record)
    common.write(path, record, markdown(record))
    plot(record, path.with_suffix(".png"))


def starts(torch_python: Path | None) -> dict[str, list[str]]:
    """Name → command line."""
    python = lambda code: [sys.executable, "-c", code]  # noqa: E731
    found = {
        OURS: [sys.executable, "-m", "keras_seg.cli", "--help"],
        "Python alone": python(""),
        "import keras_seg": python("import keras_seg"),
        "import keras_seg.inference": python("import keras_seg.inference"),
        "import keras_seg.models": python("import keras_seg.models"),
        "import tensorflow": python("import tensorflow"),
    }
    if torch_python:
        smp = "import segmentation_models_pytorch"
        found[smp] = [str(torch_python), "-c", smp]
    return found


def sampler(command: list[str]):
    """Raises: CalledProcessError, when called, if the command fails."""
    run = lambda: subprocess.run(command, check=True, capture_output=True)  # noqa: E731
    return lambda: common.milliseconds(run)


def phases(network: str, size: int, threads: int, rounds: int) -> dict[str, dict]:
    """Phase → summary of the seconds of `rounds` processes; or {"error": {"error": the reason}}."""
    samples: dict[str, list[float]] = {}
    words = json.dumps({"network": network, "size": size, "threads": threads})
    for _ in range(rounds):
        found = ask("benchmarks.measure.start", ["--measure", words], timeout=TIMEOUT_SECONDS)
        print(f"{network}: {found}", flush=True)
        if "error" in found:
            return {"error": found}
        for phase, seconds in found.items():
            samples.setdefault(phase, []).append(seconds)
    return common.summaries(samples, unit="s")


def measure(network: str, size: int, threads: int) -> dict[str, float]:
    """Phase → seconds, in this process."""
    found, began = {}, time.perf_counter()

    def ended(phase: str) -> None:
        nonlocal began
        now = time.perf_counter()
        found[phase], began = now - began, now

    import tensorflow as tf

    from benchmarks.measure import untrained_files
    from keras_seg import models

    ended("import")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    model = models.build(network, (size, size, 3), CLASSES, **NETWORKS[network])
    ended("build")
    import keras_seg.export  # noqa: F401

    ended("import of export")
    with tempfile.TemporaryDirectory() as folder:
        for phase, (name, quantize) in FILES.items():
            untrained_files.write(model, Path(folder) / name, quantize)
            ended(phase)
    return found


def markdown(record: dict) -> str:
    rows = [
        (name, f"{found['median_ms']:.0f} / {found['p90_ms']:.0f}", f"{found['ratio']:.2f}")
        for name, found in record["starts"].items()
    ]
    parts = [
        common.machine_line(record) + "\n",
        common.markdown_table(("start", "ms, median / p90", f"x {OURS}"), rows),
        "## Networks\n",
        f"Seconds, median of separate processes; {record['size']}x{record['size']} pixels, "
        f"{CLASSES} classes. int8 is calibrated on one image.\n",
    ]
    found = {network: _seconds(times) for network, times in record["phases"].items()}
    names = list(dict.fromkeys(phase for times in found.values() for phase in times))
    rows = [
        (network, *(times.get(phase, "") for phase in names)) for network, times in found.items()
    ]
    return "\n".join([*parts, common.markdown_table(("network", *names), rows)])


def _seconds(times: dict[str, dict]) -> dict[str, str]:
    return {
        phase: found.get("error") or f"{found['median_s']:.1f}" for phase, found in times.items()
    }


def plot(record: dict, path: Path) -> None:
    """Bars of all starts, and of the phases of each network on top of each other."""
    from matplotlib.figure import Figure

    figure = Figure((12, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    starts = record["starts"]
    late = [[0] * len(starts), [found["p90_ms"] - found["median_ms"] for found in starts.values()]]
    left.barh([*starts], [found["median_ms"] for found in starts.values()], xerr=late)
    left.invert_yaxis()
    left.set(xlabel="ms; line: 90th percentile", xscale="log")
    left.grid(axis="x", alpha=0.3)
    for network, times in record["phases"].items():
        begun = 0.0
        for number, (phase, found) in enumerate(times.items()):
            if "error" in found:
                continue
            label = phase if network == next(iter(record["phases"])) else None
            right.barh(network, found["median_s"], left=begun, color=f"C{number}", label=label)
            begun += found["median_s"]
    right.set(xlabel=f"seconds, {record['size']}x{record['size']} pixels")
    right.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=80)


def _arguments():
    parser = common.parser(__doc__, quick="two rounds, one network, small images")
    parser.add_argument("--torch-python", type=Path, help="interpreter with PyTorch and smp")
    parser.add_argument("--fresh", action="store_true", help="measure kept parts again")
    parser.add_argument("--measure", help="words of one network as JSON; for its own process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
