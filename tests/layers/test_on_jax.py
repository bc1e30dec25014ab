"""Layers compute on JAX what they compute on TensorFlow."""

import numpy as np
import pytest

from tests.helpers.layer_values import CASES, all_values
from tests.helpers.on_backends import arrays_on_jax

pytest.importorskip("jax", reason="needs the jax extra")


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    path = tmp_path_factory.mktemp("layers") / "jax.npz"
    return arrays_on_jax("tests.helpers.layer_values", path)


@pytest.fixture(scope="module")
def on_tensorflow():
    return all_values()


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("part", ["output", "gradient"])
def test_values_and_gradients_are_those_of_tensorflow(name, part, on_jax, on_tensorflow):
    key = f"{name} {part}"
    expected = on_tensorflow[key]
    assert on_jax[key].dtype == expected.dtype
    np.testing.assert_allclose(on_jax[key], expected, rtol=0, atol=1e-5 * abs(expected).max())
