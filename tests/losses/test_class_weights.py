"""Class weights in every form that users write, and counted from data."""

import json

import keras
import numpy as np
import pytest

from keras_seg import data, losses
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.verify import verify_dataset
from keras_seg.losses.spec import parse_loss
from keras_seg.training import Recipe, train
from keras_seg.training.contradictions import check_loss, check_recipe
from tests.helpers.loss_cases import batch

WITH_WEIGHTS = ("cross_entropy", "focal", "ohem", "squared_error")
EVERY_LOSS = pytest.mark.parametrize("name", WITH_WEIGHTS)


def get(name, weights):
    return losses.get({"name": name, "class_weights": weights})


class Masks(SegmentationDataset):
    """Masks as a data set."""

    def __init__(self, masks, classes):
        self.masks, self.name, self.split, self.channels = masks, "masks", "train", 3
        self.classes = data.ClassTable(tuple(classes))

    def __len__(self):
        return len(self.masks)

    def __getitem__(self, index):
        mask = np.asarray(self.masks[index], np.uint8)
        return Sample(name=f"{index}", image=np.zeros((*mask.shape, 3), np.uint8), mask=mask)


class TestForms:
    @EVERY_LOSS
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ({0: 1.0, 1: 9.0, 2: 2.0, 3: 1.0, 4: 1.0}, (1, 9, 2, 1, 1)),
            ({0: 1.0, 1: 9.0}, (1, 9, 1, 1, 1)),
            ({"1": 9, "3": 0.5}, (1, 9, 1, 0.5, 1)),
            ({3: 0}, (1, 1, 1, 0, 1)),
            ({np.int64(2): np.float32(3)}, (1, 1, 3, 1, 1)),
            ([1, 9, 2, 1, 1], (1, 9, 2, 1, 1)),
            (np.array([1, 9, 2, 1, 1]), (1, 9, 2, 1, 1)),
            (keras.ops.convert_to_tensor([1.0, 9, 2, 1, 1]), (1, 9, 2, 1, 1)),
            (["1", "9e0", 2, 1, 1], (1, 9, 2, 1, 1)),
        ],
    )
    def test_each_form_has_the_value_of_a_tuple(self, name, given, meant):
        labels, logits = batch()
        wanted = float(get(name, meant)(labels, logits))
        loss = get(name, given)
        copy = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(loss))))
        assert float(loss(labels, logits)) == float(copy(labels, logits)) == wanted
        assert wanted != float(losses.get(name)(labels, logits))

    @EVERY_LOSS
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (3, r"one number per class \(\[1, 9\]\), a mapping .*Received: 3"),
            (True, "Received: True"),
            ([], r"Received: \[\]"),
            ({}, r"Received: {}"),
            ([[1, 2]], "one number per class"),
            ({1, 2}, "one number per class"),
            ([1, -2], "none below 0. Received: -2"),
            ({1: -2}, "none below 0. Received: -2"),
            ([1, float("nan")], "Received: nan"),
            ([1, float("inf")], "Received: inf"),
            ({1: "much"}, "Received: 'much'"),
            ([0, 0], "must not be 0 for every class"),
            ({"road": 2}, "the key 'road'.*names work in a recipe"),
            ({1.5: 2}, "the key 1.5"),
            ({-1: 2}, "the key -1"),
            ({True: 2}, "the key True"),
            ({1: 2, "1": 3}, "names class 1 twice"),
            ("balanced", r'class_weights=keras_seg.data.class_weights\(dataset, "balanced"\)'),
            ("median_frequency", r'class_weights\(dataset, "median"\)'),
            ("ballanced", "Did you mean 'balanced'"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_by_name(self, name, given, message):
        with pytest.raises(ValueError, match=f"(?s)class_weights.*{message}|{message}") as error:
            get(name, given)
        assert "class_weights" in str(error.value) and name in str(error.value)

    def test_other_numbers_of_classes_are_told_at_the_first_call(self):
        labels, logits = batch()
        with pytest.raises(ValueError, match="names class 5 for scores of 5 classes. .* 0 to 4"):
            get("focal", {5: 2})(labels, logits)
        with pytest.raises(ValueError, match="has 2 numbers for scores of 5 classes"):
            get("focal", [1, 2])(labels, logits)
        with pytest.raises(ValueError, match="is 0 for every class"):
            get("focal", {0: 0, 1: 0})(*batch("lovasz_hinge"))

    def test_losses_without_them_name_those_with(self):
        for name in losses.LOSSES.keys() - set(WITH_WEIGHTS):
            with pytest.raises(ValueError, match="These have: cross_entropy, focal, ohem, squ"):
                get(name, [1, 2])
        with pytest.raises(ValueError, match="weight of the loss 'focal' is its factor"):
            losses.get({"name": "focal", "weight": {0: 1, 1: 9}})


RNG = np.random.default_rng(0)
MASKS = [RNG.choice(4, (6, 5), p=p) for p in ([0.7, 0.1, 0.2, 0], [0.5, 0.5, 0, 0])]
MASKS[0][0] = 255


class TestFromData:
    @pytest.mark.filterwarnings("ignore:The classes")
    def test_balanced_is_that_of_scikit_learn(self):
        pixels = np.concatenate([mask[mask != 255] for mask in MASKS])
        counts = np.bincount(pixels)  # n_samples / (n_classes * np.bincount(y)), in its words
        wanted = len(pixels) / (len(counts) * counts)
        for masks in (MASKS, np.stack(MASKS), [m[..., None] for m in MASKS]):
            with pytest.warns(UserWarning, match=r"classes \[3\] of 4 occur in no mask"):
                found = data.class_weights(masks, "balanced", num_classes=4)
            np.testing.assert_allclose(found, [*wanted, 0])
        assert data.class_weights(Masks(MASKS, "abcd")) == found

    @pytest.mark.filterwarnings("ignore:The classes")
    def test_median_is_that_of_segnet(self):
        frequency = []
        for number in range(3):
            showing = [mask for mask in MASKS if (mask == number).any()]
            known = sum((mask != 255).sum() for mask in showing)
            frequency.append(sum((mask == number).sum() for mask in showing) / known)
        wanted = [*(np.median(frequency) / np.array(frequency)), 0]
        for rule in ("median", "median_frequency"):
            found = data.class_weights(Masks(MASKS, "abcd"), rule)
            np.testing.assert_allclose(found, wanted)
        assert float(get("focal", found)(MASKS[0][None], np.zeros((1, 6, 5, 4))))

    def test_other_words_and_values_are_refused(self):
        with pytest.raises(ValueError, match="Did you mean 'median'"):
            data.class_weights(MASKS, "medain", num_classes=4)
        with pytest.raises(ValueError, match="needs num_classes"):
            data.class_weights(MASKS)
        with pytest.raises(ValueError, match=r"classes 0 to 1 and 255. Received: \[2\]"):
            data.class_weights([np.array([[0, 2]])], num_classes=2)
        with pytest.raises(ValueError, match=r"Received: \[0.5\]"):
            data.class_weights([np.array([[0, 0.5]])], num_classes=2)
        with pytest.raises(ValueError, match="Received: shape"):
            data.class_weights([np.zeros((4, 4, 3), int)], num_classes=2)


class TestRecipes:
    @pytest.fixture
    def recipe(self, tmp_path, shapes_folder):
        return lambda loss, **more: Recipe(
            data=str(shapes_folder),
            output=str(tmp_path / "run"),
            model_options={"widths": [2, 4]},
            crop=(32, 32),
            batch_size=1,
            epochs=1,
            steps_per_epoch=1,
            overlays=0,
            loss=loss,
            **more,
        )

    @pytest.mark.usefixtures("without_tracing")
    def test_words_are_counted_before_the_first_step(
        self, recipe, tmp_path, capsys, monkeypatch, shapes
    ):
        made = []
        original = losses.get
        monkeypatch.setattr(losses, "get", lambda spec: made.append(original(spec)) or made[-1])
        spec = {"name": "cross_entropy", "class_weights": "balanced"}
        result = train(recipe(spec))
        wanted = data.class_weights(shapes[0], "balanced")
        assert result.epochs == 1 and wanted[1] > 1 > wanted[0] > 0
        assert made[-1].class_weights == pytest.approx(wanted)
        shown = f"Class weights of 'cross_entropy' (balanced): background {wanted[0]:.4g}, square "
        assert shown in capsys.readouterr().err
        (record,) = json.loads((tmp_path / "run" / "class_weights.json").read_text())
        assert list(record["class_weights"].values()) == pytest.approx(wanted, abs=1e-6)
        assert "class_weights: balanced" in (tmp_path / "run" / "recipe.yaml").read_text()
        assert train(recipe(spec)).new_steps == 0  # the same recipe: finished
        report = verify_dataset(recipe(spec).data)
        by_median = data.class_weights(shapes[0], "median")
        assert report.suggestion.class_weights == pytest.approx(by_median, abs=1e-4)

    def test_a_file_of_yaml_may_have_words_numbers_and_names(self, recipe, tmp_path):
        for written, meant in (
            ("{0: 1, 1: 9}", {0: 1, 1: 9}),
            ("{cell: 9}", {"cell": 9}),
            ("{'1': 9}", {"1": 9}),
            ("median", "median"),
            ("[1, 9]", [1, 9]),
        ):
            text = (
                f"data: builtin:cells\noutput: x\nloss: {{name: focal, class_weights: {written}}}"
            )
            (tmp_path / "recipe.yaml").write_text(text)
            loaded = Recipe.from_yaml(tmp_path / "recipe.yaml")
            assert loaded.loss["class_weights"] == meant
            check_recipe(loaded)
            check_loss(loaded, 2, ("background", "cell"))
            (tmp_path / "again.yaml").write_text(loaded.to_yaml())
            assert Recipe.from_yaml(tmp_path / "again.yaml") == loaded

    def test_names_stand_for_their_classes(self, recipe):
        from keras_seg.training.class_weights import resolved_loss

        dataset = Masks([np.array([[0, 1]])], ("background", "cell"))
        spec = ["dice", {"name": "focal", "class_weights": {"cell": 9}, "weight": 2}]
        loss = losses.get(resolved_loss(parse_loss(spec), dataset)[0])
        assert loss.weights == [1, 2] and loss.losses[1].class_weights == (1, 9)

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ("balansed", "loss 'focal': Unknown class_weights 'balansed'. Did you mean 'balanced'"),
            (3, "loss 'focal': class_weights must be one number per class"),
            ([1, -1], "loss 'focal': class_weights must be one number per class"),
        ],
    )
    def test_what_no_data_can_mend_is_told_before_they_are_read(self, recipe, weights, message):
        with pytest.raises(ValueError, match=message):
            check_recipe(recipe({"name": "focal", "class_weights": weights}))

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ({"cel": 2}, "Unknown class in class_weights 'cel'. Did you mean 'cell'"),
            ({2: 2}, "names class 2 for scores of 2 classes"),
            ({1: -1}, "none below 0"),
            ({"cell": 1, 1: 2}, "names class 1 twice"),
            ([1, 2, 3], "has 3 numbers, which contradicts"),
            (np.ones(3), "has 3 numbers, which contradicts"),
        ],
    )
    def test_what_contradicts_the_classes_is_told(self, recipe, weights, message):
        contradicting = recipe({"name": "focal", "class_weights": weights})
        with pytest.raises(ValueError, match=message):
            check_loss(contradicting, 2, ("background", "cell"))
        with pytest.raises(ValueError, match=message):
            check_recipe(
                recipe(contradicting.loss, classes=["background", "cell"]),
            )

    def test_other_options_are_told_before_data_are_read(self, recipe):
        with pytest.raises(ValueError, match="The loss 'dice': smooth must be a number"):
            train(recipe({"name": "dice", "smooth": "a lot"}, deterministic=False))

    def test_labels_that_overlap_contradict_the_data(self, recipe):
        with pytest.raises(ValueError, match="multi_label=True of the loss 'dice' contradicts"):
            train(recipe(["focal", {"name": "dice", "multi_label": True}]))

    def test_arrays_are_written_as_lists(self, recipe):
        spec = {"name": "focal", "class_weights": np.array([1.0, 9])}
        assert "- 1.0\n  - 9.0" in recipe(spec).to_yaml()


def test_class_weight_of_fit_is_answered_with_the_loss():
    """Keras makes one weight per row of masks (B, H, W) in `tf.data`."""
    masks, logits = np.zeros((1, 4, 6), "uint8"), np.zeros((1, 4, 6, 2), "float32")
    loss = losses.CrossEntropy()
    with pytest.raises(ValueError, match=r"fit\(class_weight=.*CrossEntropy\(class_weights="):
        loss(masks, logits, np.ones((1, 4), "float32"))
    for weights in (np.ones((1,)), np.ones((1, 1)), np.ones((1, 4, 6)), np.ones((1, 4, 6, 1))):
        assert float(loss(masks, logits, weights)) == pytest.approx(np.log(2))
