"""Every public layer, and every name of `keras_seg.weights`, has an example, and it runs."""

import inspect
import textwrap

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg import layers, weights

NAMES = {"keras": keras, "keras_seg": keras_seg, "np": np}
DOWNLOADS = {"download"}


@pytest.mark.parametrize(
    "documented",
    [
        *(getattr(layers, name) for name in layers.__all__),
        *(getattr(weights, name) for name in weights.__all__ if name not in DOWNLOADS),
    ],
    ids=lambda documented: documented.__name__,
)
def test_the_example_runs(documented):
    text = inspect.getdoc(documented)
    assert "Example:\n" in text, f"{documented.__name__} has no example"
    exec(textwrap.dedent(text.split("Example:\n")[1]), dict(NAMES))
