"""Losses equal their formulas, and ignored pixels have no influence."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seg import losses
from tests.helpers import loss_formulas as formulas
from tests.helpers.loss_cases import CLASSES, EVERY_LOSS, IGNORED, batch, softmax
from tests.helpers.loss_formulas import FORMULAS

TFA_CASES = [(0.25, 2.0), (0.5, 1.0), (0.25, 0.0), (0.75, 3.0)]


class TestValues:
    @EVERY_LOSS
    @pytest.mark.parametrize("seed", [0, 1])
    def test_every_loss_is_its_formula(self, name, seed):
        labels, logits = batch(name, seed)
        weight = (labels != IGNORED).astype(float)
        expected = FORMULAS[name](labels, softmax(logits.astype(float)), weight)
        assert float(losses.get(name)(labels, logits)) == pytest.approx(expected, rel=2e-5)

    @EVERY_LOSS
    def test_with_weights_of_pixels_too(self, name):
        labels, logits = batch(name, 2)
        weight = np.random.default_rng(2).choice([0, 0.5, 1, 3], labels.shape)
        expected = FORMULAS[name](labels, softmax(logits), weight * (labels != IGNORED))
        found = float(losses.get(name)(labels, logits, weight))
        assert found == pytest.approx(expected, rel=2e-5)

    @pytest.mark.parametrize(
        ("options", "formula", "formula_options"),
        [
            ({"label_smoothing": 0.1}, formulas.cross_entropy, {"smoothing": 0.1}),
            (
                {"class_weights": [1, 2, 0, 4, 5], "label_smoothing": 0.2},
                formulas.cross_entropy,
                {"class_weights": [1, 2, 0, 4, 5], "smoothing": 0.2},
            ),
            ({"threshold": 0.0, "min_kept": 7}, formulas.ohem, {"threshold": 0, "min_kept": 7}),
            ({"threshold": 0.2, "min_kept": 0}, formulas.ohem, {"threshold": 0.2, "min_kept": 0}),
            ({"min_kept": 10**6}, formulas.ohem, {"min_kept": 10**6}),
            ({"min_kept": 0.5}, formulas.ohem, {"min_kept": 0.5}),
            ({"gamma": 0}, formulas.focal, {"gamma": 0}),
            (
                {"gamma": 0.5, "class_weights": [1, 2, 0, 4, 5]},
                formulas.focal,
                {"gamma": 0.5, "class_weights": [1, 2, 0, 4, 5]},
            ),
            (
                {"alpha": 0.2, "beta": 0.9, "smooth": 3},
                formulas.tversky,
                {"alpha": 0.2, "beta": 0.9, "smooth": 3},
            ),
            (
                {"class_weights": [1, 2, 0, 4, 5]},
                formulas.squared_error,
                {"class_weights": [1, 2, 0, 4, 5]},
            ),
            ({"max_distance": 2}, formulas.boundary, {"max_distance": 2}),
        ],
    )
    def test_with_options_too(self, options, formula, formula_options):
        labels, logits = batch(seed=3)
        expected = formula(labels, softmax(logits), 1.0 * (labels != IGNORED), **formula_options)
        loss = losses.get({"name": formula.__name__} | options)
        assert float(loss(labels, logits)) == pytest.approx(expected, rel=2e-5)

    @pytest.mark.parametrize("name", ["dice", "jaccard", "tversky", "lovasz_softmax"])
    def test_per_image_is_the_mean_of_the_images_that_count(self, name):
        labels, logits = batch(seed=4)
        labels[1] = IGNORED
        whole, each = losses.get(name), losses.get({"name": name, "per_image": True})
        expected = np.mean([whole(labels[i : i + 1], logits[i : i + 1]) for i in (0, 2)])
        assert float(each(labels, logits)) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("name", ["dice", "lovasz_softmax", "boundary"])
    def test_classes_can_be_chosen(self, name):
        labels, logits = batch(seed=5)
        one_by_one = [losses.get({"name": name, "classes": [c]}) for c in range(CLASSES)]
        values = [float(loss(labels, logits)) for loss in one_by_one]
        assert values[CLASSES - 1] == 0  # absent
        if name != "boundary":
            assert float(losses.get(name)(labels, logits)) == pytest.approx(np.mean(values[:-1]))
        chosen = losses.get({"name": name, "classes": [0, 2]})
        assert float(chosen(labels, logits)) == pytest.approx((values[0] + values[2]) / 2)
        every = losses.get({"name": name, "classes": "all"})
        assert float(every(labels, logits)) != pytest.approx(np.mean(values[:-1]))
        with pytest.raises(ValueError, match="for scores of 5 classes"):
            losses.get({"name": name, "classes": [7]})(labels, logits)

    @pytest.mark.parametrize("name", sorted(set(losses.LOSSES) - {"boundary"}))
    def test_nothing_is_lost_where_all_is_right(self, name):
        labels, logits = batch(name)
        right = 60.0 * np.eye(logits.shape[-1])[np.where(labels == IGNORED, 0, labels)]
        assert float(losses.get(name)(labels, right)) == pytest.approx(0, abs=1e-5)
        assert float(losses.get(name)(labels, logits)) > 0.1

    def test_ohem_keeps_all_pixels_of_a_blank_network(self):
        labels, logits = batch()
        found = losses.OhemCrossEntropy(threshold=0.1, min_kept=3)(labels, 0 * logits)
        assert float(found) == pytest.approx(np.log(CLASSES), rel=1e-6)

    @pytest.mark.parametrize("kind", ["prob", "logits"])
    @pytest.mark.parametrize(
        ("alpha", "gamma"), [(0.25, 2.0), (0.5, 1.0), (0.25, 0.0), (0.75, 3.0)]
    )
    def test_binary_focal_is_that_of_tensorflow_addons(self, kind, alpha, gamma):
        golden = np.load(Path(__file__).parents[1] / "golden" / "arrays" / "tfa_focal.npz")
        loss = losses.Focal(
            gamma=gamma,
            class_weights=(1 - alpha, alpha),
            from_logits=kind == "logits",
            reduction=None,
        )
        found = loss(golden[f"{kind}_y_true"], golden[f"{kind}_y_pred"][..., None])
        expected = golden[f"{kind}_a{alpha}_g{gamma}"]  # sums over the last axis
        np.testing.assert_allclose(np.sum(found, -1), expected, rtol=1e-5)


class TestForms:
    """Of labels, scores and weights."""

    @EVERY_LOSS
    def test_labels_may_have_a_channel_or_be_one_hot(self, name):
        labels, logits = batch(name)
        expected = float(losses.get(name)(labels, logits))
        one_hot = np.eye(256)[labels][..., : logits.shape[-1]]  # zeros where ignored
        for form in (labels[..., None], labels.astype("uint8"), one_hot):
            assert float(losses.get(name)(form, logits)) == pytest.approx(expected, rel=1e-6)

    def test_soft_labels_are_a_mean_of_hard_ones(self):
        labels, logits = batch()
        other = np.where(labels == IGNORED, IGNORED, (labels + 1) % 4)
        hard = [np.eye(256)[ids][..., :CLASSES] for ids in (labels, other)]
        for name in ("cross_entropy", "focal"):
            loss = losses.get(name)
            expected = 0.3 * loss(labels, logits) + 0.7 * loss(other, logits)
            found = float(loss(0.3 * hard[0] + 0.7 * hard[1], logits))
            assert found == pytest.approx(float(expected), rel=1e-5)

    @EVERY_LOSS
    def test_probabilities_give_the_same_as_logits(self, name):
        labels, logits = batch(name)
        expected = float(losses.get(name)(labels, logits))
        loss = losses.get({"name": name, "from_logits": False})
        assert float(loss(labels, softmax(logits))) == pytest.approx(expected, rel=1e-4)

    @EVERY_LOSS
    def test_one_channel_is_two_classes(self, name):
        labels, logits = batch("lovasz_hinge")
        z = logits[..., :1]
        expected = float(losses.get(name)(labels, np.concatenate([0 * z, z], -1)))
        assert float(losses.get(name)(labels, z)) == pytest.approx(expected, rel=1e-6)
        loss = losses.get({"name": name, "from_logits": False})
        assert float(loss(labels, 1 / (1 + np.exp(-z)))) == pytest.approx(expected, rel=1e-4)

    @EVERY_LOSS
    def test_a_weight_an_image_is_a_weight_of_its_pixels(self, name):
        labels, logits = batch(name, images=10)  # as many images as columns
        weight = np.arange(10.0)
        expected = losses.get(name)(
            labels, logits, np.broadcast_to(weight[:, None, None], labels.shape)
        )
        for form in (weight, weight[:, None], weight[:, None, None, None]):
            found = float(losses.get(name)(labels, logits, form))
            assert found == pytest.approx(float(expected), rel=1e-6)

    @EVERY_LOSS
    def test_twice_the_weights_are_twice_the_loss_unless_divided_by_them(self, name):
        labels, logits = batch(name)
        weight = np.random.default_rng(0).uniform(0.5, 2, labels.shape)
        once, twice = (float(losses.get(name)(labels, logits, k * weight)) for k in (1, 2))
        assert twice == pytest.approx(2 * once, rel=1e-5)
        loss = losses.get({"name": name, "reduction": "mean_with_sample_weight"})
        once, twice = (float(loss(labels, logits, k * weight)) for k in (1, 2))
        assert twice == pytest.approx(once, rel=1e-5)

    def test_reductions_are_those_of_keras(self):
        labels, logits = batch()
        counted = labels != IGNORED
        values = losses.CrossEntropy(reduction=None)(labels, logits)
        assert values.shape == labels.shape and not np.asarray(values)[~counted].any()
        total = float(losses.CrossEntropy(reduction="sum")(labels, logits))
        assert total == pytest.approx(float(np.sum(values)), rel=1e-6)
        mean = float(losses.CrossEntropy()(labels, logits))
        assert mean == pytest.approx(total / counted.sum(), rel=1e-6)
        keras_loss = keras.losses.SparseCategoricalCrossentropy(True, ignore_class=IGNORED)
        assert mean == pytest.approx(float(keras_loss(labels, logits)), rel=1e-6)

    @pytest.mark.parametrize(
        ("labels", "scores", "weight", "message"),
        [
            (
                (2, 8, 8),
                (2, 4, 4, 3),
                None,
                r"\(2, 8, 8\) do not belong to scores .*\(2, 4, 4, 3\)",
            ),
            ((2, 8, 8, 4), (2, 8, 8, 3), None, "or one-hot labels with as many classes"),
            ((2, 8), (2, 8, 8, 3), None, "do not belong to scores"),
            ((2, 8, 8), (2, 8, 8, 3), (2, 8, 8, 3), "one number per image"),
        ],
    )
    def test_shapes_that_do_not_belong_together_are_named(self, labels, scores, weight, message):
        weight = None if weight is None else np.ones(weight)
        with pytest.raises(ValueError, match=message):
            losses.Dice()(np.zeros(labels), np.zeros(scores), weight)


class TestOptions:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ({"name": "cross_entropy", "label_smoothing": 2}, "0 to 1. Received: 2"),
            ({"name": "cross_entropy", "class_weights": [1, -1]}, "none below 0"),
            ({"name": "ohem", "threshold": 70}, "a probability, 0 to 1. Received: 70"),
            ({"name": "ohem", "min_kept": 1.5}, "Received: 1.5"),
            ({"name": "focal", "gamma": -1}, "Received: -1"),
            ({"name": "dice", "smooth": -1}, "Received: -1"),
            ({"name": "dice", "classes": "road"}, "Received: 'road'"),
            ({"name": "tversky", "alpha": 0, "beta": 0}, "not both 0"),
            ({"name": "focal_tversky", "gamma": 0}, "Received: 0"),
            ({"name": "boundary", "max_distance": 0}, "1 pixel or more"),
        ],
    )
    def test_options_out_of_range_are_named(self, spec, message):
        with pytest.raises(ValueError, match=message):
            losses.get(spec)

    @pytest.mark.parametrize("name", sorted(losses.LOSSES))
    def test_scores_that_are_no_numbers_have_no_small_loss(self, name):
        labels, logits = np.zeros((1, 8, 8), "int32"), np.full((1, 8, 8, 2), 5.0, "float32")
        labels[0, :4], logits[..., 1], logits[0, 7, 7] = 1, -5.0, np.nan
        assert np.isnan(float(losses.get(name)(labels, logits)))

    def test_labels_may_be_lists_and_of_64_bits(self):
        labels, logits = batch()
        expected = float(losses.Dice()(labels, logits))
        assert float(losses.Dice()(np.asarray(labels).tolist(), logits)) == expected
        wide = np.asarray(labels).astype("int64")
        wide[0, 0, 0] = 2**32  # 0 in 32 bits
        assert np.isnan(float(losses.Dice()(wide, logits)))

    def test_class_weights_must_be_as_many_as_classes(self):
        with pytest.raises(ValueError, match="has 3 numbers for scores of 5 classes"):
            losses.CrossEntropy(class_weights=[1, 2, 3])(*batch())

    def test_hinge_is_for_two_classes(self):
        with pytest.raises(ValueError, match="the scores have 5. Take lovasz_softmax"):
            losses.LovaszHinge()(*batch())

    def test_weighted_sum_adds_its_parts(self):
        labels, logits = batch()
        expected = 2 * losses.CrossEntropy()(labels, logits) + 0.5 * losses.Dice()(labels, logits)
        found = losses.get("2*cross_entropy+0.5*dice")(labels, logits)
        assert float(found) == pytest.approx(float(expected), rel=1e-6)

    def test_weighted_sum_needs_a_weight_a_loss(self):
        with pytest.raises(ValueError, match="1 losses and 2 weights"):
            losses.WeightedSum([losses.Dice()], weights=[1, 2])
