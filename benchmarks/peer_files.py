"""Makes the files that `benchmarks.peers` runs, each in a process of its own, and keeps them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.peer import Peer

SCRIPTS = Path(__file__).parent / "peers"
IMAGES, CALIBRATION = 8, 8
FACTS = "files.json"


def make(network: dict, folder: Path, torch_python: Path, options) -> dict[str, dict]:
    """File → seconds of its conversion, peak memory, size; or {"error": why there is none}."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FACTS
    facts = json.loads(path.read_text()) if path.exists() else {}
    words = {"folder": str(folder), "network": network, "threads": options.threads}
    words |= {"calibration": CALIBRATION}
    for file, python, script, do, details in _tasks(folder, torch_python, options):
        if (folder / file).exists() and file in facts:
            continue
        try:
            with Peer(python, SCRIPTS / script, [json.dumps(words)]) as peer:
                facts[file] = peer.ask(do, **details)
        except RuntimeError as error:
            facts[file] = {"error": str(error)[:300]}
        print(f"{folder.name}, {file}: {facts[file]}", flush=True)
        path.write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def _tasks(folder: Path, torch_python: Path, options):
    """(file, interpreter, script, action, its details), in an order in which each finds its own."""
    smp, ours = (torch_python, "smp_files.py"), (sys.executable, "our_files.py")
    whole = lambda name: str(folder / name)  # noqa: E731
    for size in options.sizes:
        yield f"images-{size}.npy", *ours, "images", {"size": size, "count": IMAGES}
    yield "weights.safetensors", *smp, "weights", {"size": options.sizes[0]}
    yield "model.keras", *ours, "keras_file", {"path": whole("model.keras")}
    for size in options.sizes:
        for batch in options.batches:
            case = {"size": size, "batch": batch}
            yield f"reference-{size}-{batch}.npy", *smp, "reference", case
            name, integers = f"smp-{size}-{batch}.onnx", f"smp-int8-{size}-{batch}.onnx"
            yield name, *smp, "onnx", case | {"path": whole(name)}
            details = case | {"path": whole(integers), "source": whole(name)}
            yield integers, *ours, "onnx_int8", details
        name, integers = f"smp-{size}.tflite", f"smp-int8-{size}.tflite"
        yield name, *smp, "litert", {"size": size, "path": whole(name)}
        details = {"size": size, "path": whole(integers), "source": whole(name)}
        yield integers, *smp, "litert_int8", details
        for suffix in ("tflite", "onnx"):
            for number, quantize in (("", None), ("-int8", "int8")):
                name = f"ours{number}-{size}.{suffix}"
                details = {"size": size, "path": whole(name), "quantize": quantize}
                yield name, *ours, "exported", details
