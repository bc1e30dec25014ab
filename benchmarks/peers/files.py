"""Makes the files that `benchmarks.peers` runs, each in its own process, and keeps them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.paths import Case
from benchmarks.peers.peer import Peer

SCRIPTS = Path(__file__).parent / "scripts"
IMAGES, CALIBRATION = 8, 8
FACTS = "files.json"
LIMIT_S = 420.0
"""Time limit of one conversion; the table says which conversion exceeded it."""


def make(
    network: dict, folder: Path, pythons: dict[str, Path], options, case: Case
) -> dict[str, dict]:
    """File → seconds of its conversion, peak memory, size; or {"error": the reason}.

    Makes the missing files of one case. Returns the facts of all files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FACTS
    facts = json.loads(path.read_text()) if path.exists() else {}
    words = {"folder": str(folder), "network": network, "threads": options.threads}
    words |= {"calibration": CALIBRATION}
    tasks = [*_tasks(folder, options, case.size, case.batch)]
    if case.classes:
        tasks += _class_tasks(folder, case.size)
    for file, side, do, details in tasks:
        failed = "error" in facts.get(file, {})
        made = file in facts and (folder / file).exists()
        if made or side not in pythons or (failed and not options.fresh):
            continue
        try:
            script = SCRIPTS / f"{side}_files.py"
            with Peer(pythons[side], script, [json.dumps(words)], limit_s=LIMIT_S) as peer:
                facts[file] = peer.ask(do, **details)
        except RuntimeError as error:
            facts[file] = {"error": str(error)[:300]}
        print(f"{folder.name}, {file}: {facts[file]}", flush=True)
        path.write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def _tasks(folder: Path, options, size: int, batch: int) -> Iterator[tuple[str, str, str, dict]]:
    """(file, side, action, its details), each after the files that it needs."""
    whole = lambda name: str(folder / name)  # noqa: E731
    case = {"size": size, "batch": batch}
    # batch norm statistics come from images of the first size
    for drawn in {options.sizes[0], size}:
        yield f"images-{drawn}.npy", "our", "images", {"size": drawn, "count": IMAGES}
    yield "weights.safetensors", "smp", "weights", {"size": options.sizes[0]}
    yield "model.keras", "our", "keras_file", {"path": whole("model.keras")}
    yield f"reference-{size}-{batch}.npy", "smp", "reference", case
    source, integers = f"smp-{size}-{batch}.onnx", f"smp-int8-{size}-{batch}.onnx"
    yield source, "smp", "onnx", case | {"path": whole(source)}
    yield integers, "our", "onnx_int8", case | {"path": whole(integers), "source": whole(source)}
    name, integers = f"smp-{size}.tflite", f"smp-int8-{size}.tflite"
    yield name, "smp", "litert", {"size": size, "path": whole(name)}
    details = {"size": size, "path": whole(integers), "source": whole(name)}
    yield integers, "smp", "litert_int8", details
    yield from _our_tasks(folder, size, classes=False)
    if batch == 1:
        name, integers = f"onnx2tf-{size}.tflite", f"onnx2tf-int8-{size}.tflite"
        details = {"size": size, "path": whole(name), "source": whole(source)}
        yield name, "onnx2tf", "onnx2tf", details | {"integers": whole(integers)}


def _class_tasks(folder: Path, size: int) -> Iterator[tuple[str, str, str, dict]]:
    """The same for files of class maps; each argmax is written as users of the converter do."""
    whole = lambda name: str(folder / name)  # noqa: E731
    source, integers = f"smp-classes-{size}.onnx", f"smp-classes-int8-{size}.onnx"
    details = {"size": size, "batch": 1, "path": whole(source), "classes": True}
    yield source, "smp", "onnx", details
    details = {"size": size, "batch": 1, "path": whole(integers), "source": whole(source)}
    yield integers, "our", "onnx_int8", details
    source, integers = f"smp-classes-{size}.tflite", f"smp-classes-int8-{size}.tflite"
    yield source, "smp", "litert", {"size": size, "path": whole(source), "classes": True}
    details = {"size": size, "path": whole(integers), "source": whole(source)}
    yield integers, "smp", "litert_int8", details
    yield from _our_tasks(folder, size, classes=True)


def _our_tasks(folder: Path, size: int, *, classes: bool) -> Iterator[tuple[str, str, str, dict]]:
    for suffix in ("tflite", "onnx"):
        for number, quantize in (("", None), ("-int8", "int8")):
            name = f"ours{'-classes' * classes}{number}-{size}.{suffix}"
            details = {"size": size, "path": str(folder / name), "quantize": quantize}
            yield name, "our", "exported", details | {"classes": classes}


def pythons(torch_python: Path, onnx2tf_python: Path | None) -> dict[str, Path]:
    """Side → interpreter that runs its script."""
    found = {"smp": torch_python, "our": Path(sys.executable)}
    return found | ({"onnx2tf": onnx2tf_python} if onnx2tf_python else {})
