"""Models of every form, and files of every kind, wherever a model is taken."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

import keras_seg
from keras_seg import export, inference, models
from keras_seg.cli import main
from keras_seg.models.functional import built_shape
from tests.helpers.slow_cases import all_but

SHAPE = (16, 24, 3)
RNG = np.random.default_rng(1)
IMAGE = RNG.integers(0, 256, SHAPE, "uint8")


class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.first = kl.Conv2D(4, 3, padding="same")
        self.norm = kl.BatchNormalization()
        self.dropout = kl.Dropout(0.9)
        self.last = kl.Conv2D(2, 1)

    def call(self, image, training=None):
        x = keras.ops.relu(self.norm(self.first(image / 255), training=training))
        return self.last(self.dropout(x, training=training))


class WithDict(Subclassed):
    def call(self, image):
        return {"logits": super().call(image), "other": keras.ops.mean(image, (1, 2))}


class ByTensorFlow(Subclassed):
    def call(self, image):
        return self.last(tf.nn.relu(self.first(image / 255)))


def body():
    return [kl.Rescaling(1 / 255), kl.Conv2D(4, 3, padding="same"), kl.ReLU(), kl.Conv2D(2, 1)]


FORMS = {
    "Sequential with Input": lambda: keras.Sequential([kl.Input(SHAPE), *body()]),
    "Sequential of free size": lambda: keras.Sequential([kl.Input((None, None, 3)), *body()]),
    "Sequential built by a call": lambda: keras.Sequential(body()),
    "nested Sequential": lambda: keras.Sequential([keras.Sequential(body()[:2]), *body()[2:]]),
    "subclassed": Subclassed,
    "subclassed with a dict": WithDict,
}


def built(form):
    keras.utils.set_random_seed(0)
    model = FORMS[form]()
    model(IMAGE[None].astype("float32"))
    for layer in model._flatten_layers():
        if isinstance(layer, kl.BatchNormalization):
            layer.set_weights([w + 0.3 for w in layer.get_weights()])
    return model


def scores(model):
    found = model(IMAGE[None].astype("float32"), training=False)
    return np.asarray(found["logits"] if isinstance(found, dict) else found)[0]


class TestEveryForm:
    @pytest.mark.parametrize(
        "form", all_but({"Sequential built by a call", "subclassed with a dict"}, FORMS)
    )
    def test_runs_and_exports(self, form, tmp_path):
        model = built(form)
        wanted = scores(model)
        runner = inference.load(model)
        np.testing.assert_allclose(runner.run(IMAGE), wanted, atol=1e-5)
        np.testing.assert_array_equal(inference.predict(model, IMAGE), wanted.argmax(-1))
        for suffix in (".tflite", ".onnx"):
            path = tmp_path / f"m{suffix}"
            export.export(model, path, input_shape=SHAPE)
            np.testing.assert_allclose(inference.load(path).run(IMAGE), wanted, atol=1e-4)
        np.testing.assert_array_equal(scores(model), wanted)  # the original stays as it was

    @pytest.mark.parametrize("form", FORMS)
    def test_saves_counts_and_trains_with_roundings(self, form, tmp_path):
        model = built(form)
        card = inference.load(model).card
        models.save(model, tmp_path / "m.keras", card)
        found = inference.load(tmp_path / "m.keras")
        np.testing.assert_allclose(found.run(IMAGE), scores(model), atol=1e-5)
        assert models.multiply_adds(model, SHAPE) == 16 * 24 * (9 * 3 * 4 + 4 * 2)
        assert hasattr(models.for_inference(model).output, "shape")
        if form != "subclassed with a dict":
            aware = export.quantization_aware(model)
            assert np.abs(scores(aware) - scores(model)).max() < 0.2

    @pytest.mark.parametrize(
        "form",
        all_but({"nested Sequential"}, [form for form in FORMS if "ubclassed" not in form]),
    )
    def test_saved_by_keras(self, form, tmp_path):
        model = built(form)
        for name in ("m.keras", "m.h5"):
            model.save(tmp_path / name)
            runner = inference.load(tmp_path / name)
            assert (runner.format, runner.num_classes) == ("keras", 2)
            np.testing.assert_allclose(runner.run(IMAGE), scores(model), atol=1e-5)
            report = export.export(tmp_path / name, tmp_path / "m.tflite", input_shape=SHAPE)
            assert len(report.card.source_sha256) == 64
            found = inference.load(tmp_path / "m.tflite").run(IMAGE)
            np.testing.assert_allclose(found, scores(model), atol=1e-4)

    def test_int8_of_a_subclassed_model(self, tmp_path):
        model, path = built("subclassed"), tmp_path / "m.tflite"
        images = RNG.integers(0, 256, (4, *SHAPE), "uint8")
        export.export(model, path, quantize="int8", calibration=images, input_shape=SHAPE)
        wanted = scores(model)
        assert np.abs(inference.load(path).run(IMAGE) - wanted).max() < 0.05 * np.ptp(wanted)

    def test_evaluates(self):
        model = built("Sequential built by a call")
        images = RNG.integers(0, 256, (3, *SHAPE), "uint8")
        masks = np.stack([inference.predict(model, image) for image in images])
        assert inference.evaluate(model, (images, masks)).pixel_accuracy == 1


class NoConfig(kl.Layer):
    def __init__(self, channels):
        super().__init__()
        self.inner = kl.Conv2D(channels, 1)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, image):
        return self.inner(image)


def test_layers_that_do_not_say_how_they_were_made_are_refused(tmp_path):
    entry = keras.Input(SHAPE)
    model = keras.Model(entry, NoConfig(2)(entry))
    assert inference.predict(model, IMAGE).shape == SHAPE[:2]
    with pytest.raises(export.ExportError, match="get_config"):
        export.export(model, tmp_path / "m.tflite")
    with pytest.raises(export.ExportError, match="get_config"):
        export.quantization_aware(model)


@pytest.mark.parametrize("shape", [(None, None, 3), (20, 24, 3)])
def test_networks_without_padding_are_not_stretched(shape, tmp_path):
    entry = keras.Input(shape)
    x = kl.Conv2D(2, 5, kernel_initializer="zeros")(entry)
    model = keras.Model(entry, x)
    kernel = np.zeros((5, 5, 3, 2), np.float32)
    kernel[2, 2, :, 1] = 1
    model.layers[-1].set_weights([kernel, np.float32([380, 0])])
    image = RNG.integers(0, 256, (37, 41, 3), "uint8")
    wanted = image.sum(-1, dtype=int) > 380
    export.export(model, tmp_path / "m.tflite", input_shape=(20, 24, 3))
    for given in (model, tmp_path / "m.tflite"):
        runner = inference.load(given)
        assert runner.margin == (2, 2)
        np.testing.assert_array_equal(runner.predict(image, sizing="tile"), wanted)


class TestSizes:
    def test_a_sequential_built_by_a_call_keeps_no_size_of_it(self):
        runner = inference.load(built("Sequential built by a call"))
        assert runner.input_shape == (None, None, 3)
        assert inference.predict(runner, np.repeat(IMAGE, 2, 0)).shape == (32, 24)

    def test_layers_of_one_size_keep_it(self):
        model = keras.Sequential([kl.Flatten(), kl.Dense(16 * 24), kl.Reshape((16, 24, 1))])
        model(IMAGE[None].astype("float32"))
        assert inference.load(model).input_shape == SHAPE

    def test_what_a_model_was_built_for(self):
        for form in ("Sequential built by a call", "subclassed", "Sequential with Input"):
            assert built_shape(built(form)) == SHAPE

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((-1, -1, 3), r"None \(not -1 or 0\).*Received: \(-1, -1, 3\)"),
            ((0, 24, 3), "Received"),
            (("h", "w", 3), "whole numbers"),
            ((16.0, 24, 3), "whole numbers"),
            ((16, 24), r"\(height, width, channels\).*Received: \(16, 24\)"),
            ((1, 16, 24, 3), "Leave the batch axis out"),
            ("16x24", "such as"),
            (16, "such as"),
            ((16, 24, None), "whole numbers"),
        ],
        ids=str,
    )
    def test_wrong_shapes(self, shape, message, tmp_path):
        model = built("Sequential of free size")
        with pytest.raises(ValueError, match=message):
            inference.load(model, input_shape=shape)
        if shape != (16, 24):  # an export takes the channels from the model
            with pytest.raises(ValueError, match=message):
                export.export(model, tmp_path / "m.tflite", input_shape=shape)

    def test_free_sizes_are_no_sizes_of_a_file(self, tmp_path):
        model = built("Sequential of free size")
        with pytest.raises(ValueError, match=r"fixed size.*\(256, 256, 3\)"):
            export.export(model, tmp_path / "m.tflite", input_shape=(None, None, 3))
        export.export(model, tmp_path / "m.tflite", input_shape=tuple(np.int64(SHAPE)))


class TestRefusals:
    def test_models_without_weights(self, tmp_path):
        for model in (Subclassed(), keras.Sequential(body())):
            with pytest.raises(ValueError, match=r"was never called, so it has no weights"):
                inference.load(model)
            with pytest.raises(ValueError, match=r"was never called"):
                export.export(model, tmp_path / "m.tflite", input_shape=SHAPE)

    def test_code_that_cannot_be_followed_runs_but_is_not_exported(self, tmp_path):
        model = ByTensorFlow()
        wanted = np.asarray(model(IMAGE[None].astype("float32")))[0]
        np.testing.assert_allclose(inference.load(model).run(IMAGE), wanted, atol=1e-5)
        message = r"cannot be followed: its call method stops .*keras\.ops"
        with pytest.raises(ValueError, match=message):
            export.export(model, tmp_path / "m.tflite", input_shape=SHAPE)
        with pytest.raises(export.ExportError, match=message):
            export.quantization_aware(model)

    def test_what_is_no_model(self, tmp_path):
        for wrong in (None, 3, [built("subclassed")], b"m.keras"):
            with pytest.raises(TypeError, match="Keras model"):
                inference.load(wrong)
            with pytest.raises(TypeError, match="Keras model"):
                export.export(wrong, tmp_path / "m.tflite")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("m.weights.h5", r"weights alone.*model\.load_weights"),
            ("m.pt", "PyTorch.*keras-seg convert"),
            ("m.pth", "PyTorch.*keras-seg convert"),
            ("m.ckpt", "checkpoint.*keras-seg convert"),
            ("m.safetensors", "keras-seg convert"),
            ("m.pb", r"TensorFlow graph.*model\.save\(\"m\.keras\"\)"),
            ("m.mlmodel", r"Core ML.*\.onnx"),
            ("m.engine", "TensorRT"),
            ("m.onnx.data", r"weights of an \.onnx file"),
            ("m.zip", "zip archive.*Unpack"),
            ("m.json", r"ends in one of \.keras, \.h5.*json'\.$"),
            ("m.kears", r"Did you mean '\.keras'"),
            ("m", "ends in one of"),
        ],
    )
    def test_files_of_other_kinds(self, name, message, tmp_path):
        path = tmp_path / name
        path.write_bytes(b"something")
        for take in (inference.load, models.load, lambda p: inference.predict(p, IMAGE)):
            with pytest.raises(ValueError, match=message):
                take(path)
        with pytest.raises(ValueError, match=message):
            export.export(path, tmp_path / "out.tflite", input_shape=SHAPE)

    def test_h5_files_without_a_model(self, tmp_path):
        import h5py

        with h5py.File(tmp_path / "m.h5", "w") as file:
            file["kernel"] = np.zeros(3)
        with pytest.raises(ValueError, match=r"weights alone.*load_weights"):
            inference.load(tmp_path / "m.h5")
        (tmp_path / "n.h5").write_bytes(b"no")
        with pytest.raises(ValueError, match="is not an HDF5 file"):
            inference.load(tmp_path / "n.h5")

    def test_code_in_h5_files_does_not_run(self, tmp_path):
        entry = keras.Input(SHAPE)
        keras.Model(entry, kl.Lambda(lambda x: x[..., :2])(entry)).save(tmp_path / "m.h5")
        with pytest.raises(ValueError, match=r"could not be loaded.*(?i:lambda|unsafe)"):
            inference.load(tmp_path / "m.h5")

    def test_folders(self, tmp_path, capsys):
        built("Sequential with Input").export(tmp_path / "saved", verbose=False)
        with pytest.raises(ValueError, match=r"SavedModel folder.*model\.save\(\"m\.keras\"\)"):
            inference.load(tmp_path / "saved")
        run = tmp_path / "run"
        run.mkdir()
        with pytest.raises(ValueError, match="is a folder, not a model file"):
            inference.load(run)
        built("Sequential with Input").save(run / "model.keras")
        with pytest.raises(ValueError, match=r"folder of a training.*run/model\.keras"):
            export.export(run, tmp_path / "m.tflite", input_shape=SHAPE)
        for verb in (["export", "--output", str(tmp_path / "m.tflite")], ["evaluate"]):
            assert main([verb[0], str(tmp_path / "saved"), *verb[1:]]) == 2
            assert "SavedModel" in capsys.readouterr().err

    def test_exported_files_are_no_sources(self, tmp_path):
        export.export(built("Sequential with Input"), tmp_path / "m.tflite")
        with pytest.raises(ValueError, match=r"exported file.*\.keras file"):
            export.export(tmp_path / "m.tflite", tmp_path / "n.onnx")


class TestCommandLine:
    def test_exports_and_predicts_with_an_h5_file(self, tmp_path, capsys):
        from PIL import Image

        model = built("Sequential with Input")
        model.save(tmp_path / "m.h5")
        Image.fromarray(IMAGE).save(tmp_path / "a.png")
        assert main(["export", str(tmp_path / "m.h5"), "--output", str(tmp_path / "m.onnx")]) == 0
        for file in ("m.h5", "m.onnx"):
            out = tmp_path / file.replace(".", "_")
            words = ["predict", str(tmp_path / file), str(tmp_path / "a.png"), "--output", str(out)]
            assert main(words) == 0
            found = np.asarray(Image.open(out / "a_mask.png"))
            np.testing.assert_array_equal(found, scores(model).argmax(-1))

    def test_the_range_of_a_training_travels(self, tmp_path, capsys):
        from PIL import Image

        cells = keras_seg.data.BuiltinDataset("cells", "train", length=6, size=(32, 32))
        data = tmp_path / "data"
        for folder in ("images", "masks"):
            (data / folder).mkdir(parents=True)
        for i, sample in enumerate(cells):
            np.save(data / "images" / f"{i}.npy", sample.image.astype(np.uint16) * 16)
            Image.fromarray(sample.mask.astype(np.uint8)).save(data / "masks" / f"{i}.png")
        names = {"names": list(cells.classes.names)}
        (data / "classes.json").write_text(json.dumps(names | {"range": [0, 4080]}))
        run = tmp_path / "run"
        words = [
            "--epochs",
            "1",
            "--steps_per_epoch",
            "1",
            "--batch_size",
            "2",
            "--crop",
            "[32,32]",
        ]
        words += ["--model", "unet", "--model_options.widths", "[4,8]", "--overlays", "0"]
        assert main(["train", "--data", str(data), "--output", str(run), *words]) == 0
        image = cells[0].image
        model = run / "model.keras"
        for suffix in (".tflite", ".onnx"):
            assert main(["export", str(model), "--output", str(run / f"m{suffix}")]) == 0
        (data / "classes.json").write_text(json.dumps(names))  # the files know it by themselves
        for file in (model, run / "m.tflite", run / "m.onnx"):
            runner = inference.load(file)
            assert runner.card.value_range == (0, 4080)
            wanted = runner.predict(image)
            np.testing.assert_array_equal(runner.predict(image.astype(np.uint16) * 16), wanted)
            out = tmp_path / f"masks{file.suffix}"
            words = ["predict", str(file), str(data / "images" / "0.npy"), "--output", str(out)]
            assert main(words) == 0
            np.testing.assert_array_equal(np.asarray(Image.open(out / "0_mask.png")), wanted)
            assert main(["evaluate", str(file), "--data", str(data)]) == 0
        # another range said on the command line is another prediction
        words = [*words, "--value_range", "0", "65535"]
        assert main(words) == 0
        dark = runner.predict(np.rint(image.astype(np.float32) * 16 / 257).astype(np.uint8))
        np.testing.assert_array_equal(np.asarray(Image.open(out / "0_mask.png")), dark)
