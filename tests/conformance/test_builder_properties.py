"""Builders of any shape, class count and option: a mask of the image's size, or a ValueError."""

import dataclasses
import functools
import inspect
import math
import types
import typing

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seg import models
from keras_seg.models.options import annotations_of

CHOICES = {
    "aspp_rates": ((1, 2, 4), (2, 3, 5)),
    "attention_scale": (0.0, 0.5),
    "auxiliary_channels": (None, 8),
    "auxiliary_kernel": (None, 1, 3),
    "backbone_weights": (None,),
    "batch_norm_epsilon": (1e-5, 1e-3),
    "channels": (8, 12),
    "columns": (2, 4),
    "dropout": (0.0, 0.5),
    "fc": (0, 8),
    "head_kernel": (1, 3),
    "interlinks": (1, 2),
    "kernel": (3, 7),
    "key_channels": (4, 8),
    "mid_channels": (8, 16),
    "multi_grid": (None, (1, 2)),
    "negative_slope": (0.0, 0.01),
    "output_stride": (8, 16, 32),
    "preprocessing": (None, "unit", "symmetric", "imagenet", "caffe"),
    "query_chunk": (None, 64),
    "resize_grid": ("half_pixel", "align_corners"),
    "squeeze_ratio": (1, 2),
}
"""Right values of options whose annotation does not list them."""
TOGETHER = {
    "backbone": "needs options of its own: its names are those of tests/backbones",
    "backbone_options": "of a backbone",
    "backbone_width": "of a backbone",
    "decoder": "a kind of convolution, as in the named variants",
    "decoder_dropouts": "as many as the decoder has convolutions",
    "decoder_widths": "as many as the widths",
    "deep_stem": "of a backbone",
    "features": "as many as the rows",
    "pyramid": "a kind of convolution, as in the named variants",
    "pyramid_rates": "of a backbone",
    "rows": "as many as the features",
    "widths": "as many as the decoder widths; tiny has some",
    "name": "no option of the network",
}
"""Options that are right only with others: drawn wrong alone."""
WRONG = ("none such", -1, (), math.nan)
LEFT_ALONE = {"attention_scale": (-1,), "negative_slope": (-1,), "backbone_weights": ("none such",)}
"""Values of WRONG that are right, or are a file that is not there."""


def parameters_of(name: str) -> list[str]:
    return [*inspect.signature(models.find(name).build).parameters]


def fields_of(name: str) -> list[str]:
    """The fields of a network's variant."""
    record = models.find(name).variant
    return [] if record is None else [field.name for field in dataclasses.fields(record)]


def listed_values(annotation) -> tuple:
    """The values that an annotation lists: of a Literal, of bool, and None."""
    members = typing.get_args(annotation)
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        values = [listed_values(member) for member in members]
        return sum(values, ()) if all(values) else ()
    if annotation in (bool, type(None)):
        return (True, False) if annotation is bool else (None,)
    return members if typing.get_origin(annotation) is typing.Literal else ()


def strategies(owner, names: list[str]) -> dict:
    """Option → strategy of its right values, for those that have some."""
    annotations = annotations_of(inspect.unwrap(owner))
    values = {name: CHOICES.get(name) or listed_values(annotations.get(name)) for name in names}
    return {name: st.sampled_from(of_name) for name, of_name in values.items() if of_name}


def options_of(name: str) -> dict:
    """Option → strategy of its right values."""
    network = models.find(name)
    values = strategies(network.build, parameters_of(name))
    if network.variant is not None:
        of_fields = strategies(network.variant, fields_of(name))
        values["variant"] = st.fixed_dictionaries({}, optional=of_fields)
    return {option: values[option] for option in values if option not in TOGETHER}


@pytest.mark.parametrize("name", models.list_models())
def test_every_option_is_drawn(name):
    """A new option needs a Literal, or values here."""
    network = models.find(name)
    drawn = {*options_of(name), *TOGETHER, "input_shape", "num_classes"}
    assert set(parameters_of(name)) <= drawn
    if network.variant is not None:
        assert set(fields_of(name)) <= {*strategies(network.variant, fields_of(name)), *TOGETHER}


@functools.cache
def wrong_values() -> tuple:
    """Network, option and a value that no network takes."""
    return tuple(
        (name, option, value)
        for name in models.list_models()
        for option in (*parameters_of(name), *fields_of(name))
        for value in (WRONG if option != "name" else ())
        if value not in LEFT_ALONE.get(option, ())
    )


def as_argument(name: str, option: str, value) -> dict:
    """The argument with which a builder gets the value of an option, or of its variant's field."""
    if option in parameters_of(name):
        return {option: value}
    return {"variant": models.find(name).tiny.get("variant", {}) | {option: value}}


@pytest.mark.parametrize("name", models.list_models())
def test_an_error_names_the_one_argument_that_is_wrong(name):
    """Each argument of each network, with four values of which no network takes any."""
    for _, option, value in filter(lambda each: each[0] == name, wrong_values()):
        arguments = models.find(name).tiny | {"input_shape": (64, 64, 3), "num_classes": 3}
        with pytest.raises(ValueError, match=rf"\b{option}\b"):
            models.build(name, **arguments | as_argument(name, option, value))
            pytest.fail(f"{name} takes {option}={value!r}")


@pytest.mark.parametrize("widths", [[4, 8], [[4], 8], [[4.5]], [True, True], [[]]], ids=str)
@pytest.mark.parametrize("name", ["deconvnet", "segnet"])
def test_widths_of_stages_are_lists_of_counts(name, widths):
    with pytest.raises(ValueError, match="widths must"):
        models.build(name, (64, 64, 3), 3, **models.find(name).tiny | {"widths": widths})


@st.composite
def builds(draw):
    """Arguments of `models.build`, of which one may be wrong, and others not go together."""
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
    wrong = None
    if draw(st.integers(0, 3)) == 0:
        _, wrong, value = draw(st.sampled_from([w for w in wrong_values() if w[0] == name]))
        arguments |= as_argument(name, wrong, value)
    return name, arguments, wrong


def check_build(name: str, arguments: dict, wrong: str | None):
    keras.backend.clear_session()
    try:
        model = models.build(name, **models.find(name).tiny | arguments)
        images = random_images(model)
        scores = model(images if len(images) > 1 else images[0])
    except ValueError as error:
        # two right values may not go together, and a fixed size may not fit the network
        options = {*parameters_of(name), *fields_of(name)} - {"name"}
        named = [*options, "The height of the image", "The width of the image"]
        assert any(word in str(error) for word in named), f"{type(error).__name__}: {error}"
        return
    assert wrong is None, f"a wrong {wrong} is taken: {arguments}"
    scores = scores["logits"] if isinstance(scores, dict) else scores
    if arguments.get("upsample_logits", True):
        assert scores.shape == (*images[0].shape[:3], arguments["num_classes"])
    assert scores.shape[-1] == arguments["num_classes"]
    assert np.isfinite(scores).all()


def random_images(model: keras.Model) -> list[np.ndarray]:
    """One for each input: GridNet may take a map for each row. Free sizes are 64 and its halves."""
    random, images = np.random.default_rng(0), []
    for number, tensor in enumerate(model.inputs):
        size = [64 >> number if side is None else side for side in tensor.shape[1:3]]
        images.append(random.uniform(0, 255, (1, *size, tensor.shape[-1])).astype(np.float32))
    return images


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
