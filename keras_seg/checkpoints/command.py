"""The verb `keras-seg convert`: writes a .keras file with its card from a checkpoint file."""

from __future__ import annotations

from pathlib import Path

import keras
import yaml

from keras_seg.card import ModelCard
from keras_seg.checkpoints.convert import convert
from keras_seg.data.classes import ClassTable
from keras_seg.models import files
from keras_seg.models.output_activation import model_output_activation
from keras_seg.models.registry import list_models


def convert_file(
    checkpoint: Path,
    source: str,
    output: Path,
    *,
    input_shape: tuple = (None, None, 3),
    options: dict | None = None,
    classes: ClassTable | tuple[str, ...] | None = None,
) -> keras.Model:
    """Converts a checkpoint and saves the model with its class names.

    Args:
        checkpoint, source, input_shape, options: as for `convert`.
        output: .keras file; its folder is created. No file is left if anything fails.
        classes: a name per value of the mask, or a table with colours; numbers by default.

    Returns: the model.

    Raises: ValueError as `convert` does, for another suffix and for a wrong number of names.
    """
    if output.suffix != ".keras":  # before minutes of conversion
        raise ValueError(f"--output must be a file ending in .keras. Received: {output}")
    if own := sorted({"checkpoint", "source", "input_shape"} & {*(options or {})}):
        raise ValueError(f"options cannot hold {own}: these are arguments beside the options.")
    model = convert(checkpoint, source, input_shape, **_parsed(options or {}))
    card = ModelCard(
        class_table(model, classes),
        network=model.name if model.name in list_models() else None,
        size_multiple=next((x.multiple for x in model.layers if hasattr(x, "multiple")), 1),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    files.save(model, output, card)
    return model


def _parsed(options: dict) -> dict:
    """Parses options of the command line, which are text: "8" is a number, "[6, 12]" a list."""
    return {
        name: yaml.safe_load(value) if isinstance(value, str) else value
        for name, value in options.items()
    }


def class_table(model: keras.Model, names: ClassTable | tuple[str, ...] | None) -> ClassTable:
    """A table that fits the scores; one channel stands for two classes, by a sigmoid."""
    scores = next(iter(model.output.values())) if isinstance(model.output, dict) else model.output
    count = max(scores.shape[-1], 2)
    if names is None:
        return ClassTable.numbered(count)
    if len(names) != count:
        raise ValueError(f"The checkpoint has {count} classes. Received {len(names)}: {names}")
    return names if isinstance(names, ClassTable) else ClassTable(tuple(names))


def summary(model: keras.Model) -> str:
    """A summary for the terminal: network, parameters, shapes of image and outputs."""
    outputs = (
        model.output if isinstance(model.output, dict) else {_scores(model.output): model.output}
    )
    parameters = sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)
    lines = [
        f"network     {model.name}, {parameters:,} trainable parameters",
        f"image       {_size(model.inputs[0].shape)}",
        *(f"{name:<11} {_size(output.shape)}" for name, output in outputs.items()),
    ]
    return "\n".join(lines)


def _scores(output: keras.KerasTensor) -> str:
    return "probabilities" if model_output_activation(output).are_probabilities else "logits"


def _size(shape: tuple) -> str:
    return " x ".join("free" if size is None else str(size) for size in shape[1:])
