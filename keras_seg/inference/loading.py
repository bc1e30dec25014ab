"""From a path to the runner of its format."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from keras_seg.inference.runner import Runner, Shape

SUFFIXES = (".keras", ".tflite", ".onnx")


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    input_shape: Shape | None = None,
    scores: str | None = None,
    multi_label: bool | None = None,
) -> Runner:
    """Opens a .keras, .tflite or .onnx file for running, by its suffix.

    Args:
        threads: CPU threads; None for all that this process may use. TensorFlow's number is fixed
            once it has run anything; `runner.threads` says what is in force.
        input_shape: (height, width, channels) to run a free-size .keras file at; files of the
            other formats have their own, which it must equal.
        scores: what a foreign file puts out, "logits" or "probabilities"; None for what its graph
            shows: a sigmoid or softmax at its end makes probabilities.
        multi_label: True for a foreign file whose channels are labels of which a pixel may have
            several, False for classes that exclude each other; None for what its card says, and
            for exclusive classes where it has none.

    Raises: FileNotFoundError or ValueError that says what is wrong with the file, that `scores`
        must be said, or that what was said contradicts the file.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        near = get_close_matches(suffix, SUFFIXES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"A model file ends in one of {', '.join(SUFFIXES)}. Received: {str(path)!r}.{hint}"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no model file {str(path)!r}. Check the path; `keras-seg train` writes "
            ".keras files, `keras-seg export` the others."
        )
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be None or at least 1. Received: {threads}")
    if suffix == ".keras":
        from keras_seg.inference.keras_runner import KerasRunner  # imports TensorFlow

        return KerasRunner.from_file(
            path, threads=threads, input_shape=input_shape, scores=scores, multi_label=multi_label
        )
    runner = _load_exported(path, suffix, threads, scores, multi_label)
    if input_shape is not None and tuple(input_shape) != runner.input_shape:
        raise ValueError(
            f"{path} takes images of shape {runner.input_shape}. Received: input_shape="
            f"{tuple(input_shape)}. Leave input_shape out, or export at that size."
        )
    return runner


def _load_exported(
    path: Path,
    suffix: str,
    threads: int | None,
    scores: str | None,
    multi_label: bool | None,
) -> Runner:
    words = {"threads": threads, "scores": scores, "multi_label": multi_label}
    if suffix == ".tflite":
        from keras_seg.inference.tflite_runner import TFLiteRunner

        return TFLiteRunner(path, **words)
    from keras_seg.inference.onnx_runner import ONNXRunner

    return ONNXRunner(path, **words)
