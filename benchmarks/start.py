"""How long starts take: the command line's help, and imports, beside TensorFlow and PyTorch.

    python -m benchmarks.start [--quick] [--torch-python PYTHON]

Every start is a new process, and all take turns. Writes `start.json` and `start.md`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import common

OURS = "keras-seg --help"
PACKAGES = ("keras-seg", "tensorflow", "keras", "onnxruntime", "ai-edge-litert")
REPEATS, QUICK_REPEATS = 15, 2


def main() -> None:
    parser = common.parser(__doc__, quick="two rounds")
    parser.add_argument("--torch-python", type=Path, help="interpreter with PyTorch and smp")
    options = parser.parse_args()
    samplers = {name: sampler(words) for name, words in starts(options.torch_python).items()}
    repeats = QUICK_REPEATS if options.quick else REPEATS
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        # the first round reads the files from the disk, which does not count
        "starts": common.interleaved(samplers, repeats=repeats, warm_up=1, reference=OURS),
    }
    common.write(common.output_folder(options) / "start.json", record, markdown(record))


def starts(torch_python: Path | None) -> dict[str, list[str]]:
    """Name → command line."""
    python = lambda code: [sys.executable, "-c", code]  # noqa: E731
    found = {
        OURS: [sys.executable, "-m", "keras_seg.cli", "--help"],
        "Python alone": python(""),
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


def markdown(record: dict) -> str:
    rows = [
        (name, f"{found['median_ms']:.0f} / {found['p90_ms']:.0f}", f"{found['ratio']:.2f}")
        for name, found in record["starts"].items()
    ]
    header = ("start", "ms, median / p90", f"x {OURS}")
    return f"{common.machine_line(record)}\n\n{common.markdown_table(header, rows)}"


if __name__ == "__main__":
    main()
