"""The table of networks, with the facts that tests and documentation read."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, cast

import keras

from keras_seg.backends import check_backend
from keras_seg.models.former_options import FORMER_OPTIONS, with_variant
from keras_seg.models.initial_weights import load_weights_from
from keras_seg.models.names_elsewhere import unknown_option
from keras_seg.models.options import ImageShape, annotations_of, check_options, check_scores
from keras_seg.models.variants import Variant
from keras_seg.names import unknown_name

P = ParamSpec("P")
WEIGHTS = "weights"
"""An option that all builders have: a file or a name of published weights."""


@dataclass(frozen=True)
class Network:
    """Facts of one network.

    Attributes:
        build: the builder, `build(input_shape, num_classes, *, ...) -> keras.Model`.
        title, paper: its usual name, and where it was published.
        size_multiple: height and width of the image must be a multiple of this, in pixels.
        tiny: options of a small version that tests convert and train in seconds.
        int8_decibels: least signal-to-noise ratio of the logits of the tiny version in int8.
            Networks with pooling indices have lower ratios, because values that become equal in
            int8 move the maximum. None: an operator has no int8 form, and the export is refused.
    """

    build: Callable[..., keras.Model]
    title: str
    paper: str
    size_multiple: int = 1
    tiny: dict[str, Any] = field(default_factory=dict)
    int8_decibels: float | None = 15.0

    @property
    def options(self) -> list[str]:
        """Names of the keyword arguments of the builder."""
        return [
            parameter.name
            for parameter in inspect.signature(self.build).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
        ]

    @property
    def variant(self) -> type[Variant] | None:
        """The record that the builder takes as `variant`; None if it takes none."""
        return variant_record(inspect.unwrap(self.build))


_NETWORKS: dict[str, Network] = {}


def register(
    name: str,
    *,
    title: str,
    paper: str,
    size_multiple: int = 1,
    tiny: dict[str, Any],
    int8_decibels: float | None = 15.0,
) -> Callable[[Callable[P, keras.Model]], Callable[P, keras.Model]]:
    """Decorator that enters a builder under its name, and checks its arguments at each call.

    The arguments are those of `Network`.
    """

    def enter(build: Callable[P, keras.Model]) -> Callable[P, keras.Model]:
        if name in _NETWORKS:
            raise ValueError(f"A network called {name!r} is registered already.")

        parameters = inspect.signature(build).parameters
        default_classes = parameters["num_classes"].default
        allowed = {*parameters, *FORMER_OPTIONS.get(name, ()), WEIGHTS}

        @functools.wraps(build)
        def checked(*positional: P.args, **options: P.kwargs) -> keras.Model:
            check_backend(name)
            for option in options:
                if option not in allowed:
                    raise TypeError(unknown_option(name, option, parameters))
            weights = options.pop(WEIGHTS, None)
            options = with_variant(name, variant_record(build), options)
            num_classes = (*positional[1:], options.get("num_classes", default_classes))[0]
            check_scores(num_classes, options.get("activation"))
            check_options(annotations_of(build), options)
            model = build(*positional, **options)
            if weights is not None:
                load_weights_from(model, cast("str | Path", weights))
            return model

        _NETWORKS[name] = Network(checked, title, paper, size_multiple, tiny, int8_decibels)
        return checked

    return enter


def variant_record(build: Callable) -> type[Variant] | None:
    """The record among the types that a builder's `variant` may have."""
    annotation = annotations_of(build).get("variant")
    types = (annotation, *typing.get_args(annotation))
    return next((t for t in types if isinstance(t, type) and issubclass(t, Variant)), None)


def list_models() -> list[str]:
    """Names that `build` takes, sorted."""
    return sorted(_NETWORKS)


def find(name: str) -> Network:
    """The facts of a network.

    Raises: ValueError for an unknown name, with the nearest one.
    """
    if not isinstance(name, str) or name not in _NETWORKS:
        raise ValueError(unknown_name("model", name, _NETWORKS))
    return _NETWORKS[name]


def build(
    name: str,
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    **options: Any,
) -> keras.Model:
    """Builds a network by name.

    Args:
        name: one of `list_models()`.
        input_shape: (height, width, channels), None for a free height or width.
        num_classes: number of mask values to predict.
        options: keyword arguments of the network's builder; and `weights`, a `.keras` file of the
            same network or a name of `list_weights()`, see `load_weights_from`.

    Returns: a functional `keras.Model`.

    Raises: ValueError for an unknown network or option (with the nearest name), and whatever the
        builder itself refuses.

    Example:

        model = keras_seg.models.build("unet", (None, None, 3), 2, widths=(16, 32, 64))
    """
    network = find(name)
    former = FORMER_OPTIONS.get(name, ())
    for option in options:
        if option not in (*network.options, *former, WEIGHTS):
            known = ("input_shape", "num_classes", *network.options)
            raise ValueError(unknown_option(name, option, known))
    return network.build(input_shape, num_classes, **options)
