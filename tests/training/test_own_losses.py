"""Losses and metrics of the user, named by import path in a recipe."""

import json
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_seg import losses, models, training
from keras_seg.training import Recipe
from keras_seg.training.callbacks import OUTPUT
from keras_seg.training.engines import engine_for
from keras_seg.training.failures import errors_explained
from keras_seg.training.own_losses import check_own_losses, check_own_steps, own_metrics
from keras_seg.training.run import _compiled
from tests.helpers.recipes import short_recipe

OWN = '''
import keras
import keras_seg
import numpy as np

class Brier(keras_seg.losses.SegmentationLoss):
    """The squared error of the probabilities."""
    def __init__(self, *, factor=1.0, **options):
        super().__init__(**options)
        self.factor = factor
    def loss_of(self, pixels):
        errors = keras.ops.square(pixels.probabilities() - pixels.one_hot())
        if not pixels.multi_label:
            errors = keras.ops.sum(errors, -1)
        value = self.mean(errors, pixels.weight, pixels.counted)
        return self.factor * value

def plain(masks, scores, power=2):
    return keras.ops.mean(keras.ops.abs(scores) ** power)

def strict(masks, scores):
    return keras.losses.sparse_categorical_crossentropy(masks, scores, from_logits=True)

def foreground(masks, scores):
    return keras.ops.mean(keras.ops.cast(keras.ops.argmax(scores, -1) > 0, "float32"))

def pixels(masks, scores):
    return masks

def nothing(masks, scores):
    return keras.ops.mean(scores) * float("nan")

def broken(masks, scores):
    return masks + scores

class Attribute(keras.metrics.Metric):
    def update_state(self, masks, scores, sample_weight=None):
        self.total = keras.ops.mean(scores)
    def result(self):
        return self.total

def with_numpy(masks, scores):
    return keras.ops.mean(scores) + float(np.mean(scores))

def with_value(masks, scores):
    return keras.ops.mean(scores) if scores[0, 0, 0, 0] > 0 else keras.ops.max(scores)

class Counted(keras.metrics.Metric):
    def __init__(self, **options):
        super().__init__(**options)
        self.total = self.add_weight(name="total", initializer="zeros")
    def update_state(self, masks, scores, sample_weight=None):
        self.total.assign(np.mean(keras.ops.convert_to_numpy(scores)))
    def result(self):
        return self.total

class Images(keras.losses.Loss):
    def __init__(self):
        super().__init__(reduction=None)
    def call(self, masks, scores):
        return keras.ops.mean(scores, axis=(1, 2, 3))

made = Brier(factor=3.0)
number = 3
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """my_scores.py in the current folder."""
    (tmp_path / "my_scores.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("my_scores", None)


@pytest.fixture
def recipe(shapes_folder, tmp_path):
    return short_recipe(
        shapes_folder, tmp_path / "run", epochs=1, steps_per_epoch=2, schedule="constant"
    )


class TestSpelling:
    @pytest.mark.parametrize(
        ("spec", "terms"),
        [
            ("my.scores:Brier", [("my.scores:Brier", 1, {})]),
            ("dice+0.5*my_scores:Brier", [("dice", 1, {}), ("my_scores:Brier", 0.5, {})]),
            ({"path": "a:B", "gamma": 2, "weight": 3}, [("a:B", 3, {"gamma": 2})]),
            ({"name": "a:B", "gamma": 2}, [("a:B", 1, {"gamma": 2})]),
        ],
        ids=str,
    )
    def test_paths_in_all_forms_of_a_loss(self, spec, terms):
        assert list(losses.spec.parse_loss(spec)) == terms

    @pytest.mark.parametrize("spec", ["a:", ":b", {"path": "a"}, {"path": 3}], ids=str)
    def test_what_is_no_path(self, spec):
        with pytest.raises(ValueError, match="my_losses:MyLoss|Cannot read"):
            losses.spec.parse_loss(spec)

    def test_recipes_are_read_where_the_module_is_missing(self, recipe, tmp_path):
        recipe = replace(recipe, loss={"path": "no_module:Loss"}, metrics=["no_module:Metric"])
        (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
        assert Recipe.from_yaml(tmp_path / "recipe.yaml") == recipe


@pytest.mark.usefixtures("module")
class TestLosses:
    def test_class_object_and_function_are_losses(self):
        masks, scores = np.zeros((1, 2, 2), "int32"), np.zeros((1, 2, 2, 2), "float32")
        assert float(losses.get("my_scores:Brier")(masks, scores)) == 0.5
        assert float(losses.get({"path": "my_scores:Brier", "factor": 2})(masks, scores)) == 1
        assert float(losses.get("my_scores:made")(masks, scores)) == 1.5
        cubes = losses.get({"path": "my_scores:plain", "power": 3})(masks, scores + 2)
        assert float(cubes) == 8
        both = losses.get("cross_entropy+2*my_scores:Brier")(masks, scores)
        assert float(both) == pytest.approx(np.log(2) + 1)

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ("my_scores:Brie", "Did you mean 'Brier'"),
            ("my_scores.Brier", "A loss of your own has a colon: 'my_scores:Brier'"),
            ("my_scores.py:Brier", 'not the path of a file. Write "my_scores:Brier"'),
            ("no_such_module:Loss", "loss: there is no module 'no_such_module'"),
            ("my_scores:number", r"A loss is a class of keras\.losses\.Loss.*int"),
            ("keras.layers:ReLU", r"A loss is a class of keras\.losses\.Loss.*ReLU"),
            ({"path": "my_scores:Brier", "facto": 1}, "cannot be made: .*facto"),
            ({"path": "my_scores:made", "factor": 1}, "is an object, which takes no arguments"),
        ],
        ids=str,
    )
    def test_what_is_no_loss_is_refused(self, recipe, tmp_path, entry, message):
        with pytest.raises(ValueError, match=message):
            training.train(replace(recipe, loss=entry))
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("nothing", "must return one finite number .*Received: nan. Look for a division by 0"),
            ("broken", "loss my_scores:broken fails for masks .*8, 8.*Correct it"),
            ("Images", "Received: an array of shape.*keras.ops.mean"),
        ],
    )
    def test_values_that_cannot_be_trained_on(self, recipe, name, message):
        with pytest.raises(ValueError, match=message):
            check_own_losses(replace(recipe, loss=f"my_scores:{name}"), 3, 3, False)

    @pytest.mark.parametrize("name", ["with_numpy", "with_value"])
    def test_what_needs_values_is_refused_before_the_data_are_opened(self, recipe, name):
        recipe = replace(recipe, data="nowhere", loss=f"my_scores:{name}")
        with pytest.raises(ValueError, match=f"loss my_scores:{name} works on arrays.*keras.ops"):
            training.train(recipe)
        with pytest.raises(ValueError, match="compiled training step"):
            check_own_losses(recipe, 3, 3, False)

    def test_other_errors_wait_for_the_classes_of_the_data(self, recipe):
        check_own_steps(replace(recipe, loss="my_scores:broken"))
        check_own_steps(replace(recipe, loss="my_scores:Brier", metrics=["my_scores:foreground"]))

    def test_a_loss_that_does_not_know_unknown_pixels_is_told(self, recipe, capsys):
        check_own_losses(replace(recipe, loss="my_scores:strict"), 3, 3, False)
        assert "SegmentationLoss, which leaves them out" in capsys.readouterr().err
        check_own_losses(replace(recipe, loss="my_scores:Brier"), 3, 3, False)
        check_own_losses(replace(recipe, loss="my_scores:Brier"), 3, 3, True)
        assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("module")
class TestMetrics:
    def test_classes_and_functions_are_metrics(self):
        entries = [
            "my_scores:foreground",
            {"path": "keras_seg.metrics:PixelAccuracy", "num_classes": 2},
            {"path": "my_scores:plain", "power": 3, "name": "cubes"},
        ]
        names = [metric.name for metric in own_metrics(entries)]
        assert names == ["foreground", "pixel_accuracy", "cubes"]

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ({"name": "a:b"}, "a mapping with `path` and the metric's arguments"),
            ("my_scores:number", r"A metric is a class of keras\.metrics\.Metric.*int"),
            ("my_scores:Images", r"A metric is a class of keras\.metrics\.Metric.*Images"),
            ({"path": "keras_seg.metrics:MeanIoU"}, "cannot be made: .*num_classes"),
            (
                {"path": "keras_seg.metrics:MeanIoU", "num_classes": 2},
                "the name 'mean_iou' of .* is taken",
            ),
        ],
        ids=str,
    )
    def test_what_is_no_metric_is_refused(self, entry, message):
        with pytest.raises(ValueError, match=message):
            own_metrics([entry])

    def test_state_outside_of_variables_is_refused(self, recipe):
        with pytest.raises(ValueError, match="my_scores:Attribute has no variables.*add_weight"):
            check_own_losses(replace(recipe, metrics=["my_scores:Attribute"]), 3, 3, False)

    def test_a_metric_that_needs_values_is_refused(self, recipe):
        with pytest.raises(ValueError, match="metric my_scores:Counted works on arrays"):
            check_own_steps(replace(recipe, metrics=["my_scores:Counted"]))

    def test_values_that_are_no_number_are_refused(self, recipe):
        with pytest.raises(ValueError, match="metric my_scores:nothing must return one finite"):
            check_own_losses(replace(recipe, metrics=["my_scores:nothing"]), 3, 3, False)


@pytest.mark.usefixtures("module", "without_tracing")
@pytest.mark.slow
class TestTraining:
    def test_run_resumes_and_its_model_opens_without_the_module(self, recipe, tmp_path):
        recipe = replace(
            recipe,
            loss=["cross_entropy", {"path": "my_scores:Brier", "factor": 2, "weight": 0.5}],
            metrics=["my_scores:foreground"],
        )
        training.train(recipe)
        more = training.train(replace(recipe, epochs=2))
        assert more.new_steps == 2
        rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").open()]
        assert all(0 <= row["val_foreground"] <= 1 and "foreground" in row for row in rows)
        assert len(rows) == 2
        sys.modules.pop("my_scores")
        (tmp_path / "my_scores.py").unlink()
        assert models.load(more.model_path).output.shape[-1] == 3


def test_a_loss_without_gradient_is_explained():
    message = "has no gradient for any weight.*argmax"
    with pytest.raises(ValueError, match=message), errors_explained("run", str):
        raise ValueError("No gradients provided for any variable.")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("logits_mean_iou", "mean_iou"),
        ("val_logits_foreground", "val_foreground"),
        ("logits_loss", "logits_loss"),
        ("my_logits_score", "my_logits_score"),
    ],
)
def test_log_names_metrics_of_several_outputs_as_those_of_one(name, plain):
    assert OUTPUT.sub(r"\1", name) == plain


def test_several_outputs_have_the_metrics_at_the_main_one(recipe, shapes, module):
    image = keras.Input((None, None, 3))
    heads = {name: keras.layers.Conv2D(3, 1)(image) for name in ("logits", "auxiliary")}
    recipe = replace(recipe, metrics=["my_scores:foreground"])
    network = keras.Model(image, heads)
    model, _ = _compiled(recipe, engine_for(recipe), network, "dice", shapes[0], 1)
    masks = dict.fromkeys(heads, np.zeros((1, 8, 8), "int32"))
    logs = model.test_on_batch(np.zeros((1, 8, 8, 3)), masks, return_dict=True)
    assert {"logits_mean_iou", "logits_foreground"} <= logs.keys()
