"""Values and gradients of layers on the backend of the process, for comparison with another.

`KERAS_BACKEND=jax python -m tests.helpers.layer_values FILE.npz` writes the values of JAX.
"""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np

from keras_seg import layers
from tests.helpers.on_backends import gradient as gradient_of

MAP = (2, 7, 10, 4)
LIKE = (2, 12, 5, 3)
POINT = (2, 1, 1, 4)
WINDOWS = np.array(
    [[[0.5, 0, 0.25], [0, 0.75, -0.125]], [[1.5, 0, -0.3], [0, 0.4, 0.6]]], "float32"
)


def _resizes() -> dict[str, tuple[str, dict, dict]]:
    cases: dict[str, tuple[str, dict, dict]] = {}
    for interpolation in layers.resize.INTERPOLATIONS:
        for grid in layers.resize.GRIDS:
            options = {"grid": grid, "interpolation": interpolation}
            for shape in (MAP, POINT):
                cases[f"Resize {interpolation} {grid} scale {shape[1]}"] = (
                    "Resize",
                    options | {"scale": 3},
                    {"x": shape},
                )
                for like in ((2, 33, 17, 1), LIKE, POINT):
                    cases[f"Resize {interpolation} {grid} {shape[1]} like {like[1]}"] = (
                        "Resize",
                        options,
                        {"x": shape, "like": like},
                    )
    return cases


CASES: dict[str, tuple[str, dict, dict]] = _resizes() | {
    # name: (layer, arguments, shapes of its inputs)
    "CropOrPad centre": ("CropOrPad", {}, {"x": MAP, "like": LIKE}),
    "CropOrPad top_left": ("CropOrPad", {"align": "top_left"}, {"x": MAP, "like": LIKE}),
    "CropOrPad same size": ("CropOrPad", {}, {"x": MAP, "like": MAP}),
    "CutWindow": ("CutWindow", {"size": 6}, {"image": MAP, "window": WINDOWS.shape}),
    "CutWindow mirrored": (
        "CutWindow",
        {"size": 6, "mirrored": True},
        {"image": MAP, "window": WINDOWS.shape},
    ),
    "CutWindow whole image": ("CutWindow", {"size": 6}, {"image": MAP}),
    "DepthToSpace": ("DepthToSpace", {"scale": 2}, {"x": (2, 3, 5, 12)}),
    "EdgePadding2D": ("EdgePadding2D", {}, {"x": MAP}),
    "EdgePadding2D one pixel": ("EdgePadding2D", {}, {"x": POINT}),
    "PaddedMaxPooling2D": ("PaddedMaxPooling2D", {}, {"x": MAP}),
    "PaddedMaxPooling2D stride 1": ("PaddedMaxPooling2D", {"stride": 1}, {"x": MAP}),
    "PasteWindow": (
        "PasteWindow",
        {"outside": -2.0},
        {"patch": MAP, "window": WINDOWS.shape, "like": LIKE},
    ),
    "PasteWindow mirrored": (
        "PasteWindow",
        {"mirrored": True},
        {"patch": MAP, "window": WINDOWS.shape, "like": LIKE},
    ),
    "ScaleBreak": ("ScaleBreak", {}, {"x": MAP}),
}


def values(name: str) -> dict[str, np.ndarray]:
    """The output of a case, and the gradient of a loss with respect to its first input."""
    kind, arguments, shapes = CASES[name]
    rng = np.random.default_rng(0)
    first, *others = (
        WINDOWS if key == "window" else rng.normal(size=shape).astype("float32")
        for key, shape in shapes.items()
    )
    layer = getattr(layers, kind)(**arguments)

    def loss(x: Any) -> tuple[Any, Any]:
        y = layer(**dict(zip(shapes, (x, *others), strict=True)))
        return keras.ops.sum(keras.ops.sin(3 * y)), y

    gradient, output = gradient_of(loss, first)
    return {f"{name} output": np.asarray(output), f"{name} gradient": np.asarray(gradient)}


def all_values() -> dict[str, np.ndarray]:
    """Outputs and gradients of all cases, by their names."""
    return {key: array for name in CASES for key, array in values(name).items()}


if __name__ == "__main__":
    np.savez(sys.argv[1], **all_values(), backend=np.array(keras.backend.backend()))
