"""The deployed network as an .onnx file.

`CONVERTERS` has a converter for each kind. A kind is a function that changes the number
format of a float32 graph.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import onnx

from keras_seg.card import CARD_ENTRY, ModelCard
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.conversion import ConvertedFile, Converter
from keras_seg.export.errors import ExportError
from keras_seg.export.freed_memory import give_back_freed_memory
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.onnx.faults import foreign_nodes
from keras_seg.export.onnx.free_axes import name_free_axes, write_paddings
from keras_seg.export.onnx.from_tensorflow import onnx_of
from keras_seg.export.onnx.graph import without_weights
from keras_seg.export.onnx.on_disk import SOURCE, bytes_of
from keras_seg.export.onnx.opset import NEWEST_OF_TF2ONNX, with_opset
from keras_seg.export.onnx.precision import simplified, to_fp16, to_int8
from keras_seg.export.options import DEFAULT_OPSET, ExportOptions

Precision = Callable[[onnx.ModelProto, Iterable[np.ndarray]], onnx.ModelProto]
"""Changes the number format of a float32 graph. Takes calibration images as the file takes them."""


def as_float32(graph: onnx.ModelProto, images: Iterable[np.ndarray]) -> onnx.ModelProto:
    """The graph, unchanged."""
    return graph


def as_fp16(graph: onnx.ModelProto, images: Iterable[np.ndarray]) -> onnx.ModelProto:
    """Weights and arithmetic in float16."""
    return to_fp16(graph)


def as_int8(graph: onnx.ModelProto, images: Iterable[np.ndarray]) -> onnx.ModelProto:
    """QDQ pairs with ranges measured on the images.

    The graph can be quantized again, with other images.
    """
    return to_int8(graph, images)


def onnx_converter(precision: Precision) -> Converter:
    """The converter of a kind, from its function that changes the number format of a graph."""

    def convert(
        deployed: keras.Model,
        network: NetworkToExport,
        images: Sequence[np.ndarray] = (),
        evaluation: SegmentationDataset | None = None,
    ) -> ConvertedFile:
        return ConvertedFile(onnx_file(float_graph(deployed, network), network, images, precision))

    return convert


CONVERTERS: dict[str | None, Converter] = {
    None: onnx_converter(as_float32),
    "fp16": onnx_converter(as_fp16),
    "int8": onnx_converter(as_int8),
}
"""Value of `quantize` → converter."""


def float_graph(deployed: keras.Model, network: NetworkToExport) -> onnx.ModelProto:
    """The graph of a deployed network in float32, without a card.

    In layout "nhwc" the image and the scores are (1, H, W, C), as everywhere in this package; ONNX
    has channels first, so one transpose follows the image and one precedes the scores. In "nchw"
    they are (1, C, H, W), without transposes. Class maps are (1, H, W) in both.

    Raises: ExportError that names the operators which ONNX does not have.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _float_graph(deployed, network, Path(folder))


def _float_graph(deployed: keras.Model, network: NetworkToExport, folder: Path) -> onnx.ModelProto:
    """`float_graph` by way of files in a folder."""
    options = network.options
    proto = onnx_of(deployed, network, folder)
    give_back_freed_memory()  # graphs of tf2onnx
    foreign = foreign_nodes(proto)
    if foreign:
        raise ExportError(
            f"ONNX has no operator for {', '.join(foreign)}. Replace that layer, or export to "
            "TFLite."
        )
    _resize_to_sizes(proto)
    _standard_nearest(proto)
    if options.is_free or options.batch != 1:
        write_paddings(proto)
        name_free_axes(proto, options.layout, classes=options.puts_out_classes)
    producer = proto.producer_name, proto.producer_version
    onnx.save(proto, folder / SOURCE)
    graph = simplified(folder / SOURCE)
    give_back_freed_memory()  # the session of ONNX Runtime
    graph.producer_name, graph.producer_version = producer
    opset = options.opset or DEFAULT_OPSET
    return with_opset(graph, opset) if opset > NEWEST_OF_TF2ONNX else graph


def onnx_file(
    graph: onnx.ModelProto,
    network: NetworkToExport,
    images: Sequence[np.ndarray],
    precision: Precision,
) -> bytes:
    """An .onnx file with its card, from a `float_graph`.

    Args:
        images: (H, W, C) uint8 calibration images, for integer files.
    """
    return with_card(precision(graph, images_for(images, network.options)), network.card)


def with_card(graph: onnx.ModelProto, card: ModelCard) -> bytes:
    """The checked file of a graph, with its card."""
    onnx.helper.set_model_props(graph, {CARD_ENTRY: card.to_json()})
    onnx.checker.check_model(without_weights(graph), full_check=True)
    return bytes_of(graph)


def images_for(images: Iterable[np.ndarray], options: ExportOptions) -> Iterator[np.ndarray]:
    """(H, W, C) uint8 → (1, H, W, C) or (1, C, H, W) in the type of the file, one at a time."""
    for image in images:
        image = image[None] if options.layout == "nhwc" else image[None].transpose(0, 3, 1, 2)
        yield np.ascontiguousarray(image, options.input)


def _resize_to_sizes(proto: onnx.ModelProto) -> None:
    """Gives every Resize by a fractional factor its output size instead.

    tf2onnx writes the factor in float32, which is not exact enough: 3 rows times 5/3 give 4 rows.
    """
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "Resize" or len(node.input) != 3 or node.input[2] not in constants:
            continue
        factors = onnx.numpy_helper.to_array(constants[node.input[2]])
        if np.array_equal(factors, factors.round()):
            continue
        # inferred again for each, because the sizes behind earlier ones were wrong
        inferred = onnx.shape_inference.infer_shapes(proto).graph
        (value,) = (v for v in inferred.value_info if v.name == node.input[0])
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        if not all(shape):  # of free size
            continue
        sizes = np.round(shape * factors.astype(np.float64)).astype(np.int64)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(sizes, f"{node.name}_sizes"))
        node.input[2] = ""
        node.input.append(f"{node.name}_sizes")


def _standard_nearest(proto: onnx.ModelProto) -> None:
    """Writes TensorFlow's grid of nearest neighbours in the terms of the ONNX standard."""
    for node in proto.graph.node:
        words = {attribute.name: attribute for attribute in node.attribute}
        grid = words.get("coordinate_transformation_mode")
        if node.op_type == "Resize" and grid is not None and grid.s == b"tf_half_pixel_for_nn":
            # both are floor((x + 0.5) / factor)
            grid.s = b"half_pixel"
            words["nearest_mode"].s = b"round_prefer_ceil"
