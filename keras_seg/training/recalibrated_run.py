"""The end of a training with `recalibrate`: new statistics of batch norm for the best model."""

from __future__ import annotations

import json
import math
import sys

import keras
import tensorflow as tf

from keras_seg import models
from keras_seg.atomic_files import write_text
from keras_seg.data.augmentation.options import Augmentation
from keras_seg.data.pipeline import training_pipeline
from keras_seg.training.batches import validation_batches
from keras_seg.training.outputs import MAIN, at_image_size
from keras_seg.training.recalibration import recalibrate
from keras_seg.training.run import Run, miou_metric
from keras_seg.training.run_folder import RECALIBRATION_NAME

UNCHANGED = Augmentation(
    flip_horizontal=False, scale=(1.0, 1.0), brightness=0.0, contrast=0.0, saturation=0.0
)


def recalibrate_best(run: Run) -> None:
    """Recalibrates the best model of a finished run, if its recipe says so and it is not done yet.

    The statistics are those of one pass over the training images, in crops and batches of the
    recipe without random changes. They are kept if the validation mIoU is not lower. The log then
    has the new scores of that epoch. `recalibration.json` has both.

    One process computes it, on one device, from the file of the model. So an average of the weights
    gets the statistics that belong to it.
    """
    before, epoch = run.history.best
    card = models.read_card(run.model_path) if epoch and run.writes else None
    if not run.recipe.recalibrate or before is None or card is None or _done(run) == epoch:
        return
    network = models.load(run.model_path)
    images = len(run.train_set)
    recalibrate(network, _training_images(run))
    after, iou = _validated(run, network)
    kept = after >= before
    if kept:
        models.save(network, run.model_path, card)
        run.history.correct(epoch, after, iou)
    record = {
        "epoch": epoch,
        "images": images,
        "val_mean_iou": {"before": before, "after": after},
        "kept": kept,
    }
    write_text(run.folder / RECALIBRATION_NAME, json.dumps(record, indent=1) + "\n")
    sys.stderr.write(
        f"Batch norm with the statistics of all {images} training images: validation mIoU "
        f"{after:.4f}, before {before:.4f}. {run.model_path.name} has the "
        f"{'new' if kept else 'old'} ones.\n"
    )


def _done(run: Run) -> int | None:
    """The epoch whose model was recalibrated; None without any."""
    path = run.folder / RECALIBRATION_NAME
    return json.loads(path.read_text()).get("epoch") if path.exists() else None


def _training_images(run: Run) -> tf.data.Dataset:
    recipe = run.recipe
    return training_pipeline(
        run.train_set,
        crop=recipe.crop,
        batch_size=recipe.batch_size,
        epochs=1,
        augmentation=UNCHANGED,
        seed=recipe.seed,
        steps=-(-len(run.train_set) // recipe.batch_size),
    )


def _validated(run: Run, network: keras.Model) -> tuple[float, list[float | None]]:
    """Validation mIoU, and the IoU of each class."""
    # a loaded model has a list of one image as its input
    model = keras.Model(network.inputs[0], network.output, name=network.name)
    model, metric = at_image_size(model), miou_metric(run.recipe, run.train_set)
    for images, masks, *_ in validation_batches(run).as_numpy_iterator():
        scores = model.predict_on_batch(images)
        if isinstance(scores, dict):
            scores, masks = scores[MAIN], masks[MAIN]
        metric.update_state(masks, scores)
    miou = float(metric.result())
    iou = [None if math.isnan(value) else round(float(value), 6) for value in metric.per_class()]
    return (0.0 if math.isnan(miou) else miou), iou
