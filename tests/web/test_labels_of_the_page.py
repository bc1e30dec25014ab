"""The page's masks of several labels, and at other thresholds, computed by node."""

import json
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest

from keras_seg.inference.scores import class_map, resize_scores

SCRIPT = """
import { readFileSync } from "node:fs";
import { predictMask } from "./mask.js";
const [card, scores, size] = JSON.parse(readFileSync("case.json"));
const shape = [card.height, card.width];
const depth = scores.length / (shape[0] * shape[1]);
const run = async () => ({ values: Float32Array.from(scores), size: shape, channels: depth });
const pixels = new Uint8Array(size[0] * size[1] * 3);
console.log(JSON.stringify(Array.from(await predictMask(run, card, pixels, size))));
"""
LOGITS = {"head": "logits", "multi_label": True, "threshold": 0.5}
CASES = {
    "labels": LOGITS,
    "thresholds of labels": LOGITS | {"threshold": [0.2, 0.8, 0.5]},
    "probabilities": LOGITS | {"head": "probabilities", "threshold": [0.2, 0.8, 0.5]},
    "one logit": {"head": "logits", "multi_label": False, "threshold": 0.3, "channels": 1},
    "two logits": {"head": "logits", "multi_label": False, "threshold": 0.3, "channels": 2},
    "two probabilities": {
        "head": "probabilities",
        "multi_label": False,
        "threshold": 0.7,
        "channels": 2,
    },
    "three classes": {"head": "logits", "multi_label": False, "threshold": 0.5, "channels": 3},
}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("sizing", ["resize", "tile"])
@pytest.mark.parametrize("name", CASES)
def test_masks_are_those_of_python(tmp_path, name, sizing):
    case = dict(CASES[name])
    depth = case.pop("channels", 3)
    shape, size = (12, 16), (12, 16) if sizing == "tile" else (20, 30)
    scores = np.random.default_rng(1).normal(0, 2, (*shape, depth)).astype(np.float32)
    if case["head"] == "probabilities":
        scores = 1 / (1 + np.exp(-scores))
        if depth == 2:
            scores[..., 0] = 1 - scores[..., 1]
    names = [f"label {i}" for i in range(max(depth, 2))]
    card = {"height": 12, "width": 16, "channels": 3, "sizing": sizing} | case
    card["classes"] = {"names": names}
    page = resources.files("keras_seg.web") / "page"
    for file in ("mask.js", "resize.js"):
        shutil.copy(page / file, tmp_path / file)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "check.js").write_text(SCRIPT)
    (tmp_path / "case.json").write_text(json.dumps([card, scores.ravel().tolist(), size]))
    done = subprocess.run(
        ["node", "check.js"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    words = {"threshold": case["threshold"], "multi_label": case["multi_label"]}
    expected = class_map(resize_scores(scores, size), case["head"], **words)
    np.testing.assert_array_equal(json.loads(done.stdout), expected.ravel())
    assert len(np.unique(expected)) > 1
