"""Runs files through tools of devices, Vela and TFLite Micro, where these are installed."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CONFIGURATIONS = {
    "ethos-u55": "ethos-u55-256",
    "ethos-u65": "ethos-u65-512",
    "ethos-u85": "ethos-u85-256",
}
"""Target → configuration that Vela compiles for."""
CPU_OPERATORS = re.compile(r"CPU operators = (\d+)")
TIMEOUT_SECONDS = 540
MICRO = """
import sys
import numpy as np
from tflite_micro.python.tflite_micro import runtime
file, image, output = sys.argv[1:]
interpreter = runtime.Interpreter.from_file(file, arena_size=256 << 20)
interpreter.set_input(np.load(image), 0)
interpreter.invoke()
np.save(output, interpreter.get_output(0))
"""


def vela(content: bytes, target: str, program: str = "vela") -> dict:
    """What Vela makes of a file.

    Returns: "cpu" (operators that it leaves to the CPU), "cycles_npu", "cycles_total" and
        "milliseconds" (its estimates for the part on the NPU), or "error".
    """
    configuration = CONFIGURATIONS[target]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.tflite"
        path.write_bytes(content)
        command = [program, str(path), "--accelerator-config", configuration]
        process = subprocess.run(
            [*command, "--output-dir", folder],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        summaries = sorted(Path(folder).glob("*_summary_*.csv"))
        count = CPU_OPERATORS.search(process.stdout)
        if process.returncode or count is None or not summaries:
            lines = (process.stderr or process.stdout).strip().splitlines()
            return {"error": lines[-1][:200] if lines else f"code {process.returncode}"}
        (row,) = csv.DictReader(summaries[0].read_text().splitlines())
    cycles = {key: int(float(row[key])) for key in ("cycles_npu", "cycles_total")}
    return {"cpu": int(count[1]), **cycles, "milliseconds": 1e3 * float(row["inference_time"])}


def micro(content: bytes, image: np.ndarray, python: str = sys.executable) -> np.ndarray | str:
    """What TFLite Micro answers for an image, or why it does not run the file.

    Args:
        image: (1, H, W, C) in the type of the file.
        python: an interpreter with the package tflite-micro.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, pixels, output = (Path(folder) / name for name in ("f.tflite", "x.npy", "y.npy"))
        file.write_bytes(content)
        np.save(pixels, image)
        process = subprocess.run(
            [python, "-c", MICRO, str(file), str(pixels), str(output)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        if process.returncode:
            lines = [line for line in process.stderr.splitlines() if line.strip()]
            reasons = [line for line in lines if not line.startswith(("Traceback", "  "))]
            return (reasons or [f"code {process.returncode}"])[0][:200]
        return np.load(output)


def answer(content: bytes, image: np.ndarray) -> np.ndarray:
    """What LiteRT's own kernels answer, without XNNPACK, which rounds in another way."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
