"""`keras-seg convert`: turns a published checkpoint into a .keras file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_seg.cli.checks import check_apart
from keras_seg.cli.output import DONE, say
from keras_seg.cli.verbs.verb import Verb


def convert_verb(
    file: Path,
    source: str,
    output: Path,
    input_shape: list[int | None] = (None, None, 3),  # the default of the builders
    options: dict[str, Any] | None = None,
    classes: list[str] | None = None,
) -> int:
    """Turn a published checkpoint into a .keras file.

    Args:
        file: the checkpoint: a .pth, .pt, .ckpt, .safetensors, .npz or .h5 file, or a folder
            written by save_pretrained, whose config.json is also read.
        source: public repository that the checkpoint comes from.
        output: .keras file to write.
        input_shape: height, width and channels of the image, null for a free size.
        options: arguments of the network's builder, such as `--options.preprocessing imagenet`;
            by default images are normalised as in the repository.
        classes: class names; numbered by default.
    """
    check_apart(file=file, output=output)
    from keras_seg.checkpoints.command import convert_file, summary

    model = convert_file(
        file, source, output, input_shape=tuple(input_shape), options=options, classes=classes
    )
    say(f"{summary(model)}\nsaved as    {output}", highlight=False)
    return DONE


VERB = Verb(
    convert_verb,
    arguments={
        "--source": {
            "type": str,
            "required": True,
            "help": "public repository that the checkpoint comes from",
        },
        "--output": {"type": Path, "required": True, "help": ".keras file to write"},
    },
)
