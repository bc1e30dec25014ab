"""Losses in training: compiled, half precision, ignored pixels, saving, several replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import losses
from tests.helpers.loss_cases import EVERY_LOSS, IGNORED, batch
from tests.helpers.slow_cases import all_but


def value_and_gradient(loss, labels, logits, weight=None):
    logits = tf.convert_to_tensor(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(labels, logits, weight)
    return value, tf.convert_to_tensor(tape.gradient(value, logits))


def as_numbers(value, gradient):
    return float(value), np.asarray(gradient)


@pytest.mark.parametrize("name", all_but({"boundary", "focal_tversky", "ohem"}, losses.LOSSES))
@pytest.mark.parametrize("jit_compile", [pytest.param(False, marks=pytest.mark.slow), True])
def test_graph_and_xla_give_the_value_and_gradient_of_eager(name, jit_compile):
    labels, logits = batch(name, size=(6, 5))
    loss = losses.get(name)
    value, gradient = as_numbers(*value_and_gradient(loss, labels, logits))
    compiled = tf.function(
        lambda y_true, y_pred: value_and_gradient(loss, y_true, y_pred), jit_compile=jit_compile
    )
    found = as_numbers(*compiled(tf.constant(labels), tf.constant(logits)))
    assert found[0] == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(found[1], gradient, atol=1e-6)


@EVERY_LOSS
def test_sizes_may_be_unknown_when_a_step_is_traced(name):
    labels, logits = batch(name)
    signature = [
        tf.TensorSpec((None, None, None), tf.int32),
        tf.TensorSpec((None, None, None, logits.shape[-1]), tf.float32),
        tf.TensorSpec((None,), tf.float32),
    ]
    loss, weight = losses.get(name), np.arange(len(labels), dtype="float32")
    found = tf.function(loss.__call__, input_signature=signature)(
        labels.astype("int32"), logits, weight
    )
    assert float(found) == pytest.approx(float(loss(labels, logits, weight)), rel=1e-5)


@EVERY_LOSS
@pytest.mark.parametrize("scores", [np.nan, np.inf])
def test_what_does_not_count_has_no_influence_and_no_gradient(name, scores):
    labels, logits = batch(name)
    weight = np.ones(labels.shape)
    weight[:, :2] = 0
    out = (labels == IGNORED) | (weight == 0)
    value, gradient = as_numbers(*value_and_gradient(losses.get(name), labels, logits, weight))
    assert not gradient[out].any() and gradient[~out].any()
    broken = np.where(out[..., None], scores, logits).astype("float32")
    other_labels = np.where(weight == 0, 77, labels)
    found = as_numbers(*value_and_gradient(losses.get(name), other_labels, broken, weight))
    assert found[0] == value
    np.testing.assert_array_equal(found[1], gradient)


@EVERY_LOSS
def test_a_batch_without_counted_pixels_costs_nothing(name):
    labels, logits = batch(name, images=1)
    value, gradient = as_numbers(
        *value_and_gradient(losses.get(name), np.full_like(labels, IGNORED), logits)
    )
    assert value == 0 and not gradient.any()


@EVERY_LOSS
def test_an_image_without_counted_pixels_changes_nothing(name):
    labels, logits = batch(name)
    labels[-1] = IGNORED
    expected = float(losses.get(name)(labels[:-1], logits[:-1]))
    assert float(losses.get(name)(labels, logits)) == pytest.approx(expected, rel=1e-6)


@EVERY_LOSS
def test_the_ignored_value_may_be_a_class(name):
    labels, logits = batch(name)
    labels = np.where(labels == IGNORED, 0, labels)
    expected = losses.get(name)(np.where(labels == 1, IGNORED, labels), logits)
    loss = losses.get({"name": name, "ignore_class": 1})
    assert float(loss(labels, logits)) == pytest.approx(float(expected), rel=1e-6)
    one_hot = np.eye(logits.shape[-1])[labels]
    assert float(loss(one_hot, logits)) == pytest.approx(float(expected), rel=1e-6)


@EVERY_LOSS
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_huge_scores_in_half_precision_stay_finite(name, dtype):
    labels, logits = batch(name)
    logits = tf.cast(20_000 * np.clip(logits, -3, 3), dtype)  # float16 ends at 65,504
    value, gradient = value_and_gradient(losses.get(name), labels, logits)
    assert value.dtype == "float32" and np.isfinite(float(value))
    assert np.isfinite(np.asarray(tf.cast(gradient, "float32"))).all()


@EVERY_LOSS
def test_a_label_outside_the_classes_is_not_trained_on_silently(name):
    labels, logits = batch(name)
    labels[0, 0, 0] = 77
    assert np.isnan(float(losses.get(name)(labels, logits)))


@EVERY_LOSS
def test_serialization_keeps_the_options(name):
    options = {"name": name, "ignore_class": 7, "from_logits": False, "reduction": "sum"}
    loss = losses.get(options)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is type(loss) and copy.get_config() == loss.get_config()
    assert copy.get_config()["ignore_class"] == 7 and copy.name == name


def test_a_sum_of_losses_comes_back_from_a_keras_file(tmp_path):
    spec = [
        {"name": "cross_entropy", "class_weights": [1, 2, 3, 4, 5], "label_smoothing": 0.1},
        {"name": "dice", "classes": [0, 3], "per_image": True, "weight": 0.5},
        {"name": "ohem", "min_kept": 9},
        {"name": "focal_tversky", "gamma": 1.5, "smooth": 1},
        {"name": "boundary", "max_distance": 3, "weight": 0.01},
        {"name": "lovasz_softmax", "classes": "all"},
    ]
    labels, image = batch()
    model = keras.Sequential([keras.Input((None, None, 5)), keras.layers.Conv2D(5, 1)])
    model.compile("sgd", losses.get(spec))
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert copy.loss.get_config() == model.loss.get_config()
    assert copy.loss.weights == [1, 0.5, 1, 1, 0.01, 1]
    assert float(copy.loss(labels, image)) == float(model.loss(labels, image))


def test_all_losses_together_fall_in_fit_with_mixed_precision():
    every = "+".join(name for name in losses.LOSSES if name != "lovasz_hinge")
    labels, _ = batch(size=(16, 16))
    image = np.eye(256, dtype="float32")[labels][..., :5]
    network = keras.layers.Conv2D(5, 1, dtype="mixed_float16", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((None, None, 5)), network])
    model.compile(keras.optimizers.SGD(0.1), losses.get(every), run_eagerly=True)
    history = model.fit(image, labels, epochs=3, verbose=0).history["loss"]
    assert history[2] < history[1] < history[0]
