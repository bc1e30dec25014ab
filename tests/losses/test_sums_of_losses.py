"""`loss + 0.5 * loss`, and the names of other packages."""

import keras
import numpy as np
import pytest

from keras_seg import losses
from tests.helpers.loss_cases import CLASSES, IGNORED, batch


@pytest.mark.parametrize(
    ("made", "spec"),
    [
        (lambda a, b: a + b, "cross_entropy+dice"),
        (lambda a, b: a + 0.5 * b, "cross_entropy+0.5*dice"),
        (lambda a, b: 2 * a + b * 0.5, "2*cross_entropy+0.5*dice"),
        (lambda a, b: sum([a, b]), "cross_entropy+dice"),
        (lambda a, b: a + b / 4, "cross_entropy+0.25*dice"),
        (lambda a, b: 2 * (a + 0.5 * b), "2*cross_entropy+dice"),
        (lambda a, b: (a + b) + (a + b), "cross_entropy+dice+cross_entropy+dice"),
        (lambda a, b: np.float32(0.5) * a + np.int64(2) * b, "0.5*cross_entropy+2*dice"),
        (lambda a, b: 0.5 * b, "0.5*dice"),
    ],
)
def test_arithmetic_is_the_sum_that_a_text_gives(made, spec, tmp_path):
    loss, wanted = made(losses.CrossEntropy(), losses.Dice()), losses.get(spec)
    labels, logits = batch()
    assert isinstance(loss, losses.WeightedSum) and loss.get_config() == wanted.get_config()
    assert float(loss(labels, logits)) == pytest.approx(float(wanted(labels, logits)), rel=1e-6)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(copy(labels, logits)) == float(loss(labels, logits))


def test_a_sum_may_have_losses_of_keras_and_a_single_loss_stays_itself():
    labels, logits = batch()
    labels = np.where(labels == IGNORED, 0, labels)
    truth = np.eye(CLASSES, dtype="float32")[labels]
    ours, theirs = losses.Dice(), keras.losses.CategoricalCrossentropy(from_logits=True)
    wanted = float(theirs(truth, logits)) + float(ours(truth, logits))
    for loss in (ours + theirs, theirs + ours, sum([ours, theirs])):
        copy = keras.losses.deserialize(keras.losses.serialize(loss))
        assert float(copy(truth, logits)) == pytest.approx(wanted, rel=1e-6)
    assert sum([ours]) is ours


def test_a_sum_trains_and_is_saved(tmp_path):
    labels, image = batch()
    model = keras.Sequential([keras.Input((None, None, 5)), keras.layers.Conv2D(5, 1)])
    loss = losses.CrossEntropy(class_weights={1: 3}) + 0.5 * losses.Dice()
    model.compile("sgd", loss, run_eagerly=True)
    before = model.evaluate(image, labels, verbose=0)
    model.fit(image, labels, epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert copy.loss.get_config() == model.loss.get_config()
    copy.run_eagerly = True
    again = copy.evaluate(image, labels, verbose=0)
    assert again < before and again == pytest.approx(model.evaluate(image, labels, verbose=0))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda a: -a, "cannot be negated"),
        (lambda a: a - a, "cannot be subtracted"),
        (lambda a: 1 - a, "cannot be subtracted"),
        (lambda a: 0 * a, "above 0. Received: 0"),
        (lambda a: -1 * a, "above 0. Received: -1"),
        (lambda a: a * float("nan"), "above 0. Received: nan"),
        (lambda a: a * True, "above 0. Received: True"),
        (lambda a: a * [1, 2], r"above 0. Received: \[1, 2\]"),
        (lambda a: a * np.ones(2), "above 0. Received: array"),
        (lambda a: a / 0, "above 0. Received: 0"),
        (lambda a: a * a, "above 0. Received: <"),
        (lambda a: a + 1, r"added to a loss. Received: 1.*losses.get\('cross_entropy"),
        (lambda a: a + "dice", "added to a loss. Received: 'dice'"),
        (lambda a: "dice" + a, "added to a loss. Received: 'dice'"),
        (lambda a: a + keras.losses.dice, "added to a loss. Received: <function"),
        (lambda a: losses.WeightedSum([keras.losses.dice]), "adds losses.* Received: <function"),
        # keras.losses.get would make Keras' own function of the name
        (lambda a: losses.WeightedSum(["dice"]), "adds losses.* Received: 'dice'.*losses.get"),
    ],
)
def test_what_is_no_sum_of_losses_is_refused(made, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        made(losses.Focal())


@pytest.mark.parametrize(
    ("foreign", "here"),
    [
        ("bce_jaccard_loss", "cross_entropy+jaccard"),
        ("cce_dice_loss", "cross_entropy+dice"),
        ("categorical_focal_dice_loss", "focal+dice"),
        ("binary_crossentropy", "cross_entropy"),
        ("sparse_categorical_crossentropy", "cross_entropy"),
        ("bce", "cross_entropy"),
        ("focal_loss", "focal"),
        ("binary_focal_crossentropy", "focal"),
        ("SigmoidFocalCrossEntropy", "focal"),
        ("DiceLoss", "dice"),
        ("Dice", "dice"),
        ("iou", "jaccard"),
        ("JaccardLoss", "jaccard"),
        ("LovaszLoss", "lovasz_softmax"),
        ("TverskyLoss", "tversky"),
        ("FocalTversky", "focal_tversky"),
        ("mse", "squared_error"),
        ("SoftBCEWithLogitsLoss", "cross_entropy"),
    ],
)
def test_names_of_other_packages_are_answered_with_what_is_written_here(foreign, here):
    with pytest.raises(ValueError, match=f"{foreign}'. Here it is written '") as error:
        losses.get(foreign)
    assert f"'{here}'" in str(error.value) and losses.get(here) is not None
    assert ("multi_label=True" in str(error.value)) == (
        "binary" in foreign or "bce" in foreign.lower() or "Sigmoid" in foreign
    )
    if foreign not in losses.__all__:
        with pytest.raises(AttributeError, match=f"no attribute '{foreign}'") as error:
            getattr(losses, foreign)
        assert f"losses.get('{here}')" in str(error.value)


@pytest.mark.parametrize(
    ("loss", "option", "message"),
    [
        ("dice", {"smoth": 1}, "Did you mean 'smooth'"),
        ("dice", {"ignore_index": 1}, "Here it is ignore_class"),
        ("focal", {"class_weight": [1]}, "Here it is class_weights"),
        ("dice", {"activation": "sigmoid"}, "Here it is from_logits .*multi_label"),
        ("dice", {"mode": "multilabel"}, "Here it is multi_label"),
        ("focal", {"smooth": 1}, "has no smooth. These have: dice"),
        ("dice", {"label_smoothing": 0.1}, "has no label_smoothing. These have: cross_entropy"),
        ("dice", {"from_logits": "no"}, "'dice': from_logits must be True or False"),
        ("dice", {"per_image": 1}, "'dice': per_image must be True or False"),
        ("dice", {"multi_label": "yes"}, "'dice': multi_label must be True or False"),
        ("dice", {"ignore_class": "void"}, "'dice': ignore_class must be a number"),
        ("dice", {"ignore_class": 2.5}, "'dice': ignore_class must be a whole number"),
        ("dice", {"classes": {0: 1}}, "'dice': classes must be 'present'"),
        ("dice", {"classes": [0.5]}, "'dice': classes must be 'present'"),
        ("dice", {"smooth": {"a": 1}}, "'dice': smooth must be a number"),
        ("tversky", {"alpha": "balanced"}, "'tversky': alpha must be a number"),
        ("tversky", {"beta": [1, 2]}, "'tversky': beta must be a number"),
        ("focal_tversky", {"gamma": float("nan")}, "'focal_tversky': gamma must be a number"),
        ("focal", {"gamma": True}, "'focal': gamma must be a number"),
        ("focal", {"alpha": 2}, "'focal': alpha must be 0 to 1"),
        ("focal", {"alpha": 0.2, "class_weights": [1, 2]}, "Give one of them"),
        ("boundary", {"max_distance": 2.5}, "'boundary': max_distance must be a whole number"),
        ("ohem", {"min_kept": "many"}, "'ohem': min_kept must be a number"),
        ("cross_entropy", {"label_smoothing": {}}, "label_smoothing must be a number"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_by_name(loss, option, message):
    with pytest.raises(ValueError, match=message):
        losses.get({"name": loss} | option)


def test_numbers_may_be_text_as_yaml_has_them():
    assert losses.get({"name": "dice", "smooth": "1e-3"}).smooth == 1e-3


class TestFocalElsewhere:
    """The lines of docs/migrating.md."""

    @staticmethod
    def sigmoid_focal(truth, z, *, alpha=None, gamma=2.0):
        """Of each label, as Addons' and segmentation_models.pytorch's are written."""
        p = 1 / (1 + np.exp(-z.astype(float)))
        p_t = truth * p + (1 - truth) * (1 - p)
        factor = 1 if alpha is None else truth * alpha + (1 - truth) * (1 - alpha)
        return factor * (1 - p_t) ** gamma * -np.log(p_t)

    def test_addons_is_alpha_of_one_channel(self):
        labels, logits = batch("lovasz_hinge")
        labels, z = np.where(labels == IGNORED, 0, labels), logits[..., :1]
        wanted = self.sigmoid_focal(labels[..., None], z, alpha=0.25)
        for loss in (
            losses.Focal(alpha=0.25, reduction=None),
            losses.Focal(class_weights=(0.75, 0.25), reduction=None),
            losses.Focal(alpha=0.25, multi_label=True, reduction=None),
        ):
            found = np.asarray(loss(labels[..., None], z)).reshape(labels.shape)
            np.testing.assert_allclose(found, wanted[..., 0], rtol=2e-5, atol=1e-8)

    def test_addons_of_several_channels_is_their_sum(self):
        rng = np.random.default_rng(0)
        truth, z = rng.integers(0, 2, (2, 6, 5, 3)), rng.normal(0, 2, (2, 6, 5, 3))
        wanted = self.sigmoid_focal(truth, z, alpha=0.25).sum(-1).mean()
        loss = 3 * losses.Focal(alpha=0.25, multi_label=True)
        assert float(loss(truth, z)) == pytest.approx(wanted, rel=1e-5)

    def test_that_of_segmentation_models_pytorch_is_one_class_against_the_rest(self):
        labels, logits = batch()
        labels = np.where(labels == IGNORED, 0, labels)
        truth = np.eye(CLASSES)[labels]
        per_class = self.sigmoid_focal(truth, logits).mean((0, 1, 2))
        found = float(losses.Focal(multi_label=True)(truth, logits))
        assert found == pytest.approx(per_class.mean(), rel=1e-5)
        assert float(losses.Focal()(labels, logits)) != pytest.approx(found, rel=0.1)

    def test_alpha_is_for_two_classes(self):
        with pytest.raises(ValueError, match="alpha is for two classes, or multi_label.*5 classes"):
            losses.Focal(alpha=0.25)(*batch())

    def test_its_configuration_comes_back(self):
        for loss in (losses.Focal(alpha=0.25), losses.Focal(alpha=0.25, multi_label=True)):
            copy = keras.losses.deserialize(keras.losses.serialize(loss))
            assert copy.get_config() == loss.get_config() and copy.alpha == 0.25
