"""Every network on accelerators: operators that each runs, before and after the option `target`.

    python -m benchmarks.edge.devices [--vela PROGRAM] [--micro_python PYTHON] [--quick]
        [--names NAME ...] [--full]

The small form of each network is converted to int8 with random weights, for a CPU and for each
target. Vela compiles both files for Ethos-U55, U65 and U85, and TFLite Micro runs both. So
operators and equality are facts, accuracy is not. Cycles are Vela's estimate of the part on the
NPU; operators on the CPU are not in it. `--full` also compiles U-Net with its paper's widths at
256x256. Writes `devices.json` and `devices.md`. Results are written after every network, and a
second call continues.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.common import (
    keep,
    machine,
    machine_line,
    markdown_table,
    output_folder,
    parser,
    write,
)
from benchmarks.common import versions as installed
from benchmarks.edge.device_files import DeviceFiles
from benchmarks.edge.toolchains import CONFIGURATIONS, answer, micro, vela

PACKAGES = ("keras-seg", "tensorflow", "keras", "ai-edge-litert")
SIZE = (128, 160)
CLASSES = 8
FULL = "unet, 64 to 1024 channels, 256x256"
MICRO = "tflm"
QUICK = ("unet", "danet")
HEADS = ("logits", "argmax")


def main() -> None:
    options = _arguments()
    from keras_seg import models

    path = output_folder(options) / "devices.json"
    record = {
        "machine": machine(options.threads),
        "versions": installed(PACKAGES),
        "tools": {"vela": tool_version([options.vela, "--version"])},
        "size": list(SIZE),
        "networks": {},
    }
    if path.exists() and not options.fresh:
        record["networks"] = json.loads(path.read_text())["networks"]
    names = options.names or (QUICK if options.quick else models.list_models())
    for name in names:
        if name not in record["networks"]:
            record["networks"][name] = network(name, options)
            print(name, json.dumps(record["networks"][name]), flush=True)
            keep(path, record)
    if options.full and FULL not in record["networks"]:
        record["networks"][FULL] = full_unet(options)
    order = [name for name in (*models.list_models(), FULL) if name in record["networks"]]
    record["networks"] = {name: record["networks"][name] for name in order}
    write(path, record, markdown(record))


def network(name: str, options: argparse.Namespace) -> dict:
    """What every tool makes of the small form of a network."""
    import keras

    from keras_seg import models

    keras.utils.set_random_seed(0)
    model = models.build(name, (None, None, 3), CLASSES, **models.find(name).tiny)
    images = _images(SIZE)
    files = DeviceFiles(model, images)
    found = {head: dict(_measured(files, head, images[0], options)) for head in HEADS}
    keras.backend.clear_session()
    return found


def full_unet(options: argparse.Namespace) -> dict:
    """U-Net with the widths of its paper, on Ethos-U85."""
    import keras

    from keras_seg import models

    keras.utils.set_random_seed(0)
    images = _images((256, 256))
    files = DeviceFiles(models.unet((256, 256, 3), 21), images)
    target = "ethos-u85"
    return {"logits": {target: _compiled(files, "logits", images[0], target, options)}}


def _measured(
    files: DeviceFiles, head: str, image: np.ndarray, options: argparse.Namespace
) -> Iterator[tuple[str, dict]]:
    """Target → facts about the file for a CPU ("before") and for the target ("after")."""
    for target in CONFIGURATIONS if options.vela else ():
        yield target, _compiled(files, head, image, target, options)
    if options.micro_python and head == "logits":
        pixels = _pixels(image)
        yield (
            MICRO,
            {
                "before": _ran(files.file("cpu", head), pixels, options.micro_python),
                "after": _ran(files.file(MICRO, head), pixels, options.micro_python),
            },
        )


def _compiled(
    files: DeviceFiles, head: str, image: np.ndarray, target: str, options: argparse.Namespace
) -> dict:
    pixels = _pixels(image)
    before, after = files.file("cpu", head), files.file(target, head)
    return {
        "before": _placed(before, target, options.vela),
        "after": _placed(after, target, options.vela),
        "difference": _difference(answer(before, pixels), answer(after, pixels)),
    }


def _placed(content: bytes, target: str, program: str) -> dict:
    """What Vela does with a file, and what our table says that it does."""
    from keras_seg.export.devices.table import DEVICES
    from keras_seg.export.tflite.graph import read_graphs
    from keras_seg.export.tflite.placement import left_over

    left = left_over(content, DEVICES[target])
    facts = {
        "operators": sum(read_graphs(content)[0].counts().values()),
        "told": sum(entry.count for entry in left),
        "left": {entry.operator: 0 for entry in left},
    }
    for entry in left:
        facts["left"][entry.operator] += entry.count
    return facts | vela(content, target, program)


def _ran(content: bytes, pixels: np.ndarray, python: str) -> dict:
    """Share of equal classes of TFLite Micro and LiteRT, or why it does not run the file."""
    answered = micro(content, pixels, python)
    if isinstance(answered, str):
        return {"error": answered}
    expected = answer(content, pixels)
    return {"classes": float(np.mean(answered.argmax(-1) == expected.argmax(-1)))}


def _difference(before: np.ndarray, after: np.ndarray) -> dict:
    """Steps of int8 that the output of two files differs by."""
    steps = abs(before.astype(int) - after.astype(int))
    return {"largest": int(steps.max()), "share": float((steps > 0).mean())}


def _images(size: tuple[int, int]) -> list[np.ndarray]:
    from keras_seg.data import BuiltinDataset

    return [sample.image for sample in BuiltinDataset("streets", size=size, length=2)]


def _pixels(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.int16) - 128).astype(np.int8)[None]


def tool_version(command: list[str]) -> str | None:
    """The version that a program prints; None if it is not there."""
    import subprocess

    if not command[0]:
        return None
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def markdown(record: dict) -> str:
    """The tables of a record."""
    height, width = record["size"]
    parts = [
        "# Networks on accelerators",
        "Operators of int8 files on the device / all operators, as Vela places them; cycles are "
        "its estimate of the part on the NPU. *Before* is the file for a CPU, *after* the one with "
        f"`target`. Small forms of the networks, random weights, {height}x{width}, input int8. "
        f"Vela {record['tools']['vela']}. {machine_line(record)}",
    ]
    for head in HEADS:
        networks = {
            name: entry[head] for name, entry in record["networks"].items() if head in entry
        }
        targets = [t for t in CONFIGURATIONS if any(t in entry for entry in networks.values())]
        for target in targets:
            rows = [
                _row(name, entry[target]) for name, entry in networks.items() if target in entry
            ]
            parts += [f"## {target}, head {head}", markdown_table(HEADER, rows)]
        rows = [
            (name, *(_micro_words(entry[MICRO][side]) for side in ("before", "after")))
            for name, entry in networks.items()
            if MICRO in entry
        ]
        if rows:
            header = ("network", "before", "after")
            parts += ["## TFLite Micro: pixels with LiteRT's class", markdown_table(header, rows)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


HEADER = (
    *("network", "before", "after", "on the CPU before", "on the CPU after"),
    *("M cycles before", "M cycles after", "largest difference, steps", "numbers that differ"),
)


def _row(name: str, entry: dict) -> tuple:
    before, after, difference = entry["before"], entry["after"], entry["difference"]
    return (
        *(name, _count(before), _count(after), _left(before), _left(after)),
        *(_cycles(before), _cycles(after)),
        difference["largest"],
        f"{100 * difference['share']:.1f} %",
    )


def _count(side: dict) -> str:
    if "error" in side:
        return side["error"]
    count = side["operators"]
    told = "" if side["told"] == side["cpu"] else f" (audit: {count - side['told']})"
    return f"{count - side['cpu']}/{count}{told}"


def _left(side: dict) -> str:
    return ", ".join(f"{kind} x {count}" for kind, count in side["left"].items()) or "none"


def _cycles(side: dict) -> str:
    return "" if "error" in side else f"{side['cycles_npu'] / 1e6:.2f}"


def _micro_words(side: dict) -> str:
    return side.get("error") or f"{100 * side['classes']:.1f} %"


def _arguments() -> argparse.Namespace:
    found = parser(__doc__, "only U-Net and DANet")
    found.add_argument("--names", nargs="+", help="networks; all by default")
    found.add_argument("--vela", default=shutil.which("vela"), help="the program of ethos-u-vela")
    found.add_argument("--micro_python", "--micro-python", default=_own_python())
    found.add_argument("--full", action="store_true", help="also U-Net of full width on Ethos-U85")
    found.add_argument("--fresh", action="store_true", help="measure everything again")
    return found.parse_args()


def _own_python() -> str | None:
    """This interpreter, if it has TFLite Micro."""
    from importlib.util import find_spec

    return sys.executable if find_spec("tflite_micro") else None


if __name__ == "__main__":
    main()
