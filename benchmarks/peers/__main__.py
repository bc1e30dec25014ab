"""Inference beside other packages: same networks, same weights, same images, in turn.

    python -m benchmarks.peers [--quick] [--torch-python PYTHON] [--beside NAME ...]
        [--networks NAME ...] [--sizes N ...] [--batches N ...] [--without NAME ...]
        [--minutes N] [--fresh]

segmentation_models.pytorch (smp) builds networks with random weights, which ours load. All float32
scores must be equal before anything is timed. Each way to run a network is a process, which is
stopped while others run. PyTorch is installed in an environment in the cache folder, unless
`--torch-python` names an interpreter with the packages of
`benchmarks/peers/requirements-torch.txt`. Batches of several images are measured at the first size
only. LiteRT files and our ONNX files take one image, so they run the images of a batch in sequence.
Converted files are kept in `--cache`. Results are written after every case, and a second call
continues. After `--minutes` no new case starts.

`--beside` adds packages that need their own environment: `onnx2tf` (converts the same networks,
batch 1 at the first size), `torchvision` and `keras` (networks that smp or we do not have, with
other weights and other work, so they are in a separate table without ratios).
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import common
from benchmarks.peers import files as peer_files
from benchmarks.peers import others as peer_others
from benchmarks.peers.environment import default_cache, peer_python
from benchmarks.peers.paths import (
    CLASSES,
    EQUAL,
    EXACT,
    NETWORKS,
    REFERENCE,
    Case,
    Way,
    class_ways,
    ways,
)
from benchmarks.peers.peer import Peer
from benchmarks.peers.report import markdown, plot

SIZES, BATCHES, QUICK_SIZES, QUICK_BATCHES = (256, 512), (1, 8), (64,), (1,)
BESIDE = ("onnx2tf", "torchvision", "keras")
PACKAGES = (
    *("keras-seg", "tensorflow", "keras", "ai-edge-litert", "onnxruntime", "tf2onnx", "openvino"),
)
PEER_PACKAGES = (
    *("torch", "segmentation-models-pytorch", "litert-torch", "ai-edge-quantizer", "onnxscript"),
    *("torchvision", "onnx2tf", "tensorflow", "keras", "keras-hub", "segmentation-models"),
)
WARM_UP, LEAST_ROUNDS = 1, 3
START_LIMIT_S = 300.0


def main() -> None:
    options = _arguments()
    deadline = time.monotonic() + 60 * options.minutes
    environments = _environments(options)
    path = common.output_folder(options) / "peers.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "peers": {name: _versions(python) for name, python in environments.items()},
        "files": {},
        "cases": {},
        "others": {},
    }
    if path.exists() and not options.fresh:
        record |= _kept(json.loads(path.read_text()), record)
    todo = [case for case in _cases(options) if case.title not in record["cases"]]
    late = []
    for number, case in enumerate(todo):
        left = deadline - time.monotonic()
        if left < 0:
            late.append(case.title)
            continue
        start = time.perf_counter()
        seconds = min(options.seconds, left / (len(todo) - number))
        found = _case(case, environments, options, seconds)
        record["files"][case.network], record["cases"][case.title] = found
        print(f"{case.title}: {time.perf_counter() - start:.0f} s", flush=True)
        common.keep(path, record)
    for name in peer_others.sides(environments):
        if name not in record["others"] and time.monotonic() < deadline:
            record["others"][name] = peer_others.measure(name, environments, options)
            common.keep(path, record)
    common.write(path, record, markdown(record))
    plot(record, path.with_suffix(".png"))
    if late:
        print(f"{options.minutes:g} minutes are over. Repeat the command to continue with: {late}")


def _cases(options) -> Iterator[Case]:
    """All cases, the most important first."""
    for batch in options.batches:
        for size in options.sizes if batch == options.batches[0] else options.sizes[:1]:
            for classes in (False, True) if batch == 1 else (False,):
                yield from (Case(network, size, batch, classes) for network in options.networks)


def _case(case: Case, environments, options, seconds) -> tuple[dict, dict]:
    """Facts of the network's files, and the result of `measure` for this case."""
    folder = options.cache / "files" / case.network.replace(" ", "-")
    arguments = NETWORKS[case.network] | {"classes": CLASSES}
    first_size = case.size == options.sizes[0]
    pythons = peer_files.pythons(
        environments["smp"], environments.get("onnx2tf") if first_size else None
    )
    files = peer_files.make(arguments, folder, pythons, options, case)
    words = {"folder": str(folder), "network": arguments, "size": case.size, "batch": case.batch}
    words |= {"threads": options.threads, "classes": case.classes}
    first_case = first_size and case.batch == options.batches[0]
    chosen = [
        way
        for way in (class_ways() if case.classes else ways(first_case=first_case))
        if way.name not in options.without
        and ("onnx2tf" not in way.name or (folder / way.file.format(**words)).exists())
    ]
    return files, measure(chosen, words, environments["smp"], options, seconds)


def measure(chosen: list[Way], words: dict, torch_python: Path, options, seconds: float) -> dict:
    """Way → times, ratio to `REFERENCE`, peak memory and equality, or its error.

    If a foreign converter changes the scores, its row says so and its files are not timed.

    Raises: ValueError if the scores of another float32 way differ from those of PyTorch.
    """
    found, workers = {}, {}
    with contextlib.ExitStack() as stack:
        for way in chosen:
            if "error" in found.get(way.name.removesuffix(" int8"), {}) and "onnx2tf" in way.name:
                found[way.name] = _about(way) | {"error": "its float32 conversion differs"}
                continue
            try:
                worker = stack.enter_context(_worker(way, words, torch_python))
                found[way.name] = _about(way) | worker.ask("prepare")
                workers[way.name] = worker
            except RuntimeError as error:
                found[way.name] = _about(way) | {"error": str(error)[:300]}
                continue
            if way.precision == "float32" and (fault := _fault(found[way.name])):
                if "onnx2tf" not in way.name:
                    raise ValueError(f"{way.name} {fault}")
                found[way.name] = _about(way) | {"error": fault}
                del workers[way.name]
        samples = rounds(workers, options.rounds, seconds)
        for name, times in common.summaries(samples, REFERENCE).items():
            found[name] |= times | workers[name].ask("peak")
    return found


def _fault(facts: dict) -> str | None:
    """What is wrong with the scores or classes of a float32 way."""
    if facts.get("difference", 0.0) > EXACT:
        return f"differs from PyTorch by {facts['difference']:.1e} of the largest score"
    if facts["agreement"] < EQUAL:
        return f"has the class of PyTorch on only {100 * facts['agreement']:.2f} % of the pixels"
    return None


def rounds(workers: dict[str, Peer], most: int, seconds: float) -> dict[str, list[float]]:
    """At most `most` rounds; fewer, but at least `LEAST_ROUNDS`, if `seconds` are over."""
    samples = {name: [] for name in workers}
    start = time.perf_counter()
    for number in range(-WARM_UP, most):
        for name, worker in workers.items():
            worker.ask("sample")  # the caches still hold data of the previous way
            took = worker.ask("sample")["ms"]
            if number >= 0:
                samples[name].append(took)
        if number + 1 >= LEAST_ROUNDS and time.perf_counter() - start > seconds:
            break
    return samples


def _about(way: Way) -> dict:
    return {"precision": way.precision, "ours": way.ours}


def _worker(way: Way, words: dict, torch_python: Path) -> Peer:
    python = torch_python if way.kind == "torch_eager" else sys.executable
    facts = words | way.facts | {"kind": way.kind}
    if way.file:
        facts["path"] = str(Path(words["folder"]) / way.file.format(**words))
    environment = peer_others.quiet(words["threads"]) | way.environment
    script = peer_files.SCRIPTS / "inference.py"
    words = [json.dumps(facts)]
    return Peer(python, script, words, environment=environment, pausing=True, limit_s=START_LIMIT_S)


def _environments(options) -> dict[str, Path]:
    """Name → interpreter. Packages of `--beside` that cannot be installed are left out.

    Raises: RuntimeError if PyTorch cannot be installed.
    """
    found = {"smp": options.torch_python or peer_python("torch", options.cache)}
    for name in options.beside:
        given = getattr(options, f"{name}_python", None)
        try:
            found[name] = (
                found["smp"] if name == "torchvision" else given or peer_python(name, options.cache)
            )
        except RuntimeError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return found


def _versions(python: Path) -> dict[str, str]:
    with Peer(python, peer_files.SCRIPTS / "installed.py") as peer:
        return peer.ask("versions", packages=PEER_PACKAGES)


def _kept(old: dict, record: dict) -> dict:
    """Earlier results with these versions; new environments are added."""
    known = old.get("peers", {})
    alike = old.get("versions") == record["versions"] and all(
        known[name] == found for name, found in record["peers"].items() if name in known
    )
    if not alike:
        return {}
    return {key: old.get(key, {}) for key in ("files", "cases", "others")} | {
        "peers": known | record["peers"]
    }


def _arguments():
    parser = common.parser(__doc__, quick="one small network, small images, three rounds")
    parser.add_argument("--torch-python", type=Path, help="interpreter with PyTorch and smp")
    parser.add_argument("--onnx2tf-python", type=Path, help="interpreter with onnx2tf")
    parser.add_argument("--keras-python", type=Path, help="interpreter with keras-hub")
    parser.add_argument("--beside", nargs="+", default=[], choices=BESIDE, metavar="NAME")
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], metavar="NAME")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--batches", type=int, nargs="+")
    parser.add_argument("--without", nargs="+", default=[], help="ways to leave out, by name")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of one case")
    parser.add_argument("--minutes", type=float, default=40.0, help="after these, no case starts")
    parser.add_argument("--fresh", action="store_true", help="measure kept cases again")
    options = parser.parse_args()
    quick = options.quick
    options.networks = options.networks or ([*NETWORKS][1:2] if quick else [*NETWORKS])
    options.sizes = options.sizes or (QUICK_SIZES if quick else SIZES)
    options.batches = options.batches or (QUICK_BATCHES if quick else BATCHES)
    options.rounds = options.rounds or (3 if quick else 15)
    return options


if __name__ == "__main__":
    main()
