"""Networks of a formula, as the runner of this package and as the runtime of a board pack."""

import importlib.util
import itertools
import sys

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.export.board.constants import constants_of
from keras_seg.export.board.ends import End
from keras_seg.export.board.pack import board_program
from keras_seg.inference import Runner

NUMBERS = itertools.count()
PROGRAMS = {}
"""Constants as text → the program with them, which several tests of a model use."""


class FormulaModel:
    """A network whose scores follow the brightness and the place in the window.

    Args:
        size: (height, width) of its image.
        scores: number of channels of the scores.
        head, margin, multi_label, threshold, layout, trained_size, value_range, nodata: as in a
            card.
        sizing: how images are fitted to it.
        format: "tflite" or "onnx".
        types: types of the image and the output.
        step: pixels per score, along height and width.
        channels: of the image.
    """

    def __init__(
        self,
        size=(16, 24),
        scores=3,
        *,
        head="logits",
        sizing="tile",
        format="tflite",
        types=("float32", "float32"),
        step=1,
        channels=3,
        margin=(0, 0),
        multi_label=False,
        layout="nhwc",
        **card_fields,
    ):
        self.size, self.scores, self.head, self.step = size, scores, head, step
        self.margin, self.layout, self.sizing, self.format = margin, layout, sizing, format
        self.types, self.channels = types, channels
        classes = scores if scores > 1 or multi_label else 2
        self.card = ModelCard(
            ClassTable.numbered(classes),
            "formula",
            4,
            head=head,
            margin=margin,
            multi_label=multi_label,
            layout=layout,
            **card_fields,
        )
        self.image = np.zeros((1, *size, channels), np.uint8)
        self.scale = 0.05

    def stored(self, image):
        """(H, W, C) uint8 → the output as the file stores it, without the batch axis."""
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        value = image.astype(np.float64).mean(-1) / 25 + rows / 9 - columns / 13
        waves = [np.sin(value * (0.4 + 0.3 * i) + i) * 4 for i in range(self.scores)]
        scores = np.stack(waves, -1)[:: self.step, :: self.step]
        inner = [slice(lost, -lost or None) for lost in self.margin]
        scores = scores[inner[0], inner[1]]
        if self.head == "argmax":
            return scores.argmax(-1).astype(self.types[1])
        if self.head == "probabilities":
            scores = 1 / (1 + np.exp(-scores))
            if self.scores > 1 and not self.card.multi_label:
                scores = scores / scores.sum(-1, keepdims=True)
        if self.types[1] != "float32":
            return np.round(scores / self.scale + 3).clip(-128, 127).astype(self.types[1])
        return scores.astype(np.float32)

    def numbers(self, image):
        """The output as `Runner._forward` returns it, without the batch axis."""
        stored = self.stored(image)
        if self.types[1] != "float32" and self.head != "argmax":
            return (stored.astype(np.float32) - 3) * np.float32(self.scale)
        return stored

    def runner(self):
        """The network as a runner."""
        return FormulaRunner(self)

    @property
    def ends(self):
        """The image and the output as a file would have them."""
        shapes = [(*self.size, self.channels), self.stored(self.image[0]).shape]
        if self.layout == "nchw":
            shapes = [(s[2], *s[:2]) if len(s) == 3 else s for s in shapes]
        scale = 0.0 if self.types[1] == "float32" else self.scale
        image, output = ((1, *shape) for shape in shapes)
        pixels = (1.0, -128) if self.types[0] == "int8" else (0.0, 0)
        ends = End("image", image, self.types[0], *pixels)
        return ends, End("scores", output, self.types[1], scale, 3)

    @property
    def constants(self):
        """Those of its program."""
        return constants_of(self.card, self.sizing, self.format, *self.ends)

    def write(self, path):
        """Writes its `board.py`."""
        constants = self.constants
        if (key := repr(constants)) not in PROGRAMS:
            PROGRAMS[key] = board_program(f"model.{self.format}", self.format, constants)
        path.write_text(PROGRAMS[key])
        return path

    def board(self, folder):
        """The module `board.py` for this network, with this network as its runtime."""
        module = imported(self.write(folder / "board.py"))
        module.open_model = lambda path: FormulaSession(self, *self.ends)
        return module


class FormulaRunner(Runner):
    """Runs a `FormulaModel`."""

    format = "formula"

    def __init__(self, model):
        super().__init__(
            None, model.card, (*model.size, model.channels), len(model.card.classes), 1
        )
        self._model = model

    def _forward(self, images):
        return np.stack([self._model.numbers(image) for image in images])


class FormulaSession:
    """The interface of LiteRT's interpreter and of ONNX Runtime's session for a `FormulaModel`."""

    def __init__(self, model, image, output):
        self._model, self._image, self._output, self.name = model, image, output, "image"

    def get_input_details(self):
        quantization = (self._image.scale, self._image.zero_point)
        dtype = np.dtype(self._image.dtype).type
        shape = np.array(self._image.shape)
        return [{"index": 0, "shape": shape, "dtype": dtype, "quantization": quantization}]

    def get_output_details(self):
        quantization = (self._output.scale, self._output.zero_point)
        dtype = np.dtype(self._output.dtype).type
        shape = np.array(self._output.shape)
        return [{"index": 1, "shape": shape, "dtype": dtype, "quantization": quantization}]

    def set_tensor(self, index, values):
        assert values.dtype == self._image.dtype and values.shape == self._image.shape
        self._values = values[0].astype(int) + 128 if values.dtype == np.int8 else values[0]

    def invoke(self):
        self._result = self._model.stored(self._values)

    def get_tensor(self, index):
        return self._result[None]

    def get_inputs(self):
        return [self]

    def run(self, names, feed):
        values = feed["image"]
        assert values.dtype == self._image.dtype and values.shape == self._image.shape
        first = self._model.layout == "nchw"
        result = self._model.stored(values[0].transpose(1, 2, 0) if first else values[0])
        return [(result.transpose(2, 0, 1) if first and result.ndim == 3 else result)[None]]


def imported(path):
    """A file as a module under a name of its own."""
    name = f"board_{next(NUMBERS)}"
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    del sys.modules[name]
    return module
