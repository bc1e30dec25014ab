"""Measures networks of other packages that have no counterpart here."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from benchmarks import common
from benchmarks.peers.files import SCRIPTS
from benchmarks.peers.paths import CLASSES
from benchmarks.peers.peer import Peer

OTHERS = {
    "torchvision": {
        "torchvision DeepLabV3 ResNet-50": {"kind": "torchvision", "network": "deeplabv3_resnet50"},
        "torchvision LR-ASPP MobileNetV3": {
            "kind": "torchvision",
            "network": "lraspp_mobilenet_v3_large",
        },
    },
    "keras": {
        "keras-hub DeepLabV3+ ResNet-50, stride 32": {"kind": "keras_hub"},
        "segmentation-models U-Net ResNet-34": {
            "kind": "segmentation_models",
            "network": "Unet",
            "encoder": "resnet34",
        },
    },
}
"""Environment → name → words of `benchmarks/peers/scripts/other_networks.py`."""
LIMIT_S = 300.0


def sides(environments: dict) -> list[str]:
    return [side for side in OTHERS if side in environments]


def quiet(threads: int) -> dict[str, str]:
    return {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": str(threads)}


def measure(side: str, environments: dict[str, Path], options) -> dict[str, dict]:
    """Name → parameters, multiply-adds and times of one image, or the error; no ratios."""
    found, workers = {}, {}
    case = {"size": options.sizes[0], "classes": CLASSES, "threads": options.threads}
    with contextlib.ExitStack() as stack:
        for name, words in OTHERS[side].items():
            worker = stack.enter_context(
                Peer(
                    environments[side],
                    SCRIPTS / "other_networks.py",
                    [json.dumps(case | words)],
                    environment=quiet(options.threads) | {"KERAS_BACKEND": "tensorflow"},
                    pausing=True,
                    limit_s=LIMIT_S,
                )
            )
            try:
                found[name] = {"size": options.sizes[0]} | worker.ask("prepare")
            except RuntimeError as error:
                found[name] = {"error": str(error)[:300]}
                continue
            workers[name] = worker
        samplers = {
            name: lambda worker=worker: worker.ask("sample")["ms"]
            for name, worker in workers.items()
        }
        times = common.interleaved(samplers, repeats=options.rounds, warm_up=1)
        for name, worker in workers.items():
            found[name] |= times[name] | worker.ask("peak")
            print(f"{name}: {found[name]['median_ms']:.0f} ms", flush=True)
    return found
