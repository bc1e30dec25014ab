"""Files of one operator, made without a converter."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_seg.export.tflite.metadata import write_model
from keras_seg.export.tflite.spellings.editor import TYPES, FileEditor

SCALE, ZERO_POINT = 0.05, -3


def empty(shape, dtype=np.int8):
    """A file that returns its image; int8 has a scale and a zero point."""
    model, graph, image = schema.ModelT(), schema.SubGraphT(), schema.TensorT()
    image.shape, image.type, image.name = np.array(shape, np.int32), TYPES[np.dtype(dtype)], "image"
    image.hasRank = True
    if dtype == np.int8:
        image.quantization = schema.QuantizationParametersT()
        image.quantization.scale = np.array([SCALE], np.float32)
        image.quantization.zeroPoint = np.array([ZERO_POINT], np.int64)
    graph.tensors, graph.operators = [image], []
    graph.inputs = graph.outputs = np.array([0], np.int32)
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    model.buffers, model.metadata = [schema.BufferT()], []
    return write_model(model)


def one_operator(kind, shape, output_shape, options=None, constants=(), dtype=np.int8):
    """A file of one operator that reads the image and int32 constants."""
    editor = FileEditor(empty(shape, dtype))
    output = editor.new_map(0, output_shape, "output")
    numbers = [editor.new_constant(np.asarray(each, np.int32), "constant") for each in constants]
    editor.graph.operators = [editor.new_operator(kind, [0, *numbers], [output], options)]
    editor.graph.outputs = np.array([output], np.int32)
    return editor.content()


def bilinear(before, after, grid, channels=3, dtype=np.int8):
    """A file that resizes (height, width) `before` to `after`."""
    options = schema.ResizeBilinearOptionsT()
    options.alignCorners = grid == "align_corners"
    options.halfPixelCenters = grid == "half_pixel"
    shapes = (1, *before, channels), (1, *after, channels)
    return one_operator("RESIZE_BILINEAR", *shapes, options, [after], dtype)


def depth_to_space(shape, side, dtype=np.int8):
    """A file of a DEPTH_TO_SPACE."""
    options = schema.DepthToSpaceOptionsT()
    options.blockSize = side
    _, height, width, channels = shape
    large = (1, side * height, side * width, channels // side**2)
    return one_operator("DEPTH_TO_SPACE", shape, large, options, dtype=dtype)


def space_to_depth(shape, side, dtype=np.int8):
    """A file of a SPACE_TO_DEPTH."""
    options = schema.SpaceToDepthOptionsT()
    options.blockSize = side
    _, height, width, channels = shape
    small = (1, height // side, width // side, channels * side**2)
    return one_operator("SPACE_TO_DEPTH", shape, small, options, dtype=dtype)


def image_for(content, seed=0):
    """Random numbers that fill the range of a file's image."""
    editor, random = FileEditor(content), np.random.default_rng(seed)
    image = int(editor.graph.inputs[0])
    shape = editor.shape(image)
    if editor.dtype(image) == "INT8":
        return random.integers(-128, 128, shape).astype(np.int8)
    return random.normal(size=shape).astype(np.float32)


def kinds(content):
    """Names of the operators in the order in which they run."""
    editor = FileEditor(content)
    return [editor.kind(operator) for operator in editor.graph.operators]
