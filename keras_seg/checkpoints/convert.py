"""`convert`: a published checkpoint becomes a model that computes what its reference computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras

from keras_seg.checkpoints import sources  # noqa: F401  (each of its modules registers sources)
from keras_seg.checkpoints.registry import Source, find
from keras_seg.weights import load_strictly, read


def convert(
    checkpoint: Mapping | str | Path, source: str, input_shape=(None, None, 3), **options
) -> keras.Model:
    """Builds the network that a checkpoint belongs to, and loads it strictly.

    Shapes: the model takes images (B, H, W, C), normalised as the reference's are, and gives what
    the reference returns: raw scores, without softmax, at the resolution where it stops.

    Args:
        checkpoint: tensor name → array, or a .safetensors, .npz, .h5, .pth or .pt file (the last
            two need PyTorch, and run no code from the file).
        source: the public repository that the names come from, one of `list_sources()`.
        input_shape: (height, width, channels), None for a free height or width.
        options: arguments of the network's builder, for what shapes cannot tell.

    Raises: ValueError for an unknown source or option, and for a checkpoint that does not fit,
        with the names of all tensors and weights that found no partner.
    """
    if own := sorted({"name", "num_classes"} & {*options}):
        raise ValueError(f"options cannot hold {own}, which the checkpoint decides.")
    published = read(checkpoint)
    spec = find(source, published)
    try:
        return _converted(published, spec, input_shape, options)
    except IndexError as error:
        raise ValueError(
            f"A tensor of the checkpoint has fewer axes than those of source {source!r} ({error}). "
            f"It begins with: {[f'{name} {a.shape}' for name, a in [*published.items()][:4]]}."
        ) from error
    except KeyError as error:
        raise ValueError(
            f"The checkpoint has no tensor {error}, which every one of source {source!r} has. "
            f"It begins with: {[*published][:6]}."
        ) from error


def _converted(published: dict, spec: Source, input_shape, options: dict) -> keras.Model:
    if spec.prepare:
        published = spec.prepare(published)
    tensors, names = {}, {}
    for name, array in published.items():
        if spec.is_ignored(name):
            continue
        ours = spec.our_name(name)
        if ours in tensors:
            raise ValueError(f"Two tensors of the checkpoint are called {ours!r} in our words.")
        names[ours] = name
        tensors[ours] = spec.adjust(ours, array) if spec.adjust else array
    shapes = {name: tuple(array.shape) for name, array in tensors.items()}
    model = spec.build(shapes, input_shape, options)
    load_strictly(model, tensors, published=names)
    return model
