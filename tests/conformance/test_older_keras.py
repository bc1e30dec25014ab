"""`.keras` files that are written with a newer Keras open in the oldest supported one."""

import json
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seg import inference, models
from keras_seg.data import ClassTable
from keras_seg.models import ModelCard
from keras_seg.models.older_keras import (
    ADDED_OPTIONS,
    open_to_older_keras,
    with_plain_tensors,
    without_added_options,
)
from tests.helpers.slow_cases import all_but

# the options that each class of the thirteen networks has, or takes, in Keras 3.10
KNOWN = json.loads((Path(__file__).parents[1] / "golden/keras_3_10_options.json").read_text())
ANY_LAYER = {"activity_regularizer", "autocast"}  # every layer of Keras 3.10 takes these


def options_by_class(config):
    """[(class, its options)] of everything in a configuration."""
    found = []
    if isinstance(config, list):
        found = [each for item in config for each in options_by_class(item)]
    elif isinstance(config, dict):
        found = [each for item in config.values() for each in options_by_class(item)]
        if isinstance(config.get("config"), dict) and config.get("class_name") in KNOWN:
            found.append((config["class_name"], set(config["config"])))
    return found


@pytest.mark.parametrize(
    "name", all_but({"danet", "deconvnet", "icnn", "resunetplusplus"}, models.list_models())
)
def test_saved_networks_name_no_option_that_keras_3_10_lacks(name, tiny_model, tmp_path):
    path = tmp_path / "m.keras"
    models.save(tiny_model(name), path, ModelCard(ClassTable.numbered(3)))
    found = options_by_class(json.loads(zipfile.ZipFile(path).read("config.json")))
    assert found
    newer = {
        (kind, option) for kind, options in found for option in options - {*KNOWN[kind], *ANY_LAYER}
    }
    assert not newer


def test_the_file_computes_what_the_model_does(tiny_model, tmp_path):
    model, path = tiny_model("unet"), tmp_path / "m.keras"
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("float32")
    model.save(path)
    open_to_older_keras(path)
    np.testing.assert_array_equal(models.load(path)(image), model(image))


def test_a_keras_that_knows_no_newer_options_loads_a_file_with_them(
    tiny_model, tmp_path, monkeypatch
):
    model, path = tiny_model("unet"), tmp_path / "m.keras"
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("float32")
    model.save(path)
    load_model = keras.saving.load_model

    def load_as_keras_3_10(path, **options):
        if "input_axes" in zipfile.ZipFile(path).read("config.json").decode():
            raise TypeError("HeNormal got an unexpected keyword argument 'input_axes'")
        return load_model(path, **options)

    config = json.loads(zipfile.ZipFile(path).read("config.json"))
    if without_added_options(config) == config:
        pytest.skip("this Keras writes no newer options")
    monkeypatch.setattr(keras.saving, "load_model", load_as_keras_3_10)
    np.testing.assert_array_equal(models.load(path)(image), model(image))


def test_options_that_somebody_has_set_stay():
    def norm(**options):
        return {"class_name": "BatchNormalization", "config": {"axis": -1, **options}}

    default = norm(renorm=False, renorm_clipping=None, renorm_momentum=0.99)
    assert without_added_options(default) == norm()
    changed = norm(renorm=True, renorm_clipping=None, renorm_momentum=0.9)
    assert without_added_options(changed) == norm(renorm=True, renorm_momentum=0.9)


def test_other_classes_keep_options_of_the_same_name():
    own = {"class_name": "Mine", "config": dict(ADDED_OPTIONS["BatchNormalization"])}
    assert without_added_options([own]) == [own]


def as_keras_3_10_writes(path):
    """Puts the single input and output of the model in a file into lists."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(entries["config.json"])
    options = config["config"]
    for entry in ("input_layers", "output_layers"):
        assert isinstance(options[entry][0], str)
        options[entry] = [options[entry]]
    entries["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


@pytest.fixture
def file_of_3_10(tiny_model, tmp_path):
    path = tmp_path / "m.keras"
    models.save(tiny_model("unet"), path, ModelCard(ClassTable.numbered(3)))
    as_keras_3_10_writes(path)
    return path


def test_a_single_tensor_in_a_list_is_loaded_as_a_tensor(file_of_3_10, tiny_model):
    loaded = models.load(file_of_3_10)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Keras warns if a model was saved with a list of inputs
        np.testing.assert_array_equal(loaded(image), tiny_model("unet")(image))
    mask = inference.load(file_of_3_10).predict(image[0].astype("uint8"))
    assert mask.shape == (32, 32)


def test_files_written_with_keras_3_10_return_a_tensor_everywhere(file_of_3_10):
    open_to_older_keras(file_of_3_10)
    model = keras.saving.load_model(file_of_3_10, compile=False)
    assert not isinstance(model.output, list) and not isinstance(model.input, list)


@pytest.mark.parametrize(
    "outputs", [{"logits": ["a", 0, 0], "aux": ["b", 0, 0]}, [["a", 0, 0], ["b", 0, 0]], None]
)
def test_several_tensors_stay_as_they_are(outputs):
    options = {"output_layers": outputs, "input_layers": outputs}
    config = {"class_name": "Functional", "config": options}
    assert with_plain_tensors(config) == config
