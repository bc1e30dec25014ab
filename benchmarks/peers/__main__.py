"""Inference beside peers: same networks, same weights, same images, in turn.

    python -m benchmarks.peers [--quick] [--torch-python PYTHON] [--networks NAME ...]
        [--sizes N ...] [--batches N ...] [--without NAME ...] [--fresh]

segmentation_models.pytorch makes networks with random weights, which ours load; all float32 scores
must be equal before anything is timed. Each way to run them is a process of its own, stopped while
others have their turn. PyTorch lives in an environment that is made in the cache folder, unless
`--torch-python` names one that has the packages of `benchmarks/peers/requirements-torch.txt`.
Converted files stay in `--cache`; results are written after every case, and a second call goes on.
Files of LiteRT and ours of ONNX hold one image, and take those of a batch one after the other.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

from benchmarks import common, peer_files
from benchmarks.addons_environment import default_cache
from benchmarks.peer import Peer
from benchmarks.peer_environment import peer_python
from benchmarks.peer_paths import CLASSES, EXACT, NETWORKS, REFERENCE, Way, ways
from benchmarks.peer_report import markdown, plot

SIZES, BATCHES, QUICK_SIZES, QUICK_BATCHES = (256, 512), (1, 8), (64,), (1, 2)
PACKAGES = (
    *("keras-seg", "tensorflow", "keras", "ai-edge-litert", "onnxruntime", "tf2onnx", "openvino"),
)
PEER_PACKAGES = (
    *("torch", "segmentation-models-pytorch", "litert-torch", "ai-edge-quantizer", "onnxscript"),
)
WARM_UP = 2


def main() -> None:
    options = _arguments()
    torch_python = options.torch_python or peer_python("torch", options.cache)
    path = common.output_folder(options) / "peers.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(PACKAGES),
        "peers": {"smp": _versions(torch_python)},
        "files": {},
        "cases": {},
    }
    if path.exists() and not options.fresh:
        old = json.loads(path.read_text())
        alike = all(old.get(key) == record[key] for key in ("versions", "peers"))
        record |= {key: old[key] for key in ("files", "cases")} if alike else {}
    for network in options.networks:
        folder = options.cache / "files" / network.replace(" ", "-")
        arguments = NETWORKS[network] | {"classes": CLASSES}
        record["files"][network] = peer_files.make(arguments, folder, torch_python, options)
        for size in options.sizes:
            for batch in options.batches:
                case = f"{network}, {size}x{size}, batch {batch}"
                if case in record["cases"]:
                    continue
                start = time.perf_counter()
                words = {"folder": str(folder), "network": arguments, "size": size, "batch": batch}
                words |= {"threads": options.threads}
                record["cases"][case] = measure(words, torch_python, options)
                print(f"{case}: {time.perf_counter() - start:.0f} s", flush=True)
                common.keep(path, record)
    common.write(path, record, markdown(record))
    plot(record, path.with_suffix(".png"))


def measure(words: dict, torch_python: Path, options) -> dict[str, dict]:
    """Way → times, ratio to `REFERENCE`, peak memory and how equal it is, or its error.

    Raises: ValueError if a float32 way answers other scores than PyTorch.
    """
    found, workers = {}, {}
    with contextlib.ExitStack() as stack:
        for way in ways():
            if way.name in options.without:
                continue
            try:
                worker = stack.enter_context(_worker(way, words, torch_python))
                found[way.name] = _about(way) | worker.ask("prepare")
                workers[way.name] = worker
            except RuntimeError as error:
                found[way.name] = _about(way) | {"error": str(error)[:300]}
                continue
            if way.precision == "float32" and found[way.name]["difference"] > EXACT:
                raise ValueError(f"{way.name} answers otherwise than PyTorch: {found[way.name]}")
        samples = _rounds(workers, options)
        for name, times in common.summaries(samples, REFERENCE).items():
            found[name] |= times | workers[name].ask("peak")
    return found


def _rounds(workers: dict[str, Peer], options) -> dict[str, list[float]]:
    """As many rounds as asked for, fewer if they take long, but three."""
    samples = {name: [] for name in workers}
    start = time.perf_counter()
    for number in range(-WARM_UP, options.rounds):
        for name, worker in workers.items():
            worker.ask("sample")  # the caches are those of the one before
            took = worker.ask("sample")["ms"]
            if number >= 0:
                samples[name].append(took)
        if number >= 2 and time.perf_counter() - start > options.seconds:
            break
    return samples


def _about(way: Way) -> dict:
    return {"precision": way.precision, "ours": way.ours}


def _worker(way: Way, words: dict, torch_python: Path) -> Peer:
    python = torch_python if way.kind == "torch_eager" else sys.executable
    facts = words | way.facts | {"kind": way.kind}
    if way.file:
        facts["path"] = str(Path(words["folder"]) / way.file.format(**words))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": str(words["threads"])}
    script = peer_files.SCRIPTS / "inference.py"
    environment = quiet | way.environment
    return Peer(python, script, [json.dumps(facts)], environment=environment, pausing=True)


def _versions(python: Path) -> dict[str, str]:
    with Peer(python, peer_files.SCRIPTS / "installed.py") as peer:
        return peer.ask("versions", packages=PEER_PACKAGES)


def _arguments():
    parser = common.parser(__doc__, quick="one small network, small images, three rounds")
    parser.add_argument("--torch-python", type=Path, help="interpreter with PyTorch and smp")
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], metavar="NAME")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--batches", type=int, nargs="+")
    parser.add_argument("--without", nargs="+", default=[], help="ways to leave out, by name")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, default=240.0, help="after which a case ends")
    parser.add_argument("--fresh", action="store_true", help="measure kept cases again")
    options = parser.parse_args()
    quick = options.quick
    options.networks = options.networks or ([*NETWORKS][-1:] if quick else [*NETWORKS])
    options.sizes = options.sizes or (QUICK_SIZES if quick else SIZES)
    options.batches = options.batches or (QUICK_BATCHES if quick else BATCHES)
    options.rounds = options.rounds or (3 if quick else 15)
    return options


if __name__ == "__main__":
    main()
