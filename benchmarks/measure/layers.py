"""Pooling with indices and unpooling, beside TensorFlow Addons, PyTorch and up-sampling.

    python -m benchmarks.measure.layers [--quick] [--output FOLDER] [--cache FOLDER]
        [--torch-python PYTHON]

TensorFlow Addons runs in its own environment, which is created in the cache folder the first time.
All sides are timed in turn within one run, after a check that their sums are equal.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks.common import (
    interleaved,
    machine,
    machine_line,
    markdown_table,
    output_folder,
    versions,
    write,
)
from benchmarks.common import parser as common_parser
from benchmarks.peers.environment import default_cache, peer_python
from benchmarks.peers.peer import Peer
from benchmarks.peers.scripts.pooling import NAMES, Side, data
from keras_seg.layers import MaxPoolingWithIndices2D, MaxUnpooling2D

SHAPES = ((1, 256, 256, 64), (1, 255, 255, 64), (1, 32, 32, 512), (8, 128, 128, 32))
QUICK_SHAPES = ((1, 256, 256, 64), (1, 15, 17, 8))
SCRIPTS = Path(__file__).parents[1] / "peers" / "scripts"
OURS, ADDONS, TORCH, PLAIN = "keras_seg", "TensorFlow Addons", "PyTorch", "up-sampling"
XLA = f"{OURS}, XLA"


def main() -> None:
    options = parse()
    tf.get_logger().setLevel("ERROR")  # each shape traces anew, which is meant
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    record = {"machine": machine(options.threads), "versions": versions(("tensorflow", "keras"))}
    with contextlib.ExitStack() as stack:
        peers = {
            name: stack.enter_context(Peer(python, script, [str(options.threads)]))
            for name, (python, script) in peer_programs(options).items()
        }
        record["peers"] = {name: peer.ask("versions") for name, peer in peers.items()}
        shapes = QUICK_SHAPES if options.quick else SHAPES
        repeats = options.repeats or (3 if options.quick else 25)
        record["rows"] = [row for shape in shapes for row in measure(shape, peers, repeats)]
    write(output_folder(options) / "layers.json", record, markdown(record))


def parse() -> argparse.Namespace:
    parser = common_parser(__doc__, quick="two shapes, three repeats")
    parser.add_argument("--repeats", type=int, help="timed runs of each side; 25 by default")
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="folder of TensorFlow Addons"
    )
    parser.add_argument("--without-addons", action="store_true")
    parser.add_argument(
        "--torch-python",
        type=Path,
        default=Path(sys.executable) if importlib.util.find_spec("torch") else None,
        help="interpreter that has PyTorch; by default this one, if it has",
    )
    return parser.parse_args()


def peer_programs(options) -> dict[str, tuple[Path, Path]]:
    programs = {}
    if not options.without_addons:
        programs[ADDONS] = (peer_python("addons", options.cache), SCRIPTS / "addons_pooling.py")
    if options.torch_python:
        programs[TORCH] = (options.torch_python, SCRIPTS / "torch_pooling.py")
    return programs


def measure(shape, peers: dict[str, Peer], repeats: int) -> list[dict]:
    """One row for each function and direction, after a check that all results agree."""
    if any(size % 2 for size in shape[1:3]):  # Addons returns odd maps in another size
        peers = {name: peer for name, peer in peers.items() if name != ADDONS}
    sides = {OURS: our_side(shape), XLA: our_side(shape, jit_compile=True)}
    facts = {name: side.facts() for name, side in sides.items()}
    facts |= {name: peer.ask("prepare", shape=shape) for name, peer in peers.items()}
    for name, found in facts.items():
        expected = facts[OURS]["sums"]
        if not np.allclose([*found["sums"].values()], [*expected.values()], rtol=1e-12):
            raise RuntimeError(f"{name} differs at {shape}: {found['sums']}, ours {expected}")
    sides[PLAIN] = plain_side(shape)
    rows = []
    for function in NAMES:
        for backward in (False, True):
            case = {"name": function, "backward": backward}
            samplers = {name: sampler(side, case) for name, side in sides.items()}
            samplers |= {name: peer_sampler(peer, case) for name, peer in peers.items()}
            rows.append(
                {
                    "shape": shape,
                    "function": function,
                    "backward": backward,
                    "index_bytes": {name: found["index_bytes"] for name, found in facts.items()},
                    "times": interleaved(samplers, repeats=repeats, reference=OURS),
                }
            )
    return rows


def sampler(side: Side, case: dict):
    return lambda: side.sample(**case)


def peer_sampler(peer: Peer, case: dict):
    return lambda: peer.ask("sample", **case)["ms"]


def our_side(shape, *, jit_compile: bool = False) -> Side:
    pool, unpool = MaxPoolingWithIndices2D(), MaxUnpooling2D()
    x, weights = map(tf.constant, data(shape))
    values, places = pool(x)

    def both(x, training):
        return unpool(*pool(x), like=x, training=training)

    def alone(values, training):
        return unpool(values, places, like=x, training=training)

    functions = compiled(both, alone, x, values, weights, jit_compile)
    return Side(functions, places.dtype.size * int(tf.size(places)))


def plain_side(shape) -> Side:
    """Max pooling and nearest up-sampling, which keep no indices."""
    pool = keras.layers.MaxPooling2D(padding="same")
    x, weights = map(tf.constant, data(shape))
    height, width = shape[1:3]
    upsample = keras.layers.UpSampling2D()

    def alone(values, training):
        return upsample(values)[:, :height, :width]

    def both(x, training):
        return alone(pool(x), training)

    functions = compiled(both, alone, x, pool(x), weights, jit_compile=False)
    return Side(functions, 0)


def compiled(both, alone, x, values, weights, jit_compile: bool) -> dict:
    """The four functions of a side, as graphs: inference forward, training backward."""

    def forward(function, argument):
        graph = tf.function(lambda x: function(x, training=False), jit_compile=jit_compile)
        return lambda: graph(argument)

    def backward(function, argument):
        @tf.function(jit_compile=jit_compile)
        def both_ways(argument):
            with tf.GradientTape() as tape:
                tape.watch(argument)
                result = function(argument, training=True)
            return result, tape.gradient(result, argument, output_gradients=weights)

        return lambda: both_ways(argument)

    return {
        (NAMES[0], False): forward(both, x),
        (NAMES[0], True): backward(both, x),
        (NAMES[1], False): forward(alone, values),
        (NAMES[1], True): backward(alone, values),
    }


def markdown(record: dict) -> str:
    columns = [OURS, XLA, ADDONS, TORCH, PLAIN]
    peers = ", ".join(f"{p} {v}" for found in record["peers"].values() for p, v in found.items())
    samples = record["rows"][0]["times"][OURS]["samples"]
    lines = [
        machine_line(record),
        "",
        f"In their own environments: {peers or 'nothing'}. Milliseconds, median / 90th percentile "
        f"of {samples} runs, the sides in turn. In brackets: time divided by that of {OURS}. Rows "
        f"with backward include the forward pass. {ADDONS} returns odd maps in another size, so it "
        "has no rows for them.",
        "",
    ]
    rows = [
        [
            "x".join(map(str, row["shape"])),
            row["function"] + (", backward" if row["backward"] else ""),
            *(cell(row["times"], name) for name in columns),
        ]
        for row in record["rows"]
    ]
    sizes = [
        [
            "x".join(map(str, row["shape"])),
            *(kib(row["index_bytes"].get(name)) for name in (OURS, ADDONS, TORCH)),
        ]
        for row in record["rows"][:: 2 * len(NAMES)]
    ]
    return "\n".join(
        [
            *lines,
            markdown_table(["shape", "function", *columns], rows),
            "Memory that the pooling keeps for the unpooling, KiB:",
            "",
            markdown_table(["shape", OURS, ADDONS, TORCH], sizes),
        ]
    )


def cell(times: dict, name: str) -> str:
    if name not in times:
        return ""
    found, ours = times[name], times[OURS]
    text = f"{found['median_ms']:.1f} / {found['p90_ms']:.1f}"
    return text if name == OURS else f"{text} ({found['median_ms'] / ours['median_ms']:.1f})"


def kib(count: int | None) -> str:
    return "" if count is None else f"{count / 1024:.0f}"


if __name__ == "__main__":
    main()
