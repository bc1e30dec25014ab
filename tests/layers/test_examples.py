"""Every public layer has an example in its docstring, and it runs."""

import inspect
import textwrap

import keras
import pytest

import keras_seg
from keras_seg import layers


@pytest.mark.parametrize("name", layers.__all__)
def test_the_example_runs(name):
    text = inspect.getdoc(getattr(layers, name))
    assert "Example:\n" in text, f"{name} has no example"
    exec(textwrap.dedent(text.split("Example:\n")[1]), {"keras": keras, "keras_seg": keras_seg})
