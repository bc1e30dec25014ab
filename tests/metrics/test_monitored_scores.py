"""Callbacks that monitor a score in mode "auto" know that more is better."""

import copy
import json
import warnings

import keras
import numpy as np
import pytest

from keras_seg import losses, metrics, models
from keras_seg.training import output_losses

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 255, (2, 16, 16, 3)).astype("float32")
MASK = (IMAGE[..., 0] > 128).astype("int32")
ALL = (
    *("mean_iou", "mean_dice", "pixel_accuracy", "mean_class_accuracy"),
    *("frequency_weighted_iou", "iou_sky", "iou_car"),
)
MADE = {
    "mean_iou": lambda: metrics.MeanIoU(2),
    "mean_dice": lambda: metrics.MeanDice(2),
    "pixel_accuracy": lambda: metrics.PixelAccuracy(2),
    "mean_class_accuracy": lambda: metrics.MeanClassAccuracy(2),
    "frequency_weighted_iou": lambda: metrics.FrequencyWeightedIoU(2),
    "iou_1": lambda: metrics.ClassIoU(2, 1),
    "car": lambda: metrics.ClassIoU(2, 1, name="car"),
    "boundary_f1": lambda: metrics.BoundaryF1(2),
    "labels": lambda: metrics.MeanIoU(1, multi_label=True, name="labels"),
}


def network(*scores, loss="cross_entropy"):
    """A network that is compiled, and trains a step in no time."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(2, 1)])
    model.compile(
        keras.optimizers.SGD(1e-5), losses.get(loss), metrics=list(scores), run_eagerly=True
    )
    return model


def fit(model, *callbacks, epochs=1, mask=MASK):
    return model.fit(
        IMAGE, mask, epochs=epochs, verbose=0, validation_data=(IMAGE, mask), callbacks=callbacks
    ).history


def rises(callback):
    return bool(callback.monitor_op(2.0, 1.0)) and not callback.monitor_op(1.0, 2.0)


def test_every_metric_is_known_to_grow():
    image = keras.Input((16, 16, 3))
    head = keras.layers.Conv2D(2, 1)(image)
    one = keras.layers.Conv2D(1, 1)(image)
    model = keras.Model(image, {"two": head, "one": one})
    scores = {"two": [make() for name, make in MADE.items() if name != "labels"]}
    scores |= {"one": [MADE["labels"]()]}
    model.compile("sgd", "mse", metrics=scores, run_eagerly=True)
    truth = {"two": np.eye(2, dtype="float32")[MASK], "one": MASK[..., None].astype("float32")}
    # before names that are not the defaults Keras alone knows what stands
    monitored = [f"two_{name}" for name in MADE if name not in ("car", "labels")]
    watching = [
        keras.callbacks.EarlyStopping(monitor=prefix + name, patience=3)
        for name in (*monitored, "car", "labels", "mean_iou")
        for prefix in ("", "val_")
    ]
    with warnings.catch_warnings():  # "car" alone is no entry of the logs
        warnings.simplefilter("ignore")
        logs = fit(model, *watching, mask=truth)
    assert {f"val_{name}" for name in monitored} <= logs.keys()
    assert all(map(rises, watching))


@pytest.mark.parametrize("prefix", ["", "left_"])
def test_every_score_of_one_matrix_is_known_to_grow(prefix):
    scores = metrics.SegmentationMetrics(2, class_names=["sky", "car"], prefix=prefix)
    watching = [
        keras.callbacks.EarlyStopping(monitor=f"{val}{prefix}{score}")
        for score in ALL
        for val in ("", "val_")
    ]
    logs = fit(network(scores), *watching)
    assert all(map(rises, watching))
    assert {callback.monitor for callback in watching} <= logs.keys()


def test_the_callbacks_of_keras_do_what_they_are_for(tmp_path):
    """A score that only falls stops the training, lowers the rate, and keeps the first weights."""
    model = network(metrics.SegmentationMetrics(2, class_names=["sky", "car"]))
    values = iter([0.9, 0.8, 0.7, 0.6, 0.5])

    class Falls(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_iou_car"] = next(values)

    monitor = {"monitor": "val_iou_car"}
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True, **monitor)
    slower = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1, **monitor)
    best = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "best.keras"), save_best_only=True, **monitor
    )
    saved = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    logs = fit(model, Falls(), stop, slower, best, saved, epochs=5)
    assert stop.best_epoch == 0 and stop.best == 0.9
    assert len(logs["loss"]) == 3 and logs["learning_rate"][-1] < logs["learning_rate"][0]
    kept = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_array_equal(kept.get_weights()[0], model.get_weights()[0])


def test_a_callback_of_ones_own_sees_the_scores_and_the_direction():
    seen = []

    class Watch(keras.callbacks.EarlyStopping):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            seen.append((logs[self.monitor], rises(self)))

    fit(network(metrics.MeanIoU(2)), Watch(monitor="val_mean_iou"), epochs=2)
    assert len(seen) == 2 and all(0 < value <= 1 and up for value, up in seen)


def test_a_second_metric_of_one_name_has_a_number():
    stop = keras.callbacks.EarlyStopping(monitor="val_mean_iou_1")
    logs = fit(network(metrics.MeanIoU(2), metrics.MeanIoU(2, ignore_class=0)), stop)
    assert rises(stop) and "val_mean_iou_1" in logs


def test_other_scores_are_left_to_keras():
    def soft_dice(y_true, y_pred):
        return keras.ops.mean(y_pred)

    model = network(metrics.MeanDice(2, name="dice"), soft_dice)
    for monitor in ("val_soft_dice", "val_nothing"):
        with pytest.raises(ValueError, match="isn't able to automatically determine"):
            fit(model, keras.callbacks.EarlyStopping(monitor=monitor))
    falls = keras.callbacks.EarlyStopping(monitor="val_loss")
    fit(model, falls)
    assert falls.monitor_op(1.0, 2.0)


def test_elsewhere_the_name_is_plain_text():
    scores = metrics.SegmentationMetrics(2, class_names=["sky", "car"])
    assert type(scores.name) is str and scores.name == "segmentation" != "mean_iou"
    assert copy.deepcopy(scores.get_config()) == json.loads(json.dumps(scores.get_config())) | {
        "scores": scores.scores,
        "class_names": scores.class_names,
    }
    # metrics that log the same names stand side by side
    logs = fit(network(scores, metrics.MeanIoU(2)))
    assert {"val_mean_iou", "val_iou_sky", "val_iou_car"} <= logs.keys()


def test_names_of_classes_stand_once_in_the_logs():
    with pytest.raises(ValueError, match="has a name twice"):
        metrics.SegmentationMetrics(2, class_names=["car", "car"])


def test_the_metric_of_output_losses_takes_labels_as_the_loss_does():
    model = models.unet((None, None, 3), 2, widths=(2, 2))
    for spec, kind in (("dice", False), ({"name": "dice", "multi_label": True}, True)):
        for loss in (losses.get(spec), losses.get(spec) + 0.5 * losses.get(spec)):
            (metric,) = output_losses(model, loss, num_classes=2)["metrics"]
            assert metric.multi_label is kind
