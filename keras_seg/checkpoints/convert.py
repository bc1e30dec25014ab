"""`convert`: turns a published checkpoint into a model with the same output as its reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from keras_seg.checkpoints import foreign, sources  # noqa: F401  (sources registers its modules)
from keras_seg.checkpoints.folders import read_with_settings
from keras_seg.checkpoints.registry import CheckpointSource, find
from keras_seg.weights import load_strictly
from keras_seg.weights.loading import DoesNotFit

ANOTHER_NETWORK = 0.1
"""From this share of tensors without a partner on, the message does not list their names."""


def convert(
    checkpoint: Mapping | str | Path,
    source: str,
    input_shape: tuple = (None, None, 3),
    **options: Any,
) -> keras.Model:
    """Builds the network that a checkpoint belongs to, and loads it strictly.

    Shapes: the model takes images (B, H, W, C), normalised as for the reference, and gives what the
    reference returns: logits, without softmax, at the resolution where the reference stops.

    Args:
        checkpoint: tensor name → array, or a .safetensors, .npz, .h5, .pth, .pt or .ckpt file (the
            last three run no code from the file), or the folder that
            `save_pretrained` of segmentation_models.pytorch or timm writes. A config.json in the
            folder, or beside a .safetensors file, is read too.
        source: the public repository that the names come from, one of `list_sources()`.
        input_shape: (height, width, channels), None for a free height or width.
        options: arguments of the network's builder that the shapes do not determine. A mapping as
            `variant` changes the variant of the repository. Source "smp" also takes the arguments
            of segmentation_models.pytorch, such as `encoder_name` and `decoder_interpolation`;
            source "timm" takes the name of the model as `model`.

    Returns: a functional `keras.Model`.

    Raises: ValueError for an unknown source or option; for a network that no source reads, with its
        name; for tensors whose names and shapes several models share; and for a checkpoint that
        does not fit, with the names of all tensors and weights without a partner.

    Example:

        model = keras_seg.checkpoints.convert("unet_carvana.pth", "milesial")
    """
    if own := sorted({"name", "num_classes"} & {*options}):
        raise ValueError(f"options cannot hold {own}, which the checkpoint decides.")
    published, settings = read_with_settings(checkpoint)
    if network := foreign.network(published):
        raise ValueError(
            f"The checkpoint is {network}, which keras_seg does not have. "
            "`keras_seg.models.list_models()` names the networks that it has."
        )
    spec = find(source, published)
    if spec.translate:
        options = spec.translate(published, settings, options)
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


def _converted(
    published: dict, spec: CheckpointSource, input_shape: tuple, options: dict
) -> keras.Model:
    if spec.prepare:
        published = spec.prepare(published)
    tensors, names = {}, {}
    for name, array in published.items():
        if spec.is_ignored(name):
            continue
        ours = spec.our_name(name)
        if ours in tensors:
            raise ValueError(f"Two tensors of the checkpoint get the same name {ours!r}.")
        names[ours] = name
        tensors[ours] = spec.adjust(ours, array) if spec.adjust else array
    shapes = {name: tuple(array.shape) for name, array in tensors.items()}
    model = spec.build(shapes, input_shape, options)
    if spec.not_run:
        is_left_out = spec.not_run(shapes)
        tensors = {name: array for name, array in tensors.items() if not is_left_out(name)}
    try:
        load_strictly(model, tensors, published=names)
    except DoesNotFit as error:
        if spec.translate is None or error.share < ANOTHER_NETWORK:
            raise
        raise ValueError(
            "The checkpoint's encoder or decoder is none that keras_seg has: "
            f"{error.share:.0%} of the tensors have no partner in the network that comes nearest, "
            f"{model.name}."
        ) from error
    return model
