"""What is compared between the backends. Imports neither Keras nor a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.helpers.narrow_encoders import ENCODERS

REFERENCE = "tensorflow"
"""The backend that the others are compared with."""
BACKENDS = {"jax": "JAX", "torch": "PyTorch"}
"""Backend that is compared with TensorFlow → its name in the documentation."""
DOUBLE = 1e-9
"""Largest accepted difference in double precision."""
NUDGED = ("nudged-0", "nudged-1", "nudged-2")
"""TensorFlow with weights that start a share of `NUDGE` of themselves higher or lower."""
NUDGE = 1e-6
ROUNDING_FACTOR, LARGEST_LIMIT = 10, 0.5
"""A backend may differ this many times as much as `NUDGED`, but never more than the limit."""
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Study:
    """One kind of cases and the steps that each of them takes in the process of a backend.

    Attributes:
        module: has `prepare(case, folder)` and `STEPS`: step → function(what was prepared, folder,
            case), which returns arrays.
        cases: returns the names of all cases.
        limits: step → largest accepted difference, as a share of the largest value.
        double: whether everything computes in float64.
        backends: those that can run it.
        smallest_scales: step → smallest scale of an array, as a share of the largest value of all
            arrays of the step. Gradients that cancel out are rounding errors.
        sensitive: steps in which TensorFlow is also compared with `NUDGED`, because a rounding
            error can turn a ReLU or a maximum over.
    """

    module: str
    cases: Callable[[], list[str]]
    limits: Mapping[str, float]
    double: bool = False
    backends: tuple[str, ...] = tuple(BACKENDS)
    smallest_scales: Mapping[str, float] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()

    @property
    def steps(self) -> set[str]:
        """The steps that a process takes; `fit` also gives what "weights" compares."""
        return {"fit" if step == "weights" else step for step in self.limits}


def _networks() -> list[str]:
    from keras_seg import models

    return models.list_models()


def _presets() -> list[str]:
    from keras_seg.training.presets import list_presets

    return list_presets()


SEVERAL_OUTPUTS = {
    "unetplusplus with deep supervision": ("unetplusplus", {"deep_supervision": True}),
    "ocrnet with auxiliary head": ("ocrnet", {"auxiliary_head": True}),
    "danet with auxiliary head": ("danet", {"auxiliary_head": True}),
}
"""Case → name and options of a network with several outputs."""


def _with_encoders() -> list[str]:
    return [f"{network} {name}" for network in ("deeplabv3plus", "unet") for name in ENCODERS]


CANCELLED = {"gradient": 1e-3}
"""Smallest scales of gradients, many of which cancel out."""
STUDIES = {
    "networks": Study(
        "tests.backends.networks",
        _networks,
        {"forward": 1e-4, "gradient": 1e-4, "fit": 1e-3, "weights": 1e-3, "save": 1e-4},
        smallest_scales=CANCELLED,
        sensitive=("gradient", "weights"),
    ),
    "networks in double precision": Study(
        "tests.backends.networks",
        _networks,
        {"gradient": DOUBLE, "weights": DOUBLE},
        double=True,
        smallest_scales=CANCELLED,
    ),
    # the losses themselves are float32
    "outputs": Study(
        "tests.backends.outputs", lambda: list(SEVERAL_OUTPUTS), {"fit": 1e-6}, double=True
    ),
    "encoders in double precision": Study(
        "tests.backends.encoders",
        _with_encoders,
        {"forward": DOUBLE, "gradient": DOUBLE},
        double=True,
        smallest_scales=CANCELLED,
    ),
    "presets": Study("tests.backends.presets", _presets, {"train": 1e-3}, backends=("jax",)),
}
GOLDEN = "golden"
"""The study of the golden files, which needs no process of TensorFlow."""


def limits_of(study_name: str) -> Mapping[str, float]:
    """Step → largest accepted difference."""
    return {"forward": 1e-4} if study_name == GOLDEN else STUDIES[study_name].limits


def problems_file(folder: Path, backend: str) -> Path:
    """Where a process writes case → step → what failed."""
    return Path(folder, f"{backend}.json")


def arrays_file(folder: Path, backend: str, case: str, step: str) -> Path:
    """Where a process writes what a step computed."""
    return Path(folder, f"{backend}-{case}-{step}.npz")
