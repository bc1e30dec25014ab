"""Peak memory and time of conversions at the size of the papers, each in its own process.

    python -m benchmarks.measure.conversions [--quick] [--networks unet ...] [--files ...]

The model has random weights. Integer files are calibrated on images of coarse noise. With such
weights and images the search for clipped ranges may run; the table says where it found some. Writes
`conversions.json` after each conversion; a second call continues. Writes `conversions.md` at the
end.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import common
from benchmarks.own_process import answer, ask, forget_peak, peak_mib, resident_mib

PACKAGES = ("keras-seg", "tensorflow", "keras", "onnxruntime", "ai-edge-litert", "tf2onnx")
NO_WEIGHTS = {"backbone_weights": None}
NETWORKS = {
    "unet": ("unet", (512, 512), {}),
    "unet resnet34": ("unet", (512, 512), {"backbone": "resnet34", **NO_WEIGHTS}),
    "segnet": ("segnet", (512, 512), {}),
    "deeplabv3plus resnet50": ("deeplabv3plus", (512, 512), {"backbone": "resnet50", **NO_WEIGHTS}),
    "hrnet w48": ("hrnet", (512, 512), {"backbone": "hrnet_w48", **NO_WEIGHTS}),
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
    for name in options.networks or networks:
        for file in options.files or FILES:
            done = record["conversions"].setdefault(name, {})
            if file in done and "error" not in done[file]:
                continue
            words = json.dumps([*networks[name], *FILES[file], options.images])
            module = "benchmarks.measure.conversions"
            done[file] = ask(module, ["--measure", words], timeout=TIMEOUT_SECONDS)
            print(f"{name}, {file}: {done[file]}", flush=True)
            common.keep(path, record)
    common.write(path, record, markdown(record))


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
            rows.append(
                (
                    network,
                    f"{file}{clipped}",
                    *numbers,
                    f"{found['file_mib']:.0f}",
                    f"{found['seconds']:.0f} / {found['cpu_seconds']:.0f}",
                )
            )
    header = (
        "network",
        "file",
        "peak, GiB",
        "before the export, GiB",
        "file, MiB",
        "seconds, wall / CPU",
    )
    images = f"Integer files are calibrated on {record['images']} images.\n"
    line = common.machine_line(record) + "\n"
    return "\n".join([line, images, common.markdown_table(header, rows)])


def _arguments():
    parser = common.parser(__doc__, quick="one small network")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, help="default: all")
    parser.add_argument("--files", nargs="+", choices=FILES, help="default: all")
    parser.add_argument("--images", type=int, default=IMAGES, help="calibration images")
    parser.add_argument("--fresh", action="store_true", help="measure kept parts again")
    parser.add_argument("--measure", help="one conversion as JSON; for its own process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
