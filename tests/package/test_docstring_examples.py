"""The examples in docstrings of the losses, metrics and inference run, and print what they say."""

import doctest
import importlib
import inspect

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg import inference, losses, metrics

PUBLIC = [
    pytest.param(module, name, id=f"{module.__name__}.{name}")
    for module in (losses, metrics, inference)
    for name in module.__all__
    if callable(getattr(module, name))
]
MODULES = (
    "keras_seg.backbones.names_elsewhere",
    "keras_seg.card",
    "keras_seg.losses.spec",
    "keras_seg.masks.confusion",
    "keras_seg.names",
)
RESULTS = {"Comparison", "Evaluation"}
"""Records that functions return; the examples are theirs."""
NEEDS_FILES = {"load_face_parser"}
"""Examples that name files."""


def failures_of(module, name=None) -> tuple[int, int]:
    """(failures, examples) of one object of a module, or of the whole module."""
    scope = {"keras": keras, "keras_seg": keras_seg, "np": np}
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    found = module if name is None else getattr(module, name)
    for test in finder.find(found, name, globs=vars(module) | scope):
        runner.run(test)
    return runner.failures, runner.tries


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_every_public_name_has_an_example_that_runs(module, name):
    failures, examples = failures_of(module, name)
    assert not failures
    if name in NEEDS_FILES:
        assert "Example:" in inspect.getdoc(getattr(module, name))
    else:
        assert examples or name in RESULTS


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_modules_run(name):
    failures, examples = failures_of(importlib.import_module(name))
    assert examples and not failures


def test_a_wrong_example_is_found():
    def wrong():
        """
        >>> 1 + 1
        3
        """

    module = type(importlib)("wrong")
    module.wrong = wrong
    assert failures_of(module, "wrong") == (1, 1)
