"""Peak memory and time of conversions at the size of the papers, each in its own process.

    python -m benchmarks.measure.conversions [--quick] [--networks unet ...] [--files ...]
        [--before COMMIT]

The model has random weights. Integer files are calibrated on images of coarse noise. With such
weights and images the search for clipped ranges runs; the table says where it found some. With
`--before`, every conversion is also measured with keras_seg of that commit, directly before that of
today, and the table has both. Writes `conversions.json` after each conversion; a second call
continues. Writes `conversions.md` at the end.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import common
from benchmarks.measure.commits import environment, full_hash, unpack
from benchmarks.own_process import answer, ask, forget_peak, peak_mib, resident_mib

PACKAGES = ("keras-seg", "tensorflow", "keras", "onnxruntime", "ai-edge-litert", "tf2onnx")
NO_WEIGHTS = {"backbone_weights": None}
NETWORKS = {
    "unet": ("unet", (512, 512), {}),
    "unet resnet34": ("unet", (512, 512), {"backbone": "resnet34", **NO_WEIGHTS}),
    "segnet": ("segnet", (512, 512), {}),
    "deeplabv3plus resnet50": ("deeplabv3plus", (512, 512), {"backbone": "resnet50", **NO_WEIGHTS}),
    "hrnet w48": ("hrnet", (512, 512), {"backbone": "hrnet_w48", **NO_WEIGHTS}),
    "deconvnet": ("deconvnet", (512, 512), {}),
    "ocrnet w48": ("ocrnet", (512, 1024), {"backbone": "hrnet_w48", **NO_WEIGHTS}),
}
"""Name in the table → network, (height, width), options of its builder."""
QUICK_NETWORKS = {"unet": ("unet", (64, 64), {"widths": (4, 8)})}
FILES = {
    "ONNX float32": ("onnx", None),
    "ONNX int8": ("onnx", "int8"),
    "TFLite float32": ("tflite", None),
    "TFLite int8": ("tflite", "int8"),
}
CLASSES, IMAGES, COARSE = 21, 32, 16
TIMEOUT_SECONDS = 3600.0


def main() -> None:
    options = _arguments()
    if options.measure:
        answer(measure(*json.loads(options.measure)))
        return
    path = common.output_folder(options) / "conversions.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "images": options.images,
        "conversions": {},
    }
    if path.exists() and not options.fresh:
        old = json.loads(path.read_text())
        if all(old.get(key) == record[key] for key in ("versions", "images")):
            record["conversions"] = old["conversions"]
    networks = QUICK_NETWORKS if options.quick else NETWORKS
    with _earlier(options.before) as (commit, variables):
        for name in options.networks or networks:
            for file in options.files or FILES:
                done = record["conversions"].setdefault(name, {})
                words = json.dumps([*networks[name], *FILES[file], options.images])
                if commit is not None and done.get(file, {}).get("before", {}).get("of") != commit:
                    before = _asked(words, variables) | {"of": commit}
                    done[file] = _asked(words) | {"before": before}
                elif file not in done or "error" in done[file]:
                    done[file] = _asked(words)
                print(f"{name}, {file}: {done[file]}", flush=True)
                common.keep(path, record)
    common.write(path, record, markdown(record))


@contextlib.contextmanager
def _earlier(commit: str | None) -> Iterator[tuple[str | None, dict[str, str]]]:
    """The hash of a commit, and the environment variables of a process that uses its keras_seg."""
    if commit is None:
        yield None, {}
        return
    with tempfile.TemporaryDirectory() as folder:
        yield full_hash(commit), environment(unpack(commit, Path(folder)))


def _asked(words: str, variables: dict[str, str] | None = None) -> dict:
    return ask(
        "benchmarks.measure.conversions",
        ["--measure", words],
        timeout=TIMEOUT_SECONDS,
        variables=variables,
    )


def measure(
    network: str, size: list[int], words: dict, file_format: str, quantize: str | None, count: int
) -> dict[str, float | bool]:
    """Peak memory, seconds and size of one conversion, in this process."""
    from keras_seg import models
    from keras_seg.export import export

    model = models.build(network, (None, None, 3), CLASSES, **words)
    images = [coarse_noise(size, seed) for seed in range(count)] if quantize == "int8" else None
    before = resident_mib()
    forget_peak()
    begun, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{file_format}"
        report = export(model, path, quantize=quantize, input_shape=(*size, 3), calibration=images)
        return {
            "model_mib": round(before),
            "peak_mib": round(peak_mib()),
            "file_mib": round(path.stat().st_size / 2**20, 1),
            "seconds": round(time.perf_counter() - begun, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "clipped": report.clipped is not None,
        }


def coarse_noise(size: list[int], seed: int) -> np.ndarray:
    """(H, W, 3) uint8 of squares in random colours."""
    shape = [-(-length // COARSE) for length in size]
    blocks = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    return np.kron(blocks, np.ones((COARSE, COARSE, 1), np.uint8))[: size[0], : size[1]]


def markdown(record: dict) -> str:
    """The table of all conversions."""
    rows = []
    for network, files in record["conversions"].items():
        for file, found in files.items():
            if "error" in found:
                rows.append((network, file, found["error"], "", "", ""))
                continue
            numbers = (f"{found['peak_mib'] / 1024:.2f}", f"{found['model_mib'] / 1024:.2f}")
            clipped = ", ranges clipped" if found["clipped"] else ""
            cells = (f"{found['file_mib']:.0f}", _seconds(found))
            rows.append((network, f"{file}{clipped}", *numbers, *cells, *_before(found)))
    header = (
        *("network", "file", "peak, GiB", "before the export, GiB", "file, MiB"),
        "seconds, wall / CPU",
    )
    compared = {
        found["before"]["of"][:9]
        for files in record["conversions"].values()
        for found in files.values()
        if "before" in found
    }
    if compared:
        header += ("earlier peak, GiB", "earlier seconds", "CPU seconds, now / earlier")
    rows = [(*row, *[""] * (len(header) - len(row))) for row in rows]
    text = f"Integer files are calibrated on {record['images']} images."
    text += f" Earlier: commit {', '.join(sorted(compared))}.\n" if compared else "\n"
    line = common.machine_line(record) + "\n"
    return "\n".join([line, text, common.markdown_table(header, rows)])


def _seconds(found: dict) -> str:
    return f"{found['seconds']:.0f} / {found['cpu_seconds']:.0f}"


def _before(found: dict) -> tuple[str, ...]:
    """The columns of an earlier commit."""
    before = found.get("before")
    if before is None:
        return ()
    if "error" in before:
        return ("", before["error"], "")
    ratio = found["cpu_seconds"] / before["cpu_seconds"]
    return (f"{before['peak_mib'] / 1024:.2f}", _seconds(before), f"{ratio:.2f}")


def _arguments():
    parser = common.parser(__doc__, quick="one small network")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, help="default: all")
    parser.add_argument("--files", nargs="+", choices=FILES, help="default: all")
    parser.add_argument("--before", help="commit, branch or tag to compare with")
    parser.add_argument("--images", type=int, default=IMAGES, help="calibration images")
    parser.add_argument("--fresh", action="store_true", help="measure kept parts again")
    parser.add_argument("--measure", help="one conversion as JSON; for its own process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
