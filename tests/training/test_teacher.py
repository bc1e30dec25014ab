"""A trained network as a teacher: its loss, its place in a training, and what is refused."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seg import models, training
from keras_seg.data import ClassTable
from keras_seg.training.network import build_model
from keras_seg.training.outputs import at_image_size, output_losses
from keras_seg.training.saved_state import saved_steps
from keras_seg.training.teacher import Lesson, taught, variables_of_teacher
from tests.helpers.recipes import short_recipe

RANDOM = np.random.default_rng(0)


def save_teacher(path, shapes, *, classes=None, channels=3, num_classes=None, **options):
    """A network with random values as the file of a teacher."""
    keras.utils.set_random_seed(1)
    table = classes or shapes[0].classes
    options = {"widths": (4, 4)} | options
    count = num_classes or len(table)
    model = models.unet((None, None, channels), count, **options)
    models.save(model, path, models.ModelCard(table))
    return path


@pytest.fixture
def recipe(shapes_folder, shapes, tmp_path):
    teacher = save_teacher(tmp_path / "teacher.keras", shapes)
    return short_recipe(
        shapes_folder, tmp_path / "run", epochs=1, steps_per_epoch=2, teacher=str(teacher)
    )


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


class Fixed(keras.Model):
    """A network that always has the same scores."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def call(self, image):
        return keras.ops.convert_to_tensor(self.scores)


class TestLoss:
    def formula(self, student, teacher, temperature):
        p, q = softmax(teacher / temperature), softmax(student / temperature)
        return temperature**2 * (p * np.log(p / q)).sum(-1).mean()

    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    def test_it_is_the_divergence_of_the_softened_classes(self, temperature):
        student, teacher = RANDOM.normal(size=(2, 1, 3, 4, 5)).astype("float32")
        lesson = Lesson(Fixed(teacher), weight=0.5, temperature=temperature)
        expected = self.formula(student, teacher, temperature)
        assert float(lesson.loss(student, student)) == pytest.approx(0.5 * expected, rel=1e-5)

    def test_one_channel_is_two_classes_and_probabilities_are_read(self):
        z, t = RANDOM.normal(size=(2, 1, 3, 4, 1)).astype("float32")
        teacher = softmax(np.concatenate([0 * t, t], -1))
        lesson = Lesson(Fixed(teacher), weight=1.0, temperature=2.0, probabilities=(False, True))
        two = np.concatenate([0 * z, z], -1)
        expected = self.formula(two, np.concatenate([0 * t, t], -1), 2.0)
        assert float(lesson.divergence(z, z)) == pytest.approx(expected, rel=1e-4)

    def test_labels_are_independent_and_the_margin_is_cut_off(self):
        student = RANDOM.normal(size=(1, 3, 4, 2)).astype("float32")
        teacher = RANDOM.normal(size=(1, 5, 8, 2)).astype("float32")
        lesson = Lesson(
            Fixed(teacher), weight=1.0, temperature=1.0, margin=(1, 2), multi_label=True
        )
        pairs = [np.stack([0 * x, x], -1) for x in (student, teacher[:, 1:-1, 2:-2])]
        expected = self.formula(pairs[0], pairs[1], 1.0)
        assert float(lesson.divergence(student, student)) == pytest.approx(expected, rel=1e-4)


class TestTraining:
    def test_the_network_learns_its_scores_and_no_file_holds_the_teacher(
        self, recipe, without_tracing, capsys
    ):
        plain = replace(recipe, teacher=None, output=f"{recipe.output}_plain")
        loss, alone = [
            training.train(each).model_path.parent.joinpath("log.csv").read_text()
            for each in (recipe, plain)
        ]
        assert f"Teacher: {recipe.teacher}." in capsys.readouterr().err
        assert loss != alone
        saved = models.load(f"{recipe.output}/model.keras")
        assert saved.count_params() == models.load(f"{plain.output}/model.keras").count_params()
        sizes = [
            sum(file.stat().st_size for file in saved_steps(folder)[0].glob("state.data*"))
            for folder in map(_checkpoints, (recipe, plain))
        ]
        assert abs(sizes[0] - sizes[1]) < 200  # bytes: the teacher alone has 3,000

    def test_steps_with_the_teacher_alone_come_near_it(self, recipe, shapes):
        network = build_model(recipe, len(shapes[0].classes))
        recipe = replace(recipe, teacher_weight=10.0)
        model = taught(at_image_size(network), network, recipe, shapes[0])
        images = np.stack([sample.image[:32, :32] for sample in shapes[0]]).astype("float32")
        masks = np.full(images.shape[:3], 255)
        before = float(model.lesson.divergence(network(images), images))
        kept = [variable.numpy() for variable in variables_of_teacher(model)]
        model.compile(keras.optimizers.Adam(0.02), **output_losses(model, "cross_entropy"))
        model.fit(images, masks, batch_size=4, epochs=15, verbose=0)
        after = model.lesson.divergence(network(images, training=True), images)
        assert float(after) < before / 3
        assert model.evaluate(images, masks, verbose=0) == 0  # without the teacher
        for variable, value in zip(variables_of_teacher(model), kept, strict=True):
            np.testing.assert_array_equal(variable, value)

    def test_heads_of_deep_supervision_stay_twins(self, recipe, shapes):
        recipe = replace(
            recipe,
            model="unetplusplus",
            model_options={"widths": [4, 4, 4], "deep_supervision": True},
        )
        network = build_model(recipe, len(shapes[0].classes))
        model = taught(at_image_size(network), network, recipe, shapes[0])
        assert model.output["logits"] is model.output["logits_2"]
        assert output_losses(model, "dice")["loss_weights"] == {
            "logits": 0.0, "logits_1": 0.5, "logits_2": 0.5
        }  # fmt: skip

    def test_an_interrupted_run_resumes_as_if_it_had_not_stopped(self, recipe, without_tracing):
        recipe = replace(recipe, steps_per_epoch=1)
        whole = replace(recipe, epochs=2, schedule="constant", output=f"{recipe.output}_whole")
        training.train(whole)
        parts = replace(whole, output=recipe.output)
        training.train(replace(parts, epochs=1))
        training.train(parts)
        one, other = [models.load(f"{each.output}/model.keras") for each in (whole, parts)]
        for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def _checkpoints(recipe):
    return Path(recipe.output) / "checkpoints"


class TestRefused:
    def refused(self, recipe, message):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            training.train(recipe)

    def test_entries_that_contradict(self, recipe):
        self.refused(replace(recipe, teacher=None, teacher_weight=0.5), "no effect without a teach")
        self.refused(replace(recipe, teacher="none.keras"), "teacher: There is no model file")
        inside = f"{recipe.output}/model.keras"
        self.refused(replace(recipe, teacher=inside), "contradicts teacher=")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_classes": 5}, r"has 5 output channels. Received: data of 3 classes"),
            ({"channels": 1}, "takes images of 1 channels. Received: channels=3"),
            ({"classes": ClassTable(("ring", "background", "square"))}, "have the same order"),
            ({"widths": (4, 4, 4, 4, 4, 4, 4)}, r"does not take crops of \[32, 32\] pixels: "),
            ({"padding": "valid", "widths": (4, 4)}, "scores for less of the image than unet"),
        ],
    )
    def test_teachers_that_do_not_fit(self, options, message, recipe, shapes, without_tracing):
        save_teacher(recipe.teacher, shapes, **options)
        self.refused(recipe, message)

    def test_other_names_are_told(self, recipe, shapes, without_tracing, capsys):
        save_teacher(recipe.teacher, shapes, classes=ClassTable(("a", "b", "c")))
        training.train(replace(recipe, steps_per_epoch=1))
        assert "other names: a, b, c there" in capsys.readouterr().err
