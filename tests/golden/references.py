"""How far a converted network is from its reference implementation, on this process's backend.

    KERAS_BACKEND=jax python -m tests.golden.references FILE.json [CASE ...]

writes case → name of the output → largest difference, as a share of the largest value of the
reference. Cases are names of golden files; by default all.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_seg.checkpoints import convert
from tests.backends.processes import draw_with_numpy, predicted
from tests.helpers.reference import CASES, image, read_golden, state_dict

TOLERANCE = 1e-4
"""Largest accepted difference, as a share of the largest value of the reference."""
ENCODER_OUTPUTS = ("features", "stride_32")
"""What ImageNet networks are compared by: the last map before the pooling, or HRNet's branches."""
ONLY_OUTPUT = {"stn_selectnet": "theta"}
"""Networks that give something else than scores."""


def differences(path: Path) -> dict[str, float]:
    """Converts the weights of a golden file and compares every output that the file holds.

    Returns: name of the output → largest difference as a share; NaN counts as infinite.
    """
    facts, expected = read_golden(path)
    state = state_dict(facts["manifest"], facts["seed"], facts["norm_scale"])
    shape = facts["input_shape"]
    if isinstance(shape[0], list):  # a network of several inputs
        pixels = [image(one, facts["seed"]) for one in shape]
        input_shape = [array.shape[1:] for array in pixels]
    else:
        pixels = image(shape, facts["seed"])
        input_shape = pixels.shape[1:]
    model = convert(state, facts["source"], input_shape, **facts["options"])
    outputs = predicted(model, pixels)
    if not isinstance(outputs, dict):
        outputs = {ONLY_OUTPUT.get(path.stem, "logits"): outputs}
    compared = sorted(set(outputs) & set(expected))
    assert {"logits", "logits_1", *ENCODER_OUTPUTS, *ONLY_OUTPUT.values()} & set(compared)
    shares = {}
    for name in compared:
        array = keras.ops.convert_to_numpy(outputs[name])
        thinned = array[:, :: facts["step"], :: facts["step"]]
        assert thinned.shape == expected[name].shape, name
        share = np.abs(thinned - expected[name]).max() / np.abs(expected[name]).max()
        shares[name] = float(np.nan_to_num(share, nan=np.inf))
    return shares


def main(file: str, names: Sequence[str]) -> None:
    """Writes the differences of the named cases, after each of them."""
    draw_with_numpy()
    shares = {}
    for path in CASES:
        if not names or path.stem in names:
            shares[path.stem] = differences(path)
            contents = {"backend": keras.backend.backend(), "differences": shares}
            Path(file).write_text(json.dumps(contents))
            keras.utils.clear_session()  # the largest networks have hundreds of megabytes
            gc.collect()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
