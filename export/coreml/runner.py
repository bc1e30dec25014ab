"""Runs a Core ML package on macOS, to compare it with the Keras model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_seg.card import CARD_ENTRY
from keras_seg.export.coreml.package import import_coremltools
from keras_seg.inference import Runner
from keras_seg.inference.cards import card_from_text, count_classes
from keras_seg.parallel import available_threads


class CoreMLRunner(Runner):
    """Runs a package that `export` wrote, on the CPU.

    Args:
        path: the package.
        threads: ignored by Core ML, which chooses the number of threads itself.
    """

    format = "coreml"

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        ct = import_coremltools()
        self._model = ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.CPU_ONLY)
        description = self._model.get_spec().description
        picture, self._output = description.input[0].type.imageType, description.output[0].name
        grey = picture.colorSpace == picture.GRAYSCALE
        shape = (picture.height, picture.width, 1 if grey else 3)
        text = self._model.user_defined_metadata[CARD_ENTRY]
        scores = tuple(description.output[0].type.multiArrayType.shape)
        channels = int(scores[-1]) if len(scores) == 4 else None
        card = card_from_text(text, channels, path)
        classes = count_classes(channels or len(card.classes), card.multi_label)
        super().__init__(path, card, shape, classes, threads or available_threads())

    def _forward(self, images: np.ndarray) -> np.ndarray:
        pixels = images[0] if images.shape[-1] == 3 else images[0, ..., 0]
        outputs: dict[str, Any] = self._model.predict({"image": Image.fromarray(pixels)})
        return np.asarray(outputs[self._output])
