"""Files of other exporters: axes, batch sizes, types and outputs are found or refused by name."""

import re
import warnings

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper

from keras_seg import inference
from keras_seg.data import ClassTable
from keras_seg.models import ModelCard

RNG = np.random.default_rng(3)
WEIGHTS = RNG.normal(0, 1, (3, 5)).astype(np.float32)
"""A 1x1 convolution of 3 channels to 5 classes, so that NumPy says what is right."""
SIZE = (24, 40)


def image_of(size=SIZE, channels=3):
    return RNG.integers(0, 256, (*size, channels), "uint8")


def expected(image):
    return image.astype(np.float32) @ WEIGHTS / 100


def save_onnx(path, nodes, inputs, outputs, constants=()):
    tensors = [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in dict(constants).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def onnx_convolution(
    path, shape, out_shape, *, kind=TensorProto.FLOAT, to=(), out_kind=TensorProto.FLOAT
):
    """Channels first; `to`: nodes from "scores" to "out"."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["float", "kernel"], ["scores"]),
        *(to or [helper.make_node("Identity", ["scores"], ["out"])]),
    ]
    constants = {"kernel": (WEIGHTS.T / 100)[..., None, None]}
    return save_onnx(
        path, nodes, [value("image", shape, kind)], [value("out", out_shape, out_kind)], constants
    )


def tflite_of(path, function, *shapes, **options):
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    concrete = tf.function(function).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    for name, option in options.items():
        setattr(converter, name, option)
    path.write_bytes(converter.convert())
    return path


class TestOnnx:
    @pytest.mark.parametrize(
        ("shape", "out_shape"),
        [
            ((1, 3, *SIZE), (1, 5, *SIZE)),
            (("b", 3, "h", "w"), ("b", 5, "h", "w")),
            ((1, 3, "h", "w"), (1, 5, "h", "w")),
            ((4, 3, *SIZE), (4, 5, *SIZE)),
            ((None, 3, None, None), (None, None, None, None)),
        ],
    )
    def test_channels_first(self, tmp_path, shape, out_shape):
        runner = inference.load(onnx_convolution(tmp_path / "m.onnx", shape, out_shape))
        fixed = isinstance(shape[2], int)
        assert runner.input_shape == ((*SIZE, 3) if fixed else (None, None, 3))
        assert runner.num_classes == 5
        image = image_of()
        np.testing.assert_allclose(runner.run(image), expected(image), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(runner.predict(image), expected(image).argmax(-1))
        batch = np.stack([image, image_of()])
        np.testing.assert_array_equal(runner.predict(batch), expected(batch).argmax(-1))

    def test_a_free_size_takes_images_of_any_size(self, tmp_path):
        path = onnx_convolution(tmp_path / "m.onnx", ("b", 3, "h", "w"), ("b", 5, "h", "w"))
        image = image_of((37, 51))
        np.testing.assert_array_equal(inference.predict(path, image), expected(image).argmax(-1))

    @pytest.mark.parametrize(("batch", "runs"), [("b", 1), (2, 3), (1, 5)])
    def test_images_run_together_if_the_file_takes_several(self, tmp_path, batch, runs):
        path = onnx_convolution(tmp_path / "m.onnx", (batch, 3, *SIZE), (batch, 5, *SIZE))
        runner = inference.load(path)
        images = np.stack([image_of() for _ in range(5)])
        runner.run_batch(images)  # a file that names its batch as free is tried first
        calls, run = [], runner._run_all
        runner._run_all = lambda some: [calls.append(len(some)), run(some)][1]
        scores = runner.run_batch(images)
        np.testing.assert_allclose(scores, expected(images), rtol=1e-4, atol=1e-4)
        assert len(calls) == runs

    def test_a_free_batch_that_takes_one_image_only(self, tmp_path):
        reshape = helper.make_node("Reshape", ["scores", "shape"], ["out"])
        path = tmp_path / "m.onnx"
        onnx_convolution(path, ("b", 3, *SIZE), ("b", 5, *SIZE), to=[reshape])
        model = onnx.load(path)
        shape = onnx.numpy_helper.from_array(np.array([1, 5, *SIZE]), "shape")
        model.graph.initializer.append(shape)
        onnx.save(model, path)
        images = np.stack([image_of() for _ in range(3)])
        scores = inference.load(path).run_batch(images)
        np.testing.assert_allclose(scores, expected(images), rtol=1e-4, atol=1e-4)

    def test_square_images_of_as_many_rows_as_classes(self, tmp_path):
        path = onnx_convolution(tmp_path / "m.onnx", (1, 3, 5, 5), (1, 5, 5, 5))
        image = image_of((5, 5))
        np.testing.assert_allclose(
            inference.load(path).run(image), expected(image), rtol=1e-4, atol=1e-4
        )

    @pytest.mark.parametrize(
        "kind",
        [TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT32],
    )
    def test_types_of_the_image(self, tmp_path, kind):
        path = onnx_convolution(tmp_path / "m.onnx", (1, 3, *SIZE), (1, 5, *SIZE), kind=kind)
        image = image_of()
        np.testing.assert_allclose(
            inference.load(path).run(image), expected(image), rtol=1e-3, atol=1e-3
        )

    def test_scores_with_channels_last_of_an_image_with_channels_first(self, tmp_path):
        to = [helper.make_node("Transpose", ["scores"], ["out"], perm=[0, 2, 3, 1])]
        path = onnx_convolution(tmp_path / "m.onnx", (1, 3, *SIZE), (1, *SIZE, 5), to=to)
        image = image_of()
        np.testing.assert_allclose(
            inference.load(path).run(image), expected(image), rtol=1e-4, atol=1e-4
        )

    @pytest.mark.parametrize("keep", [0, 1])
    def test_class_maps_need_their_names_and_then_work(self, tmp_path, keep):
        shape = (1, 1, *SIZE) if keep else (1, *SIZE)
        to = [helper.make_node("ArgMax", ["scores"], ["out"], axis=1, keepdims=keep)]
        path = onnx_convolution(
            tmp_path / "m.onnx", (1, 3, *SIZE), shape, to=to, out_kind=TensorProto.INT64
        )
        with pytest.raises(ValueError, match=r"class maps .*card=.*head='argmax'"):
            inference.load(path)
        runner = inference.load(path, card=ModelCard(ClassTable.numbered(5), head="argmax"))
        image = image_of()
        np.testing.assert_array_equal(runner.predict(image), expected(image).argmax(-1))

    def test_several_outputs_are_told(self, tmp_path):
        nodes = [
            helper.make_node("Conv", ["image", "kernel"], ["scores"]),
            helper.make_node("GlobalAveragePool", ["scores"], ["presence"]),
        ]
        outputs = [value("presence", (1, 5, 1, 1)), value("scores", (1, 5, *SIZE))]
        path = save_onnx(
            tmp_path / "m.onnx",
            nodes,
            [value("image", (1, 3, *SIZE))],
            outputs,
            {"kernel": (WEIGHTS.T / 100)[..., None, None]},
        )
        with pytest.warns(UserWarning, match=r"2 outputs \('presence'.*'scores' is taken"):
            runner = inference.load(path)
        image = image_of()
        np.testing.assert_allclose(runner.run(image), expected(image), rtol=1e-4, atol=1e-4)

    def test_two_inputs_and_flattened_scores_are_refused_by_name(self, tmp_path):
        nodes = [helper.make_node("Add", ["image", "other"], ["out"])]
        shape = (1, 3, *SIZE)
        path = save_onnx(
            tmp_path / "two.onnx",
            nodes,
            [value("image", shape), value("other", shape)],
            [value("out", shape)],
        )
        with pytest.raises(ValueError, match=r"2 inputs \('image' .*'other' \(1, 3, 24, 40\)"):
            inference.load(path)
        to = [
            helper.make_node("Transpose", ["scores"], ["moved"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", ["moved", "shape"], ["out"]),
        ]
        path = tmp_path / "flat.onnx"
        save_onnx(
            path,
            [helper.make_node("Conv", ["image", "kernel"], ["scores"]), *to],
            [value("image", shape)],
            [value("out", (1, SIZE[0] * SIZE[1], 5))],
            {
                "kernel": (WEIGHTS.T / 100)[..., None, None],
                "shape": np.int64([1, SIZE[0] * SIZE[1], 5]),
            },
        )
        with pytest.raises(ValueError, match=r"'out' \(1, 960, 5\).*flattened"):
            inference.load(path)

    def test_channels_that_no_shape_tells_are_refused(self, tmp_path):
        path = onnx_convolution(tmp_path / "m.onnx", ("b", "c", "h", "w"), ("b", "k", "h", "w"))
        with pytest.raises(ValueError, match=r"which axis of its input 'image' .*channels"):
            inference.load(path)

    def test_many_channels_first(self, tmp_path):
        path = save_onnx(
            tmp_path / "m.onnx",
            [helper.make_node("Conv", ["image", "kernel"], ["out"])],
            [value("image", (1, 12, *SIZE))],
            [value("out", (1, 2, *SIZE))],
            {"kernel": np.float32([[[[1]]] * 12, [[[2]]] * 12])},
        )
        runner = inference.load(path)
        assert runner.input_shape == (*SIZE, 12)
        image = image_of(channels=12)
        np.testing.assert_allclose(runner.run(image)[..., 1], 2 * image.sum(-1, dtype=float), 1e-5)

    def test_a_network_without_padding_keeps_its_place(self, tmp_path):
        kernel = np.zeros((2, 3, 5, 5), np.float32)
        kernel[1, :, 2, 2], kernel[0, :, 2, 2] = 1, 0
        nodes = [
            helper.make_node("Conv", ["image", "kernel"], ["scores"]),
            helper.make_node("Add", ["scores", "offset"], ["out"]),
        ]
        offset = np.float32([[[[380]], [[0]]]])
        path = save_onnx(
            tmp_path / "m.onnx",
            nodes,
            [value("image", (1, 3, 24, 40))],
            [value("out", (1, 2, 20, 36))],
            {"kernel": kernel, "offset": offset},
        )
        runner = inference.load(path)
        assert runner.margin == (2, 2)
        image = image_of((50, 60))
        found = runner.predict(image, sizing="tile")
        np.testing.assert_array_equal(found, image.sum(-1, dtype=int) > 380)


class TestTflite:
    @pytest.mark.parametrize("batch", [1, 4, None])
    @pytest.mark.parametrize("first", [True, False])
    def test_axes_and_batches(self, tmp_path, batch, first):
        def network(image):
            image = tf.transpose(image, (0, 2, 3, 1)) if first else image
            scores = tf.nn.conv2d(image, WEIGHTS[None, None] / 100, 1, "SAME")
            return tf.transpose(scores, (0, 3, 1, 2)) if first else scores

        shape = (batch, 3, *SIZE) if first else (batch, *SIZE, 3)
        path = tflite_of(tmp_path / "m.tflite", network, shape)
        runner = inference.load(path)
        assert runner.input_shape == (*SIZE, 3)
        image = image_of()
        np.testing.assert_allclose(runner.run(image), expected(image), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(runner.predict(image), expected(image).argmax(-1))

    def test_a_quantized_network_of_images_in_0_to_1_sees_all_grey_levels(self, tmp_path):
        def network(image):
            return tf.nn.conv2d(image, WEIGHTS[None, None], 1, "SAME")

        photos = [image_of()[None].astype(np.float32) / 255 for _ in range(4)]
        path = tflite_of(
            tmp_path / "m.tflite",
            network,
            (1, *SIZE, 3),
            optimizations=[tf.lite.Optimize.DEFAULT],
            representative_dataset=lambda: ([photo] for photo in photos),
            inference_input_type=tf.uint8,
        )
        with pytest.warns(UserWarning, match=r"numbers from 0 to 1, to which the pixel values"):
            runner = inference.load(path)
        image = image_of()
        found, wanted = runner.run(image), image / 255 @ WEIGHTS
        assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()

    def test_a_binary_map_without_an_axis_of_classes(self, tmp_path):
        path = tflite_of(
            tmp_path / "m.tflite", lambda image: tf.reduce_sum(image, -1) - 300, (1, *SIZE, 3)
        )
        image = image_of()
        runner = inference.load(path)
        np.testing.assert_array_equal(runner.predict(image), image.sum(-1, dtype=int) > 300)


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_own_files_are_read_by_their_card(suffix, tmp_path, tiny_model, recwarn):
    from keras_seg import export

    path = tmp_path / f"m{suffix}"
    export.export(tiny_model("unet"), path, input_shape=(32, 48, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runner = inference.load(path)
    assert runner._foreign is None
    assert re.fullmatch(r"\d+\.\d+.*", runner.card.version)
