"""Logits depend on image, weights and precision: not on the batch, and not on the process."""

import json
import subprocess
import sys

import pytest

from keras_seg import models
from tests.attacks.reproducibility import digest, distances

TOLERANCES = {"mixed_float16": 0.025, "mixed_bfloat16": 0.1}
"""Largest difference from float32 as a part of the largest logit."""
POOLS_BY_INDEX = {"deconvnet", "segnet", "segnet_basic"}
"""Rounding may move the largest pixel of a pooling window, and what is unpooled with it."""


@pytest.mark.slow
@pytest.mark.parametrize("name", models.list_models())
def test_neither_batch_nor_half_precision_changes_logits_much(name):
    found = distances(name)
    assert found.pop("batch") < 1e-5
    for policy, distance in found.items():
        assert 0 < distance < (1 if name in POOLS_BY_INDEX else TOLERANCES[policy]), policy


@pytest.mark.parametrize(
    "names", [["unet"], pytest.param(models.list_models(), marks=pytest.mark.slow)], ids=len
)
def test_another_process_has_the_same_weights_and_logits(names):
    code = (
        "import json, sys\nfrom tests.attacks.reproducibility import digest\n"
        "print(json.dumps([digest(name) for name in sys.argv[1:]]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [digest(name) for name in names]
