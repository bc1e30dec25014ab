"""What version 0.1 has written loads and computes what it did: models, cards, recipes, runs."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seg import inference, models, training
from keras_seg.cli import main
from keras_seg.training.run_folder import recipe_beside

FILES = Path(__file__).parent / "files_of_0_1"
EXPECTED = dict(np.load(FILES / "expected.npz"))
EXACT = 1e-4
INT8 = 0.05  # kernels of other processors may round a step apart


def image():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)


def path_of(name):
    return FILES / "run" / name if name == "model.keras" else FILES / name


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_model_file_answers_as_it_did(name):
    found, expected = inference.load(path_of(name)).run(image()), EXPECTED[name]
    if expected.ndim == 2:
        assert (found == expected).mean() > 0.98
        return
    tolerance = INT8 if "int8" in name else EXACT
    np.testing.assert_allclose(
        found[::2, ::2], expected, atol=tolerance * np.abs(expected).max(), rtol=0
    )


def test_the_card_of_a_run_is_read():
    card = models.read_card(FILES / "run" / "model.keras")
    assert card.classes.names == ("background", "cell")
    assert (card.network, card.size_multiple, card.head) == ("unet", 2, "logits")


def test_cards_of_exported_files_are_read():
    runner = inference.load(FILES / "int8_argmax.tflite")
    assert (runner.card.head, runner.card.quantize) == ("argmax", "int8")
    assert runner.card.classes.names == ("background", "cell")


@pytest.mark.skipif(
    tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15),
    reason="Keras itself opens no file of a newer Keras",
)
@pytest.mark.usefixtures("without_tracing")
def test_a_model_that_is_trained_with_roundings_trains_on():
    model = keras.saving.load_model(FILES / "quantization_aware.keras")
    batch, mask = image()[None].astype("float32"), (image()[None, ..., 0] > 128).astype("int32")
    assert np.isfinite(model.fit(batch, mask, verbose=0).history["loss"]).all()


def test_a_run_is_evaluated_and_its_recipe_read(tmp_path):
    run = shutil.copytree(FILES / "run", tmp_path / "run")
    recipe = recipe_beside(run / "model.keras")
    assert (recipe.model, recipe.crop, recipe.loss) == ("unet", (32, 32), "cross_entropy+0.5*dice")
    assert main(["evaluate", str(run / "model.keras"), "--limit", "2"]) == 0


@pytest.mark.usefixtures("without_tracing")
def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    run = shutil.copytree(FILES / "run", tmp_path / "run")
    log = (run / "log.csv").read_text()
    recipe = replace(recipe_beside(run / "model.keras"), output=str(run))
    result = training.train(recipe)
    assert (run / "log.csv").read_text() == log  # it was finished, so nothing is trained again
    assert result.new_steps == 0 and result.finished
    assert result.model_path == run / "model.keras"
