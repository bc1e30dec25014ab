"""Folds of the images, and cross-validation."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest

from keras_seg import training
from keras_seg.cli.verbs.train import _report_folds
from keras_seg.data.wrappers.folds import folds_of
from keras_seg.training import Recipe, cross_validation
from keras_seg.training.checks import check_recipe
from keras_seg.training.data_sets import open_splits
from keras_seg.training.fit import TrainingResult
from keras_seg.training.run_folder import evaluation_data
from tests.helpers.recipes import short_recipe
from tests.helpers.shapes import Shapes


class Named(Shapes):
    """Shapes with names of their own, none of which is read for the folds."""

    def __init__(self, split, names):
        super().__init__(split, len(names))
        self.names = names

    def sample_name(self, index):
        return self.names[index]


def names_of(dataset):
    return [dataset.sample_name(index) for index in range(len(dataset))]


def splits(train="abcdefghij", val="klm"):
    return Named("train", list(train)), Named("val", list(val))


@pytest.fixture
def recipe(shapes_folder, tmp_path):
    return short_recipe(shapes_folder, tmp_path / "run", batch_size=2, epochs=1, steps_per_epoch=1)


class TestFolds:
    def test_every_image_validates_once_and_never_trains_there(self):
        validated = []
        for number in range(1, 5):
            train, val = folds_of(splits(), number, 4)
            assert len(val) in (3, 4) and len(train) + len(val) == 13
            assert not set(names_of(train)) & set(names_of(val))
            assert (train.split, val.split) == ("train", "val")
            validated += names_of(val)
        assert sorted(validated) == list("abcdefghijklm")

    def test_names_alone_decide(self):
        one = set(names_of(folds_of(splits(), 2, 3)[1]))
        other = set(names_of(folds_of(splits("mlkjih", "gfedcba"), 2, 3)[1]))
        assert one == other

    def test_images_of_one_name_in_both_splits_are_two(self):
        folds = [folds_of(splits("ab", "ab"), number, 4)[1] for number in range(1, 5)]
        assert Counter(name for fold in folds for name in names_of(fold)) == {"a": 2, "b": 2}

    def test_groups_stay_together(self):
        names = [f"patient{number:02d}_{slice_}" for number in range(6) for slice_ in "abc"]
        for pattern in (r"patient(\d+)", r"patient\d+"):
            for number in range(1, 4):
                train, val = folds_of(splits(names, []), number, 3, group=pattern)
                patients = [{name[:9] for name in names_of(each)} for each in (train, val)]
                assert not patients[0] & patients[1] and len(patients[1]) == 2

    @pytest.mark.parametrize(
        ("count", "group", "message"),
        [
            (20, None, "20 folds need at least 20 images. Received: 13. Take fewer folds"),
            (5, "[a-m]()", "5 folds need at least 5 groups by .*Received: 1"),
            (2, "x", "matches nothing in the name 'a'"),
        ],
    )
    def test_what_cannot_be_divided(self, count, group, message):
        with pytest.raises(ValueError, match=message):
            folds_of(splits(), 1, count, group=group)


class TestRecipe:
    @pytest.mark.parametrize("fold", ["0/5", "6/5", "2", "1/1", "a/b", "2/5/6", "all/5"])
    def test_what_is_no_fold(self, recipe, fold):
        with pytest.raises(ValueError, match=r'fold is the number .*"2/5"'):
            replace(recipe, fold=fold)

    def test_what_is_no_group(self, recipe):
        with pytest.raises(ValueError, match="fold_group needs fold.* or --folds"):
            check_recipe(replace(recipe, fold_group="a"))  # `cross_validate` takes it
        with pytest.raises(ValueError, match="not a regular expression"):
            replace(recipe, fold="1/2", fold_group="(")

    def test_training_and_evaluation_see_the_same_images(self, recipe, tmp_path, capsys):
        recipe = replace(recipe, fold="2/3")
        train, val = open_splits(recipe)
        assert "Fold 2/3: " in capsys.readouterr().err
        (tmp_path / "run").mkdir()
        (tmp_path / "run/recipe.yaml").write_text(recipe.to_yaml())
        model = tmp_path / "run/model.keras"
        (tmp_path / "link").symlink_to(recipe.data)
        for source in (None, recipe.data, f"{recipe.data}/", str(tmp_path / "link")):
            images = evaluation_data(model, source, "val", 3)
            assert [each.name for each in images] == [each.name for each in val]
        assert len(evaluation_data(model, None, "train", 3)) == len(train)
        plain = open_splits(replace(recipe, fold=None))
        assert len(train) + len(val) == sum(map(len, plain))

    def test_evaluation_leaves_out_what_the_training_left_out(self, recipe, tmp_path):
        shutil.copytree(recipe.data, tmp_path / "data")
        damaged = sorted((tmp_path / "data").rglob("images/*"))[0]
        damaged.write_bytes(b"not an image")
        recipe = replace(recipe, data=str(tmp_path / "data"), on_error="skip", fold="1/3")
        (tmp_path / "run").mkdir()
        (tmp_path / "run/recipe.yaml").write_text(recipe.to_yaml())
        with pytest.warns(UserWarning, match="left out"):
            _, val = open_splits(recipe)
            images = evaluation_data(tmp_path / "run/model.keras", None, "val", 3)
        assert [each.name for each in images] == [each.name for each in val]


def train_as(scores, calls):
    """In place of `train`: writes the log of a run whose mIoU is the next of `scores`."""

    def train(recipe, data=None, callbacks=()):
        from pathlib import Path

        calls.append(recipe.fold)
        score = scores[int(recipe.fold[0]) - 1]
        folder = Path(recipe.output)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            {"epoch": 1, "val_mean_iou": 0.1, "val_iou": {"a": 0.1, "b": 0.1}},
            {"epoch": 2, "val_mean_iou": score or 0.2, "val_iou": {"a": score, "b": None}},
        ]
        (folder / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        done = score is not None
        return TrainingResult(folder / "model.keras", score or 0.2, 2, 2, not done, done, 2)

    return train


def test_a_fold_does_not_tell_the_split_that_it_replaces(shapes_folder, tmp_path, capsys):
    recipe = Recipe(data=str(shapes_folder), output=str(tmp_path / "run"))
    open_splits(recipe)
    assert "train: " in capsys.readouterr().err
    open_splits(replace(recipe, fold="1/2"))
    told = capsys.readouterr().err
    assert "Fold 1/2: " in told and "train: " not in told


class TestCrossValidation:
    @pytest.fixture(autouse=True)
    def nothing_to_free(self, monkeypatch):
        """`clear_session` collects garbage, which takes seconds in a process of many tests."""
        monkeypatch.setattr("keras.backend.clear_session", lambda: None)

    def test_summary_of_all_folds(self, recipe, tmp_path, monkeypatch, capsys):
        calls = []
        monkeypatch.setattr(cross_validation, "train", train_as([0.5, 0.7, 0.6], calls))
        recipe = replace(recipe, fold_group="a")
        result = training.cross_validate(recipe, 3)
        assert calls == ["1/3", "2/3", "3/3"]
        assert result.finished and result.best.output == str(tmp_path / "run/fold_2")
        assert result.spread()["mIoU"] == {"mean": 0.6, "deviation": 0.1}
        assert result.spread()["a"] == {"mean": 0.6, "deviation": 0.1}
        assert result.spread()["b"] == {"mean": None, "deviation": None}
        record = json.loads((tmp_path / "run/folds.json").read_text())
        assert record == result.to_dict() and record["scores"][0]["iou"] == {"a": 0.5, "b": None}
        assert _report_folds(result, "run") == 0
        printed = capsys.readouterr().out
        assert "60.00" in printed and "10.00" in printed and "fold_2" in printed
        assert printed.endswith("keras-seg report run/fold_*\n")

    def test_it_stops_at_an_unfinished_fold_and_resumes(self, recipe, monkeypatch, capsys):
        calls = []
        monkeypatch.setattr(cross_validation, "train", train_as([0.5, None, 0.6], calls))
        result = training.cross_validate(recipe, 3)
        assert calls == ["1/3", "2/3"] and not result.finished and len(result.scores) == 1
        assert _report_folds(result, "run") == 130
        assert "Run the same command again" in capsys.readouterr().out

    def test_a_kill_in_a_fold_keeps_the_folds_before(self, recipe, tmp_path, monkeypatch):
        train = train_as([0.5, 0.7, 0.6], [])

        def killed(one, **options):
            if one.fold == "2/3":
                raise SystemExit  # as a killed process: nothing after it runs
            return train(one, **options)

        monkeypatch.setattr(cross_validation, "train", killed)
        with pytest.raises(SystemExit):
            training.cross_validate(recipe, 3)
        record = json.loads((tmp_path / "run/folds.json").read_text())
        assert [score["fold"] for score in record["scores"]] == ["1/3"] and not record["finished"]
        calls = []
        monkeypatch.setattr(cross_validation, "train", train_as([0.5, 0.7, 0.6], calls))
        assert training.cross_validate(recipe, 3).finished and calls == ["1/3", "2/3", "3/3"]

    @pytest.mark.parametrize(
        ("fold", "folds", "message"),
        [(None, 1, "at least 2"), ("1/2", 2, "Leave one of them out")],
    )
    def test_contradictions(self, recipe, fold, folds, message):
        with pytest.raises(ValueError, match=message):
            training.cross_validate(replace(recipe, fold=fold), folds)

    @pytest.mark.slow
    def test_folds_train_and_are_not_trained_again(self, recipe, without_tracing):
        one = training.cross_validate(recipe, 2)
        assert one.finished and 0 <= one.spread()["mIoU"]["mean"] <= 1
        assert training.cross_validate(recipe, 2) == one
