"""Every paper's recipe is shipped, starts, and trains."""

import math
import re

import numpy as np
import pytest

from keras_seg import cli, losses, models, training
from keras_seg.training import Recipe
from keras_seg.training.optimizers import make_optimizer
from keras_seg.training.presets import list_presets, preset_path, summary
from keras_seg.training.recipe_io import from_record
from tests.helpers.slow_cases import all_but
from tests.helpers.tiny_presets import TINY, opener, record, tiny_recipe

VARIED = {"danet-cityscapes", "icnn-helen", "unet-isbi"}
"""Presets with multiplied rates and auxiliary losses, with faces, and with weight maps."""


class TestPresets:
    def test_the_papers_are_there(self):
        assert set(list_presets()) == set(TINY)

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_file_is_a_whole_recipe_of_a_network(self, name):
        recipe = from_record(record(name), Recipe)
        assert recipe.model in models.list_models() and recipe.model in name.replace("-", "_")
        assert "arXiv:" in summary(name) or "arXiv:" in preset_path(name).read_text()

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_optimizer_schedule_and_loss_are_made(self, name, tmp_path):
        recipe = tiny_recipe(name, tmp_path)
        assert make_optimizer(recipe, 2).learning_rate > 0
        assert losses.get(recipe.loss).name

    @pytest.mark.parametrize("name", all_but(VARIED, sorted(TINY)))
    def test_preset_starts_and_trains_two_steps(self, name, tmp_path, monkeypatch, without_tracing):
        recipe = tiny_recipe(name, tmp_path / "run")
        monkeypatch.setattr("keras_seg.training.data_sets.open_dataset", opener(recipe))
        result = training.train(recipe)
        assert result.new_steps == 2 and result.epochs == 1 and result.finished
        assert math.isfinite(result.best_miou)
        assert models.read_card(result.model_path).network == recipe.model

    @pytest.mark.parametrize("name", ["hrnet-cityscapes", "ocrnet-cityscapes"])
    def test_class_weighted_loss_is_divided_by_the_sum_of_weights_as_in_pytorch(self, name):
        """nn.CrossEntropyLoss(weight=w): the sum of w[y] * -log p[y] over the sum of w[y]."""
        loss = record(name)["loss"]
        rng, weights = np.random.default_rng(0), np.asarray(loss["class_weights"])
        logits = rng.normal(size=(2, 6, 8, 19))
        masks = rng.choice([0, 1, 13, 17, 255], (2, 6, 8))
        known = masks != 255
        shares = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(
            logits, np.where(known, masks, 0)[..., None], -1
        ).squeeze(-1)
        of_pixel = np.where(known, weights[np.where(known, masks, 0)], 0)
        expected = (of_pixel * shares).sum() / of_pixel.sum()
        measured = float(losses.get(loss)(masks, logits.astype("float32")))
        assert measured == pytest.approx(expected, rel=1e-5)
        plain = {key: value for key, value in loss.items() if key != "reduction"}
        other = float(losses.get(plain)(masks, logits.astype("float32")))
        assert other / measured == pytest.approx(of_pixel.sum() / known.sum(), rel=1e-5)

    @pytest.mark.parametrize("name", ["resunetplusplus-polyps", "unetplusplus-nuclei"])
    def test_dice_is_that_of_the_foreground_with_one_in_numerator_and_denominator(self, name):
        """The authors' 1 - (2 I + 1) / (P + T + 1) over the whole batch."""
        loss = record(name)["loss"]
        dice = loss if isinstance(loss, dict) else loss[-1]
        rng = np.random.default_rng(0)
        logits, masks = rng.normal(size=(2, 4, 4, 2)), rng.integers(0, 2, (2, 4, 4))
        shares = 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))
        expected = 1 - (2 * (shares * masks).sum() + 1) / (shares.sum() + masks.sum() + 1)
        measured = float(losses.get(dice)(masks, logits.astype("float32")))
        assert measured == pytest.approx(expected, rel=1e-5)

    def test_flags_win_over_the_preset(self, monkeypatch, tmp_path):
        seen = []
        monkeypatch.setattr("keras_seg.training.train", seen.append)
        monkeypatch.setattr("keras_seg.cli.verbs.train.report_training", lambda *result: 0)
        arguments = ["--preset", "danet-cityscapes", "--data", str(tmp_path), "--output", "o"]
        flags = ["--epochs", "3", "--optimizer_options.head_rate", "5", "--crop", "[96,128]"]
        assert cli.main(["train", *arguments, *flags]) == 0
        (recipe,) = seen
        assert (recipe.model, recipe.epochs, recipe.crop) == ("danet", 3, (96, 128))
        assert (recipe.optimizer_options.head_rate, recipe.optimizer_options.decay_all) == (5, True)

    def test_presets_are_listed(self, capsys):
        assert cli.main(["presets"]) == 0
        listed = capsys.readouterr().out
        assert all(name in listed for name in TINY)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("batchsize: 3", "'batchsize'. Did you mean 'batch_size'"),
            ("augmentation: {scales: [1, 1]}", "under augmentation 'scales'. Did you mean 'scale'"),
            (
                "optimizer_options: {nestrov: true}",
                "under optimizer_options 'nestrov'. Did you mean 'nesterov'",
            ),
            ("[1", "is not a YAML file"),
        ],
    )
    def test_misspelt_entries_of_files_are_answered_with_the_nearest(
        self, text, message, tmp_path, capsys
    ):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        assert cli.main(["train", "--config", str(path), "--data", "d", "--output", "o"]) == 2
        assert re.search(message, capsys.readouterr().err)

    def test_unknown_preset_is_answered_with_the_nearest(self, capsys):
        assert cli.main(["train", "--preset", "unet-isb", "--data", "d", "--output", "o"]) == 2
        assert "Did you mean 'unet-isbi'" in capsys.readouterr().err
