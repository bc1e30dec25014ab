"""Converted networks compute what their reference implementations computed."""

from pathlib import Path

import numpy as np
import pytest

from keras_seg.checkpoints import convert
from tests.reference import image, read_golden, state_dict

CASES = sorted((Path(__file__).parent / "golden").glob("*.npz"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_converted_network_equals_its_reference(path):
    facts, expected = read_golden(path)
    state = state_dict(facts["manifest"], facts["seed"], facts["norm_scale"])
    pixels = image(facts["input_shape"], facts["seed"])
    model = convert(state, facts["source"], pixels.shape[1:], **facts["options"])
    found = model(pixels)
    found = found if isinstance(found, dict) else {"logits": found}
    compared = sorted(set(found) & set(expected))
    assert "logits" in compared or "logits_1" in compared
    for name in compared:
        thinned = np.asarray(found[name])[:, :: facts["step"], :: facts["step"]]
        tolerance = 1e-4 * np.abs(expected[name]).max()
        np.testing.assert_allclose(thinned, expected[name], rtol=0, atol=tolerance, err_msg=name)
