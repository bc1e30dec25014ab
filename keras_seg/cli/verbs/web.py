"""`keras-seg web`: writes a page that runs a model in the browser."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

from keras_seg.cli.output import DONE, complain, say
from keras_seg.cli.verbs.verb import Verb

PORTS = 2**16


def web_verb(
    file: Path,
    output: Path = Path("site"),
    samples: list[str] | None = None,
    sample: Path | None = None,
    runtime: Path | None = None,
    sizing: Literal["auto", "resize", "tile"] = "auto",
    title: str | None = None,
    serve: int | None = None,
) -> int:
    """Write a static page that runs a .tflite or .onnx file in the browser.

    Args:
        file: the exported model, with a fixed input size.
        output: folder of the page. A page that this verb wrote before is replaced.
        sample: the former name of --samples, for one image.
        runtime: node_modules folder with the JavaScript runtime; by default npm downloads it.
        sizing: how a network of fixed size processes other images: resized, or in overlapping
            tiles. auto resizes if the training did, and for models of other origin.
        title: title of the page; by default the names of the run and the network.
        serve: port at which to serve the page on this computer, until Ctrl-C.
    """
    from keras_seg.web import write_site

    if sample is not None:
        complain("--sample is now --samples.")
        samples = [*(samples or []), str(sample)]
    if serve is not None and not 0 <= serve < PORTS:
        raise ValueError(f"serve must be a port from 0 to {PORTS - 1}, such as 8000.")
    write_site(file, output, samples=samples, runtime=runtime, sizing=sizing, title=title)
    say(f"{output}: a page for any static server.", highlight=False, soft_wrap=True)
    if samples is None and (advice := _sample_advice(file)):
        say(advice, highlight=False, soft_wrap=True)
    if serve is None:
        line = f"keras-seg web {file} --output {output} --serve 8000"
        say(f"Try it: {line}", highlight=False, soft_wrap=True)
        return DONE
    return _serve(output, serve)


def _sample_advice(file: Path) -> str:
    """The line to write for samples of the run's own data, which a page holds only when asked."""
    from keras_seg.training.run_folder import recipe_beside

    recipe = recipe_beside(file)
    if recipe is not None and recipe.data.startswith("builtin:"):
        return ""
    source = "FOLDER_OR_FILES" if recipe is None else recipe.data
    return f"It has no sample images. To show some of your own: --samples {source}"


def _serve(folder: Path, port: int) -> int:
    from keras_seg.web.server import page_server

    with page_server(folder, port) as server:
        address = f"http://localhost:{server.server_port}/"
        say(f"Serving {address} until Ctrl-C.", highlight=False, soft_wrap=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return DONE


VERB = Verb(
    web_verb,
    arguments={
        "--samples": {
            "nargs": "+",
            "type": str,
            "metavar": "FILE",
            "help": "sample images of the page: files, folders of images, or data sets, of which "
            "validation images are taken; by default those of a built-in data set, otherwise none",
        },
    },
)
