"""Foreign models that end in a sigmoid or softmax: correct classes and probabilities."""

import json
import warnings
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from keras_seg import export, inference, models
from keras_seg.card import CARD_NAME, ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.reading.rows import ArrayRows
from keras_seg.export import exporter
from keras_seg.export.aware.soft_labels import soft_labels
from keras_seg.inference.bands import predict_in_bands
from keras_seg.inference.keras_runner import KerasRunner

pytestmark = [
    pytest.mark.xdist_group("foreign heads"),  # one worker, so that fixtures are made once
    pytest.mark.filterwarnings("error:.*sigmoid of several channels"),
]

SIZE = (32, 48)
SHAPE = (*SIZE, 3)
FORMATS = (".keras", ".tflite", ".onnx")
KERNELS = {
    "sigmoid": [[8], [0], [0]],
    "softmax": [[6.1, -3, 0.02], [-3.03, 6, 0], [0, 0.01, 1]],
    "two": [[-4, 4.01], [0, 0], [0, 0]],
}
BIASES = {"sigmoid": [-4], "softmax": [0, 0, 1.5], "two": [2, -2]}


def scores_of(image, kind):
    """The logits before the last function, from its definition."""
    return (image / 255.0) @ np.array(KERNELS[kind]) + BIASES[kind]


def probabilities_of(image, kind):
    scores = scores_of(image, kind)
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-scores))
    return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)


def both_classes(image, kind):
    """Probabilities of every class, as `predict` gives them."""
    found = probabilities_of(image, kind)
    return np.concatenate([1 - found, found], -1) if kind == "sigmoid" else found


def mask_of(image, kind):
    return both_classes(image, kind).argmax(-1)


def network(kind, size=SIZE, behind=None):
    image = keras.Input((*size, 3))
    function = "sigmoid" if kind == "sigmoid" else "softmax"
    last = kl.Conv2D(len(BIASES[kind]), 1, activation=function)
    x = last(kl.Rescaling(1 / 255)(image))
    last.set_weights([np.array(KERNELS[kind], "float32")[None, None], np.array(BIASES[kind])])
    return keras.Model(image, x if behind is None else behind(x))


def picture(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), "uint8")


class Blocks(SegmentationDataset):
    """Images whose truth is what the network says."""

    channels, name, split = 3, "blocks", "val"

    def __init__(self, kind, length=6, size=SIZE):
        self.kind, self.length, self.size = kind, length, size
        self.classes = ClassTable.numbered(max(2, len(BIASES[kind])))

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError(index)
        image = picture(index, self.size)
        return Sample(str(index), image, mask_of(image, self.kind).astype(np.int32))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(kind, suffix, words of export) → a file, made once."""
    folder, made = tmp_path_factory.mktemp("heads"), {}

    def file(kind, suffix, **words):
        key = (kind, suffix, *sorted(words.items()))
        if key not in made:
            path = folder / f"{len(made)}{suffix}"
            if suffix == ".keras":
                network(kind).save(path)
            else:
                data = Blocks(kind)
                report = export.export(
                    file(kind, ".keras"), path, calibration=data, evaluation=data, **words
                )
                assert report.gate.agreement > 0.97
            made[key] = path
        return made[key]

    return file


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """(kind, suffix) → a file that another exporter has written, without a card."""
    folder, made = tmp_path_factory.mktemp("others"), {}

    def file(kind, suffix):
        if (kind, suffix) not in made:
            path = folder / f"{kind}{suffix}"
            model = network(kind)
            function = tf.function(lambda x: model(x, training=False))
            spec = tf.TensorSpec((1, *SHAPE), name="image")
            if suffix == ".tflite":
                concrete = function.get_concrete_function(spec)
                converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
                path.write_bytes(converter.convert())
            else:
                import tf2onnx

                tf2onnx.convert.from_function(
                    function, input_signature=[spec], opset=18, output_path=str(path)
                )
            made[kind, suffix] = path
        return made[kind, suffix]

    return file


class TestPredict:
    @pytest.mark.parametrize("suffix", FORMATS)
    @pytest.mark.parametrize("kind", KERNELS)
    def test_classes_and_probabilities_are_the_models(self, files, kind, suffix):
        runner = inference.load(files(kind, suffix))
        assert runner.card.head == "probabilities"
        image = picture(3)
        np.testing.assert_array_equal(runner.predict(image), mask_of(image, kind))
        found = runner.predict(image, probabilities=True)
        np.testing.assert_allclose(found, both_classes(image, kind), atol=1e-5)

    @pytest.mark.parametrize("suffix", FORMATS[1:])
    @pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
    def test_files_of_other_exporters(self, foreign, kind, suffix):
        runner, image = inference.load(foreign(kind, suffix)), picture(3)
        np.testing.assert_array_equal(runner.predict(image), mask_of(image, kind))
        found = runner.predict(image, probabilities=True)
        np.testing.assert_allclose(found, both_classes(image, kind), atol=1e-5)

    @pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
    def test_integer_files(self, files, kind):
        words = {"quantize": "int8", "input": "uint8"}
        runner, image = inference.load(files(kind, ".tflite", **words)), picture(3)
        found = runner.predict(image, probabilities=True)
        np.testing.assert_allclose(found, both_classes(image, kind), atol=0.03)
        assert (runner.predict(image) == mask_of(image, kind)).mean() > 0.97

    @pytest.mark.parametrize("suffix", FORMATS)
    @pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
    def test_tiles_flips_and_bands_average_probabilities(self, files, kind, suffix):
        """The network looks at single pixels, so that every mean of it is what it says itself."""
        runner, image = inference.load(files(kind, suffix)), picture(4, (50, 70))
        expected = both_classes(image, kind)
        words = {"sizing": "tile", "tta": inference.TestTimeAugmentation("both")}
        for options in ({}, words, {"sizing": "tile"}):
            tiled = options or {"sizing": "tile"}
            found = runner.predict(image, probabilities=True, **tiled)
            np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_array_equal(runner.predict(image, **words), mask_of(image, kind))
        bands = list(predict_in_bands(runner, ArrayRows(image), sizing="tile"))
        found = np.concatenate([band.probabilities for band in bands])
        np.testing.assert_allclose(found, expected, atol=1e-5)
        mask = np.concatenate([band.mask for band in bands])
        np.testing.assert_array_equal(mask, mask_of(image, kind))

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_evaluate(self, files, suffix):
        data = Blocks("sigmoid")
        result = inference.evaluate(inference.load(files("sigmoid", suffix)), data)
        assert result.miou == 1.0

    @pytest.mark.parametrize(
        "behind",
        [
            lambda x: kl.UpSampling2D(2, interpolation="bilinear")(x),
            lambda x: kl.Reshape((32, 48, 1))(kl.Reshape((-1, 1))(x)),
            lambda x: kl.Lambda(lambda y: tf.identity(y))(x),
            lambda x: {"mask": x, "other": kl.Conv2D(2, 1)(x)},
        ],
        ids=["upsampled", "reshaped", "lambda", "dict"],
    )
    def test_behind_other_layers(self, behind):
        runner = KerasRunner(network("sigmoid", behind=behind))
        image = np.zeros(SHAPE, np.uint8)
        image[:, 24:] = 250
        mask = runner.predict(image)
        assert not mask[:, :22].any()
        assert mask[:, 26:].all()

    @pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
    def test_models_of_other_forms(self, suffix, tmp_path):
        """Sequential, and a subclass whose `call` uses TensorFlow or Keras functions."""

        class Subclassed(keras.Model):
            def __init__(self):
                super().__init__()
                self.scale, self.last = kl.Rescaling(1 / 255), kl.Conv2D(3, 1)

            def call(self, x):
                return keras.ops.softmax(self.last(self.scale(x)))

        layers = [kl.Rescaling(1 / 255), kl.Conv2D(3, 1, activation="softmax")]
        for model in (keras.Sequential(layers), Subclassed()):
            image = picture(3)
            expected = np.asarray(model(image[None].astype("float32")))[0]
            export.export(model, tmp_path / f"m{suffix}", input_shape=SHAPE)
            for runner in (KerasRunner(model), inference.load(tmp_path / f"m{suffix}")):
                found = runner.predict(image, probabilities=True)
                np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_uncertainty_is_that_of_the_models_probabilities(self):
        keras.utils.set_random_seed(0)
        options = models.find("segnet").tiny | {"bayesian": True, "activation": "softmax"}
        model = models.build("segnet", (32, 32, 3), 3, **options)
        (last,) = (x for x in model.layers if x.name == "conv1_1_D")
        last.set_weights([100_000 * weights for weights in last.get_weights()])
        runner = KerasRunner(model)
        found = inference.predict_uncertainty(runner, picture(1, (32, 32)), samples=2)
        np.testing.assert_allclose(found.probabilities.sum(-1), 1, atol=1e-5)
        assert found.probabilities.max() > 0.9  # softmax of softmax ends at 0.58

    def test_half_precision(self):
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model = network("sigmoid")
        finally:
            keras.config.set_dtype_policy("float32")
        image = picture(5)
        assert (KerasRunner(model).predict(image) == mask_of(image, "sigmoid")).mean() > 0.99


class TestExport:
    @pytest.mark.parametrize("suffix", FORMATS[1:])
    @pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
    @pytest.mark.parametrize("head", ["argmax", "fused_argmax"])
    def test_class_maps(self, files, kind, suffix, head):
        runner, image = inference.load(files(kind, suffix, head=head)), picture(3)
        np.testing.assert_array_equal(runner.predict(image), mask_of(image, kind))

    def test_integer_class_map(self, files):
        path = files("sigmoid", ".tflite", head="argmax", quantize="int8", input="uint8")
        image = picture(3)
        assert (inference.load(path).predict(image) == mask_of(image, "sigmoid")).mean() > 0.97

    @pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
    @pytest.mark.parametrize(
        ("suffix", "words"),
        [
            *((".tflite", {"quantize": q}) for q in ("fp16", "dynamic", "mixed", "int16x8")),
            *((".onnx", words) for words in ({"quantize": "int8"}, {"layout": "nchw"})),
        ],
        ids=str,
    )
    def test_other_precisions(self, files, kind, suffix, words):
        runner, image = inference.load(files(kind, suffix, **words)), picture(3)
        found = runner.predict(image, probabilities=True)
        np.testing.assert_allclose(found, both_classes(image, kind), atol=0.03)
        assert (runner.predict(image) == mask_of(image, kind)).mean() > 0.98

    @pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
    def test_trained_roundings(self, kind, tmp_path):
        model, images = network(kind), np.stack([sample.image for sample in Blocks(kind)])
        aware = export.quantization_aware(model)
        aware.compile("adam", "mse", jit_compile=False)
        aware.fit(images.astype("float32"), model(images.astype("float32")), verbose=0)
        assert KerasRunner(aware).card.head == "probabilities"
        export.export(aware, tmp_path / "m.tflite", quantize="int8")
        image = picture(3)
        found = inference.load(tmp_path / "m.tflite").predict(image, probabilities=True)
        np.testing.assert_allclose(found, both_classes(image, kind), atol=0.03)

    def test_default_is_what_the_model_puts_out(self, files):
        path = files("sigmoid", ".tflite")
        assert inference.load(path).card.head == "probabilities"

    def test_default_of_logits_stays(self, tmp_path):
        image = keras.Input(SHAPE)
        model = keras.Model(image, kl.Conv2D(2, 1)(image))
        report = export.export(model, tmp_path / "m.tflite")
        assert (report.head, report.card.head) == ("logits", "logits")

    def test_logits_cannot_be_had(self, tmp_path):
        with pytest.raises(export.ExportError, match="outputs probabilities itself"):
            export.export(network("softmax"), tmp_path / "m.tflite", head="logits")

    def test_one_channel_of_softmax_is_an_error_of_the_model(self, tmp_path):
        image = keras.Input(SHAPE)
        model = keras.Model(image, kl.Conv2D(1, 1, activation="softmax")(image))
        with pytest.raises(ValueError, match="of one channel, which is always 1"):
            export.export(model, tmp_path / "m.tflite")

    def test_scores_are_asked_for_and_taken(self, tmp_path):
        image = keras.Input(SHAPE)
        model = keras.Model(image, 1 - kl.Conv2D(1, 1, activation="sigmoid")(image / 255))
        with pytest.raises(ValueError, match=r"scores='probabilities' or scores='logits' \(--sco"):
            export.export(model, tmp_path / "m.tflite")
        export.export(model, tmp_path / "m.tflite", scores="probabilities")
        runner = inference.load(tmp_path / "m.tflite")  # the card tells
        pixels = picture(1)
        expected = np.asarray(model(pixels[None].astype("float32")))[0, ..., 0]
        np.testing.assert_array_equal(runner.predict(pixels), expected > 0.5)

    def test_gate_measures_against_the_right_masks(self, files, tmp_path):
        data = Blocks("sigmoid")
        report = export.export(
            files("sigmoid", ".keras"), tmp_path / "m.tflite", head="argmax", evaluation=data
        )
        sides = report.gate.comparison.evaluations
        assert sides["keras"].miou == sides["tflite"].miou == 1.0

    def test_soft_labels_are_not_squashed_twice(self):
        model, image = network("softmax"), picture(2)
        labels = soft_labels(model)(image[None])[1]
        np.testing.assert_allclose(labels[0], probabilities_of(image, "softmax"), atol=1e-5)
        with pytest.raises(ValueError, match="from_logits=True. Leave from_logits out"):
            soft_labels(model, from_logits=True)


class TestMediaPipe:
    @pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
    def test_it_shows_the_numbers_of_the_model(self, files, kind):
        mediapipe = pytest.importorskip("mediapipe")
        from mediapipe.tasks import python as tasks

        image = picture(3)
        options = tasks.vision.ImageSegmenterOptions(
            tasks.BaseOptions(model_asset_path=str(files(kind, ".tflite"))),
            output_confidence_masks=True,
        )
        with tasks.vision.ImageSegmenter.create_from_options(options) as segmenter:
            result = segmenter.segment(mediapipe.Image(mediapipe.ImageFormat.SRGB, image))
            masks = [mask.numpy_view().squeeze().copy() for mask in result.confidence_masks]
        found = np.stack(masks, -1)
        np.testing.assert_allclose(found, probabilities_of(image, kind), atol=1e-4)


class TestCards:
    """The graph counts more than a card that says logits of probabilities."""

    def old_file(self, path, card):
        """As versions wrote that believed every card."""
        network("softmax").save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(CARD_NAME, card.to_json())

    def test_older_keras_files(self, tmp_path):
        card = ModelCard(ClassTable(("a", "b", "c")), "unet", image_size=SIZE)
        self.old_file(tmp_path / "m.keras", card)
        runner, image = inference.load(tmp_path / "m.keras"), picture(1)
        assert runner.card.head == "probabilities"
        found = runner.predict(image, probabilities=True)
        np.testing.assert_allclose(found, probabilities_of(image, "softmax"), atol=1e-5)

    @pytest.mark.parametrize("suffix", FORMATS[1:])
    def test_older_exported_files(self, files, tmp_path, suffix, monkeypatch):
        """Of a sigmoid with the default head, which was then called logits."""
        opened = exporter.open_network

        def with_older_card(*words):
            network = opened(*words)
            return replace(network, card=replace(network.card, head="logits"))

        monkeypatch.setattr(exporter, "open_network", with_older_card)
        path = tmp_path / f"m{suffix}"
        export.export(files("sigmoid", ".keras"), path)
        text = json.dumps({"head": "logits"})[1:-1].encode()
        assert text in path.read_bytes() or text.replace(b'"', b'\\"') in path.read_bytes()
        image = picture(1)
        np.testing.assert_array_equal(
            inference.load(path).predict(image), mask_of(image, "sigmoid")
        )

    def test_save_writes_what_the_model_puts_out(self, tmp_path):
        card = ModelCard(ClassTable(("a", "b", "c")))
        models.save(network("softmax"), tmp_path / "m.keras", card)
        assert models.read_card(tmp_path / "m.keras").head == "probabilities"

    def test_networks_of_this_package_with_an_activation(self, tmp_path):
        words = {"widths": (4, 8), "activation": "softmax"}
        model = models.unet((None, None, 3), 3, **words)
        models.save(model, tmp_path / "m.keras", ModelCard(ClassTable.numbered(3), "unet", 2))
        runner, image = inference.load(tmp_path / "m.keras"), picture(1)
        found = runner.predict(image, probabilities=True)
        expected = np.asarray(model(image[None].astype("float32")))[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_probabilities_in_the_card_of_a_model_in_memory(self):
        card = ModelCard(ClassTable.numbered(2), head="probabilities")
        image = picture(1)
        mask = KerasRunner(network("sigmoid"), card).predict(image)
        np.testing.assert_array_equal(mask, mask_of(image, "sigmoid"))

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_contradictions_are_refused(self, files, suffix):
        with pytest.raises(ValueError, match=r"Received: scores=.logits.\. Leave scores out"):
            inference.load(files("softmax", suffix), scores="logits")

    def test_said_scores_of_a_card_are_checked(self, tmp_path):
        model = models.unet((None, None, 3), 3, widths=(4, 8))
        models.save(model, tmp_path / "m.keras", ModelCard(ClassTable.numbered(3), "unet", 2))
        with pytest.raises(ValueError, match="outputs logits, as its card says"):
            inference.load(tmp_path / "m.keras", scores="probabilities")
        with pytest.raises(ValueError, match="has exclusive classes, as its card says"):
            inference.load(tmp_path / "m.keras", multi_label=True)

    def test_card_with_multi_label_travels(self):
        card = ModelCard(ClassTable(("a", "b")), multi_label=True)
        assert ModelCard.from_json(card.to_json()) == card
        older = json.loads(card.to_json())
        del older["multi_label"]
        assert not ModelCard.from_json(json.dumps(older)).multi_label
        with pytest.raises(ValueError, match="multi_label cannot be 'yes'"):
            ModelCard.from_json(json.dumps(older | {"multi_label": "yes"}))


def test_classes_of_others_as_scores_are_refused(tmp_path):
    """A class map of whole numbers is no logit of two classes."""
    image = keras.Input(SHAPE)
    maps = kl.Lambda(lambda x: tf.argmax(x, -1)[..., None])(kl.Conv2D(3, 1)(image))
    with pytest.raises(ValueError, match="on a test image.*Say what they are: scores="):
        KerasRunner(keras.Model(image, maps))


def test_no_warning_for_exclusive_heads(files):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        inference.load(files("softmax", ".keras"))
