"""Operators of finished files in the words of a device: the same numbers."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers as kl

from benchmarks.edge.toolchains import answer
from keras_seg import export as room
from keras_seg import inference
from keras_seg.export.devices.table import DEVICES
from keras_seg.export.int8 import clipped_ranges
from keras_seg.export.network.deployed import deployed_model
from keras_seg.export.network.function import function_to_convert
from keras_seg.export.network.pooling_masks import MaxPoolingWithMasks2D
from keras_seg.export.options import ExportOptions
from keras_seg.export.tflite.spellings.editor import FileEditor
from keras_seg.export.tflite.spellings.resizes import interpolation_matrix, rounded_weights
from keras_seg.export.tflite.spellings.respell import respelled
from keras_seg.layers import MaxPoolingWithIndices2D, MaxUnpooling2D
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network
from tests.helpers.tiny_tflite import (
    ZERO_POINT,
    bilinear,
    depth_to_space,
    empty,
    image_for,
    kinds,
    one_operator,
    space_to_depth,
)

ETHOS = DEVICES["ethos-u55"]
HEADS = {"cpu": "logits", "ethos-u55": "argmax", "stm32mp2": "logits"}
"""Target → head of its file."""
every_type = pytest.mark.parametrize("dtype", [np.int8, np.float32])


@every_type
@pytest.mark.parametrize("side", [2, 3])
class TestSquares:
    def test_depth_to_space(self, dtype, side):
        self.check(depth_to_space((1, 4, 5, 2 * side**2), side, dtype), 3)

    def test_space_to_depth(self, dtype, side):
        self.check(space_to_depth((1, 2 * side, 3 * side, 2), side, dtype), 3)

    def check(self, content, operators):
        other, image = respelled(content, ETHOS), image_for(content)
        assert len(kinds(other)) == operators
        assert set(kinds(other)) == {"SPLIT", "CONCATENATION", "RESHAPE"}
        np.testing.assert_array_equal(answer(other, image), answer(content, image))


RESIZED = [
    ("align_corners", (4, 5), (12, 21)),
    ("align_corners", (1, 4), (1, 9)),
    ("half_pixel", (4, 5), (16, 20)),
    ("half_pixel", (6, 7), (9, 11)),
    ("half_pixel", (9, 9), (6, 6)),
    ("top_left", (4, 5), (11, 13)),
]


def exact(content, before, after, grid):
    """A bilinear resize of the image of a file, in float64."""
    rows = interpolation_matrix(before[0], after[0], grid)
    columns = interpolation_matrix(before[1], after[1], grid)
    return np.einsum("Hh,Ww,bhwc->bHWc", rows, columns, image_for(content).astype(float))


@pytest.mark.parametrize(("grid", "before", "after"), RESIZED)
class TestBilinearResizes:
    def test_floats_are_equal(self, grid, before, after):
        content = bilinear(before, after, grid, dtype=np.float32)
        other, expected = respelled(content, ETHOS), exact(content, before, after, grid)
        order = ["TRANSPOSE", "CONV_2D", "TRANSPOSE", "CONV_2D", "TRANSPOSE"]
        assert kinds(other) == order
        for file in (content, other):
            found = answer(file, image_for(content))
            np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())

    def test_integers_differ_by_a_step_and_a_half_at_most(self, grid, before, after):
        """Each of both products rounds by half a step, and weights in int8 by less than one."""
        content = bilinear(before, after, grid)
        found = answer(respelled(content, ETHOS), image_for(content))
        assert abs(found - exact(content, before, after, grid)).max() <= 1.5


class TestWeights:
    @pytest.mark.parametrize("factor", [2, 4, 8, 16])
    def test_half_pixel_factors_are_exact(self, factor):
        matrix = interpolation_matrix(5, 5 * factor, "half_pixel")
        for per_channel in (True, False):
            weights, scales = rounded_weights(matrix, per_channel=per_channel)
            np.testing.assert_allclose(weights * scales[:, None], matrix, atol=1e-7)

    def test_the_mean_of_a_constant_map_is_that_constant(self):
        weights, scales = rounded_weights(
            interpolation_matrix(16, 128, "align_corners"), per_channel=True
        )
        np.testing.assert_allclose(weights.sum(1) * scales, 1.0)

    def test_a_device_with_one_scale_gets_one(self):
        _, scales = rounded_weights(interpolation_matrix(7, 16, "align_corners"), per_channel=False)
        assert len(set(scales.tolist())) == 1


class TestComparisons:
    @pytest.mark.parametrize("scale", [1.0, 1.3, 40.0])
    def test_steps_of_1_or_more_become_smaller(self, scale):
        content = compared(scale)
        other = respelled(content, DEVICES["cpu"])
        assert kinds(other) == ["MUL", "MUL", "GREATER"]
        image = image_for(content)
        assert (answer(other, image) == (image > 3)).all()

    def test_others_stay(self):
        content = compared(0.9)
        assert respelled(content, DEVICES["cpu"]) is content


def compared(scale):
    """A file that compares its image with the number 3."""
    editor = FileEditor(empty((1, 4, 5, 2)))
    editor.graph.tensors[0].quantization.scale = np.array([scale], np.float32)
    number = editor.new_constant(np.full((1, 1, 1, 1), 3, np.int8), "3", np.array([scale]))
    editor.graph.tensors[number].quantization.zeroPoint = np.array([ZERO_POINT])
    result = editor.new_map(0, (1, 4, 5, 2), "larger")
    editor.graph.tensors[result].type = schema.TensorType.BOOL
    editor.graph.tensors[result].quantization = None
    editor.graph.operators = [editor.new_operator("GREATER", [0, number], [result])]
    editor.graph.outputs = np.array([result], np.int32)
    return editor.content()


class TestWhatStays:
    def test_a_file_for_a_cpu_is_not_touched(self):
        content = depth_to_space((1, 2, 2, 4), 2)
        assert respelled(content, DEVICES["cpu"]) is content

    def test_what_the_device_takes(self):
        content = bilinear((4, 5), (8, 10), "half_pixel")
        assert respelled(content, ETHOS) is content
        assert respelled(bilinear((4, 5), (16, 20), "half_pixel"), ETHOS) != content

    def test_what_has_no_other_spelling_there(self):
        content = bilinear((4, 5), (8, 10), "half_pixel")
        assert respelled(content, DEVICES["coral"]) is content  # without TRANSPOSE

    def test_several_images(self):
        content = one_operator("RELU", (2, 2, 2, 4), (2, 2, 2, 4))
        assert respelled(content, ETHOS) is content


@pytest.mark.usefixtures("without_tracing")
class TestPoolingMasks:
    @pytest.mark.parametrize(
        "words",
        [{}, {"pool_size": 3, "strides": 2}, {"pool_size": (1, 3)}, {"padding": "valid"}],
        ids=str,
    )
    def test_floats_stay_bit_for_bit(self, words):
        image = keras.Input((9, 8, 2))
        maxima, places = MaxPoolingWithIndices2D(**words)(image)
        x = kl.Conv2D(2, 1)(maxima)
        model = keras.Model(image, MaxUnpooling2D(**words)(x, places, image))
        plain, masked = (
            deployed_model(model, (9, 8, 2), pooling_masks=masks) for masks in (False, True)
        )
        assert any(isinstance(layer, MaxPoolingWithMasks2D) for layer in masked.layers)
        pixels = np.random.default_rng(0).integers(0, 3, (1, 9, 8, 2)).astype("float32")
        np.testing.assert_array_equal(masked([pixels]), plain([pixels]))

    def test_two_poolings_keep_their_own_masks(self):
        image = keras.Input((8, 8, 1))
        first, first_places = MaxPoolingWithIndices2D()(image)
        second, second_places = MaxPoolingWithIndices2D()(first)
        x = MaxUnpooling2D()([second, second_places])
        model = keras.Model(image, MaxUnpooling2D()(x, first_places))
        masked = deployed_model(model, (8, 8, 1), pooling_masks=True)
        pixels = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype("float32")
        np.testing.assert_array_equal(masked(pixels), model(pixels))


class TestClassMaps:
    @pytest.mark.parametrize(("channels", "threshold"), [(1, None), (1, 0.7), (2, 0.3), (3, None)])
    def test_argmax_decides_as_the_comparison_does(self, channels, threshold):
        image = keras.Input((4, 5, channels), batch_size=1)
        model = keras.Model(image, kl.Activation("linear")(image))
        pixels = np.random.default_rng(0).normal(size=(1, 4, 5, channels)).astype("float32")
        pixels[0, 0, 0] = 0  # equal scores
        maps = []
        for target in ("cpu", "ethos-u55"):
            options = ExportOptions("tflite", "int8", head="argmax", input="int8", target=target)
            function, _ = function_to_convert(
                model, options, "float32", from_logits=True, multi_label=False, threshold=threshold
            )
            maps.append(function(pixels)["classes"].numpy())
        assert [each.dtype for each in maps] == [np.int8, np.int32]
        np.testing.assert_array_equal(*maps)


class TestExport:
    """One network for a CPU and for an accelerator; the only conversions of this file."""

    SIZE = (16, 24)

    @pytest.fixture(scope="class")
    def reports(self, tmp_path_factory):
        folder, data = tmp_path_factory.mktemp("targets"), ColourBlocks(length=2, size=self.SIZE)
        words = {"quantize": "int8", "input": "int8", "calibration": data, "card": card_of(data)}
        network = small_network(size=self.SIZE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clipped_ranges, "ACCEPTED", 100.0)
            return {
                target: room.export(
                    network, folder / f"{target}.tflite", head=head, target=target, **words
                )
                for target, head in HEADS.items()
            }

    def test_predict_reads_an_int32_class_map(self, reports):
        image = ColourBlocks(length=1, size=self.SIZE)[0].image
        scores = inference.load(reports["cpu"].path).run(image)
        mask = inference.predict(inference.load(reports["ethos-u55"].path), image)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, scores.argmax(-1))

    def test_weights_have_one_scale_where_the_device_wants_it(self, reports):
        assert reports["stm32mp2"].audit.left_over == ()
        by_channel = room.audit(reports["cpu"].path, target="stm32mp2").left_over
        assert {entry.operator for entry in by_channel} == {"CONV_2D", "DEPTHWISE_CONV_2D"}

    def test_the_report_says_what_the_device_runs(self, reports):
        assert reports["cpu"].audit.target is None
        audited = reports["ethos-u55"].audit
        assert (audited.target, audited.left_over) == ("ethos-u55", ())
        assert "CAST" not in audited.operators
        assert reports["ethos-u55"].to_dict()["target"] == "ethos-u55"
