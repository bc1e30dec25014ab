"""Damages model files at random and opens each in a process of its own: read, refused, or crashed.

    python -m tests.attacks.damage tflite --tries 200

A file is cut, some of its bytes are changed, or a stretch of it is overwritten. Whoever opens it
must get masks, or a ValueError that names the file; a crash, an error of another kind and a hang
are what is looked for. Works by fork, so that libraries are imported once: Linux.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_seg import inference
from keras_seg.inference.checksum import CHECKSUM_FIELD, PLACEHOLDER

SECONDS = 30
"""After which an answer counts as a hang."""
READ, REFUSED, WRONG = 0, 1, 2
MEANINGS = {READ: "read", REFUSED: "refused by name"}


def damaged(content: bytes, seed: int) -> bytes:
    """A file's bytes, cut, changed or overwritten; the same for the same seed."""
    rng, changed = random.Random(seed), bytearray(content)
    kind = rng.choice(["cut", "bytes", "bytes", "head", "stretch"])
    if kind == "cut":
        return content[: rng.randrange(len(content))]
    if kind == "stretch":
        start, length = rng.randrange(len(content)), rng.randrange(1, 256)
        changed[start : start + length] = rng.randbytes(length)
        return bytes(changed)
    # the first bytes and the last ones hold what the others mean
    places = range(min(4096, len(content))) if kind == "head" else range(len(content))
    for place in rng.choices(places, k=rng.randint(1, 20)):
        changed[place] = rng.randrange(256)
    return bytes(changed)


def outcome(path: Path, image: np.ndarray) -> tuple[str, str]:
    """What opening a file and predicting an image comes to in a process of its own, and its words.

    Returns: "read", "refused by name", "wrong error", "hang" or "signal <number>".
    """
    told, tell = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        os.close(told)
        _open(path, image, tell)
    os.close(tell)
    deadline = time.monotonic() + SECONDS
    while not (ended := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(told)
            return "hang", ""
        time.sleep(0.002)
    with os.fdopen(told, "r", errors="replace") as file:
        words = file.read()
    code = os.waitstatus_to_exitcode(ended[1])
    return (MEANINGS.get(code, "wrong error") if code >= 0 else f"signal {-code}"), words


def _open(path: Path, image: np.ndarray, tell: int):
    code = WRONG
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        mask = inference.load(path, threads=1).predict(image)
        assert mask.shape == image.shape[:2], f"a mask of shape {mask.shape}"
        code = READ
    except ValueError as error:
        code = REFUSED if str(path) in str(error) else WRONG
        os.write(tell, f"{type(error).__name__}: {error}".encode()[:2000])
    except BaseException as error:
        os.write(tell, f"{type(error).__name__}: {error}".encode()[:2000])
    finally:
        os._exit(code)


def damage_often(path: Path, tries: int, *, first_seed: int = 0) -> tuple[dict, list[str]]:
    """Damages a file so often: outcomes with their numbers, and a line for each that is a fault."""
    content, counts, faults = path.read_bytes(), collections.Counter(), []
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    part = path.with_name(f"damaged{path.suffix}")
    whole = outcome(path, image)
    assert whole[0] == MEANINGS[READ], f"the file that is to be damaged: {whole}"
    for seed in range(first_seed, first_seed + tries):
        part.write_bytes(damaged(content, seed))
        found, words = outcome(part, image)
        counts[found] += 1
        if found not in MEANINGS.values():
            faults.append(f"seed {seed}: {found}: {words[:300]}")
    part.unlink(missing_ok=True)
    return dict(counts), faults


def write_model(folder: Path, suffix: str) -> Path:
    """A tiny network in a file of that kind."""
    from keras_seg import export, models
    from keras_seg.data import ClassTable

    path = folder / f"m.{suffix}"
    network = models.build("unet", (32, 32, 3), 3, widths=(4, 8))
    card = models.ModelCard(ClassTable(("a", "b", "c")), "unet")
    models.save(network, folder / "m.keras", card)
    if suffix != "keras":
        export.export(folder / "m.keras", path)
    return path


def unsealed(content: bytes) -> bytes:
    """An exported file without its checksum, so that the runtime gets to see the damage."""
    return CHECKSUM_FIELD.sub(b'"seal": "' + PLACEHOLDER + b'"', content)


def in_a_child(action) -> None:
    """Runs in a forked process, since TensorFlow that has run once cannot be forked any more."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(process, 0)[1] == 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["keras", "tflite", "onnx"])
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unsealed", action="store_true", help="files without a checksum")
    options = parser.parse_args(argv)
    if options.kind == "keras":
        import keras_seg.inference.keras_runner  # noqa: F401
    elif options.kind == "tflite":
        import ai_edge_litert.interpreter
        import ai_edge_litert.schema_py_generated  # noqa: F401
    else:
        import onnxruntime  # noqa: F401
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"m.{options.kind}"
        in_a_child(lambda: write_model(Path(folder), options.kind))
        if options.unsealed:
            path.write_bytes(unsealed(path.read_bytes()))
        counts, faults = damage_often(path, options.tries, first_seed=options.seed)
    sys.stdout.write(f"{options.kind}: {json.dumps(counts)}\n" + "".join(f"{f}\n" for f in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
