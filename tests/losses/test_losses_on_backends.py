"""All losses and metrics have the values and gradients of TensorFlow on the other backends."""

import subprocess
import sys

import numpy as np
import pytest

from tests.backends import comparison
from tests.helpers.backend_values import LARGE, values


@pytest.fixture(scope="module")
def expected():
    return values()


@pytest.mark.parametrize("backend", comparison.BACKENDS)
def test_values_gradients_and_scores_are_those_of_tensorflow(backend, expected, tmp_path):
    pytest.importorskip(backend, reason=f"needs the {backend} extra")
    file = tmp_path / "values.npz"
    process = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-m", "tests.helpers.backend_values", file],
        env=comparison.environment_of(backend),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    with np.load(file) as received:
        assert set(received) == set(expected)
        for name, array in expected.items():
            largest = np.abs(np.nan_to_num(array)).max()
            np.testing.assert_allclose(
                received[name], array, rtol=1e-5, atol=1e-5 * largest, err_msg=name
            )
        np.testing.assert_array_equal(received["large counts"], LARGE)
