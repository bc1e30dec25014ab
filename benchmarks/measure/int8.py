"""What int8 costs each network: ranges by TensorFlow, measured ranges, training with roundings.

    python -m benchmarks.measure.int8 --data FOLDER [--names NAME ...] [--quick]
        [--quantizer-python PYTHON]

Small networks are trained on crops of `--data` and kept in `--cache`, which `benchmarks.edge`
shares. Each is written in int8 in several ways, and all files are measured on the same validation
images. `--quantizer-python` is an interpreter that has the package litert-quantizer. Results are
written after each network, and a second call continues. Writes `int8.json` and `int8.md`.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from benchmarks import common
from benchmarks.own_process import ask

PACKAGES = ("keras-seg", "tensorflow", "keras", "ai-edge-litert")
KERAS = "Keras"
BEFORE, NOW = "TensorFlow's ranges", "measured ranges"
EXPORTED, AWARE = "export", "QAT"
PEERS = {
    "litert-quantizer min/max": "MIN_MAX_UNIFORM_QUANT",
    "litert-quantizer OCTAV": "OCTAV",
    "litert-quantizer MSE": "MSE",
}
"""Row → algorithm of litert-quantizer."""
ROWS = (BEFORE, NOW, EXPORTED, AWARE, *PEERS)
ALLOWED = {AWARE: 0.5}
"""Points of mIoU that a file may lose; 1 for the others."""
TOO_WIDE = 1.25
"""A range of so many times the measured one is counted as too wide."""
TIMEOUT_SECONDS = 3600.0
ALIKE = ("versions", "data", "size", "crop", "seconds", "aware_seconds", "images", "peer")
"""Settings that must be unchanged so that a network is not measured again."""


def main() -> None:
    options = _arguments()
    from keras_seg import models

    path = common.output_folder(options) / "int8.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "peer": peer_version(options.quantizer_python),
        "data": Path(options.data).name,
        **{key: getattr(options, key) for key in ("size", "crop", "seconds", "aware_seconds")},
        "images": options.images,
        "networks": {},
    }
    if path.exists() and not options.fresh:
        old = json.loads(path.read_text())
        if all(old.get(key) == record[key] for key in ALIKE):
            record["networks"] = old["networks"]
    for name in options.names or models.list_models():
        if name in record["networks"] and "error" not in record["networks"][name]:
            continue
        request = _request(name, options)
        module, begun = "benchmarks.measure.int8_network", time.perf_counter()
        record["networks"][name] = ask(module, [request], timeout=TIMEOUT_SECONDS)
        took = time.perf_counter() - begun
        print(f"{name}: {took:.0f} s, {record['networks'][name].get('error', 'measured')}")
        common.keep(path, record)
    order = [name for name in models.list_models() if name in record["networks"]]
    record["networks"] = {name: record["networks"][name] for name in order}
    common.write(path, record, markdown(record))


def peer_version(python: str | None) -> str | None:
    """Version of litert-quantizer that an interpreter has."""
    if python is None:
        return None
    program = "from importlib.metadata import version; print(version('litert-quantizer'))"
    return subprocess.run([python, "-c", program], capture_output=True, text=True).stdout.strip()


def markdown(record: dict) -> str:
    """One table of points lost, and one of pixels that change class."""
    networks = {name: found for name, found in record["networks"].items() if "rows" in found}
    names = [name for name in ROWS if any(name in found["rows"] for found in networks.values())]
    header = (
        "network",
        "parameters",
        "steps",
        "Keras mIoU %",
        "maps",
        "too wide",
        "widest",
        *names,
    )
    lost = [
        [
            name,
            f"{found['parameters']:,}",
            f"{found['steps']} + {found['aware_steps']}",
            f"{100 * found['miou']:.2f}",
            found.get("maps", ""),
            found.get("too_wide", ""),
            f"{found['widest']:.1f}" if "widest" in found else "",
            *(_lost(found["rows"].get(row, {}), row) for row in names),
        ]
        for name, found in networks.items()
    ]
    changed = [
        [name, *(_changed(found["rows"].get(row, {})) for row in names)]
        for name, found in networks.items()
    ]
    parts = [
        common.machine_line(record) + "\n",
        _about(record),
        "## Points of mIoU lost\n",
        common.markdown_table(header, lost),
        "## Percent of the pixels with another class than in Keras\n",
        common.markdown_table(("network", *names), changed),
    ]
    reasons = [
        f"{name}, {row}: {entry['refused']}\n"
        for name, found in networks.items()
        for row, entry in found["rows"].items()
        if "refused" in entry
    ]
    reasons += [
        f"{name}: not measured, {found['error']}\n"
        for name, found in record["networks"].items()
        if "error" in found
    ]
    return "\n".join([*parts, *reasons])


def _about(record: dict) -> str:
    crop, size = ("x".join(map(str, record[key])) for key in ("crop", "size"))
    peer = record["peer"]
    with_peer = f" litert-quantizer {peer} quantizes the same float file." if peer else ""
    return (
        f'Small networks, trained on crops of {crop} of "{record["data"]}" for '
        f"{record['seconds']:g} s, and {record['aware_seconds']:g} s more with roundings "
        f"(QAT); the table has the steps. Files for {size}, calibrated on the same images and "
        f'measured on {record["images"]} validation images. "{BEFORE}" and "{NOW}" are int8 '
        f'files that differ in the ranges alone; "{EXPORTED}" is the file of `export`, which may '
        "clip them. Maps: those with a range; too wide: TensorFlow's calibrator measures a range "
        f"of more than {TOO_WIDE} times that of the values; widest: the largest such ratio. Bold: "
        f"more than 1 point, or more than 0.5 for QAT. F: some operators stay float.{with_peer}\n"
    )


def _lost(row: dict, name: str) -> str:
    if "drop" not in row:
        return "-" if "refused" in row else ""
    text = f"{row['drop']:.2f}"
    text = f"**{text}**" if row["drop"] > ALLOWED.get(name, 1.0) else text
    return f"{text} F" if row.get("islands") else text


def _changed(row: dict) -> str:
    return f"{row['changed']:.2f}" if "changed" in row else "-" if "refused" in row else ""


def _request(name: str, options) -> str:
    words = {key: getattr(options, key) for key in ("data", "size", "crop", "seconds")}
    words |= {"cache": str(options.cache), "aware_seconds": options.aware_seconds}
    words |= {"name": name, "images": options.images, "python": options.quantizer_python}
    return json.dumps(words)


def _arguments():
    parser = common.parser(__doc__, quick="seconds of training, few images")
    parser.add_argument("--data", default="builtin:cells", help="folder or built-in data set")
    parser.add_argument("--names", nargs="+", help="only these networks")
    parser.add_argument("--size", type=int, nargs=2, help="height and width of the files")
    parser.add_argument("--crop", type=int, nargs=2, help="height and width of training crops")
    parser.add_argument("--seconds", type=float, help="of training a network")
    parser.add_argument("--aware_seconds", type=float, help="of quantization-aware training")
    parser.add_argument("--images", type=int, help="validation images")
    parser.add_argument("--cache", type=Path, help="folder for trained networks and their files")
    parser.add_argument("--quantizer-python", help="interpreter that has litert-quantizer")
    parser.add_argument("--fresh", action="store_true", help="measure kept networks again")
    options = parser.parse_args()
    quick = options.quick
    options.size = options.size or ([64, 64] if quick else [128, 128])
    options.crop = options.crop or options.size
    options.seconds = options.seconds or (3.0 if quick else 70.0)
    options.aware_seconds = options.aware_seconds or (2.0 if quick else 35.0)
    options.images = options.images or (4 if quick else 24)
    options.cache = options.cache or Path("runs/edge-quick" if quick else "runs/edge")
    return options


if __name__ == "__main__":
    main()
