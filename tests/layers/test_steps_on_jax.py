"""A step of pooling, attention and normalization layers on JAX equals TensorFlow's."""

import numpy as np
import pytest

from tests.helpers.layer_steps import CASES, all_values
from tests.helpers.on_backends import arrays_on_jax

pytest.importorskip("jax", reason="needs the jax extra")


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    path = tmp_path_factory.mktemp("layers") / "jax.npz"
    return arrays_on_jax("tests.helpers.layer_steps", path)


@pytest.fixture(scope="module")
def on_tensorflow():
    return all_values()


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("part", ["output", "gradient", "state"])
def test_values_are_those_of_tensorflow(name, part, on_jax, on_tensorflow):
    keys = [key for key in on_tensorflow if key.startswith(f"{name}: {part} ")]
    assert keys == [key for key in on_jax if key.startswith(f"{name}: {part} ")]
    assert keys or part != "output"
    for key in keys:
        expected = on_tensorflow[key]
        assert on_jax[key].dtype == expected.dtype
        tolerance = 1e-5 * abs(expected).max()
        np.testing.assert_allclose(on_jax[key], expected, rtol=0, atol=tolerance)
