"""Files for servers: any batch, any size, and the version of the operators."""

import dataclasses

import keras
import numpy as np
import onnx
import pytest
from keras import layers as kl

from keras_seg import inference, models
from keras_seg.card import ModelCard
from keras_seg.data import ClassTable
from keras_seg.export import ExportError, ExportOptions, export
from keras_seg.export.network_to_export import open_network, resolve_shape
from keras_seg.export.proof.freedom import check_freedom
from keras_seg.inference.keras_runner import KerasRunner

pytestmark = pytest.mark.xdist_group("free_files")  # one worker, so that fixtures are made once

RANDOM = np.random.default_rng(0)
CARD = ModelCard(ClassTable.numbered(3), size_multiple=4)


def network():
    """Dilated and depthwise convolutions, batch norm, pooling, resizing by a global mean."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = kl.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(image)
    x = kl.ReLU()(kl.BatchNormalization()(x))
    x = kl.Conv2D(4, 3, dilation_rate=2, padding="same")(x)
    x = kl.DepthwiseConv2D(3, dilation_rate=3, padding="same", activation="relu")(x)
    x = kl.Add()([x, kl.GlobalAveragePooling2D(keepdims=True)(x)])
    return keras.Model(image, kl.Conv2DTranspose(3, 2, strides=2)(x))


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def free(model, tmp_path_factory):
    """Takes any number of images of any size."""
    path = tmp_path_factory.mktemp("free") / "m.onnx"
    return export(model, path, batch="free", input_shape=(None, None), card=CARD, layout="nchw")


class TestFiles:
    def test_any_batch_and_size_give_what_keras_gives(self, free, model):
        runner, reference = inference.load(free.path), KerasRunner(model)
        assert runner.input_shape == free.input_shape == (None, None, 3)
        for shape in ((1, 32, 32), (2, 32, 48), (3, 60, 16)):
            images = RANDOM.integers(0, 256, (*shape, 3)).astype(np.uint8)
            expected = reference.run_batch(images)
            scale = np.abs(expected).max()
            np.testing.assert_allclose(runner.run_batch(images), expected, atol=1e-5 * scale)

    def test_dilated_convolutions_are_one_operator_and_axes_have_names(self, free):
        operators = free.audit.operators
        assert operators["Conv"] == 4 and not {"SpaceToDepth", "Pad"} & {*operators}
        graph = onnx.load(free.path).graph
        for value in (graph.input[0], graph.output[0]):
            names = [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
            assert names == ["batch", 3, "height", "width"]

    def test_images_run_together(self, free):
        runner, calls = inference.load(free.path), []
        run = runner._session.run
        runner._session = type("Session", (), {})()
        runner._session.run = lambda names, feed: [calls.append(feed), run(names, feed)][1]
        masks = runner.predict(RANDOM.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8))
        assert masks.shape == (4, 32, 32) and len(calls) == 1

    def test_a_fixed_batch_is_filled(self, model, tmp_path):
        path = tmp_path / "m.onnx"
        export(model, path, batch=2, input_shape=(16, 16), card=CARD, head="argmax")
        runner = inference.load(path)
        images = RANDOM.integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
        expected = KerasRunner(model).run_batch(images).argmax(-1)
        assert (runner.run_batch(images) == expected).mean() > 0.999
        assert (runner.run(images[2]) == expected[2]).mean() > 0.999

    def test_the_report_says_what_is_free(self, free):
        assert free.to_dict()["batch"] == "free"
        table = free.table()
        assert list(table.columns[1].cells)[1] == "any x any x 3, float32, batch free"

    @pytest.mark.parametrize("opset", [17, 21])
    def test_opset(self, tmp_path, opset):
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, kl.UpSampling2D(2)(kl.Conv2D(2, 3, 2, "same")(image)))
        path = tmp_path / "m.onnx"
        export(model, path, opset=opset)
        assert [entry.version for entry in onnx.load(path).opset_import] == [opset]
        pixels = RANDOM.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        expected = KerasRunner(model).run(pixels)
        np.testing.assert_allclose(inference.load(path).run(pixels), expected, atol=1e-3)


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ({"batch": 0}, "batch must be .* at least 1, or 'free'"),
            ({"batch": "many"}, "batch must be .*'free'.*Received: 'many'"),
            ({"batch": 2, "format": "tflite"}, "one image at a time. Received: batch=2"),
            ({"opset": 16}, "opset must be 17 to 26. Received: 16"),
            ({"opset": 18, "format": "tflite"}, "opset=18 for a tflite file"),
        ],
    )
    def test_options(self, words, message):
        with pytest.raises(ValueError, match=message):
            ExportOptions(**words)

    def test_a_free_size_needs_a_model_of_free_size_and_an_onnx_file(self):
        with pytest.raises(ValueError, match="fixed height 64.*needs a model of free size"):
            resolve_shape((64, 64, 3), (None, 64), CARD, may_be_free=True)
        with pytest.raises(ValueError, match=r"fixed size.*input_shape=\(None, None\)"):
            resolve_shape((None, None, 3), (None, 64), CARD)
        trained = dataclasses.replace(CARD, image_size=(32, 48))
        own, free = (None, None, 3), (None, None)
        assert resolve_shape(own, free, trained, may_be_free=True) == own
        assert resolve_shape(own, None, trained, may_be_free=True) == (32, 48, 3)
        assert resolve_shape(own, (None, 48), trained, may_be_free=True) == (None, 48, 3)


class OneSize(KerasRunner):
    """A file that is right at the size at which it is tried first, and for one image."""

    def _forward(self, images):
        scores = super()._forward(images)
        scores[1:] = scores[1:, ..., ::-1]
        return scores if images.shape[1] == 128 else scores[..., ::-1]


class TestGate:
    @pytest.fixture(scope="class")
    def model(self):
        return models.unet((None, None, 3), 3, widths=(2, 4))

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ({"batch": "free"}, "batch='free', two images at once get the classes"),
            ({"input_shape": (None, None)}, r"at 64x192 pixels .*input_shape=\(128, 128\)"),
        ],
    )
    def test_a_file_that_computes_something_else_is_refused(self, model, words, message):
        options = ExportOptions("onnx", **({"input_shape": (128, 128)} | words))
        network = open_network(model, options, CARD)
        check_freedom(KerasRunner(model, CARD), network)
        with pytest.raises(ExportError, match=message):
            check_freedom(OneSize(model, CARD), network)
