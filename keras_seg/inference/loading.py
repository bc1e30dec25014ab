"""From a path or a model to the runner of its format, and to a mask in one call."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.data.class_file import checked_range
from keras_seg.inference.runner import Runner, Shape, check_said
from keras_seg.model_paths import KERAS_SUFFIXES, check_model_path
from keras_seg.shapes import checked_shape

if TYPE_CHECKING:
    import keras


def load(
    path: str | Path | keras.Model,
    *,
    threads: int | None = None,
    input_shape: Shape | None = None,
    value_range: tuple[float, float] | None = None,
    card: ModelCard | None = None,
    scores: str | None = None,
    multi_label: bool | None = None,
) -> Runner:
    """Opens a .keras, .h5, .tflite or .onnx file for running, by its suffix; or a Keras model.

        runner = keras_seg.inference.load(model)  # just trained, or "model.tflite"
        mask = runner.predict("photo.jpg")

    Args:
        path: the file; or a model in memory, functional, Sequential or subclassed, which takes
            pixels in 0..255. Its classes are numbered.
        threads: CPU threads; None for all that this process may use. TensorFlow's number is fixed
            once it has run anything; `runner.threads` says what is in force.
        input_shape: (height, width, channels) to run a free-size .keras file at; files of the
            other formats have their own, which it must equal.
        value_range: (black, white) of images of more than 8 bits, in place of what the file says.
        card: classes and head of a model in memory, or of a file that was not written by this
            package and does not say them itself.
        scores: what a foreign network puts out, "logits" or "probabilities"; None for what its
            graph shows: a sigmoid or softmax at its end makes probabilities.
        multi_label: True for a foreign network whose channels are labels of which a pixel may have
            several, False for classes that exclude each other; None for what its card says, and
            for exclusive classes where it has none.

    Of .tflite and .onnx files of other exporters, the order of the axes, the batch and the output
    of scores are found by their shapes. Such a network must take pixels in 0..255; if it takes
    0..1, which a float file does not tell, wrap it before it is exported:
    `keras.Sequential([keras.Input((256, 256, 3)), keras.layers.Rescaling(1 / 255), model])`.

    Raises: FileNotFoundError, or ValueError that says what is wrong with the file and what to do,
        that `scores` must be said, or that what was said contradicts the file; TypeError for what
        is neither a path nor a model.
    """
    check_said(card, multi_label)
    words = {"threads": threads, "scores": scores, "multi_label": multi_label}
    if not isinstance(path, str | Path) and hasattr(path, "layers"):
        return _of_model(path, card, input_shape, value_range, words)
    path = check_model_path(path)
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be None or at least 1. Received: {threads}")
    if input_shape is not None:
        input_shape = checked_shape(input_shape)
    if path.suffix.lower() in KERAS_SUFFIXES:
        from keras_seg.inference.keras_runner import KerasRunner  # imports TensorFlow

        runner = KerasRunner.from_file(path, card, input_shape=input_shape, **words)
        _tell_of_pixels(runner.model, str(path))
    else:
        runner = _load_exported(path, path.suffix.lower(), card, words)
    if input_shape is not None and input_shape != runner.input_shape:
        raise ValueError(
            f"{path} takes images of shape {runner.input_shape}. Received: input_shape="
            f"{input_shape}. Leave input_shape out, or export at that size."
        )
    return with_range(runner, value_range)


def as_runner(model: Runner | keras.Model | str | Path) -> Runner:
    """A runner as it is; a Keras model or the path of a model file as a runner."""
    return model if isinstance(model, Runner) else load(model)


def predict(
    runner: Runner | keras.Model | str | Path,
    image,
    *,
    sizing: str = "auto",
    value_range: tuple[float, float] | None = None,
    threshold: float = 0.5,
) -> np.ndarray | list[np.ndarray]:
    """The class, or the labels, of every pixel of an image.

    Args:
        runner: what `load` gives; or a Keras model, or the path of a file, which is loaded for this
            one call.
        image: an array or tensor, a path or a PIL picture; or several of them, as for
            `Runner.predict`.
        sizing: how the image meets the network.
            "resize": the image is resized to the network's size, its scores back to the image's.
            "tile": windows of the network's size, half a window apart, see the image at its own
            scale; their probabilities are averaged, the middle of a window counting most.
            "auto": as in training, which the card tells: "resize" if images were resized to one
            size, "tile" if they kept their scale; "resize" for a foreign file.
        value_range: (black, white) of images of more than 8 bits, in place of that of the model.
        threshold: a pixel has the second of two classes, or a label of a multi-label network, where
            the probability is above it.

    A network of free size is resized to where it was trained at one size and otherwise sees the
    image as it is, mirrored at the lower and right edge up to the next size that it takes. A
    network without padding sees the image with mirrored borders, in windows that meet without
    overlap, which together give what the whole image would.

    Shapes: (H, W, C) or grey (H, W) → (H, W) uint8 classes, or (H, W, labels) uint8 of 0 and 1 by a
    multi-label network.

    Raises: ValueError for an image whose channels, type or values the network cannot take, for
    another sizing, and for a threshold that the network cannot have.
    """
    words = {"sizing": sizing, "value_range": value_range, "threshold": threshold}
    return as_runner(runner).predict(image, **words)


def with_range(runner: Runner, value_range: tuple[float, float] | None) -> Runner:
    """The runner, told (black, white) of its images of more than 8 bits; None changes nothing."""
    if value_range is not None:
        runner.card = replace(runner.card, value_range=checked_range(value_range))
    return runner


def _of_model(model: keras.Model, card, input_shape, value_range, words: dict) -> Runner:
    from keras_seg.inference.keras_runner import KerasRunner  # imports TensorFlow

    if input_shape is not None:
        input_shape = checked_shape(input_shape)
    runner = KerasRunner(model, card, input_shape=input_shape, **words)
    _tell_of_pixels(model, "The model")
    return with_range(runner, value_range)


def _tell_of_pixels(model: keras.Model, what: str) -> None:
    """Warns of a network whose first weights would get 0..255 as they are.

    Whether it was trained on such numbers, no layer tells.
    """
    from keras_seg.data.first_batch.network import pixel_range

    if pixel_range(model) in ("raw", "0..1"):
        shape = tuple(model.input_shape[1:])
        warnings.warn(
            f"{what} has no layer that normalises pixels, and gets them in 0..255. If it was "
            "trained on images / 255, its masks will be wrong. Save it with that division: "
            f"keras.Sequential([keras.Input({shape}), keras.layers.Rescaling(1 / 255), "
            'model]).save("model_0_255.keras").',
            stacklevel=4,
        )


def _load_exported(path: Path, suffix: str, card: ModelCard | None, words: dict) -> Runner:
    if suffix == ".tflite":
        from keras_seg.inference.tflite_runner import TFLiteRunner

        return TFLiteRunner(path, card=card, **words)
    from keras_seg.inference.onnx_runner import ONNXRunner

    return ONNXRunner(path, card=card, **words)
