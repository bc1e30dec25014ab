"""The one table of networks, with the facts that tests and documentation read."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import keras

from keras_seg.models.options import check_options
from keras_seg.names import unknown_name


@dataclass(frozen=True)
class Network:
    """Facts of one network.

    build: the builder, `build(input_shape, num_classes, *, ...) -> keras.Model`.
    title, paper: as people call it, and where it was published.
    size_multiple: image height and width must be a multiple of this, in pixels.
    tiny: options that make a small version, which tests convert and train in seconds.
    int8_decibels: signal-to-noise ratio that the logits of the tiny version keep in int8, at
        least. Networks with pooling indices keep less, since values that become equal in int8
        choose other winners. None: an operator has no int8 form, and the export says so.
    """

    build: Callable[..., keras.Model]
    title: str
    paper: str
    size_multiple: int = 1
    tiny: dict = field(default_factory=dict)
    int8_decibels: float | None = 15.0


_NETWORKS: dict[str, Network] = {}


def register(
    name: str,
    *,
    title: str,
    paper: str,
    size_multiple: int = 1,
    tiny: dict,
    int8_decibels: float | None = 15.0,
):
    """Decorator that enters a builder under its name."""

    def enter(build):
        if name in _NETWORKS:
            raise ValueError(f"A network called {name!r} is registered already.")

        @functools.wraps(build)
        def checked(*arguments, **options):
            check_options(options)
            return build(*arguments, **options)

        _NETWORKS[name] = Network(checked, title, paper, size_multiple, tiny, int8_decibels)
        return checked

    return enter


def list_models() -> list[str]:
    """Names that `build` takes, sorted."""
    return sorted(_NETWORKS)


def find(name: str) -> Network:
    """The facts of a network, or a ValueError that names the nearest one."""
    if not isinstance(name, str) or name not in _NETWORKS:
        raise ValueError(unknown_name("model", name, _NETWORKS))
    return _NETWORKS[name]


def build(name: str, input_shape=(None, None, 3), num_classes: int = 21, **options) -> keras.Model:
    """Builds a network by name: `build("unet", (None, None, 3), 2, widths=(16, 32, 64))`.

    Raises: ValueError for an unknown network or option (with the nearest name), and whatever the
        builder itself refuses.
    """
    network = find(name)
    known = [
        parameter.name
        for parameter in inspect.signature(network.build).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    for option in options:
        if option not in known:
            raise ValueError(unknown_name(f"option of {name}", option, known))
    return network.build(input_shape, num_classes, **options)
