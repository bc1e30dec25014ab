"""Builders of any shape, class count and option: a mask of the image's size, or a ValueError."""

import inspect
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seg import models

CHOICES = {
    "aspp_merge": ("sum", "concat"),
    "attention": ("channels", "single"),
    "concat": ("up_last", "up_first", "up_first_newest_first"),
    "form": ("theano", "stn"),
    "nonlinearity": ("relu", "prelu", "prelu_shared"),
    "output_stride": (8, 16, 32),
    "preprocessing": (None, "unit", "symmetric", "imagenet", "caffe"),
    "resize_grid": ("half_pixel", "align_corners"),
    "rounding": ("ceil", "floor"),
    "shortcut_kernel": (1, 3),
    "shortcut_norm": ("none", "units", "all"),
    "squeeze_excite": ("after", "before", "before_strided"),
    "stem": ("plain", "residual", "rows"),
    "upsampling": ("nearest", "bilinear", "transposed"),
}
SWITCHES = {"any_size", "auxiliary_head", "ceil_pool", "deep_supervision", "norm", "use_bias"}
HEADS = {"gridnet": ("plain", "residual", "shortcut"), "hrnet": ("v1", "v2", "v2p")}
WRONG = ("none such", -1, (), math.nan)


def options_of(name: str) -> dict:
    """Option → strategy of its values, now and then of a wrong one."""
    known = set(inspect.signature(models.find(name).build).parameters)
    values = {option: st.sampled_from(CHOICES[option]) for option in sorted(known & set(CHOICES))}
    values |= {option: st.booleans() for option in sorted(known & SWITCHES)}
    if name in HEADS:
        values["head"] = st.sampled_from(HEADS[name])
    return values


@st.composite
def builds(draw):
    """Arguments of `models.build`, of which at most one is wrong."""
    name = draw(st.sampled_from(models.list_models()))
    side = st.one_of(st.integers(1, 130), st.sampled_from([32, 64, 96, 128]))
    fixed = draw(st.booleans())
    sides = (draw(side), draw(side)) if fixed else (None, None)
    shape = (*sides, draw(st.integers(1, 5)))
    arguments = {
        "input_shape": shape,
        "num_classes": draw(st.integers(1, 5)),
        "activation": draw(st.sampled_from([None, None, "softmax", "sigmoid"])),
    }
    values = options_of(name)
    for option in draw(st.sets(st.sampled_from(sorted(values)), max_size=4)):
        arguments[option] = draw(values[option])
    if draw(st.integers(0, 3)) == 0:
        wrong = draw(st.sampled_from(sorted((set(arguments) | {"input_shape"}) - SWITCHES)))
        arguments[wrong] = draw(st.sampled_from(WRONG))
    return name, arguments


def check_build(name: str, arguments: dict):
    keras.backend.clear_session()
    try:
        model = models.build(name, **models.find(name).tiny | arguments)
        shape = tuple(64 if side is None else side for side in model.input.shape[1:3])
        scores = model(np.zeros((1, *shape, model.input.shape[-1]), np.float32))
    except ValueError as error:
        named = [*arguments, "The height of the image", "The width of the image", "channels"]
        assert any(word in str(error) for word in named), f"{type(error).__name__}: {error}"
        return
    scores = scores["logits"] if isinstance(scores, dict) else scores
    assert scores.shape == (1, *shape, arguments["num_classes"])
    assert np.isfinite(scores).all()


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(build=builds())
def test_a_mask_of_the_size_or_an_error_that_names_the_argument(build):
    check_build(*build)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(build=builds())
def test_the_same_of_many(build):
    check_build(*build)
