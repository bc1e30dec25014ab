"""`keras-seg audit`: lists the operators of an exported file, and what a device runs of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keras_seg.cli.output import DONE, REFUSED, say, write_json
from keras_seg.cli.verbs.verb import Verb, add_signature

if TYPE_CHECKING:  # takes most of the time of `keras-seg --help`
    from jsonargparse import ArgumentParser


def audit_verb(file: Path, target: str | None = None, json_file: Path | None = None) -> int:
    """List the operators of an exported file, and those that a device leaves to the CPU.

    Args:
        file: a .tflite or .onnx file.
        target: the device; also names the operators that it leaves to the CPU, the reason, and the
            option of `keras-seg export` that avoids it.
        json_file: file for the audit as JSON; - for standard output.
    """
    from keras_seg.export.proof.audit import audit

    audited = audit(file, target)
    say(audited.table())
    write_json(json_file, audited.to_dict())
    return REFUSED if audited.problems else DONE


def add_audit_options(verb: Verb, parser: ArgumentParser) -> None:
    """Adds the arguments of the verb; the targets are those of the table."""
    from keras_seg.export.devices.table import TARGETS

    add_signature(verb, parser, skip=("target",))
    parser.add_argument(
        "--target",
        choices=TARGETS,
        metavar="|".join(TARGETS),
        help="the device; also names the operators that it leaves to the CPU, the reason, and the "
        "option of keras-seg export that avoids it",
    )


VERB = Verb(audit_verb, backends=("tensorflow",), define=add_audit_options)
