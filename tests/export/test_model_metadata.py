"""The official TFLite Model Metadata: what clients that know nothing of this package read."""

import importlib
import zipfile

import numpy as np
import pytest

from keras_seg import export as room
from keras_seg import inference
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.export.tflite.model_metadata import (
    LABELS,
    SEGMENTER_ENTRY,
    label_lines,
    with_files,
)
from keras_seg.inference.scores import class_map, to_probabilities
from keras_seg.inference.tflite_file import METADATA_ENTRY, read_metadata
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network, trained

pytestmark = pytest.mark.xdist_group("metadata")  # one worker, so that fixtures are made once

SIZE = (32, 48)
KINDS = [
    {},
    {"input": "uint8"},
    {"quantize": "fp16"},
    {"quantize": "dynamic"},
    {"quantize": "int8"},
    {"quantize": "int8", "input": "uint8"},
]


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Trains and exports once for each set of words → (path, image, our runner)."""
    made, trainings = {}, {}

    def make(outputs=3, channels=3, **words):
        key = (outputs, channels, *sorted(words.items()))
        data = ColourBlocks(max(outputs, 2), channels=channels)
        if (outputs, channels) not in trainings:
            trainings[outputs, channels] = trained(small_network(outputs, channels=channels), data)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("metadata") / "m.tflite"
            room.export(
                trainings[outputs, channels],
                made[key],
                input_shape=(*SIZE, channels),
                calibration=data,
                card=card_of(data),
                **words,
            )
        return made[key], data[0].image[: SIZE[0]], inference.load(made[key])

    return make


@pytest.fixture
def segment():
    """(path, image) → (labels, category mask, confidence masks) by the real ImageSegmenter."""
    mediapipe = pytest.importorskip("mediapipe")
    tasks = importlib.import_module("mediapipe.tasks.python")
    formats = {3: mediapipe.ImageFormat.SRGB, 1: mediapipe.ImageFormat.GRAY8}

    def segment(path, image):
        options = tasks.vision.ImageSegmenterOptions(
            tasks.BaseOptions(model_asset_path=str(path)),
            output_confidence_masks=True,
            output_category_mask=True,
        )
        pixels = np.ascontiguousarray(image if image.shape[2] == 3 else image[..., 0])
        with tasks.vision.ImageSegmenter.create_from_options(options) as segmenter:
            result = segmenter.segment(mediapipe.Image(formats[image.shape[2]], pixels))
            confidences = [mask.numpy_view().squeeze().copy() for mask in result.confidence_masks]
            categories = result.category_mask.numpy_view().squeeze().copy()
            return segmenter.labels, categories, np.stack(confidences, -1)

    return segment


class TestImageSegmenter:
    @pytest.mark.parametrize("words", KINDS, ids=str)
    @pytest.mark.parametrize("head", ["logits", "probabilities"])
    def test_gives_our_mask_and_labels(self, make, segment, words, head):
        path, image, runner = make(head=head, **words)
        labels, categories, confidences = segment(path, image)
        assert labels == ["a", "b", "c"]
        scores = runner.run(image)
        np.testing.assert_array_equal(categories, class_map(scores, head))
        np.testing.assert_allclose(confidences, to_probabilities(scores, head, 3), atol=1e-6)

    @pytest.mark.parametrize("words", [KINDS[0], KINDS[-1]], ids=str)
    def test_single_logit_scores_the_second_class(self, make, segment, words):
        """Its category mask is MediaPipe's own for one channel: 0 inside, 255 outside."""
        path, image, runner = make(outputs=1, **words)
        labels, categories, confidences = segment(path, image)
        assert labels == ["b"]
        scores = runner.run(image)
        inside = class_map(scores, "logits") == 1
        np.testing.assert_array_equal(categories, np.where(inside, 0, 255))
        np.testing.assert_allclose(confidences, to_probabilities(scores, "logits", 2), atol=1e-6)


class TestWithoutAClient:
    @pytest.mark.parametrize(
        ("words", "names"),
        [
            ({}, "a b c"),
            ({"head": "argmax", "input": "uint8"}, "a b c"),
            pytest.param({"outputs": 1}, "b", marks=pytest.mark.slow),
            pytest.param({"outputs": 1, "head": "argmax"}, "a b", marks=pytest.mark.slow),
        ],
        ids=str,
    )
    def test_label_file_is_attached(self, make, words, names):
        with zipfile.ZipFile(make(**words)[0]) as archive:
            assert archive.read(LABELS).decode().split("\n") == names.split()
            assert [entry.compress_type for entry in archive.infolist()] == [zipfile.ZIP_STORED]

    def test_card_is_read_beside_it(self, make):
        card = make()[2].card
        assert (card.network, card.classes.names) == ("small", ("a", "b", "c"))

    def test_labels_are_one_line_each(self):
        card = ModelCard(ClassTable(("road\nside", " car ", "a  b")))
        assert label_lines(card, (1, 8, 8, 3)) == "road side\ncar\na b"

    def test_same_card_gives_the_same_bytes(self):
        assert with_files(b"model", {"a": "x"}) == with_files(b"model", {"a": "x"})


class TestSchema:
    """Read by the Python that the schemas' owner generates from them."""

    @pytest.fixture
    def schema(self):
        room = pytest.importorskip("mediapipe.tasks.metadata")
        return [
            importlib.import_module(f"{room.__name__}.{name}_py_generated")
            for name in ("metadata_schema", "image_segmenter_metadata_schema")
        ]

    def test_says_how_pixels_are_normalized_and_what_labels_stand_for(self, schema, make):
        metadata = _read(schema[0], make()[0])
        (graph,) = metadata.subgraphMetadata
        (image,), (output,) = graph.inputTensorMetadata, graph.outputTensorMetadata
        (unit,) = image.processUnits
        assert (unit.options.mean, unit.options.std) == ([0.0], [1.0])
        size = image.content.contentProperties.defaultSize
        assert (size.height, size.width) == SIZE
        assert image.content.contentProperties.colorSpace == schema[0].ColorSpaceType.RGB
        assert (image.stats.min, image.stats.max) == ([0.0], [255.0])
        (labels,) = output.associatedFiles
        assert labels.name == LABELS.encode()
        assert labels.type == schema[0].AssociatedFileType.TENSOR_AXIS_LABELS
        assert (image.name, output.name) == (b"image", b"logits")

    @pytest.mark.parametrize(
        ("words", "activation"),
        [({}, "SOFTMAX"), ({"outputs": 1}, "SIGMOID"), ({"head": "probabilities"}, "NONE")],
        ids=str,
    )
    def test_segmenter_is_told_the_activation(self, schema, make, words, activation):
        (part,) = _read(schema[0], make(**words)[0]).subgraphMetadata[0].customMetadata
        assert part.name == SEGMENTER_ENTRY.encode()
        content = bytes(part.data)
        assert content[4:8] == b"V001"
        options = schema[1].ImageSegmenterOptions.GetRootAs(content)
        assert options.Activation() == getattr(schema[1].Activation, activation)

    def test_class_map_is_no_segmenter_of_scores(self, schema, make):
        (graph,) = _read(schema[0], make(head="argmax", input="uint8")[0]).subgraphMetadata
        assert graph.customMetadata is None
        (labels,) = graph.outputTensorMetadata[0].associatedFiles
        assert labels.type == schema[0].AssociatedFileType.TENSOR_VALUE_LABELS


def _read(schema, path):
    content = read_metadata(path.read_bytes(), METADATA_ENTRY)
    assert content[4:8] == b"M001"
    return schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAs(content))
