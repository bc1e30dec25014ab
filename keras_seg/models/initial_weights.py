"""Starts a network from the weights of a file, whose classes may be others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_seg.models.files import load, read_card
from keras_seg.models.functional import as_functional
from keras_seg.models.inference_form import for_inference
from keras_seg.weights import set_weights

WIDTHS_BY_CLASSES = ((1, 0), (2, 8), (2, 6))
"""(factor, summand) of the channels that follow from the number of classes: those of the scores,
and those of iCNN's layers before them."""


class _Channels(NamedTuple):
    """Channels of the scores of the file and of the model."""

    there: int
    here: int


def load_weights_from(model: keras.Model, path: str | Path, *, classes: Sequence[str] = ()) -> str:
    """Sets the weights of a model from a `.keras` file of the same network.

    The file may have other classes. Then the heads, whose shape depends on their number, keep
    the values that they have. So do heads that the file does not have, such as those of deep
    supervision. All other layers are taken, or none.

    Args:
        model: the network; it is not changed if an error is raised.
        path: a file that `keras-seg train`, `keras-seg convert` or `models.save` has written, or a
            name that `load` takes.
        classes: names of the classes of the model. The sentence says if the file has others.

    Returns: a sentence that says how many layers were taken, and which were not.

    Raises: ValueError for a file of another network or of other widths, with the first layer that
        differs and both shapes; FileNotFoundError.

    Example:

        model = keras_seg.models.unet((64, 64, 3), 2, widths=(4, 8))
        keras_seg.models.load_weights_from(model, "five_classes.keras")
    """
    network, source = as_functional(model), as_functional(load(path))
    channels = _Channels(_channels(source), _channels(network))
    taken, heads = [], []
    for ours, theirs in _pairs(network, source, path):
        if _shapes(ours) == _shapes(theirs):
            taken.append((ours, theirs))
        elif _differ_in_classes(ours, theirs, channels):
            heads.append(ours)
        else:
            raise ValueError(_another(network, path, ours, theirs))
    for ours, theirs in taken:
        set_weights(ours, theirs.get_weights())
    other = "" if heads else _other_names(path, classes)
    return _sentence(path, network, len(taken), heads, channels) + other


def _pairs(
    network: keras.Model, source: keras.Model, path: str | Path
) -> Iterator[tuple[keras.Layer, keras.Layer]]:
    """Each layer of the network with that of the file.

    Layers are paired by name, or by their order, since automatic names (conv2d_3) change with the
    session. The heads of the logits are paired although their names differ, as those of U-Net++
    with and without deep supervision. Heads that only one of them has are left out.
    """
    ours, theirs = _with_weights(_inference(network)), _with_weights(_inference(source))
    if set(ours) == set(theirs):
        yield from ((layer, theirs[name]) for name, layer in ours.items())
    elif [*map(_without_number, ours)] == [*map(_without_number, theirs)]:
        yield from zip(ours.values(), theirs.values(), strict=True)
    elif _differ_in_name_of_head(ours, theirs):
        yield from ((layer, theirs[name]) for name, layer in ours.items() if name in theirs)
        yield [*ours.values()][-1], [*theirs.values()][-1]
    else:
        raise ValueError(_another(network, path, *_first_difference(ours, theirs)))
    heads, others = _with_weights(network), _with_weights(source)
    yield from ((heads[name], others[name]) for name in heads if name in others.keys() - theirs)


def _differ_in_name_of_head(ours: Mapping, theirs: Mapping) -> bool:
    """Whether all layers but the last of both have the same names."""
    return bool(ours and theirs) and {*[*ours][:-1]} == {*[*theirs][:-1]}


def _without_number(name: str) -> str:
    """The name of a layer without the number at the end of an automatic name."""
    return re.sub(r"_\d+$", "", name)


def _inference(model: keras.Model) -> keras.Model:
    has_logits = isinstance(model.output, dict) and "logits" in model.output
    return for_inference(model) if has_logits else model


def _with_weights(model: keras.Model) -> dict[str, keras.Layer]:
    return {layer.name: layer for layer in model.layers if layer.weights}


def _first_difference(
    ours: Mapping[str, keras.Layer], theirs: Mapping[str, keras.Layer]
) -> tuple[keras.Layer | None, keras.Layer | None]:
    """The first layer without a partner: of the network, of the file or, by order, of both."""
    missing = next((layer for name, layer in ours.items() if name not in theirs), None)
    surplus = next((layer for name, layer in theirs.items() if name not in ours), None)
    return missing, surplus


def _shapes(layer: keras.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _channels(model: keras.Model) -> int:
    output = model.output
    if isinstance(output, Mapping):
        output = output.get("logits", next(iter(output.values())))
    elif isinstance(output, Sequence):
        output = output[0]
    return output.shape[-1]


def _differ_in_classes(ours: keras.Layer, theirs: keras.Layer, channels: _Channels) -> bool:
    """Whether the shapes of two layers differ by nothing but the number of classes."""
    here, there = _shapes(ours), _shapes(theirs)
    if channels.here == channels.there or [*map(len, here)] != [*map(len, there)]:
        return False
    sizes = {
        (factor * channels.there + more, factor * channels.here + more)
        for factor, more in WIDTHS_BY_CLASSES
    }
    pairs = zip(np.concatenate(there), np.concatenate(here), strict=True)
    return all(before == after or (before, after) in sizes for before, after in pairs)


def _another(
    network: keras.Model, path: str | Path, ours: keras.Layer | None, theirs: keras.Layer | None
) -> str:
    here, there = _described(ours), _described(theirs)
    return (
        f"{path} belongs to another network than {network.name}: {here} here, {there} there. Build "
        "the network of the file, with the same options, or start from another file."
    )


def _described(layer: keras.Layer | None) -> str:
    """The layer with its largest weight: "outc.conv (1, 1, 64, 2)"."""
    if layer is None:
        return "no further layer"
    shape = max(_shapes(layer), key=lambda shape: (len(shape), np.prod(shape)))
    return f"{layer.name} {shape}"


def _other_names(path: str | Path, classes: Sequence[str]) -> str:
    """A sentence if the head that was taken belongs to classes of other names."""
    card = read_card(path)
    if not classes or card is None or card.classes.names == tuple(classes):
        return ""
    return (
        f" The head belongs to the classes {', '.join(card.classes.names)}; here they are "
        f"{', '.join(classes)}."
    )


def _sentence(
    path: str | Path,
    network: keras.Model,
    taken: int,
    heads: Sequence[keras.Layer],
    classes: _Channels,
) -> str:
    total = len(_with_weights(network))
    start = f"Weights of {path}: {taken} of {total} layers"
    if taken == total:
        return f"{start}."
    if not heads:
        return f"{start}. The file does not have the other heads, which start from random values."
    if len(heads) == 1:
        rest = (
            f"the head has {_counted(classes.there)} there and {classes.here} here, so it starts "
            "from random values."
        )
    else:
        rest = (
            f"{len(heads)} layers of the heads depend on the classes, {classes.there} there and "
            f"{classes.here} here, so they start from random values."
        )
    new = total - taken - len(heads)
    also = f" So do the heads that the file does not have ({new} layers)." if new else ""
    return f"{start}; {rest}{also}"


def _counted(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} classes"
