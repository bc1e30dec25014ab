"""`keras-seg demo`: the whole pipeline on images of the package."""

from __future__ import annotations

from pathlib import Path

from keras_seg.cli.output import DONE, REFUSED
from keras_seg.cli.verbs.verb import Verb


def demo_verb(output: Path = Path("keras-seg-demo"), epochs: int = 14) -> int:
    """Train, evaluate and export a small U-Net on images of nuclei, and compare the files.

    Args:
        output: folder for all files of the demo.
        epochs: epochs of 50 training steps.
    """
    from keras_seg.demo import run_demo

    return DONE if run_demo(output, epochs=epochs) else REFUSED


VERB = Verb(demo_verb, backends=("tensorflow",))
