"""`quantize-aware --data`: a folder of images without masks is enough."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_seg import cli, models
from keras_seg.export.aware.from_images import train_on_images
from keras_seg.export.aware.trained_ranges import is_quantization_aware
from tests.helpers.colour_blocks import ColourBlocks, small_network


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for sample in ColourBlocks(length=4):
        Image.fromarray(sample.image).save(folder / f"{sample.name}.png")
    return folder


class TestImagesAlone:
    def test_a_model_of_anywhere_is_tuned_and_keeps_its_card(self, photos, tmp_path, capsys):
        model, output = tmp_path / "found.keras", tmp_path / "tuned"
        card = models.ModelCard(ColourBlocks().classes, image_size=(40, 48))
        models.save(small_network(3, size=(40, 48)), model, card)
        words = ["--data", str(photos), "--output", str(output), "--epochs", "3"]
        assert cli.main(["quantize-aware", str(model), *words]) == 0
        told = capsys.readouterr()
        assert "Training 3 steps on 4 images" in told.err
        assert "% of the pixels the class of" in told.out and "keras-seg export" in told.out
        tuned = output / "model.keras"
        assert is_quantization_aware(models.load(tuned))
        assert models.read_card(tuned).classes == card.classes
        assert cli.main(["quantize-aware", str(model), *words]) == 2
        assert "exists. Choose another --output." in capsys.readouterr().err

    @pytest.mark.parametrize("activation", [None, "sigmoid"])
    def test_one_channel_agrees_with_itself(self, activation, photos, tmp_path):
        keras.utils.set_random_seed(0)
        model = models.unet((None, None, 3), 1, widths=(4, 4), activation=activation)
        model.save(tmp_path / "foreign.keras")  # without a card
        tuned = train_on_images(
            tmp_path / "foreign.keras",
            np.stack([sample.image for sample in ColourBlocks(length=4, size=(32, 31))]),
            tmp_path / "tuned",
            epochs=1,
            learning_rate=1e-6,
        )
        assert (tuned.images, tuned.steps) == (4, 1) and tuned.agreement > 0.9

    def test_without_a_run_the_option_is_named(self, tmp_path, capsys):
        small_network(3).save(tmp_path / "found.keras")
        assert cli.main(["quantize-aware", str(tmp_path / "found.keras")]) == 2
        assert "--data FOLDER with images, which need no masks" in capsys.readouterr().err
