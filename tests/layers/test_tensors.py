"""Types in which layers compute sums, positions and counts."""

import pytest
from keras.src.backend.common import dtypes

from keras_seg.layers.tensors import precise_dtype


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_float64_stays_and_all_other_types_become_float32(backend, monkeypatch):
    if backend == "jax":  # Keras promotes float64 to float32 there
        monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float32")
    others = ("float32", "float16", "bfloat16", "uint8", "int32", "int64", "bool")
    assert {name: precise_dtype(name) for name in others} == dict.fromkeys(others, "float32")
    assert precise_dtype("float64") == "float64"
