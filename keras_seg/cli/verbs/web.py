"""`keras-seg web`: writes a page that runs a model in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from keras_seg.cli.output import DONE, say
from keras_seg.cli.verbs.verb import Verb


def web_verb(
    file: Path,
    output: Path = Path("site"),
    sample: Path | None = None,
    runtime: Path | None = None,
    sizing: Literal["auto", "resize", "tile"] = "auto",
) -> int:
    """Write a static page that runs a .tflite or .onnx file in the browser.

    Args:
        file: the exported model, with a fixed input size.
        output: folder of the page. A page that this verb wrote before is replaced.
        sample: example picture of the page; drawn shapes by default.
        runtime: node_modules folder with the JavaScript runtime; by default npm downloads it.
        sizing: how a network of fixed size processes other images: resized, or in overlapping
            tiles. auto resizes if the training did, and for models of other origin.
    """
    from keras_seg.web import write_site

    write_site(file, output, sample=sample, runtime=runtime, sizing=sizing)
    say(
        f"{output}: a page for any static server. Try it: python -m http.server -d {output}",
        highlight=False,
        soft_wrap=True,
    )
    return DONE


VERB = Verb(web_verb)
