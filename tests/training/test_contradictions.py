"""Entries that contradict each other are told before data are read, both by name."""

import re
from dataclasses import replace

import pytest

from keras_seg import cli, training
from keras_seg.data import Augmentation
from keras_seg.training import OptimizerOptions, Recipe, ScheduleOptions
from keras_seg.training.contradictions import check_loss, check_recipe
from keras_seg.training.presets import list_presets, preset_path
from keras_seg.training.recipe_io import from_record, read_yaml

RECIPE = Recipe("no such data", "run")
WEIGHTS = {"name": "cross_entropy", "class_weights": [1, 2, 3]}
CASES = {
    "warm-up longer than the training": (
        {"epochs": 3, "schedule_options": ScheduleOptions(warmup_epochs=3)},
        ("schedule_options.warmup_epochs=3", "epochs=3", "more epochs"),
    ),
    "warm-up of a plateau": (
        {"schedule": "plateau", "schedule_options": ScheduleOptions(warmup_epochs=1)},
        ("schedule_options.warmup_epochs=1", 'schedule "plateau"', "another schedule"),
    ),
    "an end before the rate falls": (
        {"schedule": "plateau", "early_stop": 5},
        ("early_stop=5", "schedule_options.patience=5", "patience smaller"),
    ),
    "a monitor that nothing watches": (
        {"monitor": "loss"},
        ("monitor='loss'", "early_stop", "schedule 'poly'", "leave monitor out"),
    ),
    "the temperature of no teacher": (
        {"teacher_temperature": 2.0},
        ("teacher_temperature=2.0", "without a teacher", "leave teacher_temperature out"),
    ),
    "steps of another schedule": (
        {"schedule_options": ScheduleOptions(step_epochs=(4,))},
        ("schedule_options.step_epochs=(4,)", "schedule 'poly'", "'step'"),
    ),
    "power of another schedule": (
        {"schedule": "cosine", "schedule_options": ScheduleOptions(power=2)},
        ("schedule_options.power=2", "schedule 'cosine'", "'poly'"),
    ),
    "patience of another schedule": (
        {"schedule_options": ScheduleOptions(patience=9)},
        ("schedule_options.patience=9", "schedule 'poly'", "'plateau'"),
    ),
    "factor of another schedule": (
        {"schedule_options": ScheduleOptions(factor=0.5)},
        ("schedule_options.factor=0.5", "schedule 'poly'", "'step' or 'plateau'"),
    ),
    "nesterov of another optimizer": (
        {"optimizer_options": OptimizerOptions(nesterov=True)},
        ("optimizer_options.nesterov=True", "optimizer 'adam'", "'sgd'"),
    ),
    "nesterov without momentum": (
        {"optimizer": "sgd", "optimizer_options": OptimizerOptions(momentum=0, nesterov=True)},
        ("optimizer_options.nesterov=True", "optimizer_options.momentum=0", "Raise it"),
    ),
    "momentum of another optimizer": (
        {"optimizer_options": OptimizerOptions(momentum=0.5)},
        ("optimizer_options.momentum=0.5", "optimizer 'adam'", "'sgd' or 'rmsprop'"),
    ),
    "another number of names": (
        {"num_classes": 3, "classes": ["a", "b"]},
        ("num_classes=3", "classes, which names 2 (a, b)", "Leave num_classes out"),
    ),
    "classes of the network": (
        {"model_options": {"num_classes": 4}},
        ("model_options.num_classes=4", "num_classes=None", "out of model_options"),
    ),
    "name of the network": (
        {"model_options": {"name": "mine"}},
        ("model_options.name=mine", "model=unet", "out of model_options"),
    ),
    "shape of the network": (
        {"model_options": {"input_shape": [32, 32, 3]}},
        ("model_options.input_shape=[32, 32, 3]", "channels=3", "out of model_options"),
    ),
    "an ignored class": (
        {"loss": {"name": "dice", "ignore_class": 0}},
        ("ignore_class=0 of the loss 'dice'", "the data", "Leave ignore_class out"),
    ),
    "no ignored class": (
        {"loss": ["cross_entropy", {"name": "dice", "ignore_class": None}]},
        ("ignore_class=None of the loss 'dice'", "the data", "Leave ignore_class out"),
    ),
    "probabilities for logits": (
        {"model_options": {"activation": "softmax"}},
        ("from_logits=True of the loss 'cross_entropy'", "activation='softmax'", "both out"),
    ),
    "logits for probabilities": (
        {"loss": {"name": "dice", "from_logits": False}},
        ("from_logits=False of the loss 'dice'", "activation=None", "both out"),
    ),
    "a loss that is no number": (
        {"loss": {"name": "dice", "reduction": "none"}},
        ("reduction=none of the loss 'dice'", "training", "Leave reduction out"),
    ),
    "weights of other classes": (
        {"num_classes": 4, "loss": WEIGHTS},
        ("class_weights of the loss 'cross_entropy' has 3", "num_classes: 4", "Give 4"),
    ),
    "weights of other names": (
        {"classes": ["a", "b"], "loss": WEIGHTS},
        ("class_weights of the loss 'cross_entropy' has 3", "classes: 2", "Give 2"),
    ),
    "a class that there is not": (
        {"num_classes": 4, "loss": {"name": "dice", "classes": [1, 4]}},
        ("classes=[1, 4] of the loss 'dice'", "num_classes: 4", "no class 4", "0 to 3"),
    ),
    "a crop larger than the images": (
        {"crop": (64, 256), "resize": (64, 96)},
        ("crop=[64, 256]", "resize=[64, 96]", "Make the crop smaller"),
    ),
    "colours of grey images": (
        {"channels": 1, "augmentation": Augmentation(hue=0.1)},
        ("augmentation.hue=0.1", "channels=1", "Leave hue out"),
    ),
    "output that is the data": (
        {"data": "run/."},
        ("output=run", "data=run/.", "another --output"),
    ),
    "output that is the input": (
        {"initial_weights": "run/model.keras"},
        ("output=run", "initial_weights=run/model.keras", "another --output"),
    ),
    "weights of another framework": (
        {"initial_weights": "carvana.pth"},
        ("initial_weights: carvana.pth", "PyTorch", "keras-seg convert carvana.pth --source"),
    ),
    "a backbone to freeze that there is not": (
        {"model": "segnet", "freeze": "backbone"},
        ("freeze='backbone'", "segnet with backbone=None", "Leave them out"),
    ),
}


class TestRecipes:
    @pytest.mark.parametrize("case", CASES)
    def test_two_entries_that_contradict_each_other(self, case, tmp_path, monkeypatch):
        """The data do not exist: whatever read them first would say that instead."""
        monkeypatch.chdir(tmp_path)
        entries, words = CASES[case]
        with pytest.raises(ValueError) as refusal:
            training.train(replace(RECIPE, **entries))
        for word in words:
            assert word in str(refusal.value)
        assert not any(tmp_path.iterdir())

    def test_recipes_that_make_sense(self):
        for entries in (
            {},
            {"loss": WEIGHTS, "num_classes": 3},
            {"loss": {"name": "cross_entropy", "class_weights": [1, 2]}, "num_classes": 1},
            {"crop": (128, 192), "resize": (64, 96)},
            {"schedule": "plateau", "early_stop": 6},
            {"epochs": 3, "schedule_options": ScheduleOptions(warmup_epochs=2.5)},
        ):
            check_recipe(replace(RECIPE, **entries))

    @pytest.mark.parametrize("name", list_presets())
    def test_presets_make_sense(self, name):
        check_recipe(
            from_record(read_yaml(preset_path(name)) | {"data": "a", "output": "b"}, Recipe)
        )

    def test_classes_that_only_the_data_know(self):
        recipe = replace(RECIPE, loss=WEIGHTS)
        check_recipe(recipe)
        check_loss(recipe, 3)
        with pytest.raises(ValueError, match="has 3 numbers, which contradicts the data's classes"):
            check_loss(recipe, 5)


class TestCommandLines:
    @pytest.mark.parametrize(
        ("words", "missing"),
        [
            (["train", "--data", "builtin:cells"], "--output"),
            (["train"], "--data, --output"),
            (["convert", "a.npz", "--source", "somewhere"], "--output"),
            (["evaluate"], "file"),
        ],
    )
    def test_what_is_missing_is_named_as_it_is_typed(self, capsys, words, missing):
        with pytest.raises(SystemExit):
            cli.main(words)
        assert f": missing: {missing}\n" in capsys.readouterr().err

    def test_contradictions_are_told_in_a_line(self, capsys, tmp_path):
        words = ["--data", "builtin:cells", "--output", str(tmp_path / "run"), "--epochs", "1"]
        assert cli.main(["train", *words, "--schedule_options.warmup_epochs", "1"]) == 2
        error = capsys.readouterr().err
        assert re.match(r"keras-seg train: schedule_options\.warmup_epochs=1\.0 contra", error)
        assert error.count("\n") == 1

    @pytest.mark.parametrize(
        ("line", "names"),
        [
            ("export m.keras --output m.keras", "output contradicts file"),
            ("export m.keras --output a.onnx --json_file a.onnx", "json_file contradicts output"),
            ("convert a.npz --source x --output ./a.npz", "output contradicts file"),
            ("evaluate m.keras --json_file m.keras", "json_file contradicts file"),
            ("predict m.keras a.png --output m.keras", "output contradicts file"),
            ("report run --output run/model.keras", "output contradicts model"),
            ("evaluate m.keras --limit 0", "limit must be at least 1. Received: 0"),
            ("export m.keras --limit -2", "limit must be at least 1, or None for all"),
            ("predict m.keras a.png --frames 0", "frames must be at least 1. Received: 0"),
            ("predict m.keras a.png --threads 0", "threads must be at least 1. Received: 0"),
        ],
    )
    def test_what_is_read_is_not_written_over(self, capsys, line, names):
        """None of the files exists: whatever opened them first would say that instead."""
        assert cli.main(line.split()) == cli.WRONG_INPUT
        assert names in capsys.readouterr().err
