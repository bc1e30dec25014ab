"""`load`: a path or a model → the runner of its format. `predict`: a mask in one call."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_seg.arguments import checked_shape
from keras_seg.card import ModelCard
from keras_seg.data.reading.ranges import ValueRange, checked_range
from keras_seg.inference.cards import check_card_arguments
from keras_seg.inference.prediction import Runner
from keras_seg.inference.runner import Shape
from keras_seg.inference.scores import Threshold
from keras_seg.inference.views import TestTimeAugmentation
from keras_seg.model_paths import KERAS_SUFFIXES, check_model_path

if TYPE_CHECKING:
    import keras

    from keras_seg.inference.files.predict import FilesResult


def load(
    path: str | Path | keras.Model,
    *,
    threads: int | None = None,
    input_shape: Shape | None = None,
    value_range: ValueRange | None = None,
    card: ModelCard | None = None,
    scores: str | None = None,
    multi_label: bool | None = None,
) -> Runner:
    """Opens a .keras, .h5, .tflite or .onnx file, or a Keras model, for prediction.

    Args:
        path: the file, whose suffix gives its format, or the name of published weights, see
            `keras_seg.models.load`; or a model in memory, functional, Sequential
            or subclassed, which takes pixels in 0..255. Its classes are numbered.
        threads: number of CPU threads; None for all that this process may use. TensorFlow fixes
            its number with the first run; `runner.threads` is the number in use.
        input_shape: (height, width, channels) at which a .keras file of free size runs. Files of
            the other formats have their own, which it must equal.
        value_range: (black, white) of images of more than 8 bits, or one such pair per band,
            instead of what the file says.
        card: classes and head of a model in memory, or of a foreign file without a card.
        scores: what a foreign network outputs, "logits" or "probabilities"; None for what its
            graph shows: a sigmoid or softmax at its end gives probabilities.
        multi_label: True for a foreign network whose channels are independent labels, False for
            exclusive classes; None for what its card says, and for exclusive
            classes if it has none.

    The axes, the batch size and the score output of foreign .tflite and .onnx files are found from
    their shapes. A foreign network must take pixels in 0..255. If it takes 0..1, which a float file
    does not show, wrap it before its export:
    `keras.Sequential([keras.Input((256, 256, 3)), keras.layers.Rescaling(1 / 255), model])`.

    Raises: FileNotFoundError; ValueError that says what is wrong with the file and what to do,
        that `scores` must be given, or that an argument contradicts the file; TypeError for what
        is neither a path nor a model.

    Example:
        >>> model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        >>> runner = keras_seg.inference.load(model)  # or load("model.tflite")
        >>> runner.predict(np.zeros((32, 48, 3), np.uint8)).shape
        (32, 48)
    """
    check_card_arguments(card, multi_label)
    options = {"threads": threads, "scores": scores, "multi_label": multi_label}
    if not isinstance(path, str | Path) and hasattr(path, "layers"):
        return _model_runner(path, card, input_shape, value_range, options)
    if isinstance(path, str | Path) and (str(path).startswith("hf:") or not Path(path).suffix):
        from keras_seg.models.published import local_file  # imports Keras

        path = local_file(path)
    path = check_model_path(path)
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be None or at least 1. Received: {threads}")
    if input_shape is not None:
        input_shape = checked_shape(input_shape)
    if path.suffix.lower() in KERAS_SUFFIXES:
        from keras_seg.inference.keras_runner import KerasRunner  # imports Keras

        runner = KerasRunner.from_file(path, card, input_shape=input_shape, **options)
        _warn_of_raw_pixels(runner.model, str(path))
    else:
        runner = _exported_runner(path, path.suffix.lower(), card, options)
    if input_shape is not None and input_shape != runner.input_shape:
        raise ValueError(
            f"{path} takes images of shape {runner.input_shape}. Received: input_shape="
            f"{input_shape}. Leave input_shape out, or export at that size."
        )
    words = {"input_shape": input_shape, "card": card, "scores": scores, "multi_label": multi_label}
    runner.reopen = partial(_load_copy, words)
    return with_range(runner, value_range)


def predict(
    runner: Runner | keras.Model | str | Path,
    image: object,
    *,
    probabilities: bool = False,
    sizing: str = "auto",
    tta: TestTimeAugmentation | None = None,
    batch_size: int = 8,
    threshold: Threshold | None = None,
    value_range: ValueRange | None = None,
    output: str | Path | None = None,
    engine: str = "local",
    address: str | None = None,
) -> np.ndarray | list[np.ndarray] | FilesResult:
    """`Runner.predict` in one call: masks, or class probabilities, of images of any size.

    Args:
        runner: what `load` returns; or a Keras model, or the path of a file, which is loaded for
            this one call.
        image: one image or several, as for `Runner.predict`; also a folder of images, and a
            tf.data.Dataset, PyDataset or generator of images or (images, masks).
        probabilities, sizing, tta, batch_size, threshold, value_range: as for `Runner.predict`.
        output: folder to which masks are written, as by `keras-seg predict`, in place of being
            returned: a local one or one of an object store, such as "s3://bucket/masks". `image` is
            then a file, a folder, a pattern or a list of them, also in an object store.
        engine: "local", or "ray" for the machines of a Ray cluster; needs `output`.
        address: address of the cluster, such as "auto".

    Returns: masks or probabilities; with `output` the numbers of predicted inputs (`done`,
        `skipped`) and a message per input that failed (`failed`).

    Raises: as `load` and `Runner.predict`; ValueError for an engine without `output`, or an image
        in memory with it.

    Example:
        >>> model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        >>> keras_seg.inference.predict(model, np.zeros((32, 48, 3), np.uint8)).shape
        (32, 48)
    """
    runner = as_runner(runner)
    if output is not None:
        from keras_seg.inference.files.options import OutputOptions, PredictionOptions
        from keras_seg.inference.files.predict_on import predict_anywhere

        options = PredictionOptions(
            sizing, tta, OutputOptions(probabilities=probabilities), threshold=threshold
        )
        return predict_anywhere(
            with_range(runner, value_range),
            _paths_of(image),
            output,
            options,
            engine=engine,
            address=address,
        )
    if engine != "local":
        raise ValueError(
            f'engine={engine!r} writes masks as files. Give their folder: output="masks".'
        )
    return runner.predict(
        image,
        probabilities=probabilities,
        sizing=sizing,
        tta=tta,
        batch_size=batch_size,
        threshold=threshold,
        value_range=value_range,
    )


def _paths_of(image: object) -> list[str | Path]:
    """The paths of a file or of several.

    Raises: ValueError for something else.
    """
    given = list(image) if isinstance(image, list | tuple) else [image]
    for each in given:
        if not isinstance(each, str | Path):
            raise ValueError(
                "With output, image is a path or a list of paths. Received: "
                f"{type(each).__name__}. Leave output out for images in memory."
            )
    return given


def _load_copy(words: dict, paths: Sequence[Path], threads: int | None) -> Runner:
    """As `load`, from a copy of the file; at the top of the module, so that it can be pickled."""
    return load(paths[0], threads=threads, **words)


def as_runner(model: Runner | keras.Model | str | Path) -> Runner:
    """The runner of a Keras model or of a model file; a runner is returned unchanged."""
    return model if isinstance(model, Runner) else load(model)


def with_range(runner: Runner, value_range: ValueRange | None) -> Runner:
    """The runner with this (black, white) for images of more than 8 bits; None changes nothing."""
    if value_range is not None:
        runner.card = replace(runner.card, value_range=checked_range(value_range))
    return runner


def _model_runner(
    model: keras.Model,
    card: ModelCard | None,
    input_shape: Shape | None,
    value_range: ValueRange | None,
    options: dict,
) -> Runner:
    from keras_seg.inference.keras_runner import KerasRunner  # imports Keras

    if input_shape is not None:
        input_shape = checked_shape(input_shape)
    runner = KerasRunner(model, card, input_shape=input_shape, **options)
    _warn_of_raw_pixels(model, "The model")
    return with_range(runner, value_range)


def _exported_runner(path: Path, suffix: str, card: ModelCard | None, options: dict) -> Runner:
    if suffix == ".tflite":
        from keras_seg.inference.tflite_runner import TFLiteRunner

        return TFLiteRunner(path, card=card, **options)
    from keras_seg.inference.onnx_runner import ONNXRunner

    return ONNXRunner(path, card=card, **options)


def _warn_of_raw_pixels(model: keras.Model, what: str) -> None:
    """Warns if the first weights of a network would get pixels in 0..255.

    No layer shows whether the network was trained on such numbers.
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
